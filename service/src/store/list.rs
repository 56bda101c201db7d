//! The SQL of lists, shared by both databases.
//!
//! Statements are put together from constant fragments by filter, order and start: a small fixed
//! set of texts, so that prepared statements are reused. Values are always bound. Only index
//! entries are walked to reach a page; full rows are read for the page alone.

use super::totals::{LEVEL_2, WHOLE_BOARD};
use crate::board::{Cursor, Direction, Filter, Order, Page, PageRequest, Post, SortKey, Start};

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
    /// The database must be told which index to walk.
    pub(super) names_indexes: bool,
}

/// How many posts match, told in a column `total` of every row of a page.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Total<'a> {
    /// Not told; there is no such column.
    Elsewhere,
    /// By a counter row.
    Counter(Counter<'a>),
    /// By counting.
    Counted,
}

/// A row that counts the posts of a list.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Counter<'a> {
    /// Of this scope, whose rows also lead to its pages.
    Scope(&'a str),
    /// Of this author.
    Author(&'a str),
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
    total_column(&mut statement, matching, total);
    statement.push(" FROM (");
    match (from, column(order.key)) {
        (From::After(cursor), Some(column)) => {
            let place = (column, cursor);
            after_value(&mut statement, matching, order, index, place, limit);
        }
        (from, _) => {
            statement.push("SELECT id FROM posts").push(index);
            range(&mut statement, matching, order, from, limit);
        }
    }
    // SQLite keeps to the order of a cross join: the page first, not every post in the order of the page.
    statement.push(") page CROSS JOIN posts p ON page.id = p.id");
    ordered(&mut statement, "p.", order);
    statement
}

fn total_column(statement: &mut Statement, matching: Matching<'_>, total: Total<'_>) {
    if total == Total::Elsewhere {
        return;
    }
    statement.push(", (SELECT ");
    match total {
        Total::Counter(counter) => counted(statement, counter),
        _ => counting(statement, matching),
    };
    statement.push(") AS total");
}

/// A range of index entries.
fn range(statement: &mut Statement, matching: Matching<'_>, order: Order, from: From, limit: i64) {
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
    ordered(statement, "", order);
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

/// Counts matching posts; with a search at most one more than can be told exactly.
pub(super) fn count<'a>(matching: impl Into<Matching<'a>>) -> Statement {
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
pub(super) fn total(counter: Counter<'_>) -> Statement {
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

/// The counter row that already knows how many posts match, if there is one.
pub(super) fn counter(filter: &Filter) -> Option<Counter<'_>> {
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
mod tests {
    use super::*;

    const DIALECT: Dialect = Dialect {
        columns: "p.id",
        names_indexes: true,
    };

    fn filter(category: Option<&str>, user: Option<&str>, search: Option<&str>) -> Filter {
        Filter {
            category_id: category.map(str::to_owned),
            user_id: user.map(str::to_owned),
            search: search.map(str::to_owned),
        }
    }

    #[test]
    fn wildcards_in_a_search_are_literal() {
        assert_eq!(containing(r"50%_!\"), r"%50!%!_!!\%");
    }

    #[test]
    fn lists_of_a_category_or_an_author_have_a_counter_row_and_of_both_or_a_search_none() {
        let scope = |scope| Some(Counter::Scope(scope));
        assert_eq!(counter(&filter(None, None, None)), scope(""));
        assert_eq!(counter(&filter(Some("c"), None, None)), scope("c"));
        let author = Some(Counter::Author("u"));
        assert_eq!(counter(&filter(None, Some("u"), None)), author);
        assert_eq!(counter(&filter(Some("c"), Some("u"), None)), None);
        assert_eq!(counter(&filter(None, None, Some("q"))), None);
        assert_eq!(counter(&filter(None, Some("u"), Some("q"))), None);
    }

    #[test]
    fn a_value_never_becomes_part_of_the_text() {
        let filter = filter(None, None, Some("'; DROP TABLE posts; --"));
        let statement = page(
            DIALECT,
            &filter,
            Order::LATEST,
            From::Offset(0),
            10,
            Total::Counted,
        );
        assert!(!statement.text.contains("DROP") && !count(&filter).text.contains("DROP"));
        let placeholders = statement.text.matches('?').count();
        assert_eq!(placeholders, statement.values.len());
    }

    #[test]
    fn numbers_are_padded_so_that_few_texts_come_of_them() {
        let filter = filter(None, None, Some("q"));
        let counted = |numbers: &[i64]| count(Matching::among(&filter, numbers));
        assert_eq!(counted(&[7, 5]).text, counted(&[1; 16]).text);
        let statement = counted(&[7, 5]);
        assert!(statement.text.contains(" AND No IN (?, ?, "));
        let values = [7, 5, 5].map(Value::Integer);
        assert_eq!(statement.values[..3], values);
        assert_eq!(counted(&[1; 17]).text.matches('?').count(), 128 + 2);
        assert_eq!(counted(&[1; 1_001]).text.matches('?').count(), 1_024 + 2);
    }

    #[test]
    fn only_what_compares_titles_has_a_limit_of_its_own() {
        let (all, searched) = (filter(None, None, None), filter(None, None, Some("q")));
        for (statement, limit) in [
            (numbers(DIALECT, &searched), 1_400),
            (count(&searched), 650),
        ] {
            let beginning = format!(
                "/*M! SET STATEMENT max_statement_time = {} FOR */ \
                 SELECT /*+ MAX_EXECUTION_TIME({limit}) */ ",
                f64::from(limit) / 1e3,
            );
            assert!(statement.text.starts_with(&beginning), "{}", statement.text);
        }
        assert!(count(&all).text.starts_with("SELECT COUNT(*)"));
    }

    #[test]
    fn walks_over_the_whole_board_name_their_index_and_no_others_do() {
        let text = |filter: &Filter, order| {
            page(
                DIALECT,
                filter,
                order,
                From::Offset(0),
                10,
                Total::Elsewhere,
            )
            .text
        };
        let searched = filter(None, None, Some("q"));
        assert!(text(&searched, Order::LATEST).contains("posts FORCE INDEX (ix_posts_latest)"));
        assert!(!text(&searched, Order::POPULAR).contains("FORCE"));
        let all = filter(None, None, None);
        assert!(text(&all, Order::POPULAR).contains("posts FORCE INDEX (ix_posts_likes)"));
        for part in [filter(Some("c"), None, None), filter(None, Some("u"), None)] {
            assert!(!text(&part, Order::LATEST).contains("FORCE"));
        }
    }

    #[test]
    fn a_page_tells_the_total_in_a_column() {
        let filter = filter(Some("c"), None, None);
        let from = From::Offset(0);
        let order = Order::LATEST;
        let total = Total::Counter(Counter::Scope("c"));
        let statement = page(DIALECT, &filter, order, from, 10, total);
        assert!(
            statement.text.starts_with(
                "SELECT p.id, (SELECT visible FROM post_totals WHERE level = 0 AND bucket = 0 \
                 AND scope = ?) AS total FROM (SELECT id FROM posts WHERE"
            ),
            "{}",
            statement.text
        );
        let text = |text: &str| Value::Text(text.to_owned());
        assert_eq!(statement.values, [text("c"), text("c"), Value::Integer(11)]);
    }

    #[test]
    fn far_pages_have_their_own_ways() {
        let way = |filter: &Filter, order, number, counted| {
            let request = PageRequest {
                start: Start::Page(number),
                size: 10,
            };
            let counter = counter(filter).filter(|_| counted);
            format!("{:?}", super::way(counter, order, request))
        };
        let (all, one) = (filter(None, None, None), filter(None, Some("u"), None));
        assert_eq!(way(&all, Order::LATEST, 103, true), "Together");
        assert_eq!(way(&all, Order::LATEST, 104, true), "Guided(\"\")");
        assert_eq!(way(&all, Order::LATEST, 104, false), "TotalFirst");
        assert_eq!(way(&all, Order::POPULAR, 104, true), "TotalFirst");
        assert_eq!(way(&one, Order::LATEST, 104, true), "TotalFirst");
    }

    #[test]
    fn a_cursor_of_a_counter_reads_two_ranges_and_no_offset() {
        let cursor = Cursor {
            order: Order::POPULAR,
            value: 7,
            number: 70,
        };
        let none = filter(None, None, None);
        let from = From::After(cursor);
        let statement = page(DIALECT, &none, Order::POPULAR, from, 2, Total::Elsewhere);
        assert_eq!(
            statement.text,
            "SELECT p.id FROM (SELECT id FROM (\
             SELECT * FROM (SELECT id, No, like_count FROM posts FORCE INDEX (ix_posts_likes) \
             WHERE status = 'visible' \
             AND like_count = ? AND No < ? ORDER BY like_count DESC, No DESC LIMIT ?) equal \
             UNION ALL \
             SELECT * FROM (SELECT id, No, like_count FROM posts FORCE INDEX (ix_posts_likes) \
             WHERE status = 'visible' \
             AND like_count < ? ORDER BY like_count DESC, No DESC LIMIT ?) beyond) either \
             ORDER BY like_count DESC, No DESC LIMIT ?) page \
             CROSS JOIN posts p ON page.id = p.id ORDER BY p.like_count DESC, p.No DESC"
        );
        let values = [7, 70, 3, 7, 3, 3].map(Value::Integer);
        assert_eq!(statement.values, values);
    }
}
