//! Reads of the database that requests share, without ever serving anything stale.
//!
//! Under load many requests want the same rows at the same time. A request may join a read *that has
//! not begun yet*, never one that has: whatever was acknowledged before the request arrived, by this
//! process or another, is seen by a read that begins after it. [`Shared`] is for requests that want
//! the very same, [`Collected`] for those that want one row each.
//!
//! A request that finds nothing running begins its read at once: there is no timer and nothing to
//! wait for. While reads run, others gather; so batches grow with the load and with nothing else. Between
//! two reads the runtime's other tasks have their turn: those who have just been answered, and requests
//! that have arrived, whose wishes the next read then holds too.
//!
//! Nothing in here knows SQL or HTTP. A request that finds nothing running does its read itself, as if
//! nobody else were there; should its client go away, a task goes on for those who have joined. What
//! a read comes to, errors too, goes to all who wait for it. What
//! it costs is told in the log line of the request that made the batch; the others' tell of no
//! statement. Two counters tell the rest: requests, and the reads they cost.

mod collected;
mod shared;
#[cfg(test)]
mod testing;

pub use collected::{Collected, Limits};
pub use shared::Shared;

use futures::{FutureExt, future::BoxFuture};
use std::{
    panic::AssertUnwindSafe,
    pin::Pin,
    sync::{Mutex, MutexGuard, PoisonError},
    task::{Context, Poll},
};
use thiserror::Error;
use tokio::runtime::Handle;

/// The read ended without a result: it panicked, or the process is ending.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("a shared read ended without a result")]
pub struct Abandoned;

/// What a read comes to; nothing if it panics, which the panic hook has logged.
async fn survived<V>(read: impl Future<Output = V>) -> Option<V> {
    AssertUnwindSafe(read).catch_unwind().await.ok()
}

/// Work of a request that others depend on: should the request be dropped, a task takes over.
struct Handed(Option<BoxFuture<'static, ()>>);

impl Handed {
    fn over(work: impl Future<Output = ()> + Send + 'static) -> Self {
        Self(Some(work.boxed()))
    }
}

impl Future for Handed {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        let Some(work) = &mut self.0 else {
            return Poll::Ready(());
        };
        let polled = work.poll_unpin(context);
        if polled.is_ready() {
            self.0 = None;
        }
        polled
    }
}

impl Drop for Handed {
    fn drop(&mut self) {
        // Without a runtime the process is ending.
        if let (Some(work), Ok(runtime)) = (self.0.take(), Handle::try_current()) {
            runtime.spawn(work);
        }
    }
}

/// Counts a request for something of this name.
fn count_request(name: &'static str) {
    metrics::counter!("fresh_read_requests_total", "read" => name).increment(1);
}

/// Counts a read of the database on behalf of one or more requests.
fn count_run(name: &'static str) {
    metrics::counter!("fresh_read_runs_total", "read" => name).increment(1);
}

/// No panic leaves what these mutexes guard half done.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
