//! One page, and nothing else. What a request has to say beyond a few lines is not read.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use axum::Router;
use axum::extract::State;
use axum::http::header::{ACCEPT, CONTENT_TYPE};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use tokio::net::TcpListener;

use super::page::{Format, page};
use super::snapshot::Reader;
use crate::http::{self, Bounds};

/// With 1,000 clients that say nothing, whoever comes next waits twice as long as one of them may.
const BOUNDS: Bounds =
    Bounds { connections: 512, ask_within: Duration::from_secs(2), done_within: Duration::from_secs(10) };

const INDEX: &str = "limiterctl: see /metrics\n";

/// Serves metrics for as long as it is polled.
pub async fn serve(listener: TcpListener) {
    let router = Router::new()
        .route("/", get(INDEX))
        .route("/metrics", get(metrics))
        .with_state(Arc::new(Mutex::new(Reader::default())));
    http::serve(async || listener.accept().await.map(|(stream, _)| stream), router, BOUNDS).await;
}

async fn metrics(State(reader): State<Arc<Mutex<Reader>>>, headers: HeaderMap) -> Response {
    let accept = headers.get(ACCEPT).and_then(|accept| accept.to_str().ok());
    let format = Format::wanted(accept.unwrap_or_default());
    // What a panic has left behind is no more than what was counted a while ago.
    let snapshot = reader.lock().unwrap_or_else(PoisonError::into_inner).read();
    match snapshot {
        Ok(snapshot) => ([(CONTENT_TYPE, format.content_type())], page(&snapshot, format)).into_response(),
        Err(error) => (StatusCode::INTERNAL_SERVER_ERROR, format!("limiterctl: {error:#}\n")).into_response(),
    }
}
