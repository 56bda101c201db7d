//! How many operations may be at work on the store or wait for it: what could not be done soon is
//! refused at once, so that under any load those who are let in are answered, and soon.
//!
//! Lists, searches, likes, posts written and comments read count; not what is done together for many
//! (posts read, views), what other services do the most of (images) and what follows by itself (the
//! check of a token, deactivations).

use crate::store::StoreError;
use std::sync::Arc;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, SemaphorePermit};

/// Operations for each connection: on eight connections and more the last one waits a third of a second
/// where one takes ten milliseconds.
const FOR_EACH: usize = 32;
/// Operations on the smallest store.
const AT_LEAST: usize = 256;

/// Places of one kind of operation. Reads and writes have their own: a crowd of one leaves the other
/// alone.
#[derive(Debug)]
pub(super) struct Crowd {
    places: Arc<Semaphore>,
    turns: Semaphore,
}

/// A place and, of those who have one, a turn; until it is dropped.
#[derive(Debug)]
#[expect(dead_code, reason = "dropped in this order")]
pub(super) struct Place<'a> {
    turn: Option<SemaphorePermit<'a>>,
    place: SemaphorePermit<'a>,
}

/// A place of a read that many share, also while it waits for its time; until it is dropped.
#[derive(Debug)]
#[expect(dead_code, reason = "dropped in the end")]
pub struct SharedPlace(OwnedSemaphorePermit);

impl Crowd {
    /// On a store of so many connections.
    pub(super) fn on_pool(connections: u32) -> Self {
        let connections = usize::try_from(connections).unwrap_or(usize::MAX);
        let places = connections.saturating_mul(FOR_EACH).max(AT_LEAST);
        // One is left to reads, another to the likes that are made together without a turn.
        let turns = connections.saturating_sub(2).max(1);
        Self {
            places: Semaphore::new(places.min(Semaphore::MAX_PERMITS)).into(),
            turns: Semaphore::new(turns.min(Semaphore::MAX_PERMITS)),
        }
    }

    /// Whether there is a place at this moment.
    pub(super) fn has_place(&self) -> bool {
        self.places.available_permits() > 0
    }

    /// A place, for what may take any connection.
    ///
    /// # Errors
    /// If all are taken, at once.
    pub(super) fn enter(&self) -> Result<Place<'_>, StoreError> {
        let place = self.places.try_acquire();
        Ok(Place {
            turn: None,
            place: place.map_err(|_| StoreError::Crowded)?,
        })
    }

    /// A place for a read that others may wait for.
    ///
    /// # Errors
    /// If all are taken, at once.
    pub(super) fn enter_for_others(&self) -> Result<SharedPlace, StoreError> {
        let place = Arc::clone(&self.places).try_acquire_owned();
        place.map(SharedPlace).map_err(|_| StoreError::Crowded)
    }

    /// A place and a turn: one connection is left to others, whose statements are shorter.
    ///
    /// # Errors
    /// If all places are taken, at once.
    pub(super) async fn queue(&self) -> Result<Place<'_>, StoreError> {
        self.wait(self.enter()?).await
    }

    /// A turn for somebody who has a place.
    pub(super) async fn wait<'a>(&'a self, place: Place<'a>) -> Result<Place<'a>, StoreError> {
        let turn = self.turns.acquire().await;
        Ok(Place {
            turn: Some(turn.map_err(|_| StoreError::Crowded)?),
            ..place
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures::FutureExt;
    use std::pin::pin;

    #[test]
    fn who_finds_no_place_is_refused_until_somebody_leaves() {
        let crowd = Crowd::on_pool(10);
        let mut inside: Vec<_> = (0..320).map(|_| crowd.enter().unwrap()).collect();
        assert!(matches!(crowd.enter(), Err(StoreError::Crowded)));
        inside.pop();
        assert!(crowd.enter().is_ok());
    }

    #[tokio::test]
    async fn writes_take_turns_and_leave_a_connection_to_others() {
        let crowd = Crowd::on_pool(8);
        let mut inside = Vec::new();
        for _ in 0..6 {
            inside.push(crowd.queue().await.unwrap());
        }
        let mut next = pin!(crowd.queue());
        assert!(next.as_mut().now_or_never().is_none());
        inside.pop();
        assert!(next.now_or_never().is_some());
    }

    #[test]
    fn the_smallest_and_the_largest_store_have_places() {
        assert_eq!(Crowd::on_pool(1).places.available_permits(), AT_LEAST);
        assert_eq!(Crowd::on_pool(1).turns.available_permits(), 1);
        assert!(Crowd::on_pool(u32::MAX).enter().is_ok());
    }
}
