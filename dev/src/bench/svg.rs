//! Drawings of rectangles, lines and words: few enough that no library is needed for them.

use std::fmt::Write as _;

/// A place in a drawing: pixels from its left and upper edge.
pub(super) type Point = (f64, f64);

/// Which side of its place a text is on.
#[derive(Debug, Clone, Copy)]
pub(super) enum Anchor {
    Start,
    Middle,
    End,
}

/// A drawing on white.
#[derive(Debug)]
pub(super) struct Svg(String);

impl Svg {
    /// One of this width and height in pixels.
    pub(super) fn new(width: f64, height: f64) -> Self {
        Self(format!(
            "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{width}\" height=\"{height}\" \
             font-family=\"sans-serif\" font-size=\"12\">\n\
             <rect width=\"100%\" height=\"100%\" fill=\"white\"/>\n"
        ))
    }

    /// A filled rectangle.
    pub(super) fn bar(&mut self, (x, y): Point, (width, height): (f64, f64), color: &str) {
        let _ = writeln!(
            self.0,
            "<rect x=\"{x}\" y=\"{y:.1}\" width=\"{width:.1}\" height=\"{height}\" fill=\"{color}\"/>"
        );
    }

    /// A line through points.
    pub(super) fn line(&mut self, points: &[Point], color: &str) {
        let points = points.iter().fold(String::new(), |mut text, (x, y)| {
            let _ = write!(text, "{x:.1},{y:.1} ");
            text
        });
        let points = points.trim_end();
        let _ = writeln!(
            self.0,
            "<polyline points=\"{points}\" fill=\"none\" stroke=\"{color}\"/>"
        );
    }

    /// A dot.
    pub(super) fn dot(&mut self, (x, y): Point, color: &str) {
        let _ = writeln!(
            self.0,
            "<circle cx=\"{x:.1}\" cy=\"{y:.1}\" r=\"3\" fill=\"{color}\"/>"
        );
    }

    /// A text whose foot is at this height.
    pub(super) fn text(&mut self, (x, y): Point, anchor: Anchor, content: &str) {
        let anchor = match anchor {
            Anchor::Start => "start",
            Anchor::Middle => "middle",
            Anchor::End => "end",
        };
        let content = content.replace('&', "&amp;").replace('<', "&lt;");
        let _ = writeln!(
            self.0,
            "<text x=\"{x:.1}\" y=\"{y:.1}\" text-anchor=\"{anchor}\">{content}</text>"
        );
    }

    /// The document.
    pub(super) fn finish(self) -> String {
        self.0 + "</svg>\n"
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_drawing_is_one_element_in_which_texts_are_escaped() {
        let mut svg = Svg::new(10.0, 20.0);
        svg.line(&[(1.0, 2.0), (3.0, 4.0)], "black");
        svg.text((1.0, 2.0), Anchor::End, "a < b & c");
        let text = svg.finish();
        assert!(text.starts_with("<svg ") && text.ends_with("</svg>\n"));
        assert!(text.contains("points=\"1.0,2.0 3.0,4.0\""), "{text}");
        assert!(text.contains(">a &lt; b &amp; c<"), "{text}");
    }
}
