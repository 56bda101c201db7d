//! How many searches compare titles at once: that may take seconds, and must leave connections and
//! processor time to everything else.

use crate::store::StoreError;
use std::time::Duration;
use tokio::{
    sync::{Semaphore, SemaphorePermit},
    time::timeout,
};

/// Turns that may wait for each that may run.
const WAITING: usize = 4;

/// How long a search may wait: with the time that the database gives it, two seconds in all.
const PATIENCE: Duration = Duration::from_millis(500);

/// Turns of such searches.
#[derive(Debug)]
pub(in crate::store::mysql) struct Turns {
    running: Semaphore,
    waiting: Semaphore,
}

impl Turns {
    /// On half of a pool of so many connections.
    pub(in crate::store::mysql) fn on_pool(connections: u32) -> Self {
        let running = usize::try_from(connections / 2).unwrap_or(1).max(1);
        Self {
            running: Semaphore::new(running),
            waiting: Semaphore::new(running * WAITING),
        }
    }

    /// A turn, which ends when it is dropped.
    ///
    /// # Errors
    /// If too many wait already, at once; if no turn comes in time.
    pub(in crate::store::mysql) async fn turn(&self) -> Result<SemaphorePermit<'_>, StoreError> {
        if let Ok(turn) = self.running.try_acquire() {
            return Ok(turn);
        }
        let _place = self
            .waiting
            .try_acquire()
            .map_err(|_| StoreError::SlowSearch)?;
        match timeout(PATIENCE, self.running.acquire()).await {
            Ok(Ok(turn)) => Ok(turn),
            Ok(Err(_)) | Err(_) => Err(StoreError::SlowSearch),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures::{FutureExt, future::join_all};

    #[tokio::test]
    async fn a_crowd_waits_its_turn_and_more_are_refused() {
        let turns = Turns::on_pool(2);
        let first = turns.turn().await.unwrap();
        let waiting: Vec<_> = (0..WAITING).map(|_| turns.turn().boxed()).collect();
        let mut waiting = join_all(
            waiting
                .into_iter()
                .map(async |turn| drop(turn.await.unwrap())),
        );
        assert!((&mut waiting).now_or_never().is_none(), "all of them wait");
        assert!(matches!(turns.turn().await, Err(StoreError::SlowSearch)));
        drop(first);
        waiting.await;
        assert!(turns.turn().await.is_ok());
    }

    #[tokio::test(start_paused = true)]
    async fn nobody_waits_for_ever() {
        let turns = Turns::on_pool(2);
        let _first = turns.turn().await.unwrap();
        assert!(matches!(turns.turn().await, Err(StoreError::SlowSearch)));
    }
}
