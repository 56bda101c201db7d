//! Spans of time as people say them.

use std::time::Duration;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use k8s_openapi::jiff::Timestamp;

/// From `early` to `late`; zero, if they are the other way round.
pub fn between(early: Timestamp, late: Timestamp) -> Duration {
    Duration::try_from(late.duration_since(early)).unwrap_or_default()
}

/// `45s`, `3m20s`, `4h5m`, `12d`: the two largest units that matter.
pub fn short(span: Duration) -> String {
    let seconds = span.as_secs();
    let (days, hours, minutes) = (seconds / 86_400, seconds / 3600 % 24, seconds / 60 % 60);
    let both = |large: u64, unit: char, small: u64, below: char| match small {
        0 => format!("{large}{unit}"),
        _ => format!("{large}{unit}{small}{below}"),
    };
    match (days, hours, minutes) {
        (3.., _, _) => format!("{days}d"),
        (1.., _, _) => both(days, 'd', hours, 'h'),
        (_, 1.., _) => both(hours, 'h', minutes, 'm'),
        (_, _, 10..) => format!("{minutes}m"),
        (_, _, 1..) => both(minutes, 'm', seconds % 60, 's'),
        _ => format!("{seconds}s"),
    }
}

/// `3m20s ago`.
pub fn ago(time: &Time, now: Timestamp) -> String {
    format!("{} ago", short(between(time.0, now)))
}

/// A duration such as `90s`, `20m` or `1h30m`, for `--timeout`.
pub fn parse(text: &str) -> Result<Duration, String> {
    text.parse::<kube::core::Duration>()
        .ok()
        .filter(|parsed| !text.is_empty() && !parsed.is_negative())
        .map(Duration::from)
        .ok_or_else(|| format!("{text:?} is not a duration such as 90s, 20m or 1h30m"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_units_at_most() {
        for (seconds, said) in [
            (0, "0s"),
            (59, "59s"),
            (60, "1m"),
            (200, "3m20s"),
            (900, "15m"),
            (3 * 3600, "3h"),
            (3 * 3600 + 61, "3h1m"),
            (86_400 + 7200, "1d2h"),
            (10 * 86_400 + 7200, "10d"),
        ] {
            assert_eq!(short(Duration::from_secs(seconds)), said);
        }
    }

    #[test]
    fn a_time_out_is_a_duration_with_its_unit() {
        assert_eq!(parse("1h30m"), Ok(Duration::from_mins(90)));
        for wrong in ["", "20", "-5m", "soon"] {
            assert!(parse(wrong).is_err(), "{wrong:?}");
        }
    }
}
