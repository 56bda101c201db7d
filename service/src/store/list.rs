//! The SQL of lists, shared by both databases.
//!
//! Statements are put together from constant fragments by filter, order and start: a small fixed
//! set of texts, so that prepared statements are reused. Values are always bound. Only index
//! entries are walked to reach a page; full rows are read for the page alone. [`mod@total`] tells how
//! many posts there are.

use super::totals::LEVEL_2;
use crate::board::{Cursor, Direction, Filter, Order, Page, PageRequest, Post, SortKey, Start};

mod total;

use total::total_column;
pub(super) use total::{Counter, Total, count, counter, total};

/// With a search, counting ends here and the total is a lower bound.
pub(super) const SEARCH_COUNT_LIMIT: i64 = 1_000;
/// What begins a statement that compares titles, which may be all there are: MySQL and MariaDB each give
/// it up after so many milliseconds, and read the other's limit as a comment.
macro_rules! select_within {
    ($seconds:literal, $milliseconds:literal) => {
        concat!(
            "/*M! SET STATEMENT max_statement_time = ",
            $seconds,
            " FOR */ SELECT /*+ MAX_EXECUTION_TIME(",
            $milliseconds,
            ") */ "
        )
    };
}
/// Lists of numbers are padded to one of these lengths, so that few different texts come of them.
const LENGTHS: [usize; 3] = [16, 128, 1_024];
/// Up to here skipping index entries is as cheap as finding the way by the counter rows.
const SHORT_OFFSET: i64 = LEVEL_2;

/// A statement's text and the values of its placeholders, in order.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Statement {
    pub(super) text: String,
    pub(super) values: Vec<Value>,
}

/// A value to be bound.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Value {
    Text(String),
    Integer(i64),
}

/// Which posts are listed.
#[derive(Debug, Clone, Copy)]
pub(super) struct Matching<'a> {
    filter: &'a Filter,
    among: Option<&'a [i64]>,
}

impl<'a> Matching<'a> {
    /// Those of these numbers that match a filter.
    pub(super) fn among(filter: &'a Filter, numbers: &'a [i64]) -> Self {
        Self {
            filter,
            among: Some(numbers),
        }
    }
}

impl<'a> std::convert::From<&'a Filter> for Matching<'a> {
    fn from(filter: &'a Filter) -> Self {
        Self {
            filter,
            among: None,
        }
    }
}

impl Statement {
    /// One that selects posts with this filter: with a search those found before, or on a second walk.
    fn select(filter: &Filter) -> Self {
        let mut statement = Self::default();
        statement.push(match filter.search {
            Some(_) => select_within!("0.65", "650"),
            None => "SELECT ",
        });
        statement
    }

    /// Whether it is worth being kept prepared: not if it names a thousand posts.
    pub(super) fn is_kept(&self) -> bool {
        let [.., longest] = LENGTHS;
        self.values.len() < longest
    }

    fn push(&mut self, text: &str) -> &mut Self {
        self.text.push_str(text);
        self
    }

    fn integer(&mut self, value: i64) -> &mut Self {
        self.values.push(Value::Integer(value));
        self.push("?")
    }

    fn value(&mut self, value: &str) -> &mut Self {
        self.values.push(Value::Text(value.to_owned()));
        self.push("?")
    }

    /// The conditions of a filter, after `WHERE`.
    fn conditions(&mut self, Matching { filter, among }: Matching<'_>) -> &mut Self {
        self.push(" WHERE status = 'visible'");
        if let Some(numbers) = among {
            self.among(numbers);
        }
        if let Some(id) = &filter.category_id {
            self.push(" AND category_id = ").value(id);
        }
        if let Some(id) = &filter.user_id {
            self.push(" AND user_id = ").value(id);
        }
        if let Some(text) = &filter.search {
            self.push(" AND title LIKE ").value(&containing(text));
            self.push(" ESCAPE '!'");
        }
        self
    }

    fn among(&mut self, numbers: &[i64]) {
        let padded = LENGTHS.into_iter().find(|length| numbers.len() <= *length);
        let padding = numbers.last().copied().unwrap_or_default();
        self.push(" AND No IN (");
        for place in 0..padded.unwrap_or(numbers.len()) {
            self.push(if place == 0 { "" } else { ", " });
            self.integer(numbers.get(place).copied().unwrap_or(padding));
        }
        self.push(")");
    }
}

/// Runs of placeholders and the query around them, for sqlx: binds every value in order.
macro_rules! bind_values {
    ($query:expr, $statement:expr) => {
        $statement
            .values
            .iter()
            .fold($query, |query, value| match value {
                $crate::store::list::Value::Text(text) => query.bind(text.as_str()),
                $crate::store::list::Value::Integer(number) => query.bind(*number),
            })
    };
}
pub(super) use bind_values;

