//! Lists of posts in MySQL.

use super::MySqlStore;
use crate::{
    board::{Filter, Order, Page, PageRequest, Post},
    store::{
        ListStore, StoreError,
        rows::{PostRow, convert},
        sql,
    },
};
use async_trait::async_trait;
use sqlx::{MySql, MySqlConnection};

#[async_trait]
impl ListStore for MySqlStore {
    async fn list_posts(
        &self,
        filter: &Filter,
        order: Order,
        page: PageRequest,
    ) -> Result<Page<Post>, StoreError> {
        let finished = self.is_finished().await?;
        let total = attempt!(self.reading(), |connection| total(
            connection, filter, finished
        ))?;
        let rows: Vec<PostRow> = attempt!(self.reading(), |connection| async {
            sql::list::<MySql>(post_columns!(), filter, order, page)
                .build_query_as()
                .fetch_all(connection)
                .await
        })?;
        Ok(sql::page(convert(rows)?, page, total, filter))
    }
}

/// How many visible posts match: from a counter row where there is one.
async fn total(
    connection: &mut MySqlConnection,
    filter: &Filter,
    finished: bool,
) -> Result<u64, sqlx::Error> {
    let scope = sql::counted_scope(filter).filter(|_| finished);
    let total: i64 = match scope {
        Some(scope) => sqlx::query_scalar(
            "SELECT visible FROM post_totals WHERE scope = ? AND level = 0 AND bucket = 0",
        )
        .bind(scope)
        .fetch_optional(connection)
        .await?
        .unwrap_or(0),
        None => {
            sql::count::<MySql>(filter)
                .build_query_scalar()
                .fetch_one(connection)
                .await?
        }
    };
    Ok(total.max(0).unsigned_abs())
}
