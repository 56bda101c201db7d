//! The second phase of an adoption, and at any later time a repair: every counter becomes exact
//! while services of this kind read and write.
//!
//! They change a post and everything that counts it in one transaction. So within one snapshot the
//! distance between a counter and the truth is what drifted before; it stays the same whatever they
//! write meanwhile, and whoever adds it to the counter has repaired it for good. No lock is held
//! while anything is counted, and a run that was killed is repeated from the start: what it repaired
//! is at distance zero.
//!
//! An old service, which knows nothing of these counters, must have ended.

mod authors;
mod categories;
mod post_counters;
mod sqlite;
mod titles;
mod totals;

pub(in crate::store) use sqlite::finish as sqlite;

use super::{
    MYSQL, MigrateError, Say, applied, apply, compare, connect, missing, progress::watched,
};
use crate::store::Schema;
use sqlx::{Connection, MySqlConnection, mysql::MySqlConnectOptions};
use std::fmt;

/// Numbers left free above the highest one: a pod that still believes in old writers may be about to
/// use one of them.
const STRAGGLERS: i64 = 64;

/// How often a transaction is tried that others' locks may defeat.
const TRIES: u32 = 30;

/// Runs a statement or transaction again while it falls victim to a deadlock or a lock wait.
macro_rules! patiently {
    ($operation:expr) => {{
        let mut tries = 0;
        loop {
            tries += 1;
            match $operation.await {
                Err(error)
                    if $crate::store::errors::is_rolled_back(&error)
                        && tries < $crate::store::migrate::finish::TRIES =>
                {
                    tokio::time::sleep(std::time::Duration::from_millis(20 * u64::from(tries)))
                        .await;
                }
                result => break result,
            }
        }
    }};
}
use patiently;

/// Which titles are put into the index of searches.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Titles {
    /// All, if it does not hold them yet.
    Missing,
    /// All, whatever it holds: titles were changed by hand, or by a version without the index. Searches
    /// compare titles meanwhile.
    All,
}

/// What `migrate --finish` did.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Finished {
    /// Categories that were made.
    pub categories: u64,
    /// Posts that were put into one.
    pub categorized: u64,
    /// Posts that were looked at.
    pub posts: u64,
    /// Posts whose counters were not right.
    pub repaired: u64,
    /// Counter rows of lists that were not right.
    pub totals: u64,
    /// Buckets of titles that were added to the index of searches.
    pub indexed: u64,
    /// Whether this run ended the adoption; otherwise it had ended before.
    pub ended_adoption: bool,
}

impl fmt::Display for Finished {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            f,
            "{} categories made, {} posts put into their category",
            self.categories, self.categorized
        )?;
        writeln!(
            f,
            "{} posts looked at, the counters of {} repaired",
            self.posts, self.repaired
        )?;
        writeln!(f, "{} totals of lists repaired", self.totals)?;
        if self.indexed > 0 {
            writeln!(f, "the titles of {} buckets of posts indexed", self.indexed)?;
        }
        f.write_str(if self.ended_adoption {
            "the adoption is finished"
        } else {
            "there was no adoption to finish"
        })
    }
}

/// Finishes the adoption of a MySQL database, or repairs a finished one.
pub(in crate::store) async fn mysql(
    options: &MySqlConnectOptions,
    titles: Titles,
    say: Say,
) -> Result<Finished, MigrateError> {
    let (mut connection, place) = connect(options).await?;
    let fail = |source| MigrateError::on(&place, source);
    let applied = applied(&mut connection).await.map_err(fail)?;
    refuse_unmigrated(compare(&MYSQL, applied.keys().copied().max()), &place)?;
    // What `migrate` left: the old service's own tables get what ours have.
    for migration in missing(&MYSQL, &applied, &place)? {
        apply(&mut connection, migration, &place, say).await?;
    }
    let finished = run(&mut connection, titles, say).await.map_err(fail)?;
    // Closing the session releases the lock.
    connection.close().await.map_err(fail)?;
    Ok(finished)
}

/// Whether searches have the index of every title, and authors' lists the totals of every author.
pub(super) async fn is_complete(connection: &mut MySqlConnection) -> sqlx::Result<bool> {
    Ok(titles::is_complete(connection).await? && authors::are_counted(connection).await?)
}

fn refuse_unmigrated(schema: Schema, place: &str) -> Result<(), MigrateError> {
    match schema {
        Schema::Current => Ok(()),
        Schema::Behind { applied, wanted } => Err(MigrateError::NotMigrated {
            place: place.to_owned(),
            applied,
            wanted,
        }),
    }
}

async fn run(connection: &mut MySqlConnection, titles: Titles, say: Say) -> sqlx::Result<Finished> {
    let mut finished = Finished::default();
    categories::assign(connection, say, &mut finished).await?;
    post_counters::repair(connection, say, &mut finished).await?;
    // After the categories, which decide what is counted where.
    totals::repair(connection, say, &mut finished).await?;
    authors::repair(connection, say, &mut finished).await?;
    if titles == Titles::All {
        titles::forget(connection).await?;
    }
    titles::index(connection, say, &mut finished).await?;
    finished.ended_adoption = watched(say, "ending the adoption", end(connection)).await?;
    Ok(finished)
}

/// Lets the allocator of numbers begin above all there are, asks for every adopted post's comments
/// and ends the adoption; false if it had ended before.
async fn end(connection: &mut MySqlConnection) -> sqlx::Result<bool> {
    let open: i64 =
        sqlx::query_scalar("SELECT COUNT(*) FROM adoption WHERE finished_at IS NOT NULL")
            .fetch_one(&mut *connection)
            .await?;
    let is_first = open == 0;
    let highest: i64 = sqlx::query_scalar("SELECT COALESCE(CAST(MAX(No) AS SIGNED), 0) FROM posts")
        .fetch_one(&mut *connection)
        .await?;
    let highest = highest + if is_first { STRAGGLERS } else { 0 };
    // A statement of its own: everybody who creates a post needs this row.
    patiently!(
        sqlx::query("UPDATE post_numbers SET last = GREATEST(last, ?) WHERE id = 1")
            .bind(highest)
            .execute(&mut *connection)
    )?;
    if !is_first {
        return Ok(false);
    }
    patiently!(switch(connection))?;
    Ok(true)
}

async fn switch(connection: &mut MySqlConnection) -> sqlx::Result<()> {
    let mut transaction = connection.begin().await?;
    sqlx::query("UPDATE comment_sweep SET before_no = NULL WHERE id = 1")
        .execute(&mut *transaction)
        .await?;
    sqlx::query("UPDATE adoption SET finished_at = UTC_TIMESTAMP() WHERE id = 1")
        .execute(&mut *transaction)
        .await?;
    transaction.commit().await
}
