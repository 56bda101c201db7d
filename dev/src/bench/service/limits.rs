//! What is promised of the service's speed and size.

use std::fmt;

/// What a limit is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Measure {
    /// Requests a second, at least.
    Rate,
    /// Its ratio to the ceiling's, at least.
    Ratio,
    /// 99th percentile in milliseconds, at most.
    P99,
    /// Seconds of processor time for ten thousand requests, at most.
    Processor,
    /// Resident memory in MiB, at most.
    Resident,
}

/// One bound.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Limit {
    pub(super) measure: Measure,
    pub(super) bound: f64,
}

impl Limit {
    /// Whether a measured value keeps it.
    pub(super) fn is_met(self, value: f64) -> bool {
        match self.measure {
            Measure::Rate | Measure::Ratio => value >= self.bound,
            Measure::P99 | Measure::Processor | Measure::Resident => value <= self.bound,
        }
    }
}

impl fmt::Display for Limit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let bound = self.bound;
        match self.measure {
            Measure::Rate => write!(f, "≥ {bound:.0}/s"),
            Measure::Ratio => write!(f, "≥ {bound:.1} ×"),
            Measure::P99 => write!(f, "p99 ≤ {bound:.0} ms"),
            Measure::Processor => write!(f, "CPU ≤ {bound:.1} s"),
            Measure::Resident => write!(f, "≤ {bound:.0} MiB"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn speed_is_bounded_from_below_and_cost_from_above() {
        let met = |measure, value| {
            Limit {
                measure,
                bound: 2.0,
            }
            .is_met(value)
        };
        assert!(met(Measure::Ratio, 2.0) && !met(Measure::Ratio, 1.9));
        assert!(met(Measure::P99, 2.0) && !met(Measure::P99, 2.1));
    }
}
