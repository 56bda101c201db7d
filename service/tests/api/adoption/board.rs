//! A board as the Flask service left it: its schema to the letter, and everything that went wrong
//! with its rows over the years.

use super::flask::SCHEMA;
use crate::kit::database::Database;
use sqlx::{Connection, Executor, MySqlConnection, Row, mysql::MySqlRow};
use std::{fmt::Write as _, io::Write as _};

/// Categories that have a row; posts name more of them.
const KNOWN: [&str; 3] = ["자유", "질문", "공지"];
/// What posts name: known, unknown, untrimmed, decomposed, blank.
const NAMED: [&str; 8] = [
    "자유",
    "질문",
    "공지",
    "자유",
    "맛집 🍜",
    " 공지 ",
    "\u{1112}\u{1161}\u{11ab}글",
    " ",
];
const MEDIA: [(&str, &str); 7] = [
    ("NULL", "2"),
    ("'null'", "NULL"),
    ("'[]'", "0"),
    ("'[{\"id\": \"a\"}]'", "3"),
    ("'[{\"id\": \"a\"}, {\"id\": \"b\"}]'", "2"),
    ("'{\"id\": \"a\"}'", "1"),
    ("'\"a.png\"'", "-1"),
];
const USERS: usize = 200;
/// Rows a statement.
const ROWS: usize = 1_000;

/// A database with an administrator's connection.
pub struct Board {
    // Dropped first: an open transaction of its own would keep the database from being removed.
    admin: MySqlConnection,
    database: Option<Database>,
    server: String,
    name: String,
}

/// A reproducible number below `below`.
fn scatter(seed: usize, below: usize) -> usize {
    (seed.wrapping_mul(2_654_435_761) >> 7) % below
}

pub fn post_id(index: usize) -> String {
    format!("{:032x}", (index as u128 + 1) * 0x9E37_79B9_7F4A_7C15)
}

pub fn user_id(user: usize) -> String {
    format!("{user:08x}-0000-4000-8000-000000000000")
}

impl Board {
    /// An empty database on the server that this variable names; without one, a line on standard
    /// error.
    pub async fn empty(variable: &str) -> Option<Self> {
        let Ok(server) = std::env::var(variable) else {
            let test = std::thread::current().name().unwrap_or("a test").to_owned();
            say(&format!("skipped: {test}: {variable} names no server"));
            return None;
        };
        let server = server.trim_end_matches('/').to_owned();
        let name = format!("post_service_test_{}", uuid::Uuid::new_v4().simple());
        let mut admin = MySqlConnection::connect(&server).await.expect("a server");
        let create = format!("CREATE DATABASE {name} CHARACTER SET utf8mb4");
        admin.execute(create.as_str()).await.expect("a database");
        admin
            .execute(format!("USE {name}").as_str())
            .await
            .expect("in use");
        let database = Database::MySql {
            server: server.clone(),
            name: name.clone(),
        };
        Some(Self {
            database: Some(database),
            server,
            name,
            admin,
        })
    }

    /// The database's URL.
    pub fn url(&self) -> String {
        format!("{}/{}", self.server, self.name)
    }

    /// The server's address.
    pub fn address(&self) -> String {
        let url: url::Url = self.server.parse().expect("a URL");
        let host = url.host_str().expect("a host");
        format!("{host}:{}", url.port().unwrap_or(3306))
    }

    /// The database's URL with another address.
    pub fn url_at(&self, address: &str) -> String {
        self.url().replace(&self.address(), address)
    }

    /// The database, for whoever shall remove it.
    pub fn take_database(&mut self) -> Database {
        self.database.take().expect("it is taken once")
    }

    /// The old service's board with so many posts.
    pub async fn with_posts(variable: &str, posts: usize) -> Option<Self> {
        let mut board = Self::empty(variable).await?;
        for statement in SCHEMA {
            board.execute(statement).await;
        }
        board.fill(posts).await;
        Some(board)
    }

    pub async fn execute(&mut self, sql: &str) {
        self.admin.execute(sql).await.expect(sql);
    }

