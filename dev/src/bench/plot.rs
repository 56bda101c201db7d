//! How figures grow: a panel each, with a point for each number of objects.

use super::svg::{Anchor, Point, Svg};

const COLOR: &str = "#2563eb";
const AXES: &str = "#9ca3af";
const COLUMNS: usize = 3;
const PANEL: (f64, f64) = (290.0, 190.0);
const TOP: f64 = 34.0;
/// Left, upper, right and lower edge of a panel's axes.
const EDGES: [f64; 4] = [24.0, 40.0, 262.0, 160.0];

/// The values of one kind.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Series {
    /// What was measured, and in which unit.
    pub(super) title: String,
    /// Number of objects and value, in order.
    pub(super) points: Vec<(usize, f64)>,
}

/// The panels of all series; both axes are logarithmic.
pub(super) fn growth(title: &str, series: &[Series]) -> String {
    let place = |at: usize| -> Point {
        let (column, row) = (float(at % COLUMNS), float(at / COLUMNS));
        (column * PANEL.0, TOP + row * PANEL.1)
    };
    let rows = float(series.len().div_ceil(COLUMNS));
    let mut svg = Svg::new(float(COLUMNS) * PANEL.0, TOP + rows * PANEL.1);
    svg.text((12.0, 20.0), Anchor::Start, title);
    for (at, series) in series.iter().enumerate() {
        panel(&mut svg, place(at), series);
    }
    svg.finish()
}

fn panel(svg: &mut Svg, (x, y): Point, series: &Series) {
    let [left, upper, right, lower] = EDGES;
    svg.text((x + left, y + 20.0), Anchor::Start, &series.title);
    let corner = [(left, upper), (left, lower), (right, lower)];
    svg.line(&corner.map(|(dx, dy)| (x + dx, y + dy)), AXES);
    let counts = series.points.iter().map(|(count, _)| float(*count));
    let values = series.points.iter().map(|(_, value)| *value);
    let (across, up) = (Scale::of(counts), Scale::of(values));
    let point = |(count, value): &(usize, f64)| {
        // Some room, so that no text leaves the panel.
        let dx = left + 20.0 + across.share(float(*count)) * (right - left - 40.0);
        (
            x + dx,
            y + lower - up.share(*value) * (lower - upper - 20.0),
        )
    };
    let points: Vec<Point> = series.points.iter().map(point).collect();
    svg.line(&points, COLOR);
    for ((x, height), (count, value)) in points.into_iter().zip(&series.points) {
        svg.dot((x, height), COLOR);
        svg.text((x, height - 8.0), Anchor::Middle, &format!("{value:.1}"));
        svg.text((x, y + lower + 16.0), Anchor::Middle, &count.to_string());
    }
}

/// Whole powers of ten around some values.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Scale {
    first: f64,
    last: f64,
}

impl Scale {
    fn of(values: impl Iterator<Item = f64> + Clone) -> Self {
        let powers = values.map(power);
        let first = powers.clone().fold(f64::INFINITY, f64::min).floor();
        let last = powers.fold(f64::NEG_INFINITY, f64::max).ceil();
        Self {
            first,
            last: last.max(first + 1.0),
        }
    }

    /// How far up the scale a value is, from 0 to 1.
    fn share(self, value: f64) -> f64 {
        (power(value) - self.first) / (self.last - self.first)
    }
}

/// Of ten; what is nothing counts as a tenth.
fn power(value: f64) -> f64 {
    value.max(0.1).log10()
}

#[expect(clippy::cast_precision_loss, reason = "counts are small")]
fn float(number: usize) -> f64 {
    number as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_scale_reaches_from_a_power_of_ten_to_another() {
        let scale = Scale::of([3.0, 250.0].into_iter());
        assert_eq!((scale.first, scale.last), (0.0, 3.0));
        assert!((scale.share(10.0) - 1.0 / 3.0).abs() < 1e-9);
        let flat = Scale::of([10.0, 10.0].into_iter());
        assert!((flat.share(10.0)).abs() < 1e-9);
        assert!(Scale::of([0.0].into_iter()).share(0.0).abs() < 1e-9);
    }

    #[test]
    fn each_series_has_its_points_with_their_values() {
        let series = |title: &str| Series {
            title: title.to_owned(),
            points: vec![(1, 0.5), (1000, 20.25)],
        };
        let svg = growth("growth", &[series("memory, MiB"), series("time, s")]);
        assert_eq!(svg.matches("<circle").count(), 4);
        assert_eq!(svg.matches(">1000<").count(), 2);
        assert!(svg.contains(">time, s<") && svg.contains(">20.2<"), "{svg}");
    }
}
