//! The smallest XDP programs there are: each does the same to every frame.

use std::os::fd::OwnedFd;

use nix::net::if_::if_nametoindex;

use super::Host;
use crate::bpf::{self, Instruction};

/// What a program does to all frames.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum XdpAction {
    /// `XDP_DROP`.
    Drop = 1,
    /// `XDP_PASS`.
    Pass = 2,
    /// `XDP_TX`.
    SendBack = 3,
}

/// A program that is attached until this is dropped.
#[derive(Debug)]
#[must_use]
pub struct AttachedXdp {
    _link: OwnedFd,
}

impl Host {
    /// Attaches a program to an interface that has none.
    #[track_caller]
    pub fn attach_xdp(&self, interface: &str, action: XdpAction) -> AttachedXdp {
        let link = self.run(|| {
            let index = if_nametoindex(interface)?;
            bpf::attach_xdp(&bpf::load_xdp(&Instruction::returning(action as i32))?, index)
        });
        let link = link.unwrap_or_else(|error| panic!("no program can be attached to {interface}: {error}"));
        AttachedXdp { _link: link }
    }
}
