//! Serves HTTP/1.1 to clients that may be slow, many, or out of their minds.
//!
//! There is a bound to how many are served at a time, and each of these has only so much time: to ask, and to take the
//! answer. One request a connection. Others wait in the kernel for their turn.

use std::future::Future;
use std::io;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use axum::Router;
use hyper::Request;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::{Service as _, service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::Semaphore;
use tokio::time::{sleep, timeout};

/// Bytes of a request that are read at a time, the least that hyper does.
const BUFFER: usize = 8192;
/// After there was no descriptor to spare for a client.
const BREATHE: Duration = Duration::from_millis(100);

/// What clients may take up.
#[derive(Debug, Clone, Copy)]
pub struct Bounds {
    /// Connections that are served at a time, some 12 kB each.
    pub connections: usize,
    /// For so long a client may think about what to ask.
    pub ask_within: Duration,
    /// So long a connection lasts at most.
    pub done_within: Duration,
}

/// A request's answer may take as long as it likes, where whoever answers says so: it is a stream. It then gives its place among
/// the connections back, so whoever answers bounds how many there are.
#[derive(Debug, Clone, Default)]
pub struct Lasting(Arc<AtomicBool>);

impl Lasting {
    /// Lets it last.
    pub fn set(&self) {
        self.0.store(true, Ordering::Relaxed);
    }

    fn is_set(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }
}

/// Serves what `accept` brings, for as long as it is polled.
pub async fn serve<S, F>(mut accept: impl FnMut() -> F, router: Router, bounds: Bounds)
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    F: Future<Output = io::Result<S>>,
{
    let places = Arc::new(Semaphore::new(bounds.connections));
    loop {
        // Nobody closes it, so there is always one sooner or later.
        let Ok(place) = Arc::clone(&places).acquire_owned().await else { return };
        let Ok(stream) = accept().await else {
            sleep(BREATHE).await;
            continue;
        };
        let lasting = Lasting::default();
        let service = {
            let (router, lasting) = (TowerToHyperService::new(router.clone()), lasting.clone());
            service_fn(move |mut request: Request<Incoming>| {
                request.extensions_mut().insert(lasting.clone());
                router.call(request)
            })
        };
        tokio::spawn(async move {
            let connection = http1::Builder::new()
                .timer(TokioTimer::new())
                .header_read_timeout(bounds.ask_within)
                .keep_alive(false)
                .max_buf_size(BUFFER)
                .serve_connection(TokioIo::new(stream), service);
            // A client that goes away, takes too long, or talks nonsense, is its own business.
            let mut connection = pin!(connection);
            let done = timeout(bounds.done_within, connection.as_mut()).await;
            drop(place);
            if done.is_err() && lasting.is_set() {
                let _ = connection.await;
            }
        });
    }
}
