//! The API as its clients see it: the real router behind a real socket, on every database.
//!
//! SQLite always; MySQL when `TEST_MYSQL_URL` names a server (an administrator's URL without a
//! database, e.g. `mysql://root@127.0.0.1:3306`): each test makes a database of its own and drops
//! it.

#![expect(clippy::expect_used, clippy::unwrap_used, reason = "a test may fail")]

#[macro_use]
mod kit;

mod bad_input;
mod binary;
mod categories;
mod concurrency;
mod headers;
mod media;
mod migrations;
mod outage;
mod posts;
mod replay;
mod system;
mod tokens;
