//! SQL that both databases share, and what their errors mean.
//!
//! List queries are put together from constant fragments by the filter's conditions: a small fixed
//! set of texts, so that prepared statements are reused. Values are always bound.

use crate::board::{Filter, Order, Page, PageRequest, Post};
use sqlx::{Database, Encode, QueryBuilder, Type};

/// The scope of `post_totals` that counts every visible post.
pub(super) const WHOLE_BOARD: &str = "";

/// Numbers that a bucket of `post_totals` spans on level 1.
pub(super) const LEVEL_1: i64 = 65_536;
/// Numbers that a bucket of `post_totals` spans on level 2.
pub(super) const LEVEL_2: i64 = 1_024;

/// With a search, counting ends here and the total is a lower bound.
pub(super) const SEARCH_COUNT_LIMIT: i64 = 1_000;

/// One page of posts. Only index entries are walked to reach it; full rows are read for the page
/// alone. `columns` names those of [`super::rows::PostRow`] on the alias `p`.
pub(super) fn list<'a, D>(
    columns: &str,
    filter: &'a Filter,
    order: Order,
    page: PageRequest,
) -> QueryBuilder<'a, D>
where
    D: Database,
    &'a str: Encode<'a, D> + Type<D>,
    String: Encode<'a, D> + Type<D>,
    i64: Encode<'a, D> + Type<D>,
{
    let (inner, outer) = match order {
        Order::Latest => (" ORDER BY No DESC", " ORDER BY p.No DESC"),
        Order::Popular => (
            " ORDER BY like_count DESC, No DESC",
            " ORDER BY p.like_count DESC, p.No DESC",
        ),
    };
    let mut query = QueryBuilder::new("SELECT ");
    query
        .push(columns)
        .push(" FROM posts p JOIN (SELECT id FROM posts");
    push_conditions(&mut query, filter);
    query
        .push(inner)
        .push(" LIMIT ")
        .push_bind(i64::from(page.size));
    query.push(" OFFSET ").push_bind(page.offset());
    query.push(") page ON page.id = p.id").push(outer);
    query
}

/// Counts matching posts; with a search at most one more than [`SEARCH_COUNT_LIMIT`].
pub(super) fn count<'a, D>(filter: &'a Filter) -> QueryBuilder<'a, D>
where
    D: Database,
    &'a str: Encode<'a, D> + Type<D>,
    String: Encode<'a, D> + Type<D>,
    i64: Encode<'a, D> + Type<D>,
{
    if filter.search.is_none() {
        let mut query = QueryBuilder::new("SELECT COUNT(*) FROM posts");
        push_conditions(&mut query, filter);
        return query;
    }
    let mut query = QueryBuilder::new("SELECT COUNT(*) FROM (SELECT 1 FROM posts");
    push_conditions(&mut query, filter);
    query
        .push(" LIMIT ")
        .push_bind(SEARCH_COUNT_LIMIT + 1)
        .push(") matches");
    query
}

/// The page of these posts; a search's total was counted only as far as the limit.
pub(super) fn page(
    items: Vec<Post>,
    request: PageRequest,
    counted: u64,
    filter: &Filter,
) -> Page<Post> {
    let limit = SEARCH_COUNT_LIMIT.unsigned_abs();
    let total_is_lower_bound = filter.search.is_some() && counted > limit;
    let total = if total_is_lower_bound { limit } else { counted };
    Page {
        items,
        request,
        total,
        total_is_lower_bound,
    }
}

/// The counter row that already knows how many posts match, if there is one.
pub(super) fn counted_scope(filter: &Filter) -> Option<&str> {
    match filter {
        Filter {
            user_id: None,
            search: None,
            category_id,
        } => Some(category_id.as_deref().unwrap_or(WHOLE_BOARD)),
        _ => None,
    }
}

fn push_conditions<'a, D>(query: &mut QueryBuilder<'a, D>, filter: &'a Filter)
where
    D: Database,
    &'a str: Encode<'a, D> + Type<D>,
    String: Encode<'a, D> + Type<D>,
{
    query.push(" WHERE status = 'visible'");
    if let Some(id) = &filter.category_id {
        query.push(" AND category_id = ").push_bind(id.as_str());
    }
    if let Some(id) = &filter.user_id {
        query.push(" AND user_id = ").push_bind(id.as_str());
    }
    if let Some(text) = &filter.search {
        query
            .push(" AND title LIKE ")
            .push_bind(containing(text))
            .push(" ESCAPE '!'");
    }
}

