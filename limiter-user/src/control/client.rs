//! The command line's end of the control socket.

use std::io;

use anyhow::Context as _;
use http_body_util::{BodyExt as _, Full};
use hyper::body::{Bytes, Incoming};
use hyper::client::conn::http1::{self, SendRequest};
use hyper::header::{CONTENT_TYPE, HOST};
use hyper_util::rt::TokioIo;
use tokio::net::UnixStream;

use super::{Problem, ReloadRequest, Reloaded, SOCKET};
use crate::failure::Failure;

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
    let Some(mut sender) = connect().await? else { return Ok(Answer::NoDaemon) };
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

/// Events as they come, a line each.
#[derive(Debug)]
pub struct Events {
    body: Incoming,
    read: Vec<u8>,
}

/// Asks the daemon for the events that it has kept, and where it is to `follow`, for those to come; `None` where there is no
/// daemon.
///
/// # Errors
///
/// Where the socket cannot be used, or the daemon does not answer so.
pub async fn events(follow: bool) -> anyhow::Result<Option<Events>> {
    let Some(mut sender) = connect().await? else { return Ok(None) };
    let request = hyper::Request::get(format!("/v1/events?follow={follow}"))
        .header(HOST, "localhost")
        .body(Full::default())?;
    let response = sender.send_request(request).await.context("the daemon gave no answer")?;
    let status = response.status();
    let mut body = response.into_body();
    if status.is_success() {
        return Ok(Some(Events { body, read: Vec::new() }));
    }
    let body = (&mut body).collect().await.context("the daemon gave half an answer")?.to_bytes();
    let problem: Problem = serde_json::from_slice(&body)
        .with_context(|| format!("cannot read what the daemon answered ({status})"))?;
    Err(Failure::new(problem.cause, problem.cure.unwrap_or_else(|| "try again".into())).into())
}

impl Events {
    /// The next line, without its end; `None` where there are no more, or the daemon is gone.
    ///
    /// # Errors
    ///
    /// Where it is no text.
    pub async fn next(&mut self) -> anyhow::Result<Option<String>> {
        loop {
            if let Some(end) = self.read.iter().position(|byte| *byte == b'\n') {
                let line: Vec<_> = self.read.drain(..=end).collect();
                let line = String::from_utf8(line).context("cannot read what the daemon told")?;
                return Ok(Some(line.trim_end().to_owned()));
            }
            // A daemon that ends cuts its answer short.
            let Some(Ok(frame)) = self.body.frame().await else { return Ok(None) };
            if let Some(data) = frame.data_ref() {
                self.read.extend_from_slice(data);
            }
        }
    }
}

/// `None` where there is no daemon.
async fn connect() -> anyhow::Result<Option<SendRequest<Full<Bytes>>>> {
    let stream = match UnixStream::connect(SOCKET).await {
        Ok(stream) => stream,
        Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused) => {
            return Ok(None);
        }
        Err(error) => return Err(error).context(format!("cannot connect to {SOCKET}")),
    };
    let (sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
    tokio::spawn(connection);
    Ok(Some(sender))
}
