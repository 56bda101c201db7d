//! How many searches run at once: they may scan for seconds, and must leave connections and processor
//! time to everything else.

use crate::store::StoreError;
use tokio::sync::{Semaphore, SemaphorePermit};

/// Turns that may wait for each that may run.
const WAITING: usize = 8;

/// Turns of searches.
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
    /// If too many wait already, at once.
    pub(in crate::store::mysql) async fn turn(&self) -> Result<SemaphorePermit<'_>, StoreError> {
        if let Ok(turn) = self.running.try_acquire() {
            return Ok(turn);
        }
        let _place = self.waiting.try_acquire().map_err(|_| StoreError::Busy)?;
        self.running.acquire().await.map_err(|_| StoreError::Busy)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures::{FutureExt, future::join_all};

    #[tokio::test]
    async fn a_crowd_waits_its_turn_and_more_are_refused() {
        let searches = Turns::on_pool(2);
        let first = searches.turn().await.unwrap();
        let waiting: Vec<_> = (0..WAITING).map(|_| searches.turn().boxed()).collect();
        let mut waiting = join_all(
            waiting
                .into_iter()
                .map(async |turn| drop(turn.await.unwrap())),
        );
        assert!((&mut waiting).now_or_never().is_none(), "all of them wait");
        assert!(matches!(searches.turn().await, Err(StoreError::Busy)));
        drop(first);
        waiting.await;
        assert!(searches.turn().await.is_ok());
    }
}