    async fn fill(&mut self, posts: usize) {
        for (index, name) in KNOWN.iter().enumerate() {
            let time = if index == 1 {
                "NULL"
            } else {
                "'2024-01-01 09:00:00'"
            };
            let id = category_id(index);
            self.execute(&format!(
                "INSERT INTO categories VALUES ('{id}', '{name}', {time})"
            ))
            .await;
        }
        let indexes: Vec<usize> = (0..posts).collect();
        for rows in indexes.chunks(ROWS) {
            let values: Vec<String> = rows.iter().map(|index| post_row(*index)).collect();
            let values = values.join(",");
            self.execute(&format!("INSERT INTO posts VALUES {values}"))
                .await;
        }
        let mut likes = Vec::new();
        for index in 0..posts {
            for like in 0..scatter(index + 3, 5) {
                likes.push((
                    index,
                    scatter(index + like * 31, USERS / 5) + like * (USERS / 5),
                ));
            }
        }
        for (chunk, rows) in likes.chunks(ROWS).enumerate() {
            let mut sql = String::from("INSERT INTO likes VALUES ");
            for (row, (post, user)) in rows.iter().enumerate() {
                let comma = if row == 0 { "" } else { "," };
                let (id, post, user) = (chunk * ROWS + row, post_id(*post), user_id(*user));
                write!(
                    sql,
                    "{comma}('{id:032x}','{post}','{user}','2024-05-05 00:00:00')"
                )
                .expect("text");
            }
            self.execute(&sql).await;
        }
    }

    /// One number.
    pub async fn number(&mut self, sql: &str) -> i64 {
        let row = sqlx::query(sql)
            .fetch_one(&mut self.admin)
            .await
            .expect(sql);
        row.get(0)
    }

    /// Rows of text.
    pub async fn rows(&mut self, sql: &str) -> Vec<String> {
        let rows = sqlx::query(sql)
            .fetch_all(&mut self.admin)
            .await
            .expect(sql);
        let text = |row: &MySqlRow| row.get::<String, _>(0);
        rows.iter().map(text).collect()
    }

    /// Every row's old columns but the counters that are repaired and the category's id where there
    /// was none, to the byte.
    pub async fn untouched(&mut self) -> Vec<String> {
        let posts = "SELECT CAST(CONCAT_WS('|', id, No, HEX(username), IFNULL(user_id, '-'), \
            HEX(category), HEX(title), HEX(content), IFNULL(status, '-'), \
            IFNULL(HEX(CAST(media_files AS CHAR)), '-'), IFNULL(created_at, '-'), \
            IFNULL(updated_at, '-'), IFNULL(NULLIF(view_count, 0), '-'), \
            IFNULL(NULLIF(comment_count, 0), '-')) AS CHAR) FROM posts ORDER BY No";
        let likes = "SELECT CAST(CONCAT_WS('|', id, post_id, user_id, created_at) AS CHAR) \
            FROM likes ORDER BY id";
        let mut rows = self.rows(posts).await;
        rows.extend(self.rows(likes).await);
        rows
    }

