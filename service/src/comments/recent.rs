//! Which posts were asked for a moment ago.

use crate::board::PostId;
use std::{
    collections::{HashSet, VecDeque},
    time::Duration,
};
use tokio::time::Instant;

/// Posts remembered, at most: about 6 MiB.
const LIMIT: usize = 100_000;

/// The posts asked for within an interval. Bounded: of too many the oldest are forgotten.
#[derive(Debug)]
pub(super) struct Recent {
    interval: Duration,
    posts: HashSet<u128>,
    /// The same posts in order of time.
    order: VecDeque<(Instant, u128)>,
}

impl Recent {
    /// Remembers for this long.
    pub(super) fn new(interval: Duration) -> Self {
        Self {
            interval,
            posts: HashSet::new(),
            order: VecDeque::new(),
        }
    }

    /// Whether the post was asked for within the interval before `now`.
    pub(super) fn contains(&mut self, id: &PostId, now: Instant) -> bool {
        while let Some((instant, post)) = self.order.front() {
            if now.saturating_duration_since(*instant) < self.interval {
                break;
            }
            self.posts.remove(post);
            self.order.pop_front();
        }
        self.posts.contains(&key(id))
    }

    /// Notes that the post is asked for at `now`.
    pub(super) fn insert(&mut self, id: &PostId, now: Instant) {
        if self.order.len() >= LIMIT
            && let Some((_, oldest)) = self.order.pop_front()
        {
            self.posts.remove(&oldest);
        }
        if self.posts.insert(key(id)) {
            self.order.push_back((now, key(id)));
        }
    }
}

/// The number that a post's 32 digits write.
fn key(id: &PostId) -> u128 {
    u128::from_str_radix(id.as_str(), 16).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    const INTERVAL: Duration = Duration::from_secs(30);

    #[test]
    fn a_post_is_recent_for_exactly_the_interval() {
        let (mut recent, id, now) = (Recent::new(INTERVAL), PostId::random(), Instant::now());
        assert!(!recent.contains(&id, now));
        recent.insert(&id, now);
        assert!(recent.contains(&id, now + INTERVAL - Duration::from_millis(1)));
        assert!(!recent.contains(&PostId::random(), now));
        assert!(!recent.contains(&id, now + INTERVAL));
        assert!(recent.posts.is_empty() && recent.order.is_empty());
    }

    #[test]
    fn memory_is_bounded_and_the_oldest_are_forgotten() {
        let (mut recent, now) = (Recent::new(INTERVAL), Instant::now());
        let id = |number: usize| format!("{number:032x}").parse::<PostId>().unwrap();
        for number in 0..=LIMIT {
            recent.insert(&id(number), now);
        }
        assert_eq!((recent.posts.len(), recent.order.len()), (LIMIT, LIMIT));
        assert!(!recent.contains(&id(0), now) && recent.contains(&id(LIMIT), now));
    }
}
