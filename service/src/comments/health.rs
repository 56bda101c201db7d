//! Whether the comment service is asked at all, or given a rest.

use std::time::Duration;
use tokio::time::Instant;

/// Failures in a row that are taken for chance.
const TOLERATED: u32 = 2;

/// How the comment service did lately: a function of what was told and the time.
#[derive(Debug)]
pub(super) struct Health {
    pause: Duration,
    longest: Duration,
    failures: u32,
    resume_at: Option<Instant>,
}

impl Health {
    /// A service that is well; its first rest will be `pause`, no rest more than `longest`.
    pub(super) fn new(pause: Duration, longest: Duration) -> Self {
        Self {
            pause,
            longest,
            failures: 0,
            resume_at: None,
        }
    }

    /// When it may be asked again, if not at once.
    pub(super) fn resume_at(&self, now: Instant) -> Option<Instant> {
        self.resume_at.filter(|instant| *instant > now)
    }

    /// It answered. True if it had been failing.
    pub(super) fn succeeded(&mut self) -> bool {
        self.failures = 0;
        self.resume_at.take().is_some()
    }

    /// It failed. True if that is news. Several that fail at once are one failure: who asked before
    /// the rest began tells nothing of what comes after it.
    pub(super) fn failed(&mut self, now: Instant) -> bool {
        if self.resume_at(now).is_some() {
            return false;
        }
        self.failures = self.failures.saturating_add(1);
        if self.failures <= TOLERATED {
            return false;
        }
        let doublings = (self.failures - TOLERATED - 1).min(16);
        let rest = self.pause.saturating_mul(1 << doublings).min(self.longest);
        self.resume_at.replace(now + rest).is_none()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn repeated_failures_bring_longer_and_longer_rests_and_an_answer_ends_them() {
        let mut health = Health::new(SECOND, 5 * SECOND);
        let mut now = Instant::now();
        for _ in 0..TOLERATED {
            assert!(!health.failed(now));
            assert_eq!(health.resume_at(now), None);
        }
        for (rest, news) in [(1, true), (2, false), (4, false), (5, false), (5, false)] {
            assert_eq!(health.failed(now), news);
            assert!(!health.failed(now), "another one of the same moment");
            let resume_at = health.resume_at(now).unwrap();
            assert_eq!(resume_at - now, rest * SECOND);
            now = resume_at;
            assert_eq!(health.resume_at(now), None);
        }
        assert!(health.succeeded() && !health.succeeded());
        assert!(!health.failed(now));
        assert_eq!(health.resume_at(now), None);
    }
}
