//! Views that are known to be counted: who comes back to a post needs only the post.

use super::View;
use quick_cache::sync::Cache;
use std::{
    fmt,
    hash::{BuildHasher, RandomState},
};

/// Views remembered, some forty bytes each. The least used are forgotten: they are looked up again.
const CAPACITY: usize = 16_384;

/// Some of the views that are counted. A counted view stays counted for its day, of which it tells.
pub(super) struct CountedViews {
    /// Its keys are random: nobody can make two views alike.
    hasher: RandomState,
    hashes: Cache<u64, ()>,
}

impl Default for CountedViews {
    fn default() -> Self {
        Self {
            hasher: RandomState::new(),
            hashes: Cache::new(CAPACITY),
        }
    }
}

impl CountedViews {
    /// Whether this one is known to be counted.
    pub(super) fn contains(&self, view: &View) -> bool {
        self.hashes.get(&self.hasher.hash_one(view)).is_some()
    }

    /// Remembers one that is counted.
    pub(super) fn remember(&self, view: &View) {
        self.hashes.insert(self.hasher.hash_one(view), ());
    }
}

impl fmt::Debug for CountedViews {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("CountedViews")
            .field(&self.hashes.len())
            .finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::board::{KstTime, PostId, ViewerHash};

    #[test]
    fn a_view_is_known_for_its_post_viewer_and_day_alone() {
        let (hash, counted) = (ViewerHash::new("secret"), CountedViews::default());
        let (post, other_post) = (PostId::random(), PostId::random());
        let day = |text: &str| text.parse::<KstTime>().unwrap();
        let (today, tomorrow) = (day("2026-01-02T09:00:00"), day("2026-01-03T09:00:00"));
        counted.remember(&hash.view(&post, "alice", today));
        assert!(counted.contains(&hash.view(&post, "alice", today)));
        for (post, viewer, day) in [
            (&other_post, "alice", today),
            (&post, "bob", today),
            (&post, "alice", tomorrow),
        ] {
            assert!(!counted.contains(&hash.view(post, viewer, day)));
        }
    }

    #[test]
    fn memory_stays_bounded() {
        let (hash, counted) = (ViewerHash::new("secret"), CountedViews::default());
        let day: KstTime = "2026-01-02T09:00:00".parse().unwrap();
        let post = PostId::random();
        for viewer in 0..2 * CAPACITY {
            counted.remember(&hash.view(&post, &viewer.to_string(), day));
        }
        assert!(counted.hashes.len() <= CAPACITY);
    }
}
