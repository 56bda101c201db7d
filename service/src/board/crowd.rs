//! How many operations may be at work on the store or wait for it: what could not be done soon is
//! refused at once, so that under any load those who are let in are answered, and soon.

use crate::store::StoreError;
use tokio::sync::{Semaphore, SemaphorePermit};

/// Operations for each connection: the last one waits a third of a second where one takes ten
/// milliseconds.
const FOR_EACH: usize = 32;
/// Operations on the smallest store.
const AT_LEAST: usize = 256;

/// Places of one kind of operation. Reads and writes have their own: a crowd of one leaves the other
/// alone.
#[derive(Debug)]
pub(super) struct Crowd(Semaphore);

impl Crowd {
    /// On a store of so many connections.
    pub(super) fn on_pool(connections: u32) -> Self {
        let connections = usize::try_from(connections).unwrap_or(usize::MAX);
        let places = connections.saturating_mul(FOR_EACH).max(AT_LEAST);
        Self(Semaphore::new(places.min(Semaphore::MAX_PERMITS)))
    }

    /// A place, until it is dropped.
    ///
    /// # Errors
    /// If all are taken.
    pub(super) fn enter(&self) -> Result<SemaphorePermit<'_>, StoreError> {
        self.0.try_acquire().map_err(|_| StoreError::Crowded)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_finds_no_place_is_refused_until_somebody_leaves() {
        let crowd = Crowd::on_pool(10);
        let mut inside: Vec<_> = (0..320).map(|_| crowd.enter().unwrap()).collect();
        assert!(matches!(crowd.enter(), Err(StoreError::Crowded)));
        inside.pop();
        assert!(crowd.enter().is_ok());
    }

    #[test]
    fn the_smallest_and_the_largest_store_have_places() {
        assert_eq!(Crowd::on_pool(1).0.available_permits(), AT_LEAST);
        assert!(Crowd::on_pool(u32::MAX).enter().is_ok());
    }
}
