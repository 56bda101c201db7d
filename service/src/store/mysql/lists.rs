//! Lists of posts in MySQL.

use super::{MySqlStore, adoption::Stage};
use crate::{
    board::{Direction, Filter, Order, Page, PageRequest, Post},
    store::{
        ListStore, StoreError,
        list::{self, Dialect, From, bind_values},
        rows::{PostRow, convert_posts},
        totals::{LEVEL_1, LEVEL_2, seek},
    },
};
use async_trait::async_trait;
use sqlx::MySqlConnection;

/// The indexes are made when the adoption is finished.
const ADOPTING: Dialect = Dialect {
    columns: post_columns!("1"),
    by_latest: "",
};
/// For the sake of its shorter entries MySQL would walk the unique index of numbers, from the newest
/// post to wherever the range begins.
const FINISHED: Dialect = Dialect {
    columns: post_columns!("p.version"),
    by_latest: " FORCE INDEX (ix_posts_latest)",
};

#[async_trait]
impl ListStore for MySqlStore {
    async fn list_posts(
        &self,
        filter: &Filter,
        order: Order,
        request: PageRequest,
    ) -> Result<Page<Post>, StoreError> {
        let stage = self.stage().await?;
        attempt!(self.reading(), |connection| read(
            connection, filter, order, request, stage
        ))
    }
}

/// A page and its total; from the counter rows, unless an old service still writes past them.
async fn read(
    connection: &mut MySqlConnection,
    filter: &Filter,
    order: Order,
    request: PageRequest,
    stage: Stage,
) -> Result<Page<Post>, sqlx::Error> {
    let (counted, dialect) = match stage {
        Stage::Adopting => (false, ADOPTING),
        Stage::Finished => (true, FINISHED),
    };
    let total = match list::counted_scope(filter).filter(|_| counted) {
        Some(scope) => total(connection, scope).await?,
        None => count(connection, filter).await?,
    };
    if list::is_beyond(filter, request, total) {
        return Ok(list::assemble(vec![], filter, order, request, total));
    }
    let scope = list::guided_scope(filter, order, request).filter(|_| counted);
    let from = match scope {
        Some(scope) => match bucket(connection, scope, order.direction, request.offset()).await? {
            Some(from) => from,
            None => return Ok(list::assemble(vec![], filter, order, request, total)),
        },
        None => list::plain_start(request),
    };
    let statement = list::page(dialect, filter, order, from, request.size);
    let query = sqlx::query_as::<_, PostRow>(&statement.text);
    let rows = bind_values!(query, statement).fetch_all(connection).await?;
    Ok(list::assemble(
        convert_posts(rows),
        filter,
        order,
        request,
        total,
    ))
}

async fn total(connection: &mut MySqlConnection, scope: &str) -> Result<i64, sqlx::Error> {
    let total: Option<i64> = sqlx::query_scalar(
        "SELECT visible FROM post_totals WHERE scope = ? AND level = 0 AND bucket = 0",
    )
    .bind(scope)
    .fetch_optional(connection)
    .await?;
    Ok(total.unwrap_or(0))
}

async fn count(connection: &mut MySqlConnection, filter: &Filter) -> Result<i64, sqlx::Error> {
    let statement = list::count(filter);
    let query = sqlx::query_scalar(&statement.text);
    bind_values!(query, statement).fetch_one(connection).await
}

/// Where the entry after so many others is, by two short scans of counter rows.
async fn bucket(
    connection: &mut MySqlConnection,
    scope: &str,
    direction: Direction,
    skipped: i64,
) -> Result<Option<From>, sqlx::Error> {
    let mut range = (1, 0, i64::from(i32::MAX));
    let mut skipped = skipped;
    loop {
        let (level, first, last) = range;
        let mut rows: Vec<(i64, i64)> = sqlx::query_as(
            "SELECT CAST(bucket AS SIGNED), visible FROM post_totals \
             WHERE scope = ? AND level = ? AND bucket BETWEEN ? AND ? ORDER BY bucket",
        )
        .bind(scope)
        .bind(level)
        .bind(first)
        .bind(last)
        .fetch_all(&mut *connection)
        .await?;
        if direction == Direction::Descending {
            rows.reverse();
        }
        let Some((bucket, offset)) = seek(rows, skipped) else {
            return Ok(None);
        };
        if level == 2 {
            return Ok(Some(From::Bucket { bucket, offset }));
        }
        let parts = LEVEL_1 / LEVEL_2;
        range = (2, bucket * parts, bucket * parts + parts - 1);
        skipped = offset;
    }
}
