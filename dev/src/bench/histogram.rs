//! Prometheus' text format, as far as counters and histograms need it.

use std::time::Duration;

/// One line of an exposition.
#[derive(Debug, Clone, PartialEq)]
struct Sample<'a> {
    name: &'a str,
    labels: Vec<(&'a str, String)>,
    value: f64,
}

impl Sample<'_> {
    fn label(&self, name: &str) -> Option<&str> {
        self.labels
            .iter()
            .find(|(key, _)| *key == name)
            .map(|(_, value)| value.as_str())
    }
}

/// Reads `name{label="value",…} value`; none for comments and for what is not such a line.
/// See "Text-based format" in Prometheus' documentation.
fn parse_line(line: &str) -> Option<Sample<'_>> {
    let end = line.find(['{', ' '])?;
    let (name, mut rest) = line.split_at(end);
    if name.is_empty() || name.starts_with('#') {
        return None;
    }
    let mut labels = Vec::new();
    if let Some(inner) = rest.strip_prefix('{') {
        rest = inner;
        loop {
            rest = rest.trim_start_matches([',', ' ']);
            if let Some(after) = rest.strip_prefix('}') {
                rest = after;
                break;
            }
            let (key, after) = rest.split_once("=\"")?;
            let (value, after) = quoted(after)?;
            labels.push((key, value));
            rest = after;
        }
    }
    let value = rest.split_whitespace().next()?.parse().ok()?;
    Some(Sample {
        name,
        labels,
        value,
    })
}

/// The text up to the closing quotation mark, and what follows it.
fn quoted(text: &str) -> Option<(String, &str)> {
    let mut value = String::new();
    let mut characters = text.char_indices();
    while let Some((at, character)) = characters.next() {
        match character {
            '"' => return Some((value, &text[at + 1..])),
            '\\' => value.push(match characters.next()?.1 {
                'n' => '\n',
                other => other,
            }),
            other => value.push(other),
        }
    }
    None
}

/// The sum of a counter's series whose labels satisfy `wanted`.
pub(super) fn sum<'a>(
    exposition: &'a str,
    counter: &str,
    wanted: impl Fn(&dyn Fn(&str) -> Option<String>) -> bool + 'a,
) -> f64 {
    exposition
        .lines()
        .filter(|line| line.starts_with(counter))
        .filter_map(parse_line)
        .filter(|sample| sample.name == counter)
        .filter(|sample| wanted(&|label| sample.label(label).map(ToOwned::to_owned)))
        .map(|sample| sample.value)
        .sum()
}

/// A histogram of durations: for each upper bound in seconds, how many did not exceed it.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct Histogram {
    buckets: Vec<(f64, f64)>,
}

impl Histogram {
    /// Reads the histogram `name`; empty if the exposition has none.
    pub(super) fn parse(exposition: &str, name: &str) -> Self {
        let bucket = format!("{name}_bucket");
        let mut buckets: Vec<(f64, f64)> = exposition
            .lines()
            .filter_map(parse_line)
            .filter(|sample| sample.name == bucket)
            .filter_map(|sample| Some((sample.label("le")?.parse().ok()?, sample.value)))
            .collect();
        buckets.sort_by(|(one, _), (other, _)| one.total_cmp(other));
        Self { buckets }
    }

    /// How many durations it holds.
    pub(super) fn count(&self) -> f64 {
        self.buckets.last().map_or(0.0, |(_, count)| *count)
    }

    /// What was added since `earlier`.
    #[must_use]
    pub(super) fn since(&self, earlier: &Self) -> Self {
        let before = |bound: f64| {
            let found = earlier
                .buckets
                .iter()
                .find(|(b, _)| b.total_cmp(&bound).is_eq());
            found.map_or(0.0, |(_, count)| *count)
        };
        Self {
            buckets: self
                .buckets
                .iter()
                .map(|(bound, count)| (*bound, count - before(*bound)))
                .collect(),
        }
    }

    /// Estimates a quantile within its bucket, as Prometheus' `histogram_quantile` does; none
    /// without durations. Beyond the last finite bound it is that bound.
    pub(super) fn quantile(&self, quantile: f64) -> Option<Duration> {
        let total = self.count();
        if total <= 0.0 {
            return None;
        }
        let rank = quantile * total;
        let (mut below, mut lower) = (0.0, 0.0);
        for (upper, count) in &self.buckets {
            if *count >= rank && *count > below {
                let seconds = if upper.is_finite() {
                    lower + (upper - lower) * ((rank - below) / (count - below)).max(0.0)
                } else {
                    lower
                };
                return Duration::try_from_secs_f64(seconds).ok();
            }
            (below, lower) = (*count, *upper);
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = r#"# HELP requests_total a "counter"
# TYPE requests_total counter
requests_total{verb="GET",path="a\"b\\c,}"} 3
requests_total{verb="PATCH", path="x"} 4 1700000000
requests_total_more{verb="PATCH"} 100
plain 7
took_bucket{le="0.01"} 50
took_bucket{le="0.1"} 90
took_bucket{le="+Inf"} 100
took_sum 3.5
took_count 100
"#;

    #[test]
    fn labels_are_read_with_their_escapes() {
        let line = TEXT.lines().nth(2).unwrap();
        let sample = parse_line(line).unwrap();
        assert_eq!(sample.label("path"), Some("a\"b\\c,}"));
        assert_eq!(sample.value.total_cmp(&3.0), std::cmp::Ordering::Equal);
    }

    #[test]
    fn damaged_lines_are_no_samples() {
        for line in ["", "#", "x", "x{a=\"b} 1", "x{a} 1", "x{} y", "{} 1"] {
            assert_eq!(parse_line(line), None, "{line:?}");
        }
    }

    #[test]
    fn series_are_summed_by_their_labels() {
        let near = |one: f64, other: f64| (one - other).abs() < 1e-9;
        let patches = sum(TEXT, "requests_total", |label| {
            label("verb").as_deref() == Some("PATCH")
        });
        assert!(near(patches, 4.0), "{patches}");
        assert!(near(sum(TEXT, "requests_total", |_| true), 7.0));
        assert!(near(sum(TEXT, "absent", |_| true), 0.0));
    }

    #[test]
    fn quantiles_lie_within_their_bucket() {
        let histogram = Histogram::parse(TEXT, "took");
        let median = histogram.quantile(0.5).unwrap();
        assert_eq!(median, Duration::from_millis(10));
        let p70 = histogram.quantile(0.7).unwrap().as_secs_f64();
        assert!((p70 - 0.055).abs() < 1e-9, "{p70}");
        // Nothing is known of those beyond the last bound but that.
        assert_eq!(histogram.quantile(0.99), Some(Duration::from_millis(100)));
    }

    #[test]
    fn only_what_came_since_counts() {
        let later = Histogram::parse(&TEXT.replace("0.01\"} 50", "0.01\"} 51"), "took");
        let more = later.since(&Histogram::parse(TEXT, "took"));
        assert!(more.count().abs() < 1e-9);
        assert_eq!(more.quantile(0.5), None);
        assert_eq!(later.since(&Histogram::default()), later);
    }
}
