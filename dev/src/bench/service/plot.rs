//! Rates as bars.

use super::results::Row;
use crate::bench::svg::{Anchor, Svg};

const LEFT: f64 = 190.0;
const WIDTH: f64 = 560.0;
const TOP: f64 = 58.0;
const STEP: f64 = 30.0;
const BAR: f64 = 11.0;
const COLORS: [&str; 2] = ["#2563eb", "#9ca3af"];

/// Rates of the service and the ceiling, one pair of bars a kind, on a logarithmic scale.
pub(super) fn rates(title: &str, connections: u32, rows: &[&Row]) -> String {
    let count = rows.iter().fold(0.0, |count, _| count + 1.0);
    let mut svg = Svg::new(LEFT + WIDTH + 80.0, TOP + count * STEP + 16.0);
    svg.text(
        (12.0, 20.0),
        Anchor::Start,
        &format!("{title}: requests a second, {connections} connections"),
    );
    for (at, (name, color)) in (0..).zip(["service", "ceiling"].iter().zip(COLORS)) {
        let x = LEFT + 90.0 * f64::from(at);
        svg.bar((x, 30.0), (12.0, BAR), color);
        svg.text((x + 18.0, 40.0), Anchor::Start, name);
    }
    let mut y = TOP;
    for row in rows {
        svg.text((LEFT - 8.0, y + 15.0), Anchor::End, row.kind.title());
        let rates = [row.service.rate(), row.ceiling.rate()];
        for (line, (rate, color)) in (0..).zip(rates.into_iter().zip(COLORS)) {
            let (length, top) = (length(rate), y + BAR * f64::from(line));
            svg.bar((LEFT, top), (length, BAR), color);
            let end = (LEFT + length + 5.0, top + 10.0);
            svg.text(end, Anchor::Start, &format!("{rate:.0}"));
        }
        y += STEP;
    }
    svg.finish()
}

/// Of 1 to 100,000 requests a second.
fn length(rate: f64) -> f64 {
    (rate.max(1.0).log10() / 5.0).min(1.0) * WIDTH
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bar_grows_with_the_logarithm_of_the_rate() {
        assert!(length(0.0).abs() < 1e-9);
        assert!((length(1e5) - WIDTH).abs() < 1e-9);
        assert!((length(1_000.0) - length(100.0) - WIDTH / 5.0).abs() < 1e-9);
    }
}
