//! The API as its clients see it: the real router behind a real socket, on every database.
//!
//! SQLite always; MySQL and MariaDB when `TEST_MYSQL_URL` and `TEST_MARIADB_URL` name a server (an
//! administrator's URL without a database, e.g. `mysql://root@127.0.0.1:3306`): each test makes a
//! database of its own and drops it. What else is needed, the environment names too; a test that
//! finds its variable absent says so in a line that begins with `skipped: `.

#![expect(clippy::expect_used, clippy::unwrap_used, reason = "a test may fail")]

#[macro_use]
mod kit;

mod adoption;
mod author_totals;
mod bad_input;
mod binary;
mod categories;
mod comments;
mod concurrency;
mod crowd;
mod document;
mod edits;
mod failover;
mod forgeries;
mod fresh;
mod headers;
mod idempotency;
mod likes;
mod limits;
mod lists;
mod media;
mod media_outage;
mod migrations;
mod observability;
mod outage;
mod posts;
mod problem;
mod replay;
mod replica;
mod schemathesis;
mod searches;
mod swagger;
mod system;
mod title_index;
mod tokens;
mod users;
mod views;
