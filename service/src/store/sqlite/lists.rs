//! Lists of posts in SQLite.

use super::SqliteStore;
use crate::{
    board::{Filter, Order, Page, PageRequest, Post},
    store::{
        ListStore, StoreError,
        list::{self, Counter, Dialect, Total, bind_values},
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
        let statement = match list::counter(filter) {
            Some(counter @ Counter::Scope(_)) => list::total(counter),
            _ => list::count(filter),
        };
        let query = sqlx::query_scalar(&statement.text);
        let total = bind_values!(query, statement);
        Ok(total.fetch_optional(&self.readers).await?.unwrap_or(0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::list::From;
    use sqlx::{Executor, SqlitePool, sqlite::SqliteConnectOptions};

    /// Steps of the plan for the first page of all posts on a board that SQLite knows well.
    async fn plan(order: Order) -> Vec<String> {
        let folder = tempfile::tempdir().unwrap();
        let file = SqliteConnectOptions::new().filename(folder.path().join("p.db"));
        let store = SqliteStore::open(&file, 1).await.unwrap();
        for statement in [
            "WITH RECURSIVE n (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM n WHERE n < 5000) \
             INSERT INTO posts (id, No, username, category, title, content, like_count, \
             created_at, updated_at) SELECT hex(randomblob(16)), n, '', '', '', '', n % 7, '', '' FROM n",
            "ANALYZE",
        ] {
            store.writer.execute(statement).await.unwrap();
        }
        let (filter, from) = (Filter::default(), From::Offset(0));
        let page = list::page(DIALECT, &filter, order, from, 10, Total::Elsewhere);
        let text = format!("EXPLAIN QUERY PLAN {}", page.text);
        let query = sqlx::query_as::<_, (i64, i64, i64, String)>(&text);
        // Statistics are read when a file is opened.
        let reopened = SqlitePool::connect_lazy_with(file);
        let steps = bind_values!(query, page).fetch_all(&reopened).await;
        steps.unwrap().into_iter().map(|step| step.3).collect()
    }

    #[tokio::test]
    async fn a_page_reads_no_posts_but_its_own() {
        for order in [Order::LATEST, Order::POPULAR] {
            let steps = plan(order).await;
            let by_id = "SEARCH p USING INDEX sqlite_autoindex_posts_1 (id=?)";
            assert!(steps.iter().any(|step| step == by_id), "{steps:#?}");
        }
    }
}
