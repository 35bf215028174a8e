//! The binary `limiterctl`.

use std::io::{self, Write as _};
use std::process::ExitCode;

use limiter_user::cli;
use limiter_user::failure::Failure;

fn main() -> ExitCode {
    match cli::run() {
        Ok(code) => code,
        Err(error) if is_broken_pipe(&error) => ExitCode::SUCCESS,
        Err(error) => {
            // Nothing is left to tell it to if stderr is gone as well.
            let _ = report(&error);
            ExitCode::from(2)
        }
    }
}

/// The cause on one line and the cure on the next.
fn report(error: &anyhow::Error) -> io::Result<()> {
    let mut stderr = io::stderr().lock();
    writeln!(stderr, "limiterctl: {error:#}")?;
    if let Some(failure) = error.downcast_ref::<Failure>() {
        writeln!(stderr, "  {}", failure.cure)?;
    }
    Ok(())
}

/// `limiterctl status | head -1` is no error.
fn is_broken_pipe(error: &anyhow::Error) -> bool {
    error
        .chain()
        .filter_map(|cause| cause.downcast_ref::<io::Error>())
        .any(|cause| cause.kind() == io::ErrorKind::BrokenPipe)
}
