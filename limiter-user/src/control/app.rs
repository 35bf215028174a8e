//! The socket for applications, `/run/limiterctl/app.sock`: why a destination is refused and for how long, and nothing
//! else. One group may ask. docs/openapi-app.json describes it.

use std::fs::{self, Permissions};
use std::io;
use std::os::unix::fs::{PermissionsExt as _, chown};

use anyhow::Context as _;
use axum::Router;
use axum::extract::Path;
use axum::routing::get;
use nix::unistd::Gid;
use serde::Serialize;
use tokio::net::{UnixListener, UnixStream};
use tokio::task::JoinHandle;

use super::peer;
use super::server::{BOUNDS, json, nothing_here};
use crate::config::group::GroupName;
use crate::host;
use crate::http;
use crate::state;
use crate::why::{Held, Why};

const SOCKET: &str = "/run/limiterctl/app.sock";
/// Where it is made, before it takes its place.
const NEW: &str = "/run/limiterctl/app.sock.new";

/// The socket, served in the background. Dropping it removes the socket.
#[derive(Default)]
pub struct App(Option<JoinHandle<()>>);

/// A socket that nobody finds yet.
pub struct Prepared {
    listener: UnixListener,
    group: Gid,
    _new: New,
}

impl Prepared {
    /// Makes one for a group. All that may fail does so here.
    ///
    /// # Errors
    ///
    /// There is no such group; the right to give it something is missing; as the file system says.
    pub fn new(group: &GroupName) -> anyhow::Result<Self> {
        host::check_giving_away()?;
        let group = group.id()?;
        remove(NEW).with_context(|| format!("cannot remove {NEW}"))?;
        let new = New;
        let listener = UnixListener::bind(NEW).with_context(|| format!("cannot listen on {NEW}"))?;
        chown(NEW, None, Some(group.as_raw()))
            .and_then(|()| fs::set_permissions(NEW, Permissions::from_mode(0o660)))
            .with_context(|| format!("cannot protect {NEW}"))?;
        Ok(Self { listener, group, _new: new })
    }
}

impl App {
    /// Puts a socket in the place of the one that is there, or none. Where that fails it is said: it is no reason to limit
    /// nothing.
    pub fn put(&mut self, prepared: Option<Prepared>) {
        if let Err(error) = self.replace(prepared) {
            eprintln!(
                "limiterctl: the limits are in force, but {SOCKET} is not as it is to be: {error}\n  try again: limiterctl reload"
            );
        }
    }

    fn replace(&mut self, prepared: Option<Prepared>) -> io::Result<()> {
        if let Some(serving) = self.0.take() {
            serving.abort();
        }
        let Some(Prepared { listener, group, _new }) = prepared else {
            remove(SOCKET)?;
            return state::let_through(false);
        };
        fs::rename(NEW, SOCKET)?;
        self.0 = Some(tokio::spawn(async move {
            http::serve(|| accept(&listener, group), router(), BOUNDS).await;
        }));
        state::let_through(true)
    }
}

impl Drop for App {
    fn drop(&mut self) {
        // The next daemon would do the same.
        let _ = self.replace(None);
    }
}

/// Removes what was made and has not taken its place.
struct New;

impl Drop for New {
    fn drop(&mut self) {
        // The next one is made in its place.
        let _ = remove(NEW);
    }
}

/// The answer; this is its JSON.
#[derive(Debug, Serialize)]
struct Answer {
    target: String,
    refused: bool,
    monitor: bool,
    retry_after_ms: u64,
    exempt: bool,
    limits: Vec<Held>,
}

fn router() -> Router {
    let why = async |Path(target): Path<String>| json(Why::briefly(&target).map(Answer::from));
    Router::new().route("/v1/why/{target}", get(why)).fallback(nothing_here)
}

impl From<Why> for Answer {
    fn from(why: Why) -> Self {
        let Why { target, refused, monitor, retry_after_ms, exempt, limits, addresses: _ } = why;
        Self { target, refused, monitor, retry_after_ms, exempt, limits }
    }
}

/// The next client that is root or in the group. The socket's mode lets nobody else in; whoever got a descriptor of it
/// otherwise is left without an answer.
async fn accept(listener: &UnixListener, group: Gid) -> io::Result<UnixStream> {
    loop {
        let (stream, _) = listener.accept().await?;
        let is_root = stream.peer_cred().is_ok_and(|peer| peer.uid() == 0);
        if is_root || peer::is_in(&stream, group).unwrap_or(false) {
            return Ok(stream);
        }
    }
}

fn remove(path: &str) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}
