//! What the ceiling runs in place of a request to the service: the service's own statement where it
//! answers with one, else one that finds as much.

use super::database::Database;
use super::kinds::{Kind, all_encoded, encoded};
use super::material::Material;

/// The columns of a post, as the service reads them from a server.
const COLUMNS: &str = "p.version AS version, p.id, CAST(p.No AS SIGNED) AS number, \
    COALESCE(p.title, '') AS title, COALESCE(p.content, '') AS content, \
    COALESCE(p.username, '') AS username, p.user_id, COALESCE(p.category, '') AS category, \
    CAST(COALESCE(p.view_count, 0) AS SIGNED) AS view_count, \
    CAST(COALESCE(p.like_count, 0) AS SIGNED) AS like_count, \
    CAST(COALESCE(p.comment_count, 0) AS SIGNED) AS comment_count, \
    CAST(p.media_files AS CHAR) AS media_files, \
    DATE_FORMAT(COALESCE(p.created_at, p.updated_at, TIMESTAMP '1970-01-01 00:00:00'), \
    '%Y-%m-%dT%H:%i:%s') AS created_at, \
    DATE_FORMAT(COALESCE(p.updated_at, p.created_at, TIMESTAMP '1970-01-01 00:00:00'), \
    '%Y-%m-%dT%H:%i:%s') AS updated_at";

/// And from a SQLite file.
const SQLITE_COLUMNS: &str = "p.version, p.id, p.No AS number, p.title, p.content, p.username, \
    p.user_id, p.category, p.view_count, p.like_count, p.comment_count, p.media_files, p.created_at, \
    p.updated_at";

/// An order: what lists are sorted by, `.` for the table, and the index that has it.
type Order = (&'static str, &'static str);
const LATEST: Order = (".No DESC", "ix_posts_latest");
const OF_CATEGORY: Order = (".No DESC", "ix_posts_category");
const OF_AUTHOR: Order = (".No DESC", "ix_posts_author");
const POPULAR: Order = (".like_count DESC, .No DESC", "ix_posts_likes");

/// Numbers in a bucket of counter rows of level 2, and such buckets in one of level 1.
const NUMBERS: i64 = 1_024;
const BUCKETS: i64 = 64;

/// The counter rows that tell how long a list is.
const ALL: &str = "post_totals WHERE level = 0 AND bucket = 0 AND scope = ''";
const CATEGORY: &str = "post_totals WHERE level = 0 AND bucket = 0 AND scope = ?";
const AUTHOR: &str = "author_totals WHERE user_id = ?";

impl Kind {
    /// The line of the n-th request to the ceiling.
    pub(super) fn ceiling_line(self, material: &Material, n: u64) -> String {
        let kind = self.part(n);
        let text = |value: &str| format!("?{}", encoded("s", value));
        let twice = |value: &str| format!("?{}", all_encoded(&[("s", value), ("s", value)]));
        let values = match kind {
            Self::Health | Self::List | Self::Browser | Self::Popular | Self::Mixed => {
                String::new()
            }
            Self::Category => twice(material.category(n)),
            Self::Author => twice(&material.author(n)),
            Self::Page5000 => {
                let start = material.page_start();
                let (above, bucket) = (start / NUMBERS / BUCKETS, start / NUMBERS);
                let (next_above, next) = ((above + 1) * BUCKETS, (bucket + 1) * NUMBERS);
                let rest = material.visible(start..next);
                format!("?i={above}&i={bucket}&i={next_above}&i={next}&i={rest}")
            }
            Self::Cursor => format!("?i={}", material.cursor(n).number),
            Self::Detail | Self::NewViewers => twice(&material.post(n)),
            Self::LikeSpread => text(&material.post(n)),
            Self::LikeOne => text(&material.post(0)),
            Self::SearchCommon
            | Self::SearchRare
            | Self::SearchMissing
            | Self::SearchCharacter
            | Self::SearchSpace => text(&format!("%{}%", kind.word(material, n))),
            Self::PopularDeep => {
                let cursor = material.popular_cursor(n);
                let (value, number) = (cursor.value, cursor.number);
                format!("?i={value}&i={number}&i={value}")
            }
            Self::Create => {
                let (title, content, category) = material.draft(n);
                let pairs = [("s", &*title), ("s", &*content), ("s", category)];
                // No two kinds take the same numbers.
                let first = if self == Self::Mixed {
                    1_500_000_000
                } else {
                    1_000_000_000
                };
                format!("?i={}&{}", first + n, all_encoded(&pairs))
            }
        };
        format!("GET\t/{}{values}\t", kind.name())
    }

    /// The one statement that the ceiling runs.
    pub(super) fn statement(self, database: Database) -> Option<String> {
        let page = |total, condition, order| page(database, total, condition, order);
        Some(match self {
            Self::Health => return None,
            Self::List | Self::Browser | Self::Mixed => page(ALL, "", LATEST),
            Self::Category => page(CATEGORY, "AND category_id = ?", OF_CATEGORY),
            Self::Author => page(AUTHOR, "AND user_id = ?", OF_AUTHOR),
            Self::Page5000 => far_page(database),
            Self::Cursor => page(ALL, "AND No < ?", LATEST),
            Self::Popular => page(ALL, "", POPULAR),
            Self::PopularDeep => popular_after(database),
            Self::Detail | Self::NewViewers => detail(database),
            Self::SearchCommon
            | Self::SearchRare
            | Self::SearchMissing
            | Self::SearchCharacter
            | Self::SearchSpace => search(database),
            Self::LikeOne | Self::LikeSpread => {
                "UPDATE posts SET like_count = like_count + 1 WHERE id = ?".to_owned()
            }
            Self::Create => create(database),
        })
    }
}

