//! Searches in titles, and the index that they are answered from.
//!
//! `title_grams` is an inverted index: for each two neighbouring characters the places where they
//! stand, 1,024 post numbers to a row, so that a common word is read in a few rows and a rare one in
//! hardly any. A word is where its pairs stand at the right distances. The database computes what a
//! pair is (the weights of its characters in the title's collation), so that the index finds what
//! `LIKE` finds, whatever the collation of an adopted table is.
//!
//! 1. [`index`] keeps it right in the transactions that write titles; `migrate --finish` fills it.
//! 2. [`candidates`] reads from it the newest posts that have a word, as many as are counted.
//! 3. [`pages`] reads the page among them, or walks through titles where the index cannot tell: one
//!    character, or a place beyond the matches that are counted.
//!
//! [`turns`] bounds how many searches walk at once: through titles, or far through the index.

mod candidates;
pub(in crate::store) mod index;
mod pages;
mod postings;
mod turns;

use candidates::{Candidates, Word};
pub(super) use turns::Turns;

use super::MySqlStore;
use crate::store::StoreError;
use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

/// For how long it is believed that the index holds every title; `migrate --finish --reindex` waits
/// longer before it empties it.
const BELIEVED: Duration = Duration::from_secs(1);

/// The collation of titles and when the index was last known to hold all of them.
#[derive(Debug, Default)]
pub(super) struct Complete(Mutex<Option<(Instant, Arc<str>)>>);

impl Complete {
    fn lock(&self) -> MutexGuard<'_, Option<(Instant, Arc<str>)>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn known(&self) -> Option<Arc<str>> {
        let known = self.lock();
        let (since, collation) = known.as_ref()?;
        (since.elapsed() < BELIEVED).then(|| collation.clone())
    }
}

impl MySqlStore {
    /// The collation of titles if every title is in the index: always on a database that this service
    /// made, after `migrate --finish` on one that had posts before it had this index.
    pub(super) async fn indexed_collation(&self) -> Result<Option<Arc<str>>, StoreError> {
        if let Some(collation) = self.complete.known() {
            return Ok(Some(collation));
        }
        let now = Instant::now();
        let collation: Option<String> = attempt!(self.reading(), |connection| {
            sqlx::query_scalar(
                "SELECT CAST(c.collation_name AS CHAR) FROM title_index i \
                 JOIN information_schema.columns c ON c.table_schema = DATABASE() \
                 AND c.table_name = 'posts' AND c.column_name = 'title' \
                 WHERE i.completed_at IS NOT NULL",
            )
            .fetch_optional(connection)
        })?;
        let collation: Option<Arc<str>> = collation.map(Arc::from);
        *self.complete.lock() = collation.clone().map(|collation| (now, collation));
        Ok(collation)
    }
}
