//! The MySQL database: reached, made when absent, its schema version read; and, where the operator
//! makes the service's accounts itself, those accounts.
//!
//! | File          | What it holds                                                         |
//! |---------------|-----------------------------------------------------------------------|
//! | `url`         | database URLs, read and composed                                      |
//! | `connection`  | how the operator connects                                             |
//! | `check`       | the look at a database through a URL somebody else manages            |
//! | `accounts`    | names, privileges and the SQL of the accounts                         |
//! | `ledger`      | what the Secret `<name>-database` says                                |
//! | `machine`     | (Secret, server, pods, time) → next action: pure                      |
//! | `login`       | what the server shows an account                                      |
//! | `vault`       | reads and writes of the cluster                                       |
//! | `keeper`      | takes the actions, one after the other                                |

pub mod accounts;
pub mod budget;
mod check;
mod connection;
mod error;
pub mod keeper;
pub mod ledger;
mod login;
pub mod machine;
mod password;
mod permit;
mod url;
pub mod vault;

pub use check::ensure;
pub use connection::{Place, Tls};
pub use error::{DatabaseError, DatabaseFacts};
pub use password::Password;
pub use permit::{Permit, Revoked};
pub use url::{DatabaseUrl, UrlError};
