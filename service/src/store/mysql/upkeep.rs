//! Forgetting old rows in MySQL.

use super::MySqlStore;
use crate::{
    board::KstTime,
    store::{StoreError, UpkeepStore},
};
use async_trait::async_trait;

/// Rows deleted by one statement: a long one would keep others waiting.
const BATCH: u32 = 1_000;

#[async_trait]
impl UpkeepStore for MySqlStore {
    async fn purge_idempotency_keys(&self, before: KstTime) -> Result<u64, StoreError> {
        self.purge(
            "DELETE FROM idempotency_keys WHERE created_at < ? LIMIT ?",
            &before.to_string(),
        )
        .await
    }
}

impl MySqlStore {
    /// Deletes rows from before a time, batch by batch; tells how many. The statement takes the time
    /// and the size of a batch.
    pub(super) async fn purge(&self, statement: &str, before: &str) -> Result<u64, StoreError> {
        let mut purged = 0;
        loop {
            let result = attempt!(self.writing(), |connection| {
                sqlx::query(statement)
                    .bind(before)
                    .bind(BATCH)
                    .execute(connection)
            })?;
            purged += result.rows_affected();
            if result.rows_affected() < u64::from(BATCH) {
                return Ok(purged);
            }
        }
    }
}