/// The `LIKE` pattern for "contains this text", its wildcards taken literally (with `ESCAPE '!'`,
/// which unlike a backslash means the same in every SQL mode).
fn containing(text: &str) -> String {
    let mut pattern = String::with_capacity(text.len() + 2);
    pattern.push('%');
    for character in text.chars() {
        if matches!(character, '%' | '_' | '!') {
            pattern.push('!');
        }
        pattern.push(character);
    }
    pattern.push('%');
    pattern
}

/// Whether the server itself could not be worked with, as opposed to having refused a statement.
pub(super) fn is_unavailable(error: &sqlx::Error) -> bool {
    match error {
        sqlx::Error::PoolTimedOut | sqlx::Error::PoolClosed => true,
        _ => is_connection_lost(error) || mysql_code(error).is_some_and(is_passing_refusal),
    }
}

/// Whether the connection that reported this is of no further use.
pub(super) fn is_connection_lost(error: &sqlx::Error) -> bool {
    match error {
        // The last is what sqlx makes of a connection cut in the middle of a packet.
        sqlx::Error::Io(_)
        | sqlx::Error::Tls(_)
        | sqlx::Error::WorkerCrashed
        | sqlx::Error::Protocol(_) => true,
        _ => {
            is_read_only(error)
                // Server shutdown, killed connection.
                || mysql_code(error).is_some_and(|code| matches!(code, 1053 | 1927 | 3169 | 4031))
        }
    }
}

/// Whether the server writes nothing any more: after a failover the address leads to another one.
pub(super) fn is_read_only(error: &sqlx::Error) -> bool {
    mysql_code(error).is_some_and(|code| matches!(code, 1290 | 1792 | 1836))
}

/// Whether a value is longer than its column: an adopted table's may be shorter than ours.
pub(super) fn is_too_long(error: &sqlx::Error) -> bool {
    mysql_code(error) == Some(1406)
}

/// Whether the whole transaction was given up and may simply be run again.
pub(super) fn is_rolled_back(error: &sqlx::Error) -> bool {
    // Deadlock, lock wait timeout.
    mysql_code(error).is_some_and(|code| matches!(code, 1213 | 1205))
}

/// Refusals that end without a change on our side: too many connections, no access or no database
/// (yet, or while a password is rotated), no table (not migrated), lock waits, full disk.
fn is_passing_refusal(code: u16) -> bool {
    matches!(
        code,
        1040 | 1044 | 1045 | 1049 | 1129 | 1203 | 1226 | 1146 | 1205 | 1213 | 1021
    )
}

/// Whether MySQL does not know the table.
pub(super) fn is_missing_table(error: &sqlx::Error) -> bool {
    mysql_code(error) == Some(1146)
}

/// MySQL's number of an error.
fn mysql_code(error: &sqlx::Error) -> Option<u16> {
    let database = error.as_database_error()?;
    let mysql = database.try_downcast_ref::<sqlx::mysql::MySqlDatabaseError>()?;
    Some(mysql.number())
}

#[cfg(test)]
mod tests {
    use super::*;
    use sqlx::{MySql, Sqlite};

    #[test]
    fn wildcards_in_a_search_are_literal() {
        assert_eq!(containing(r"50%_!\"), r"%50!%!_!!\%");
    }

    #[test]
    fn lists_without_search_or_author_have_a_counter_row() {
        let filter = |category: Option<&str>, user: Option<&str>, search: Option<&str>| Filter {
            category_id: category.map(str::to_owned),
            user_id: user.map(str::to_owned),
            search: search.map(str::to_owned),
        };
        assert_eq!(counted_scope(&filter(None, None, None)), Some(""));
        assert_eq!(counted_scope(&filter(Some("c"), None, None)), Some("c"));
        assert_eq!(counted_scope(&filter(Some("c"), Some("u"), None)), None);
        assert_eq!(counted_scope(&filter(None, None, Some("q"))), None);
    }

    #[test]
    fn a_value_never_becomes_part_of_the_text() {
        let filter = Filter {
            search: Some("'; DROP TABLE posts; --".into()),
            ..Filter::default()
        };
        let page = PageRequest {
            number: 1,
            size: 10,
        };
        let text = list::<MySql>("p.id", &filter, Order::Latest, page).into_sql();
        assert!(!text.contains("DROP"));
        assert!(!count::<Sqlite>(&filter).into_sql().contains("DROP"));
    }
}
