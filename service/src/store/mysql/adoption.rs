//! Whether a database taken over from the Flask service is still written by it.

use super::MySqlStore;
use crate::store::StoreError;
use sqlx::MySqlConnection;

impl MySqlStore {
    pub(super) async fn is_finished(&self) -> Result<bool, StoreError> {
        let _ = self;
        Ok(true)
    }
}

pub(super) async fn number_beside_old_writers(
    connection: &mut MySqlConnection,
) -> Result<i64, sqlx::Error> {
    sqlx::query_scalar("SELECT CAST(COALESCE(MAX(No), 0) + 64 AS SIGNED) FROM posts")
        .fetch_one(connection)
        .await
}
