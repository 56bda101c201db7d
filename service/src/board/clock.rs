//! Time as the board tells it: Korean local time without an offset, in whole seconds.

use jiff::{
    Timestamp,
    civil::DateTime,
    tz::{Offset, TimeZone},
};
use serde::Serialize;
use std::{fmt, str::FromStr};

/// Where the present comes from; an argument, so that tests can choose it.
pub trait Clock: Send + Sync + 'static {
    /// The present instant.
    fn now(&self) -> Timestamp;
}

/// The machine's clock.
#[derive(Debug, Clone, Copy, Default)]
pub struct SystemClock;

impl Clock for SystemClock {
    fn now(&self) -> Timestamp {
        Timestamp::now()
    }
}

/// Korea has had no daylight saving time since 1988: a fixed offset needs no zone database.
const KST: Offset = jiff::tz::offset(9);

/// A moment in naive KST, whole seconds, written `YYYY-MM-DDTHH:MM:SS`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct KstTime(DateTime);

impl KstTime {
    /// The instant as Korean clocks show it, cut to the second.
    pub fn at(instant: Timestamp) -> Self {
        let local = instant.to_zoned(TimeZone::fixed(KST)).datetime();
        Self(local.with().subsec_nanosecond(0).build().unwrap_or(local))
    }

    /// The day.
    pub fn date(self) -> jiff::civil::Date {
        self.0.date()
    }

    /// The time so many hours before.
    #[must_use]
    pub fn hours_before(self, hours: i64) -> Self {
        use jiff::ToSpan;
        Self(self.0.saturating_sub(hours.hours()))
    }
}

impl fmt::Display for KstTime {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)
    }
}

impl FromStr for KstTime {
    type Err = jiff::Error;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        text.parse().map(Self)
    }
}

impl Serialize for KstTime {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn midnight_in_london_is_nine_in_seoul_without_fractions() {
        let instant: Timestamp = "2026-01-02T00:00:00.999Z".parse().unwrap();
        assert_eq!(KstTime::at(instant).to_string(), "2026-01-02T09:00:00");
    }

    #[test]
    fn what_is_written_is_read_back() {
        let time: KstTime = "2026-12-31T23:59:59".parse().unwrap();
        assert_eq!(time.to_string().parse::<KstTime>().unwrap(), time);
    }
}