    /// Everything there is, comparable between databases: categories by name instead of by the
    /// random ids of new ones, without the moments at which things were done.
    pub async fn dump(&mut self) -> Vec<String> {
        let mut dump = self.untouched().await;
        for sql in [
            "SELECT CAST(CONCAT_WS('|', p.id, p.like_count, p.media_count, p.view_count, \
                p.comment_count, p.version, IFNULL(HEX(c.name), '-')) AS CHAR) \
             FROM posts p LEFT JOIN categories c ON c.id = p.category_id ORDER BY p.No",
            "SELECT CAST(HEX(name) AS CHAR) FROM categories ORDER BY 1",
            "SELECT CAST(CONCAT_WS('|', id, verified) AS CHAR) FROM likes ORDER BY id",
            "SELECT CAST(CONCAT_WS('|', IFNULL(HEX(c.name), t.scope), t.level, t.bucket, t.visible) \
                AS CHAR) FROM post_totals t \
             LEFT JOIN categories c ON CAST(c.id AS BINARY) = CAST(t.scope AS BINARY) ORDER BY 1",
            "SELECT CAST(CONCAT_WS('|', id, last) AS CHAR) FROM post_numbers",
            "SELECT CAST(CONCAT_WS('|', id, IFNULL(before_no, '-')) AS CHAR) FROM comment_sweep",
            "SELECT CAST(CONCAT_WS('|', HEX(user_id), visible) AS CHAR) FROM author_totals ORDER BY 1",
            "SELECT CAST(CONCAT_WS('|', id, finished_at IS NULL, authors_counted_at IS NULL) AS CHAR) \
             FROM adoption",
            "SELECT CAST(CONCAT_WS('|', version, description, success) AS CHAR) \
             FROM _sqlx_migrations ORDER BY version",
            "SELECT CAST(CONCAT_WS('|', table_name, column_name, column_type, is_nullable) AS CHAR) \
             FROM information_schema.columns WHERE table_schema = DATABASE() ORDER BY 1",
            "SELECT CAST(CONCAT_WS('|', table_name, index_name, seq_in_index, column_name) AS CHAR) \
             FROM information_schema.statistics WHERE table_schema = DATABASE() ORDER BY 1",
        ] {
            dump.extend(self.rows(sql).await);
        }
        dump
    }

    /// What is wrong with the counters, found by counting.
    pub async fn faults(&mut self) -> Vec<(&'static str, i64)> {
        let checks = [
            (
                "like_count",
                "SELECT COUNT(*) FROM posts p LEFT JOIN (SELECT post_id, COUNT(*) n FROM likes \
                 GROUP BY post_id) l ON l.post_id = p.id \
                 WHERE p.like_count IS NULL OR p.like_count <> IFNULL(l.n, 0)",
            ),
            (
                "media_count",
                "SELECT COUNT(*) FROM posts WHERE media_count IS NULL OR media_count <> \
                 IF(JSON_TYPE(media_files) = 'ARRAY', JSON_LENGTH(media_files), 0)",
            ),
            (
                "NULL counters",
                "SELECT COUNT(*) FROM posts WHERE view_count IS NULL OR comment_count IS NULL",
            ),
            (
                "posts without their category",
                "SELECT COUNT(*) FROM posts p LEFT JOIN categories c ON c.id = p.category_id \
                 WHERE TRIM(p.category) <> '' AND (c.id IS NULL OR \
                 REPLACE(TRIM(p.category), '\u{1112}\u{1161}\u{11ab}글', '한글') \
                     COLLATE utf8mb4_unicode_520_ci \
                     <> c.name COLLATE utf8mb4_unicode_520_ci)",
            ),
            (
                "the board's total",
                "SELECT (SELECT visible FROM post_totals WHERE scope = '' AND level = 0) \
                 - (SELECT COUNT(*) FROM posts WHERE status = 'visible')",
            ),
            (
                "buckets",
                "SELECT COUNT(*) FROM post_totals t WHERE t.scope = '' AND t.level > 0 AND t.visible \
                 <> (SELECT COUNT(*) FROM posts p WHERE p.status = 'visible' \
                 AND p.No DIV IF(t.level = 1, 65536, 1024) = t.bucket)",
            ),
            (
                "categories' buckets",
                "SELECT COUNT(*) FROM post_totals t LEFT JOIN (SELECT CAST(category_id AS BINARY) c, \
                 No DIV 1024 b, COUNT(*) n FROM posts WHERE status = 'visible' \
                 AND category_id IS NOT NULL GROUP BY c, b) p \
                 ON p.c = CAST(t.scope AS BINARY) AND p.b = t.bucket \
                 WHERE t.scope <> '' AND t.level = 2 AND t.visible <> IFNULL(p.n, 0)",
            ),
            (
                "categories' totals",
                "SELECT COUNT(*) FROM (SELECT CAST(category_id AS BINARY) c, COUNT(*) n FROM posts \
                 WHERE status = 'visible' AND category_id IS NOT NULL GROUP BY c) p LEFT JOIN \
                 (SELECT CAST(scope AS BINARY) c, visible FROM post_totals WHERE level = 0) t \
                 ON t.c = p.c WHERE t.visible IS NULL OR t.visible <> p.n",
            ),
            (
                "sums of levels",
                "SELECT COUNT(*) FROM (SELECT scope, \
                 SUM(IF(level = 0, visible, 0)) a, SUM(IF(level = 1, visible, 0)) b, \
                 SUM(IF(level = 2, visible, 0)) c FROM post_totals GROUP BY scope \
                 HAVING a <> b OR b <> c) wrong",
            ),
            (
                "authors' totals",
                "SELECT COUNT(*) FROM (SELECT CAST(user_id AS BINARY) u, COUNT(*) n FROM posts \
                 WHERE status = 'visible' AND user_id IS NOT NULL GROUP BY u) p LEFT JOIN \
                 (SELECT CAST(user_id AS BINARY) u, visible FROM author_totals) t \
                 ON t.u = p.u WHERE t.visible IS NULL OR t.visible <> p.n",
            ),
            (
                "the sum of authors' totals",
                "SELECT CAST((SELECT COALESCE(SUM(visible), 0) FROM author_totals) AS SIGNED) \
                 - (SELECT COUNT(*) FROM posts WHERE status = 'visible' AND user_id IS NOT NULL)",
            ),
            (
                "the number allocator",
                "SELECT COUNT(*) FROM post_numbers WHERE last < (SELECT MAX(No) FROM posts)",
            ),
        ];
        let mut faults = Vec::new();
        for (name, sql) in checks {
            let wrong = self.number(sql).await;
            if wrong != 0 {
                faults.push((name, wrong));
            }
        }
        faults
    }
}

