//! What has to be forgotten now and then.

use super::{Store, StoreError};
use crate::board::{Clock, KstTime, REMEMBERED_HOURS};
use async_trait::async_trait;
use jiff::ToSpan;
use std::{sync::Arc, time::Duration};

/// How often.
const INTERVAL: Duration = Duration::from_mins(30);

/// Rows that are of no use after a while.
#[async_trait]
pub trait UpkeepStore {
    /// Forgets idempotency keys from before this time; tells how many.
    async fn purge_idempotency_keys(&self, before: KstTime) -> Result<u64, StoreError>;
}

/// Forgets old rows for ever; spawn it. Several processes may do so side by side.
pub async fn keep_up(store: Arc<dyn Store>, clock: Arc<dyn Clock>) {
    loop {
        let now = KstTime::at(clock.now());
        // Yesterday's views may still wait to be counted.
        let views = store.purge_views(now.date().saturating_sub(1.day())).await;
        let keys = store
            .purge_idempotency_keys(now.hours_before(REMEMBERED_HOURS))
            .await;
        match (views, keys) {
            (Ok(views), Ok(keys)) => tracing::debug!(views, keys, "forgot old rows"),
            (Err(error), _) | (_, Err(error)) => tracing::warn!(%error, "cannot forget old rows"),
        }
        tokio::time::sleep(INTERVAL).await;
    }
}
