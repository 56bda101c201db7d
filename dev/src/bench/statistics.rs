//! Quantiles of measured samples.

use std::time::Duration;

/// Durations of the same thing, measured one by one.
#[derive(Debug, Clone, Default)]
pub(super) struct Samples(Vec<Duration>);

impl FromIterator<Duration> for Samples {
    fn from_iter<I: IntoIterator<Item = Duration>>(samples: I) -> Self {
        let mut samples: Vec<Duration> = samples.into_iter().collect();
        samples.sort_unstable();
        Self(samples)
    }
}

impl Samples {
    /// How many there are.
    pub(super) fn count(&self) -> usize {
        self.0.len()
    }

    /// The smallest sample that at least `percent` of a hundred samples do not exceed (nearest
    /// rank); none without samples.
    pub(super) fn percentile(&self, percent: usize) -> Option<Duration> {
        let rank = (self.0.len() * percent).div_ceil(100).max(1);
        self.0.get(rank - 1).copied()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn samples(milliseconds: &[u64]) -> Samples {
        milliseconds
            .iter()
            .map(|ms| Duration::from_millis(*ms))
            .collect()
    }

    #[test]
    fn a_percentile_is_one_of_the_samples() {
        let hundred: Vec<u64> = (1..=100).rev().collect();
        let hundred = samples(&hundred);
        for percent in [1, 50, 95, 99, 100] {
            let expected = Duration::from_millis(percent as u64);
            assert_eq!(hundred.percentile(percent), Some(expected));
        }
        assert_eq!(samples(&[7]).percentile(99), Some(Duration::from_millis(7)));
        assert_eq!(
            samples(&[1, 2, 3]).percentile(50),
            Some(Duration::from_millis(2))
        );
    }

    #[test]
    fn without_samples_there_is_no_percentile() {
        assert_eq!(samples(&[]).percentile(50), None);
    }
}
