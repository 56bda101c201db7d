//! Deletes the objects that are listed in `object_deletions`, as often as it takes.
//!
//! Several processes may do this side by side: who deletes an object first moves its row into the
//! future, and deleting twice does no harm. An object that a post still shows is never deleted, so
//! that a row too many costs nothing.

use super::Media;
use crate::{
    board::{KstTime, post_of_key},
    media::BackendError,
    store::{Deletion, StoreError},
};
use jiff::SignedDuration;
use std::time::Duration;
use thiserror::Error;
use tokio_util::sync::CancellationToken;

/// Rows looked at together.
const BATCH: u32 = 50;

/// How often the worker looks and how long it waits after failures.
#[derive(Debug, Clone, Copy)]
pub struct Pace {
    /// Between two looks at the table.
    pub poll: Duration,
    /// From the first failure to the next attempt; doubled by every further one.
    pub first_retry: Duration,
    /// The longest wait for another attempt.
    pub longest_retry: Duration,
}

impl Default for Pace {
    fn default() -> Self {
        Self {
            poll: Duration::from_secs(5),
            first_retry: Duration::from_secs(15),
            longest_retry: Duration::from_mins(10),
        }
    }
}

impl Pace {
    /// How long to wait after this many failures.
    fn retry_after(self, failures: u32) -> Duration {
        let factor = 1u32.checked_shl(failures.min(31)).unwrap_or(u32::MAX);
        self.first_retry
            .saturating_mul(factor)
            .min(self.longest_retry)
    }
}

/// Why the worker waits.
#[derive(Debug, Error)]
enum Interruption {
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error(transparent)]
    Backend(#[from] BackendError),
}

impl Media {
    /// Deletes objects until told to stop. Without a place for objects there is nothing to do.
    pub async fn delete_objects(self, pace: Pace, stop: CancellationToken) {
        if self.0.backend.is_none() {
            return;
        }
        let working = async {
            loop {
                if let Err(error) = self.delete_due_objects(pace).await {
                    // A store that is away is away for all: the rest waits for the next look.
                    tracing::warn!(%error, "objects wait to be deleted");
                }
                tokio::time::sleep(pace.poll).await;
            }
        };
        stop.run_until_cancelled(working).await;
    }

    /// Deletes every object that is due now.
    async fn delete_due_objects(&self, pace: Pace) -> Result<(), Interruption> {
        loop {
            let due = self.0.store.due_deletions(self.now(), BATCH).await?;
            let is_last = due.len() < BATCH as usize;
            for deletion in due {
                self.delete_object(&deletion, pace).await?;
            }
            if is_last {
                return Ok(());
            }
        }
    }

    async fn delete_object(&self, deletion: &Deletion, pace: Pace) -> Result<(), Interruption> {
        let Some(backend) = &self.0.backend else {
            return Ok(());
        };
        let store = &self.0.store;
        let wait = pace.retry_after(deletion.attempts);
        let retry_at = later(self.0.clock.now(), wait);
        if !store.claim_deletion(deletion, retry_at).await? {
            return Ok(());
        }
        let post = post_of_key(&deletion.object_key);
        let is_shown = match &post {
            Some(post) => store.shows_object(post, &deletion.object_key).await?,
            None => false,
        };
        if is_shown {
            tracing::warn!(key = deletion.object_key, "a post shows this object: kept");
        } else {
            match backend.delete(&deletion.object_key).await {
                // What can be no key is no object.
                Ok(()) | Err(BackendError::NotFound) => {}
                Err(BackendError::Silent) => return Err(BackendError::Silent.into()),
                // Its row waits for the next attempt; the others are not to blame.
                Err(error) => {
                    let key = &deletion.object_key;
                    tracing::warn!(%error, key, attempts = deletion.attempts, "cannot delete an object");
                    return Ok(());
                }
            }
        }
        store.finish_deletion(deletion.id).await?;
        Ok(())
    }
}

/// The moment after this wait, in whole seconds.
pub(super) fn later(now: jiff::Timestamp, wait: Duration) -> KstTime {
    let wait = SignedDuration::try_from(wait).unwrap_or(SignedDuration::MAX);
    KstTime::at(now.saturating_add(wait).unwrap_or(jiff::Timestamp::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_double_up_to_a_limit() {
        let pace = Pace::default();
        let seconds = |failures| pace.retry_after(failures).as_secs();
        assert_eq!([seconds(0), seconds(1), seconds(2)], [15, 30, 60]);
        for failures in [6, 31, 32, u32::MAX] {
            assert_eq!(seconds(failures), 600);
        }
    }
}
