//! Every decision limiterctl makes, as pure functions, and every type that the kernel and user space share.
//!
//! The same code runs in the XDP program and in the tests on the host: nothing here reads a clock, a map or a
//! socket; time and memory are arguments.
//!
//! # Layout
//!
//! - [`packet`] finds the SYN in a frame
//! - [`key`] turns a source into a place in the table of sources
//! - [`gcra`] decides whether one more attempt fits a rate
//! - [`sources`] keeps each source's state in sets of eight cells
//! - [`known`] remembers who completed a handshake; [`flood`] tells when a flood begins and ends
//! - [`lists`] knows which prefixes are allowed or denied whatever the limits say
//! - [`open`] counts the connections that a source holds; [`pending`] what is about to become one
//! - [`name`] turns a DNS name into a number; [`dns`] reads names and addresses from messages
//! - [`mapping`] keeps which names an address has
//! - [`outbound`] decides for a connection to a name, and is what the outbound maps are made of
//! - [`gate`] puts these together: a rule, a source, a time, and out comes a verdict
//! - [`report`] is what the daemon is told of refusals, and how seldom
//! - [`reset`] builds the RST that answers a refused SYN
//! - [`rule`], [`verdict`] and [`maps`] are the vocabulary: what is configured, what came of it, where it lies

#![no_std]

#[cfg(test)]
extern crate std;

pub mod dns;
pub mod flood;
pub mod gate;
pub mod gcra;
pub mod key;
pub mod known;
pub mod lists;
pub mod mapping;
pub mod maps;
pub mod name;
pub mod open;
pub mod outbound;
pub mod packet;
pub mod pending;
#[cfg(feature = "user")]
mod pod;
pub mod report;
pub mod reset;
pub mod rule;
pub mod sources;
pub mod verdict;
