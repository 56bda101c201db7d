//! The counter rows of lists (`post_totals`).

use crate::store::totals::{LEVEL_1, LEVEL_2};
use sqlx::SqliteConnection;

/// Counts `by` more visible posts of this number in this scope, on all three levels.
pub(super) async fn shift(
    transaction: &mut SqliteConnection,
    scope: &str,
    number: i64,
    by: i64,
) -> Result<(), sqlx::Error> {
    sqlx::query(
        "INSERT INTO post_totals (scope, level, bucket, visible) \
         VALUES (?1, 0, 0, ?2), (?1, 1, ?3, ?2), (?1, 2, ?4, ?2) \
         ON CONFLICT DO UPDATE SET visible = visible + excluded.visible",
    )
    .bind(scope)
    .bind(by)
    .bind(number / LEVEL_1)
    .bind(number / LEVEL_2)
    .execute(transaction)
    .await?;
    Ok(())
}