/// Where in a list to begin reading.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum From {
    /// After so many entries.
    Offset(i64),
    /// At the numbers of this bucket of level 2, after so many entries there.
    Bucket { bucket: i64, offset: i64 },
    /// After this place.
    After(Cursor),
}

/// The column a list is ordered by, if not by number alone.
fn column(key: SortKey) -> Option<&'static str> {
    match key {
        SortKey::Created => None,
        SortKey::Likes => Some("like_count"),
        SortKey::Views => Some("view_count"),
        SortKey::Comments => Some("comment_count"),
    }
}

/// What the SQL of pages is made of besides what they hold.
#[derive(Debug, Clone, Copy)]
pub(super) struct Dialect {
    /// Those of [`super::rows::PostRow`], on the alias `p`.
    pub(super) columns: &'static str,
    /// MySQL with all its indexes: it must be told which one to walk, and reads a page's rows along it.
    pub(super) names_indexes: bool,
}

/// After the table's name: the index to walk, where the database must be told. Without a category or
/// an author there is one for each order; only that of the latest posts holds titles.
fn walked_index(
    dialect: Dialect,
    Matching { filter, .. }: Matching<'_>,
    order: Order,
) -> &'static str {
    let is_whole_board = filter.category_id.is_none() && filter.user_id.is_none();
    if !dialect.names_indexes || !is_whole_board {
        return "";
    }
    match order.key {
        SortKey::Created => " FORCE INDEX (ix_posts_latest)",
        _ if filter.search.is_some() => "",
        SortKey::Likes => " FORCE INDEX (ix_posts_likes)",
        SortKey::Views => " FORCE INDEX (ix_posts_views)",
        SortKey::Comments => " FORCE INDEX (ix_posts_comments)",
    }
}

/// One page of posts and one entry more, which tells whether there is a next page.
pub(super) fn page<'a>(
    dialect: Dialect,
    matching: impl Into<Matching<'a>>,
    order: Order,
    from: From,
    size: u32,
    total: Total<'_>,
) -> Statement {
    let matching = matching.into();
    let mut statement = Statement::select(matching.filter);
    let limit = i64::from(size) + 1;
    let index = walked_index(dialect, matching, order);
    statement.push(dialect.columns);
    total_column(&mut statement, matching, order, total);
    if dialect.names_indexes && begins_with_page(matching, order, from) {
        // A third cheaper than to keep ids and sort their rows.
        statement.push(" FROM posts p").push(index);
        range(&mut statement, "p.", matching, order, from, limit);
        return statement;
    }
    statement.push(" FROM (");
    match (from, column(order.key)) {
        (From::After(cursor), Some(column)) => {
            let place = (column, cursor);
            after_value(&mut statement, matching, order, index, place, limit);
        }
        (from, _) => {
            statement.push("SELECT id FROM posts").push(index);
            range(&mut statement, "", matching, order, from, limit);
        }
    }
    // SQLite keeps to the order of a cross join: the page first, not every post in the order of the page.
    statement.push(") page CROSS JOIN posts p ON page.id = p.id");
    ordered(&mut statement, "p.", order);
    statement
}

/// Whether hardly any entries are read but those of the page.
fn begins_with_page(matching: Matching<'_>, order: Order, from: From) -> bool {
    let [few, ..] = LENGTHS;
    let are_few = matching.among.is_some_and(|numbers| numbers.len() <= few);
    let walks_far = matching.filter.search.is_some() && !are_few;
    !walks_far
        && match from {
            From::Offset(offset) | From::Bucket { offset, .. } => are_few || offset == 0,
            From::After(_) => order.key == SortKey::Created,
        }
}

/// A range of index entries of a table with this alias.
fn range(
    statement: &mut Statement,
    alias: &str,
    matching: Matching<'_>,
    order: Order,
    from: From,
    limit: i64,
) {
    statement.conditions(matching);
    let offset = match from {
        From::Offset(offset) => offset,
        From::Bucket { bucket, offset } => {
            match order.direction {
                Direction::Descending => {
                    statement.push(" AND No < ").integer((bucket + 1) * LEVEL_2)
                }
                Direction::Ascending => statement.push(" AND No >= ").integer(bucket * LEVEL_2),
            };
            offset
        }
        From::After(cursor) => {
            let beyond = beyond(order.direction);
            statement
                .push(" AND No ")
                .push(beyond)
                .integer(cursor.number);
            0
        }
    };
    ordered(statement, alias, order);
    statement.push(" LIMIT ").integer(limit);
    if offset > 0 {
        statement.push(" OFFSET ").integer(offset);
    }
}

