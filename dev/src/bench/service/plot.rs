//! Bars in SVG: few enough lines that no library is needed for them.

use std::fmt::Write as _;

use super::results::Row;

const LEFT: f64 = 190.0;
const WIDTH: f64 = 560.0;
const TOP: f64 = 58.0;
const STEP: f64 = 30.0;
const BAR: f64 = 11.0;
const COLORS: [&str; 2] = ["#2563eb", "#9ca3af"];

/// Rates of the service and the ceiling, one pair of bars a kind, on a logarithmic scale.
pub(super) fn rates(title: &str, connections: u32, rows: &[&Row]) -> String {
    let count = rows.iter().fold(0.0, |count, _| count + 1.0);
    let (width, height) = (LEFT + WIDTH + 80.0, TOP + count * STEP + 16.0);
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{width}\" height=\"{height}\" \
         font-family=\"sans-serif\" font-size=\"12\">\n\
         <rect width=\"100%\" height=\"100%\" fill=\"white\"/>\n"
    );
    text(
        &mut svg,
        (12.0, 20.0),
        "start",
        &format!("{title}: requests a second, {connections} connections"),
    );
    for (at, (name, color)) in (0..).zip(["service", "ceiling"].iter().zip(COLORS)) {
        let x = LEFT + 90.0 * f64::from(at);
        bar(&mut svg, (x, 30.0), 12.0, color);
        text(&mut svg, (x + 18.0, 40.0), "start", name);
    }
    let mut y = TOP;
    for row in rows {
        text(&mut svg, (LEFT - 8.0, y + 15.0), "end", row.kind.title());
        let rates = [row.service.rate(), row.ceiling.rate()];
        for (line, (rate, color)) in (0..).zip(rates.into_iter().zip(COLORS)) {
            let (length, top) = (length(rate), y + BAR * f64::from(line));
            bar(&mut svg, (LEFT, top), length, color);
            let end = (LEFT + length + 5.0, top + 10.0);
            text(&mut svg, end, "start", &format!("{rate:.0}"));
        }
        y += STEP;
    }
    svg.push_str("</svg>\n");
    svg
}

/// Of 1 to 100,000 requests a second.
fn length(rate: f64) -> f64 {
    (rate.max(1.0).log10() / 5.0).min(1.0) * WIDTH
}

fn bar(svg: &mut String, (x, y): (f64, f64), length: f64, color: &str) {
    let _ = writeln!(
        svg,
        "<rect x=\"{x}\" y=\"{y:.1}\" width=\"{length:.1}\" height=\"{BAR}\" fill=\"{color}\"/>"
    );
}

fn text(svg: &mut String, (x, y): (f64, f64), anchor: &str, content: &str) {
    let content = content.replace('&', "&amp;").replace('<', "&lt;");
    let _ = writeln!(
        svg,
        "<text x=\"{x:.1}\" y=\"{y:.1}\" text-anchor=\"{anchor}\">{content}</text>"
    );
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