fn category_id(known: usize) -> String {
    format!("{:032x}", known + 0xC0)
}

/// A row of `posts`, in the schema's order.
fn post_row(index: usize) -> String {
    let every = |n: usize| index.is_multiple_of(n);
    let or_null = |is_null: bool, value: String| if is_null { "NULL".into() } else { value };
    let id = post_id(index);
    // Numbers have gaps, some of them wide.
    let number = index + 1 + index / 1_000 * 700;
    let user = scatter(index, USERS);
    let user_text = or_null(every(7), format!("'{}'", user_id(user)));
    let category = NAMED[scatter(index + 1, NAMED.len())];
    let known = KNOWN.iter().position(|name| *name == category);
    let category_id = match known {
        Some(known) if !every(3) => format!("'{}'", category_id(known)),
        _ => "NULL".into(),
    };
    let views = or_null(every(11), scatter(index, 5_000).to_string());
    let likes = or_null(every(13), scatter(index + 9, 6).to_string());
    let comments = or_null(every(17), scatter(index, 9).to_string());
    let status = match scatter(index + 5, 20) {
        0 => "NULL",
        1 => "'hidden'",
        2 | 3 => "'deleted'",
        _ => "'visible'",
    };
    let (media, media_count) = MEDIA[scatter(index + 7, MEDIA.len())];
    let day = format!(
        "2024-{:02}-{:02}",
        index / 2_000 % 12 + 1,
        index / 70 % 28 + 1
    );
    let time = format!(
        "'{day} {:02}:{:02}:{:02}'",
        index % 24,
        index % 60,
        index % 59
    );
    let created = or_null(every(101), time.clone());
    let updated = or_null(every(97), time);
    format!(
        "('{id}',{number},'사용자{user}',{user_text},'{category}',{category_id},\
         '제목 {index} 🍜','내용 {index}\\n둘째 줄',{views},{likes},{comments},{status},{media},\
         {media_count},{created},{updated})"
    )
}

/// A line on standard error, past the test harness.
pub fn say(line: &str) {
    let line = format!("{line}\n");
    std::io::stderr()
        .write_all(line.as_bytes())
        .expect("standard error");
}
