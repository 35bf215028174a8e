//! Events over the control socket: those that are kept, or a stream of them.

use std::convert::Infallible;

use axum::Extension;
use axum::body::Body;
use axum::extract::Query;
use axum::http::header::CONTENT_TYPE;
use axum::response::{IntoResponse, Response};
use axum::{Json, http::StatusCode};
use futures_util::stream;
use hyper::body::Bytes;
use serde::Deserialize;

use super::Problem;
use crate::events;
use crate::http::Lasting;

/// Which events.
#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Wanted {
    /// Also those that are to come.
    #[serde(default)]
    follow: bool,
    /// Those that are kept.
    #[serde(default = "yes")]
    kept: bool,
}

const fn yes() -> bool {
    true
}

/// Answers with a line an event.
pub async fn events(Extension(lasting): Extension<Lasting>, wanted: Query<Wanted>) -> Response {
    let Query(Wanted { follow, kept }) = wanted;
    let body = if !follow {
        let lines = if kept { events::kept() } else { Vec::new() };
        Body::from(lines.concat())
    } else if let Some(follower) = events::follow(kept) {
        lasting.set();
        Body::from_stream(stream::unfold(follower, async |mut follower| {
            let line = follower.next().await?;
            Some((Ok::<_, Infallible>(Bytes::copy_from_slice(line.as_bytes())), follower))
        }))
    } else {
        let problem = Problem {
            cause: "as many follow events as may, which is 8".into(),
            cure: Some("end one of the others; or read what is kept: limiterctl events".into()),
        };
        return (StatusCode::SERVICE_UNAVAILABLE, Json(problem)).into_response();
    };
    ([(CONTENT_TYPE, "application/x-ndjson")], body).into_response()
}
