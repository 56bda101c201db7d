//! Lists of posts in SQLite.

use super::SqliteStore;
use crate::{
    board::{Filter, Order, Page, PageRequest, Post},
    store::{
        ListStore, StoreError,
        list::{self, Dialect, Total, bind_values},
        rows::{PostRow, convert_posts},
    },
};
use async_trait::async_trait;

const DIALECT: Dialect = Dialect {
    columns: post_columns!(),
    names_indexes: false,
};

#[async_trait]
impl ListStore for SqliteStore {
    async fn list_posts(
        &self,
        filter: &Filter,
        order: Order,
        request: PageRequest,
    ) -> Result<Page<Post>, StoreError> {
        let total = self.total(filter).await?;
        if list::is_beyond(filter, request, total) {
            return Ok(list::assemble(vec![], filter, order, request, total));
        }
        let from = list::plain_start(request);
        let statement = list::page(DIALECT, filter, order, from, request.size, Total::Elsewhere);
        let query = sqlx::query_as::<_, PostRow>(&statement.text);
        let rows = bind_values!(query, statement)
            .fetch_all(&self.readers)
            .await?;
        Ok(list::assemble(
            convert_posts(rows),
            filter,
            order,
            request,
            total,
        ))
    }
}

impl SqliteStore {
    /// How many visible posts match: from a counter row where there is one.
    async fn total(&self, filter: &Filter) -> Result<i64, sqlx::Error> {
        let Some(scope) = list::counted_scope(filter) else {
            let statement = list::count(filter);
            let query = sqlx::query_scalar(&statement.text);
            return bind_values!(query, statement)
                .fetch_one(&self.readers)
                .await;
        };
        let total: Option<i64> = sqlx::query_scalar(
            "SELECT visible FROM post_totals WHERE scope = ? AND level = 0 AND bucket = 0",
        )
        .bind(scope)
        .fetch_optional(&self.readers)
        .await?;
        Ok(total.unwrap_or(0))
    }
}
