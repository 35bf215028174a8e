//! `/metrics` for Prometheus: what `status` and `list hosts` tell, as numbers with names that stay.
//!
//! The numbers are read from pinned maps when somebody asks for them, so a reload has nothing to hand over.
//!
//! # Layout
//!
//! - [`endpoint`] is where it is served, as people write it
//! - [`server`] answers HTTP
//! - [`snapshot`] is all that a page tells, read from the kernel: [`hosts`] are the names worth a line, [`fill`]
//!   how full tables are
//! - [`mod@page`] writes it; pure

pub mod endpoint;
pub mod fill;
pub mod hosts;
pub mod page;
pub mod server;
pub mod snapshot;
#[cfg(test)]
mod tests;

pub use endpoint::Endpoint;
pub use page::{Format, page};
pub use server::serve;
pub use snapshot::{Reader, Snapshot};
