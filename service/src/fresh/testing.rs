//! A database for tests: reads of it end when they are let go.

use std::{
    future::Future,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};
use tokio::sync::Semaphore;

/// Counts the reads that begin and end.
#[derive(Clone)]
pub struct Database {
    begun: Arc<AtomicUsize>,
    ended: Arc<AtomicUsize>,
    go: Arc<Semaphore>,
}

impl Database {
    /// Reads wait to be let go.
    pub fn slow() -> Self {
        Self {
            begun: Arc::default(),
            ended: Arc::default(),
            go: Arc::new(Semaphore::new(0)),
        }
    }

    /// A read that returns which one it is, from 1. It ends too when it is dropped.
    pub fn read(&self) -> impl Future<Output = usize> + Send + use<> {
        let database = self.clone();
        async move {
            let number = database.begun.fetch_add(1, Ordering::SeqCst) + 1;
            let _ending = Ending(Arc::clone(&database.ended));
            tokio::task::yield_now().await;
            database.go.acquire().await.expect("never closed").forget();
            number
        }
    }

    /// Lets one read end.
    pub fn let_go(&self) {
        self.go.add_permits(1);
    }

    /// How many have begun.
    pub fn begun(&self) -> usize {
        self.begun.load(Ordering::SeqCst)
    }

    /// How many run.
    pub fn running(&self) -> usize {
        self.begun() - self.ended.load(Ordering::SeqCst)
    }
}

struct Ending(Arc<AtomicUsize>);

impl Drop for Ending {
    fn drop(&mut self) {
        self.0.fetch_add(1, Ordering::SeqCst);
    }
}

/// Returns when the condition holds.
pub async fn until(what: &str, condition: impl Fn() -> bool) {
    let holds = async {
        while !condition() {
            tokio::task::yield_now().await;
        }
    };
    let waited = tokio::time::timeout(Duration::from_secs(10), holds).await;
    assert!(waited.is_ok(), "never: {what}");
}
