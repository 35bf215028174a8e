//! `limiterctl.toml`: reads it, and points at what is wrong with it.

pub mod at;
pub mod fault;
pub mod inbound;
pub mod outbound;
pub mod schema;
mod shape;
mod values;
mod words;

use std::fs::File;
use std::io::{self, Read as _};
use std::path::Path;

use at::At;
pub use fault::Fault;
use fault::{Checked, Source, Wrong};
pub use inbound::{Inbound, InboundRule, XdpMode};
pub use outbound::Outbound;

use crate::config::group::GroupName;
use crate::failure::Failure;

/// Where it is, unless something else is said.
pub const PATH: &str = "/etc/limiterctl/limiterctl.toml";
/// How many resets one source gets, unless something else is said.
pub const RESET_RATE: &str = "100/s burst 100";
/// How many all sources get together.
pub const RESET_TOTAL_RATE: &str = "10000/s burst 10000";
/// A longer file is not read: the longest lists take less.
const MAX_BYTES: u64 = 4 << 20;

/// What a file says, with every value read.
#[derive(Debug, Clone)]
pub struct Config {
    /// On interfaces.
    pub inbound: Option<Inbound>,
    /// In cgroups.
    pub outbound: Option<Outbound>,
    /// Who may ask why a destination is refused, besides root.
    pub app: Option<At<GroupName>>,
    source: Source,
}

/// Why a file is of no use.
#[derive(Debug, thiserror::Error)]
pub enum Unusable {
    /// It cannot be read.
    #[error("{0}")]
    Unreadable(Failure),
    /// It says something wrong.
    #[error("{0}")]
    Wrong(Box<Fault>),
}

/// Reads a file, and does nothing else.
///
/// # Errors
///
/// As the file system says, and the first thing that is wrong with what the file says. Nothing of it is used then.
pub fn load(path: &Path) -> Result<Config, Unusable> {
    let name = path.display().to_string();
    let bytes = read(path).map_err(|error| {
        let cure = "write one (dist/limiterctl.toml explains every key), or name another";
        Unusable::Unreadable(Failure::new(format!("cannot read {name}: {error}"), cure))
    })?;
    parse(&name, &bytes).map_err(Unusable::Wrong)
}

/// Reads what a file says.
///
/// # Errors
///
/// The first thing that is wrong with it.
pub fn parse(name: &str, bytes: &[u8]) -> Result<Config, Box<Fault>> {
    let source = Source { name: name.to_owned(), text: String::from_utf8_lossy(bytes).into_owned() };
    if let Err(error) = str::from_utf8(bytes) {
        // The text up to there is the same: what replaces something comes behind it.
        let place = error.valid_up_to();
        let cause = format!("the byte {:#04x} is no part of a text in UTF-8", bytes[place]);
        return Err(source.fault(Wrong::new(place..place + 1, cause, "save the file as UTF-8")));
    }
    match check(&source.text) {
        Ok((inbound, outbound, app)) => Ok(Config { inbound, outbound, app, source }),
        Err(wrong) => Err(source.fault(wrong)),
    }
}

impl Config {
    /// Line and column of a value, both counted from 1.
    pub fn place<T>(&self, value: &At<T>) -> (usize, usize) {
        self.source.place(value.span().start)
    }

    /// Something that is wrong with all of it.
    pub fn fault(&self, failure: Failure) -> Box<Fault> {
        self.source.fault(Wrong { span: 0..0, failure })
    }

    /// As it was named.
    pub fn name(&self) -> &str {
        &self.source.name
    }
}

/// What each table says.
type Said = (Option<Inbound>, Option<Outbound>, Option<At<GroupName>>);

fn check(text: &str) -> Checked<Said> {
    let file: shape::File = toml::from_str(text).map_err(|error| words::wrong(&error))?;
    if file.inbound.is_none() && file.outbound.is_none() {
        let cure = "begin with [inbound] for who connects to this machine, or [outbound] for what its services connect to";
        return Err(Wrong::new(0..0, "the file limits nothing", cure));
    }
    let inbound = file.inbound.as_ref().map(inbound::check).transpose()?;
    let outbound = file.outbound.as_ref().map(outbound::check).transpose()?;
    let app = file.app.as_ref().map(|app| values::parsed(&app.group)).transpose()?;
    Ok((inbound, outbound, app))
}

fn read(path: &Path) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    File::open(path)?.take(MAX_BYTES + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > MAX_BYTES {
        let text = format!("it is longer than {} MiB", MAX_BYTES >> 20);
        return Err(io::Error::new(io::ErrorKind::FileTooLarge, text));
    }
    Ok(bytes)
}

impl From<Unusable> for Failure {
    fn from(unusable: Unusable) -> Self {
        match unusable {
            Unusable::Unreadable(failure) => failure,
            Unusable::Wrong(fault) => fault.into(),
        }
    }
}

#[cfg(test)]
mod tests;
