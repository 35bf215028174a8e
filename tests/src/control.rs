//! The control socket, spoken to word by word.

use std::io::{self, Read as _, Write as _};
use std::os::unix::net::UnixStream;
use std::time::Duration;

use serde_json::Value;

use crate::daemon::Machine;
use crate::sys;

const SOCKET: &str = "/run/limiterctl/control.sock";
/// Long enough for a machine that does something else meanwhile.
const PATIENCE: Duration = Duration::from_mins(1);

/// Connects to the socket of a machine's daemon.
#[track_caller]
pub fn connect(machine: &Machine) -> UnixStream {
    let stream = machine.sandbox.run(|| UnixStream::connect(SOCKET)).expect("the daemon listens");
    stream.set_read_timeout(Some(PATIENCE)).expect("a timeout can be set");
    stream
}

/// Connects as this user.
///
/// # Errors
///
/// Where he is not let to it.
pub fn connect_as(machine: &Machine, user: u32) -> io::Result<UnixStream> {
    machine.sandbox.run(|| {
        sys::become_user(user)?;
        UnixStream::connect(SOCKET)
    })
}

/// Asks for something; the status code, and what came with it as JSON.
#[track_caller]
pub fn ask(machine: &Machine, method: &str, path: &str, body: Option<&str>) -> (u16, Value) {
    let body = body.unwrap_or_default();
    let head = format!(
        "{method} {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\
         Content-Type: application/json\r\nContent-Length: {}\r\n\r\n",
        body.len()
    );
    let mut stream = connect(machine);
    stream.write_all((head + body).as_bytes()).expect("it reads");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).expect("it answers");
    let code = answer.split(' ').nth(1).and_then(|code| code.parse().ok());
    let (_, body) = answer.split_once("\r\n\r\n").unwrap_or_default();
    let code = code.unwrap_or_else(|| panic!("this is no HTTP: {answer}"));
    (code, serde_json::from_str(body).unwrap_or(Value::String(body.to_owned())))
}
