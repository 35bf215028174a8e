//! `limiterctl systemd`.

use std::io::{self, Write as _};
use std::process::ExitCode;

use clap::Args;

use crate::failure::Failure;

/// Print a drop-in that has an application start after its limits
///
/// Nothing is written and nothing is asked of systemd; save it where its first line says.
#[derive(Debug, Args)]
pub struct Arguments {
    /// The application's unit: shop.service
    #[arg(value_name = "UNIT")]
    unit: String,
}

/// What a unit's name may have besides letters and digits (systemd.unit(5)).
const PUNCTUATION: &str = ":-_.\\@";

/// Prints the drop-in.
pub fn run(arguments: &Arguments) -> anyhow::Result<ExitCode> {
    let unit = checked(&arguments.unit)?;
    io::stdout().lock().write_all(drop_in(&unit).as_bytes())?;
    Ok(ExitCode::SUCCESS)
}

/// The name of a service; without an ending it gets one.
fn checked(unit: &str) -> Result<String, Failure> {
    let name = unit.strip_suffix(".service").unwrap_or(unit);
    let is_known = |c: char| c.is_ascii_alphanumeric() || PUNCTUATION.contains(c);
    let ends_otherwise = ENDINGS.iter().any(|ending| name.ends_with(ending));
    if name.is_empty() || name.starts_with('.') || !name.chars().all(is_known) || ends_otherwise {
        return Err(Failure::new(
            format!("'{unit}' is not the name of a service"),
            "write it as systemctl does: shop.service",
        ));
    }
    if name == "limiterctl" {
        return Err(Failure::new(
            "limiterctl.service cannot wait for itself",
            "name the application's unit: shop.service",
        ));
    }
    Ok(format!("{name}.service"))
}

/// Kinds of units that run no processes of their own, or not before they are told.
const ENDINGS: [&str; 9] =
    [".socket", ".device", ".mount", ".automount", ".swap", ".target", ".path", ".timer", ".slice"];

fn drop_in(unit: &str) -> String {
    format!(
        "# /etc/systemd/system/{unit}.d/limiterctl.conf
# To put it there:
#   sudo mkdir -p /etc/systemd/system/{unit}.d
#   limiterctl systemd {unit} | sudo tee /etc/systemd/system/{unit}.d/limiterctl.conf
#   sudo systemctl daemon-reload
[Unit]
# limiterctl.service counts as started once its limits are in force: from its first moment on this service is limited.
After=limiterctl.service
# If limits cannot be put in force, this service does not start. If it is to start without limits rather than not at
# all, write Wants= instead.
Requires=limiterctl.service
"
    )
}
