//! Spreads the passes that only poll. After a start all objects have a pass at once; polled a period
//! later each, they would crowd again for ever, and wait for each other.

use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::time::Duration;

use k8s_openapi::jiff::Timestamp;

/// How long it is until the next turn of the object with this `uid`: it has one in each `period`, at
/// a point of its own.
pub fn until(uid: &str, period: Duration, now: Timestamp) -> Duration {
    let mut hasher = DefaultHasher::new();
    uid.hash(&mut hasher);
    let period = u64::try_from(period.as_millis()).map_or(u64::MAX, |period| period.max(1));
    let now = u64::try_from(now.as_millisecond()).unwrap_or_default();
    let (own, present) = (hasher.finish() % period, now % period);
    let gone = (present + (period - own)) % period;
    Duration::from_millis(period - gone)
}

#[cfg(test)]
mod tests {
    use super::*;

    const PERIOD: Duration = Duration::from_secs(30);

    fn at(millisecond: i64) -> Timestamp {
        Timestamp::from_millisecond(1_800_000_000_000 + millisecond).unwrap()
    }

    #[test]
    fn a_turn_comes_once_in_each_period_whenever_one_asks() {
        let first = until("uid", PERIOD, at(0));
        assert!(!first.is_zero() && first <= PERIOD);
        let then = i64::try_from(first.as_millis()).unwrap();
        assert_eq!(until("uid", PERIOD, at(then)), PERIOD);
        assert_eq!(
            until("uid", PERIOD, at(then + 7000)),
            Duration::from_secs(23)
        );
        assert_eq!(until("uid", PERIOD, at(then - 1)), Duration::from_millis(1));
    }

    #[test]
    fn many_objects_are_spread_over_the_period() {
        let mut of_each_second = [0; 30];
        for number in 0..3000 {
            let turn = until(&format!("uid-{number}"), PERIOD, at(0));
            of_each_second[usize::try_from(turn.as_millis().div_ceil(1000)).unwrap() - 1] += 1;
        }
        assert!(
            of_each_second.iter().all(|count| (50..150).contains(count)),
            "{of_each_second:?}"
        );
    }
}