/// The entries after a value and number: those of the same value, then those beyond it. Written as
/// two ranges, because neither database walks an index for `(a, b) < (x, y)`.
fn after_value(
    statement: &mut Statement,
    matching: Matching<'_>,
    order: Order,
    index: &str,
    (column, cursor): (&str, Cursor),
    limit: i64,
) {
    let beyond = beyond(order.direction);
    statement.push("SELECT id FROM (");
    for part in ["= ", beyond] {
        if part == beyond {
            statement.push(" UNION ALL ");
        }
        statement
            .push("SELECT * FROM (SELECT id, No, ")
            .push(column)
            .push(" FROM posts")
            .push(index)
            .conditions(matching);
        statement
            .push(" AND ")
            .push(column)
            .push(" ")
            .push(part)
            .integer(cursor.value);
        if part != beyond {
            statement
                .push(" AND No ")
                .push(beyond)
                .integer(cursor.number);
        }
        ordered(statement, "", order);
        statement.push(" LIMIT ").integer(limit);
        statement.push(if part == beyond {
            ") beyond"
        } else {
            ") equal"
        });
    }
    statement.push(") either");
    ordered(statement, "", order);
    statement.push(" LIMIT ").integer(limit);
}

/// What comes later in this direction.
fn beyond(direction: Direction) -> &'static str {
    match direction {
        Direction::Descending => "< ",
        Direction::Ascending => "> ",
    }
}

fn ordered(statement: &mut Statement, alias: &str, order: Order) {
    let direction = match order.direction {
        Direction::Descending => " DESC",
        Direction::Ascending => " ASC",
    };
    statement.push(" ORDER BY ");
    if let Some(column) = column(order.key) {
        statement
            .push(alias)
            .push(column)
            .push(direction)
            .push(", ");
    }
    statement.push(alias).push("No").push(direction);
}

/// The numbers of the newest matching posts, one more than can be told exactly.
pub(super) fn numbers(dialect: Dialect, filter: &Filter) -> Statement {
    let mut statement = Statement::default();
    statement.push(select_within!("1.4", "1400"));
    let order = Order::LATEST;
    statement
        .push("CAST(No AS SIGNED) FROM posts")
        .push(walked_index(dialect, filter.into(), order))
        .conditions(filter.into());
    ordered(&mut statement, "", order);
    statement.push(" LIMIT ").integer(SEARCH_COUNT_LIMIT + 1);
    statement
}

/// How to find a page and the total, with the fewest statements that stay short.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Way<'a> {
    /// One statement for both.
    Together,
    /// The total first: the way to the page is long, and there may be no such page.
    TotalFirst,
    /// By this scope's counter rows, which tell the total on the way.
    Guided(&'a str),
}

/// The way to a page without a search, with the counter row that may be trusted.
pub(super) fn way(counter: Option<Counter<'_>>, order: Order, request: PageRequest) -> Way<'_> {
    match counter {
        _ if request.offset() <= SHORT_OFFSET => Way::Together,
        Some(Counter::Scope(scope)) if order.key == SortKey::Created => Way::Guided(scope),
        _ => Way::TotalFirst,
    }
}

/// Whether a page begins behind the end of a list that was counted to its end: nothing has to be read
/// to know that it is empty.
pub(super) fn is_beyond(filter: &Filter, request: PageRequest, counted: i64) -> bool {
    let is_exact = filter.search.is_none() || counted <= SEARCH_COUNT_LIMIT;
    is_exact && request.offset() > 0 && request.offset() >= counted
}

/// Where to begin without counter rows.
pub(super) fn plain_start(request: PageRequest) -> From {
    match request.start {
        Start::Page(_) => From::Offset(request.offset()),
        Start::After(cursor) => From::After(cursor),
    }
}

/// The page made of these rows (one more than its size, if there is a next page) and the number
/// counted.
pub(super) fn assemble(
    mut items: Vec<Post>,
    filter: &Filter,
    order: Order,
    request: PageRequest,
    counted: i64,
) -> Page<Post> {
    let size = usize::try_from(request.size).unwrap_or(usize::MAX);
    let is_more = items.len() > size;
    items.truncate(size);
    let next = items
        .last()
        .filter(|_| is_more)
        .map(|post| Cursor::after(post, order));
    let total_is_lower_bound = filter.search.is_some() && counted > SEARCH_COUNT_LIMIT;
    let total = if total_is_lower_bound {
        SEARCH_COUNT_LIMIT
    } else {
        counted
    };
    Page {
        items,
        request,
        total: total.max(0).unsigned_abs(),
        total_is_lower_bound,
        next,
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

#[cfg(test)]
mod tests;
