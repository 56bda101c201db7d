//! Waits until values of Secrets stay as they are: several that change together cause one rollout.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// Since when each `PostService`'s values are what they are. Lives in memory: a restarted operator
/// waits once more.
#[derive(Debug, Default)]
pub struct Settling(Mutex<HashMap<String, Seen>>);

#[derive(Debug)]
struct Seen {
    fingerprint: String,
    since: Instant,
}

impl Settling {
    /// How long the values with this `fingerprint` must still stay the same before the pods that run
    /// with `live` are replaced for them; `None`: go on.
    pub fn remaining(
        &self,
        uid: &str,
        live: Option<&str>,
        fingerprint: &str,
        settle: Duration,
        now: Instant,
    ) -> Option<Duration> {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if live.is_none_or(|live| live == fingerprint) {
            all.remove(uid);
            return None;
        }
        let seen = all.entry(uid.to_owned()).or_insert_with(|| Seen {
            fingerprint: fingerprint.to_owned(),
            since: now,
        });
        if seen.fingerprint != fingerprint {
            fingerprint.clone_into(&mut seen.fingerprint);
            seen.since = now;
        }
        let remaining = settle.checked_sub(now - seen.since)?;
        (!remaining.is_zero()).then_some(remaining)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SETTLE: Duration = Duration::from_secs(10);

    #[test]
    fn each_change_begins_the_wait_anew_and_the_last_one_ends_it() {
        let settling = Settling::default();
        let start = Instant::now();
        let after = |seconds| start + Duration::from_secs(seconds);
        let remaining = |fingerprint: &str, now| {
            settling.remaining("uid", Some("old"), fingerprint, SETTLE, now)
        };
        assert_eq!(remaining("one", start), Some(SETTLE));
        assert_eq!(remaining("two", after(6)), Some(SETTLE));
        assert_eq!(remaining("two", after(12)), Some(Duration::from_secs(4)));
        assert_eq!(remaining("two", after(16)), None);
    }

    #[test]
    fn nothing_waits_without_pods_or_change() {
        let settling = Settling::default();
        let now = Instant::now();
        assert_eq!(settling.remaining("uid", None, "one", SETTLE, now), None);
        assert_eq!(
            settling.remaining("uid", Some("one"), "one", SETTLE, now),
            None
        );
    }
}
