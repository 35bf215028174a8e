//! Puts the program on interfaces.

use std::fmt;
use std::io;

use anyhow::Context as _;
use aya::programs::links::FdLink;
use aya::programs::xdp::XdpMode as AyaMode;
use aya::programs::{ProgramError, Xdp, loaded_programs};
use aya::sys::SyscallError;
use limiter_common::rule::Action;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::failure::Failure;
use crate::interface::Interface;

/// Which mode to ask for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, clap::ValueEnum)]
pub enum Mode {
    /// Native where the driver can, else generic.
    #[default]
    Auto,
    /// In the driver, before the kernel has allocated anything.
    Native,
    /// In the kernel's stack: any interface, at a higher cost.
    Generic,
}

/// Which mode it became.
#[derive(Debug, Clone, Copy, PartialEq, Eq, JsonSchema, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum XdpMode {
    /// In the driver.
    Native,
    /// In the kernel's stack.
    Generic,
}

/// A program on an interface. Dropping it detaches, unless the link was pinned.
#[derive(Debug)]
pub struct Attached {
    /// The link, to be pinned.
    pub link: FdLink,
    /// The mode it became.
    pub mode: XdpMode,
    /// Why it is not native though that was welcome.
    pub why_generic: Option<String>,
}

impl fmt::Display for XdpMode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Native => "native",
            Self::Generic => "generic",
        })
    }
}

/// Attaches `program` to `interface`.
///
/// # Errors
///
/// Another program on the interface; a driver without native XDP where nothing else was allowed.
pub fn attach(
    program: &mut Xdp,
    interface: &Interface,
    mode: Mode,
    action: Action,
) -> anyhow::Result<Attached> {
    if let Some(id) = interface.xdp_program {
        return Err(other_program(interface, id).into());
    }
    match mode {
        Mode::Native => native(program, interface),
        Mode::Generic => generic(program, interface, None),
        Mode::Auto if vanishes(interface, action) => {
            let why = "replies over veth need an XDP program at its other end as well";
            generic(program, interface, Some(why.into()))
        }
        Mode::Auto => match native(program, interface) {
            Err(error) if is_unsupported(&error) => generic(
                program,
                interface,
                Some(format!("the driver refused native XDP: {}", error.root_cause())),
            ),
            result => result,
        },
    }
}

/// Whether replies of a native program would go nowhere (`veth_xdp_flush` in the kernel).
pub fn vanishes(interface: &Interface, action: Action) -> bool {
    interface.is_veth && action == Action::Reset
}

/// Another XDP program has the interface.
pub fn other_program(interface: &Interface, id: u32) -> Failure {
    let name = loaded_programs()
        .filter_map(Result::ok)
        .find(|program| program.id() == id)
        .and_then(|program| program.name_as_str().map(str::to_owned))
        .unwrap_or_default();
    Failure::new(
        format!("cannot attach to {}: another XDP program (id {id}, name '{name}') is there", interface.name),
        format!(
            "detach it with the tool that put it there, or with: ip link set dev {} xdp off",
            interface.name
        ),
    )
}

fn native(program: &mut Xdp, interface: &Interface) -> anyhow::Result<Attached> {
    let link = link(program, interface, AyaMode::Driver)?;
    Ok(Attached { link, mode: XdpMode::Native, why_generic: None })
}

fn generic(
    program: &mut Xdp,
    interface: &Interface,
    why_generic: Option<String>,
) -> anyhow::Result<Attached> {
    let link = link(program, interface, AyaMode::Skb)?;
    Ok(Attached { link, mode: XdpMode::Generic, why_generic })
}

fn link(program: &mut Xdp, interface: &Interface, mode: AyaMode) -> anyhow::Result<FdLink> {
    program
        .attach_to_if_index(interface.index, mode)
        .and_then(|id| program.take_link(id))
        .map_err(|error| explain(error, interface, mode))?
        .try_into()
        .with_context(|| format!("the kernel gave no link for {}", interface.name))
}

/// Gives the errors of `bpf_link_create` that a person can do something about their cure.
fn explain(error: ProgramError, interface: &Interface, mode: AyaMode) -> anyhow::Error {
    let name = &interface.name;
    match errno(&error) {
        Some(errno) if is_unsupported_errno(errno) && mode == AyaMode::Driver => {
            anyhow::Error::new(io::Error::from_raw_os_error(errno)).context(Failure::new(
                format!("the driver of {name} refused native XDP"),
                "allow generic XDP with --xdp-mode auto; a smaller MTU or fewer queues can help as well",
            ))
        }
        _ => anyhow::Error::new(error).context(format!("cannot attach to {name}")),
    }
}

fn errno(error: &ProgramError) -> Option<i32> {
    match error {
        ProgramError::SyscallError(SyscallError { io_error, .. }) => io_error.raw_os_error(),
        _ => None,
    }
}

/// What drivers say when they cannot, or not with this MTU or these queues.
const fn is_unsupported_errno(errno: i32) -> bool {
    use nix::libc::{EINVAL, EOPNOTSUPP, ERANGE};
    matches!(errno, EOPNOTSUPP | ERANGE | EINVAL)
}

fn is_unsupported(error: &anyhow::Error) -> bool {
    error
        .root_cause()
        .downcast_ref::<io::Error>()
        .and_then(io::Error::raw_os_error)
        .is_some_and(is_unsupported_errno)
}
