//! Why a database was not migrated, in words for whoever runs the Job.

use super::LOCK_WAIT_SECONDS;
use crate::store::errors;
use thiserror::Error;

/// Why a database was not migrated.
#[derive(Debug, Error)]
pub enum MigrateError {
    /// Nobody answers, or not now: worth another try.
    #[error("cannot reach {place}: {source}")]
    Unavailable {
        /// The database, without password.
        place: String,
        /// What happened.
        source: sqlx::Error,
    },
    /// Another run holds the lock.
    #[error("another migration of {place} is running (waited {LOCK_WAIT_SECONDS} s)")]
    Locked {
        /// The database.
        place: String,
    },
    /// Others kept the tables locked all the time that a statement was tried.
    #[error(
        "`{migration}` found no moment without long transactions on {place}: \
         end those (see `SHOW PROCESSLIST`) and run this again: {source}"
    )]
    Busy {
        /// The database.
        place: String,
        /// What was to be done.
        migration: String,
        /// What the database said at last.
        source: sqlx::Error,
    },
    /// Tables that neither these migrations nor the service before this one made.
    #[error(
        "{place} holds a table `{table}` that neither post-service nor the service it replaces \
         made: use an empty database, or the right one"
    )]
    Foreign {
        /// The database.
        place: String,
        /// The first such table.
        table: String,
    },
    /// The tables of the service that this one replaces, but not as they can be worked with.
    #[error("cannot adopt the tables of {place}, nothing was changed: {reason}")]
    Unsuitable {
        /// The database.
        place: String,
        /// What is wrong and the statements that mend it.
        reason: String,
    },
    /// To be finished, but not begun.
    #[error(
        "{place} is not migrated (its schema is at version {applied}, this program's is {wanted}): \
         run `post-service migrate` first"
    )]
    NotMigrated {
        /// The database.
        place: String,
        /// The latest migration applied, 0 if none.
        applied: i64,
        /// The latest one this program knows.
        wanted: i64,
    },
    /// A migration that was applied is not the one this program knows under its number.
    #[error("migration {version} of {place} differs from this program's: wrong database or build")]
    Changed {
        /// The database.
        place: String,
        /// The migration's number.
        version: i64,
    },
    /// A migration failed.
    #[error("migration `{migration}` failed on {place}: {source}")]
    Failed {
        /// The database.
        place: String,
        /// Which one.
        migration: String,
        /// What the database said.
        source: sqlx::migrate::MigrateError,
    },
    /// The bookkeeping around migrations failed.
    #[error("cannot migrate {place}: {source}")]
    Bookkeeping {
        /// The database.
        place: String,
        /// What happened.
        source: sqlx::Error,
    },
}

impl MigrateError {
    /// Whether the same run may succeed later with nothing changed on our side.
    pub fn is_temporary(&self) -> bool {
        matches!(
            self,
            Self::Unavailable { .. } | Self::Locked { .. } | Self::Busy { .. }
        )
    }

    /// An error of a migration's own statement: temporary if it was not the statement's fault.
    pub(super) fn while_applying(
        place: &str,
        migration: &str,
        source: sqlx::migrate::MigrateError,
    ) -> Self {
        use sqlx::migrate::MigrateError::{Execute, ExecuteMigration};
        let (place, migration) = (place.to_owned(), migration.to_owned());
        match source {
            Execute(source) | ExecuteMigration(source, _)
                if errors::is_connection_lost(&source) =>
            {
                Self::Unavailable { place, source }
            }
            Execute(source) | ExecuteMigration(source, _) if errors::is_rolled_back(&source) => {
                Self::Busy {
                    place,
                    migration,
                    source,
                }
            }
            source => Self::Failed {
                place,
                migration,
                source,
            },
        }
    }

    /// An error on the way, unavailable or not as the error itself tells.
    pub(super) fn on(place: &str, source: sqlx::Error) -> Self {
        let place = place.to_owned();
        if errors::is_unavailable(&source) {
            Self::Unavailable { place, source }
        } else {
            Self::Bookkeeping { place, source }
        }
    }
}
