//! What the databases' errors mean.

/// Whether the server itself could not be worked with, as opposed to having refused a statement.
pub(super) fn is_unavailable(error: &sqlx::Error) -> bool {
    match error {
        sqlx::Error::PoolTimedOut | sqlx::Error::PoolClosed => true,
        _ => is_connection_lost(error) || mysql_code(error).is_some_and(is_passing_refusal),
    }
}

/// Whether the connection that reported this is of no further use.
pub(super) fn is_connection_lost(error: &sqlx::Error) -> bool {
    match error {
        // The last is what sqlx makes of a connection cut in the middle of a packet.
        sqlx::Error::Io(_)
        | sqlx::Error::Tls(_)
        | sqlx::Error::WorkerCrashed
        | sqlx::Error::Protocol(_) => true,
        _ => {
            is_read_only(error)
                // Server shutdown, killed connection.
                || mysql_code(error).is_some_and(|code| matches!(code, 1053 | 1927 | 3169 | 4031))
        }
    }
}

/// Whether the server writes nothing any more: after a failover the address leads to another one.
pub(super) fn is_read_only(error: &sqlx::Error) -> bool {
    mysql_code(error).is_some_and(|code| matches!(code, 1290 | 1792 | 1836))
}

/// Whether a row is locked by another transaction, which `NOWAIT` did not wait for (MySQL's number,
/// MariaDB's).
pub(super) fn is_locked_by_another(error: &sqlx::Error) -> bool {
    mysql_code(error).is_some_and(|code| matches!(code, 3572 | 1205))
}

/// Whether the server gave up a statement that took too long (MySQL's number, MariaDB's).
pub(super) fn is_out_of_time(error: &sqlx::Error) -> bool {
    mysql_code(error).is_some_and(|code| matches!(code, 3024 | 1969))
}

/// Whether a value is longer than its column: an adopted table's may be shorter than ours.
pub(super) fn is_too_long(error: &sqlx::Error) -> bool {
    mysql_code(error) == Some(1406)
}

/// Whether the whole transaction was given up and may simply be run again.
pub(super) fn is_rolled_back(error: &sqlx::Error) -> bool {
    // Deadlock, lock wait timeout; a table that was altered, or (MariaDB) a row that was written since
    // the transaction's snapshot.
    mysql_code(error).is_some_and(|code| matches!(code, 1213 | 1205 | 1412 | 1020))
}

/// Refusals that end without a change on our side: too many connections, no access or no database
/// (yet, or while a password is rotated), no table (not migrated), lock waits, full disk, statements
/// that took too long (MySQL's number, MariaDB's).
fn is_passing_refusal(code: u16) -> bool {
    matches!(
        code,
        1040 | 1044
            | 1045
            | 1049
            | 1129
            | 1203
            | 1226
            | 1146
            | 1205
            | 1213
            | 1412
            | 1020
            | 1021
            | 3024
            | 1969
    )
}

/// Whether MySQL does not know the table.
pub(super) fn is_missing_table(error: &sqlx::Error) -> bool {
    mysql_code(error) == Some(1146)
}

/// MySQL's number of an error.
fn mysql_code(error: &sqlx::Error) -> Option<u16> {
    let database = error.as_database_error()?;
    let mysql = database.try_downcast_ref::<sqlx::mysql::MySqlDatabaseError>()?;
    Some(mysql.number())
}
