//! The command line's end of the control socket.

use std::io;

use anyhow::Context as _;
use http_body_util::{BodyExt as _, Full};
use hyper::body::Bytes;
use hyper::client::conn::http1;
use hyper::header::{CONTENT_TYPE, HOST};
use hyper_util::rt::TokioIo;
use tokio::net::UnixStream;

use super::{Problem, ReloadRequest, Reloaded, SOCKET};

/// What the daemon said.
#[derive(Debug)]
pub enum Answer {
    /// It did it.
    Done(Reloaded),
    /// It did not, and everything is as it was.
    Refused(Problem),
    /// There is none.
    NoDaemon,
}

/// Asks the daemon to put in force what is written now.
///
/// # Errors
///
/// Where the socket cannot be used, or what answers is no limiterctl.
pub async fn reload(request: ReloadRequest) -> anyhow::Result<Answer> {
    let stream = match UnixStream::connect(SOCKET).await {
        Ok(stream) => stream,
        Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused) => {
            return Ok(Answer::NoDaemon);
        }
        Err(error) => return Err(error).context(format!("cannot connect to {SOCKET}")),
    };
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
    tokio::spawn(connection);
    let request = hyper::Request::post("/v1/reload")
        .header(HOST, "localhost")
        .header(CONTENT_TYPE, "application/json")
        .body(Full::new(Bytes::from(serde_json::to_vec(&request)?)))?;
    let response = sender.send_request(request).await.context("the daemon gave no answer")?;
    let status = response.status();
    let body = response.into_body().collect().await.context("the daemon gave half an answer")?.to_bytes();
    let unreadable = || format!("cannot read what the daemon answered ({status})");
    Ok(if status.is_success() {
        Answer::Done(serde_json::from_slice(&body).with_context(unreadable)?)
    } else {
        Answer::Refused(serde_json::from_slice(&body).with_context(unreadable)?)
    })
}
