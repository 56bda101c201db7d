//! The MySQL database: reached, made when absent, its schema version read.

mod bootstrap;
mod url;

pub use bootstrap::{DatabaseError, DatabaseFacts, ensure};
pub use url::{DatabaseUrl, UrlError};