fn columns(database: Database) -> &'static str {
    match database {
        Database::Mysql | Database::Mariadb => COLUMNS,
        Database::Sqlite => SQLITE_COLUMNS,
    }
}

/// After the table's name: the index, where the service names it.
fn walked(database: Database, index: &str) -> String {
    match database {
        Database::Mysql | Database::Mariadb => format!(" FORCE INDEX ({index})"),
        Database::Sqlite => String::new(),
    }
}

/// Eleven posts, and how many there are.
fn page(database: Database, total: &str, condition: &str, (order, index): Order) -> String {
    let (columns, index) = (columns(database), walked(database, index));
    format!(
        "SELECT {columns}, (SELECT visible FROM {total}) AS total FROM posts p{index} \
         WHERE status = 'visible' {condition} ORDER BY {} LIMIT 11",
        order.replace('.', "p.")
    )
}

/// A page far down, and how many posts come before its bucket.
fn far_page(database: Database) -> String {
    let (columns, index) = (columns(database), walked(database, LATEST.1));
    let sum = |buckets: &str| {
        format!(
            "COALESCE((SELECT SUM(visible) FROM post_totals WHERE scope = '' AND {buckets}), 0)"
        )
    };
    format!(
        "SELECT {columns}, (SELECT visible FROM {ALL}) AS total, {} + {} AS skipped \
         FROM (SELECT id FROM posts{index} WHERE status = 'visible' AND No < ? ORDER BY No DESC \
         LIMIT 11 OFFSET ?) page CROSS JOIN posts p ON page.id = p.id ORDER BY p.No DESC",
        sum("level = 1 AND bucket > ?"),
        sum("level = 2 AND bucket > ? AND bucket < ?")
    )
}

/// A post, and whether somebody has seen it.
fn detail(database: Database) -> String {
    let columns = columns(database);
    format!(
        "SELECT {columns}, v.viewer IS NOT NULL AS is_counted FROM posts p LEFT JOIN post_views v \
         ON v.day = '2026-01-01' AND v.post_id = ? AND v.viewer = x'00' \
         WHERE p.id = ? AND p.status = 'visible'"
    )
}

/// Titles compared one after the other.
fn search(database: Database) -> String {
    let columns = columns(database);
    format!(
        "SELECT {columns} FROM posts p JOIN (SELECT id FROM posts WHERE status = 'visible' AND \
         title LIKE ? ESCAPE '!' ORDER BY No DESC LIMIT 11) page ON page.id = p.id ORDER BY p.No DESC"
    )
}

fn popular_after(database: Database) -> String {
    let (columns, index) = (columns(database), walked(database, POPULAR.1));
    let part = |name: &str, condition: &str| {
        format!(
            "SELECT * FROM (SELECT id, No, like_count FROM posts{index} WHERE status = 'visible' AND \
             {condition} ORDER BY like_count DESC, No DESC LIMIT 11) {name}"
        )
    };
    format!(
        "SELECT {columns}, (SELECT visible FROM {ALL}) AS total FROM posts p JOIN (SELECT id FROM \
         ({} UNION ALL {}) either ORDER BY like_count DESC, No DESC LIMIT 11) page ON page.id = p.id \
         ORDER BY p.like_count DESC, p.No DESC",
        part("equal", "like_count = ? AND No < ?"),
        part("beyond", "like_count < ?")
    )
}

/// Where no reader sees it.
fn create(database: Database) -> String {
    let (id, now) = match database {
        Database::Mysql | Database::Mariadb => ("REPLACE(UUID(), '-', '')", "NOW()"),
        Database::Sqlite => ("lower(hex(randomblob(16)))", "datetime()"),
    };
    format!(
        "INSERT INTO posts (id, No, username, user_id, title, content, category, status, created_at, \
         updated_at) VALUES ({id}, ?, 'bench', 'bench', ?, ?, ?, 'deleted', {now}, {now})"
    )
}

#[cfg(test)]
mod tests {
    use clap::ValueEnum as _;

    use super::*;
    use crate::bench::service::content::Board;

    #[test]
    fn statements_have_a_placeholder_for_each_value() {
        let material = Material::of_board(Board::new(2_000));
        for kind in Kind::value_variants() {
            if *kind == Kind::Mixed {
                continue;
            }
            let statement = kind.statement(Database::Mysql).unwrap_or_default();
            let in_file = kind.statement(Database::Sqlite).unwrap_or_default();
            assert_eq!(statement.matches('?').count(), in_file.matches('?').count());
            let line = kind.ceiling_line(&material, 7);
            let path = line.split('\t').nth(1).unwrap();
            let values = path.split_once('?').map_or("", |(_, values)| values);
            let values = url::form_urlencoded::parse(values.as_bytes()).count();
            assert_eq!(statement.matches('?').count(), values, "{kind:?}");
        }
    }

    #[test]
    fn posts_have_the_columns_that_the_service_reads() {
        let plain = |text: &str| text.replace(['\\', ' ', '\n'], "");
        let server = plain(include_str!("../../../../service/src/store/mysql/mod.rs"));
        let columns = COLUMNS.strip_prefix("p.version AS version, ").unwrap();
        assert!(server.contains(&plain(columns)));
        let file = plain(include_str!("../../../../service/src/store/sqlite/mod.rs"));
        assert!(file.contains(&plain(SQLITE_COLUMNS)));
    }
}
