//! The daemon's end of the control socket.

use std::fs::{self, Permissions};
use std::future::pending;
use std::io;
use std::os::unix::fs::PermissionsExt as _;
use std::time::Duration;

use anyhow::Context as _;
use axum::extract::{DefaultBodyLimit, Path, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use serde::Serialize;
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinHandle;

use super::events::events;
use super::{Problem, ReloadRequest, Request, SOCKET};
use crate::failure::Failure;
use crate::http::{self, Bounds};
use crate::status::Status;
use crate::why::Why;
use crate::{hosts, open};

/// A reload takes a while, and more of them may wait.
pub(super) const BOUNDS: Bounds =
    Bounds { connections: 64, ask_within: Duration::from_secs(5), done_within: Duration::from_mins(1) };
/// Bytes of a request's body.
const BODY: usize = 64 << 10;
/// How many requests may wait for the daemon's loop.
const WAITING: usize = 256;

/// The socket, served in the background. Dropping it removes the socket.
pub struct Control {
    requests: mpsc::Receiver<Request>,
    serving: JoinHandle<()>,
}

impl Control {
    /// Begins to serve. Whoever has the daemon's lock may take the socket's place: one that is there is stale.
    ///
    /// # Errors
    ///
    /// As the file system says.
    pub fn listen() -> anyhow::Result<Self> {
        match fs::remove_file(SOCKET) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                return Err(error).context(format!("cannot remove {SOCKET}"));
            }
            _ => {}
        }
        let listener = UnixListener::bind(SOCKET).with_context(|| format!("cannot listen on {SOCKET}"))?;
        fs::set_permissions(SOCKET, Permissions::from_mode(0o600))
            .with_context(|| format!("cannot protect {SOCKET}"))?;
        let (sender, requests) = mpsc::channel(WAITING);
        let serving = tokio::spawn(async move {
            http::serve(|| accept(&listener), router(sender), BOUNDS).await;
        });
        Ok(Self { requests, serving })
    }

    /// The next request.
    pub async fn next(&mut self) -> Request {
        match self.requests.recv().await {
            Some(request) => request,
            None => pending().await,
        }
    }

    /// One that waits already, if there is one.
    pub fn waiting(&mut self) -> Option<Request> {
        self.requests.try_recv().ok()
    }
}

impl Drop for Control {
    fn drop(&mut self) {
        self.serving.abort();
        // The next daemon would remove it as well.
        let _ = fs::remove_file(SOCKET);
    }
}

/// The next client that is root. The socket's mode lets nobody else in; whoever got a descriptor of it otherwise is left
/// without an answer.
async fn accept(listener: &UnixListener) -> io::Result<UnixStream> {
    loop {
        let (stream, _) = listener.accept().await?;
        if stream.peer_cred().is_ok_and(|peer| peer.uid() == 0) {
            return Ok(stream);
        }
    }
}

fn router(requests: mpsc::Sender<Request>) -> Router {
    Router::new()
        .route("/v1/status", get(async || json(Status::read())))
        .route("/v1/hosts", get(async || json(hosts::read().map(Option::unwrap_or_default))))
        .route("/v1/sources", get(async || json(open::read().map(Option::unwrap_or_default))))
        .route("/v1/why/{target}", get(async |Path(target): Path<String>| json(Why::ask(&target))))
        .route("/v1/events", get(events))
        .route("/v1/reload", post(reload))
        .fallback(nothing_here)
        .layer(DefaultBodyLimit::max(BODY))
        .with_state(requests)
}

pub(super) async fn nothing_here() -> impl IntoResponse {
    let problem = Problem { cause: "there is no such thing here".into(), cure: None };
    (StatusCode::NOT_FOUND, Json(problem))
}

async fn reload(
    State(requests): State<mpsc::Sender<Request>>,
    Json(reload): Json<ReloadRequest>,
) -> Response {
    let (answer, answered) = oneshot::channel();
    let busy = || {
        let problem = Problem { cause: "the daemon is about to end, or busy".into(), cure: None };
        (StatusCode::SERVICE_UNAVAILABLE, Json(problem)).into_response()
    };
    if requests.try_send(Request { reload, answer }).is_err() {
        return busy();
    }
    match answered.await {
        Ok(Ok(reloaded)) => Json(reloaded).into_response(),
        Ok(Err(problem)) => (StatusCode::UNPROCESSABLE_ENTITY, Json(problem)).into_response(),
        Err(_) => busy(),
    }
}

/// What was read; or the reason why not, which is the asker's fault where there is a cure.
pub(super) fn json<T: Serialize>(result: anyhow::Result<T>) -> Response {
    match result {
        Ok(value) => Json(value).into_response(),
        Err(error) => {
            let code = if error.downcast_ref::<Failure>().is_some() {
                StatusCode::UNPROCESSABLE_ENTITY
            } else {
                StatusCode::INTERNAL_SERVER_ERROR
            };
            (code, Json(Problem::from(&error))).into_response()
        }
    }
}
