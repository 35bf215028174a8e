//! Serves HTTP/1.1 to clients that may be slow, many, or out of their minds.

use std::future::Future;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::DefaultBodyLimit;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::Semaphore;
use tokio::time::{sleep, timeout};

/// How many connections are served at a time; others wait in the kernel's queue.
const AT_ONCE: usize = 64;
/// How long a client may take to send the head of a request, the time between two requests included.
const HEAD_WITHIN: Duration = Duration::from_secs(5);
/// How long a connection may last, whatever it does.
const ALL_WITHIN: Duration = Duration::from_mins(1);
/// Bytes of a request's body.
const BODY: usize = 64 << 10;
/// How long to wait where no connection can be accepted, as when there are no descriptors left.
const PAUSE: Duration = Duration::from_millis(100);

/// Serves what `accept` brings, for ever.
pub async fn serve<S, F>(mut accept: impl FnMut() -> F, router: Router)
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    F: Future<Output = io::Result<S>>,
{
    let router = router.layer(DefaultBodyLimit::max(BODY));
    let places = Arc::new(Semaphore::new(AT_ONCE));
    loop {
        // Nobody closes it, so there is always one sooner or later.
        let Ok(place) = places.clone().acquire_owned().await else { return };
        let Ok(stream) = accept().await else {
            sleep(PAUSE).await;
            continue;
        };
        let service = TowerToHyperService::new(router.clone());
        tokio::spawn(async move {
            let connection = http1::Builder::new()
                .timer(TokioTimer::new())
                .header_read_timeout(HEAD_WITHIN)
                .serve_connection(TokioIo::new(stream), service);
            // What goes wrong here is the client's own affair.
            let _ = timeout(ALL_WITHIN, connection).await;
            drop(place);
        });
    }
}
