//! Post numbers in MySQL.

use super::MySqlStore;
use crate::store::StoreError;
use sqlx::MySqlConnection;

impl MySqlStore {
    /// The next post number.
    pub(super) async fn next_number(&self) -> Result<i64, StoreError> {
        if self.is_finished().await? {
            attempt!(self.writing(), |connection| allocate(connection))
        } else {
            attempt!(self.writing(), |connection| {
                super::adoption::number_beside_old_writers(connection)
            })
        }
    }
}

/// From a statement of its own: never given twice, never waited for behind somebody's transaction.
/// A number whose post is not stored is lost.
async fn allocate(connection: &mut MySqlConnection) -> Result<i64, sqlx::Error> {
    let result =
        sqlx::query("UPDATE post_numbers SET last = LAST_INSERT_ID(last + 1) WHERE id = 1")
            .execute(connection)
            .await?;
    i64::try_from(result.last_insert_id()).map_err(|error| sqlx::Error::Decode(Box::new(error)))
}
