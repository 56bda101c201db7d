//! When the process is asked to end, and whether it may be sent requests.

use std::{
    io,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};
use tokio::signal::unix::{Signal, SignalKind, signal};

/// The signals that ask the process to end. From when this exists they no longer kill it.
#[derive(Debug)]
pub struct Signals {
    terminate: Signal,
    interrupt: Signal,
}

impl Signals {
    /// Takes over SIGTERM and SIGINT.
    pub fn install() -> io::Result<Self> {
        Ok(Self {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
        })
    }

    /// Waits for one of them and tells its name.
    pub async fn received(&mut self) -> &'static str {
        tokio::select! {
            _ = self.terminate.recv() => "SIGTERM",
            _ = self.interrupt.recv() => "SIGINT",
        }
    }
}

/// What `/readyz` tells. The database and its schema must have been good once; a later outage is
/// answered request by request, because an empty load balancer would help nobody. After that only
/// draining ends readiness.
#[derive(Debug, Clone, Default)]
pub struct Readiness(Arc<State>);

#[derive(Debug, Default)]
struct State {
    schema_was_good: AtomicBool,
    draining: AtomicBool,
}

impl Readiness {
    /// The database and its schema were seen to be good.
    pub fn schema_is_good(&self) {
        self.0.schema_was_good.store(true, Ordering::Release);
    }

    /// The process is about to end.
    pub fn drain(&self) {
        self.0.draining.store(true, Ordering::Release);
    }

    /// Whether the process is about to end.
    pub fn is_draining(&self) -> bool {
        self.0.draining.load(Ordering::Acquire)
    }

    /// Whether requests should be sent here, or why not.
    pub fn check(&self) -> Result<(), &'static str> {
        if self.is_draining() {
            return Err("draining");
        }
        if !self.0.schema_was_good.load(Ordering::Acquire) {
            return Err("waiting for the database and its schema");
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn readiness_begins_with_the_schema_and_ends_with_draining() {
        let readiness = Readiness::default();
        assert!(readiness.check().is_err());
        readiness.schema_is_good();
        assert_eq!(readiness.check(), Ok(()));
        readiness.drain();
        assert_eq!(readiness.check(), Err("draining"));
    }
}
