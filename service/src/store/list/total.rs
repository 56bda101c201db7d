//! How many posts match: by a counter row where there is one, else by counting.

use super::{Matching, SEARCH_COUNT_LIMIT, Statement};
use crate::board::{Direction, Filter, Order};
use crate::store::totals::{PARTS, WHOLE_BOARD};

/// How many posts match, told in a column `total` of every row of a page.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::store) enum Total<'a> {
    /// Not told; there is no such column.
    Elsewhere,
    /// By a counter row.
    Counter(Counter<'a>),
    /// By the counter row of a scope; a column `skipped` tells how many entries come before this bucket
    /// of level 2.
    Guided { scope: &'a str, bucket: i64 },
    /// By counting.
    Counted,
}

/// A row that counts the posts of a list.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::store) enum Counter<'a> {
    /// Of this scope, whose rows also lead to its pages.
    Scope(&'a str),
    /// Of this author.
    Author(&'a str),
}

/// The counter row that already knows how many posts match, if there is one.
pub(in crate::store) fn counter(filter: &Filter) -> Option<Counter<'_>> {
    let Filter {
        category_id,
        user_id,
        search: None,
    } = filter
    else {
        return None;
    };
    match (category_id.as_deref(), user_id.as_deref()) {
        (category, None) => Some(Counter::Scope(category.unwrap_or(WHOLE_BOARD))),
        (None, Some(user)) => Some(Counter::Author(user)),
        (Some(_), Some(_)) => None,
    }
}

/// The column `total` of a page, after its other columns.
pub(super) fn total_column(
    statement: &mut Statement,
    matching: Matching<'_>,
    order: Order,
    total: Total<'_>,
) {
    let counter = match total {
        Total::Elsewhere => return,
        Total::Counted => None,
        Total::Counter(counter) => Some(counter),
        Total::Guided { scope, .. } => Some(Counter::Scope(scope)),
    };
    statement.push(", (SELECT ");
    match counter {
        Some(counter) => counted(statement, counter),
        None => counting(statement, matching),
    };
    statement.push(") AS total");
    if let Total::Guided { scope, bucket } = total {
        skipped(statement.push(", "), scope, order.direction, bucket);
    }
}

/// The sum of the counter rows before a bucket of level 2: those of level 1, then the rest of level 2.
fn skipped(statement: &mut Statement, scope: &str, direction: Direction, bucket: i64) {
    let above = bucket / PARTS;
    let (whole, rest) = match direction {
        Direction::Descending => (above + 1..i64::MAX, bucket + 1..(above + 1) * PARTS),
        Direction::Ascending => (0..above, above * PARTS..bucket),
    };
    for (level, buckets) in [(1, whole), (2, rest)] {
        statement
            .push(if level == 1 { "" } else { " + " })
            .push("COALESCE((SELECT CAST(SUM(visible) AS SIGNED) FROM post_totals WHERE scope = ")
            .value(scope)
            .push(" AND level = ")
            .integer(level)
            .push(" AND bucket >= ")
            .integer(buckets.start)
            .push(" AND bucket < ")
            .integer(buckets.end)
            .push("), 0)");
    }
    statement.push(" AS skipped");
}

/// Counts matching posts; with a search at most one more than can be told exactly.
pub(in crate::store) fn count<'a>(matching: impl Into<Matching<'a>>) -> Statement {
    let matching = matching.into();
    let mut statement = Statement::select(matching.filter);
    counting(&mut statement, matching);
    statement
}

/// What is counted, after `SELECT`.
fn counting<'a>(statement: &'a mut Statement, matching: Matching<'_>) -> &'a mut Statement {
    if matching.filter.search.is_none() {
        return statement.push("COUNT(*) FROM posts").conditions(matching);
    }
    statement
        .push("COUNT(*) FROM (SELECT 1 FROM posts")
        .conditions(matching)
        .push(" LIMIT ")
        .integer(SEARCH_COUNT_LIMIT + 1)
        .push(") matches")
}

/// The total that a counter row tells; no row where there is no post.
pub(in crate::store) fn total(counter: Counter<'_>) -> Statement {
    let mut statement = Statement::default();
    counted(statement.push("SELECT "), counter);
    statement
}

/// What a counter row tells, after `SELECT`.
fn counted<'a>(statement: &'a mut Statement, counter: Counter<'_>) -> &'a mut Statement {
    match counter {
        Counter::Scope(scope) => statement
            .push("visible FROM post_totals WHERE level = 0 AND bucket = 0 AND scope = ")
            .value(scope),
        Counter::Author(user) => statement
            .push("visible FROM author_totals WHERE user_id = ")
            .value(user),
    }
}
