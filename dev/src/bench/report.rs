//! Figures and their limits: as a table, as Markdown and as CSV.

use std::fmt::Write as _;
use std::path::Path;

use anyhow::Result;

use crate::paths;

/// One measured figure.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Figure {
    /// What was measured.
    pub(super) what: String,
    /// Its value; none where nothing could be measured.
    pub(super) value: Option<f64>,
    /// Unit of value and limit.
    pub(super) unit: &'static str,
    /// The promised upper limit, where there is one.
    pub(super) limit: Option<f64>,
}

impl Figure {
    /// `yes`, `NO`, or nothing where nothing is promised.
    fn met(&self) -> &'static str {
        match (self.value, self.limit) {
            (_, None) => "",
            (Some(value), Some(limit)) if value <= limit => "yes",
            _ => "NO",
        }
    }

    fn cells(&self) -> [String; 4] {
        let number = |value: Option<f64>| value.map(|value| format!("{value:.1} {}", self.unit));
        [
            self.what.clone(),
            number(self.value).unwrap_or_else(|| "not measured".into()),
            number(self.limit).map_or(String::new(), |limit| format!("≤ {limit}")),
            self.met().into(),
        ]
    }
}

/// Everything that one run found.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct Report {
    /// Machine and versions.
    pub(super) facts: Vec<(&'static str, String)>,
    /// In the order of their measurement.
    pub(super) figures: Vec<Figure>,
}

impl Report {
    /// Adds a figure.
    pub(super) fn add(
        &mut self,
        what: impl Into<String>,
        value: Option<f64>,
        unit: &'static str,
        limit: Option<f64>,
    ) {
        let what = what.into();
        self.figures.push(Figure {
            what,
            value,
            unit,
            limit,
        });
    }

    /// Markdown that also reads well on a terminal.
    pub(super) fn markdown(&self) -> String {
        let header = ["figure", "measured", "limit", "met"].map(str::to_owned);
        let rows: Vec<[String; 4]> = std::iter::once(header)
            .chain(self.figures.iter().map(Figure::cells))
            .collect();
        let width = |column: usize| {
            let cells = rows.iter().map(|row| row[column].chars().count());
            cells.max().unwrap_or(0)
        };
        let widths = [width(0), width(1), width(2), width(3)];
        let mut text = String::new();
        for (number, row) in rows.iter().enumerate() {
            for (cell, width) in row.iter().zip(widths) {
                let _ = write!(text, "| {cell:<width$} ");
            }
            text.push_str("|\n");
            if number == 0 {
                for width in widths {
                    let _ = write!(text, "|{}", "-".repeat(width + 2));
                }
                text.push_str("|\n");
            }
        }
        text.push('\n');
        for (name, value) in &self.facts {
            let _ = writeln!(text, "- {name}: {value}");
        }
        text
    }

    /// One line a figure.
    fn csv(&self) -> String {
        let mut text = String::from("figure,value,unit,limit,met\n");
        for figure in &self.figures {
            let number = |value: Option<f64>| value.map_or(String::new(), |v| v.to_string());
            let what = figure.what.replace('"', "\"\"");
            let (value, limit) = (number(figure.value), number(figure.limit));
            let (unit, met) = (figure.unit, figure.met());
            let _ = writeln!(text, "\"{what}\",{value},{unit},{limit},{met}");
        }
        text
    }

    /// Writes `operator.md` and `operator.csv`.
    pub(super) fn write(&self, folder: &Path) -> Result<()> {
        paths::write(&folder.join("operator.md"), self.markdown())?;
        paths::write(&folder.join("operator.csv"), self.csv())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_figure_above_its_limit_or_missing_is_not_met() {
        let mut report = Report::default();
        report.add("good", Some(1.0), "s", Some(1.0));
        report.add("bad, \"very\"", Some(2.0), "s", Some(1.0));
        report.add("missing", None, "s", Some(1.0));
        report.add("free", Some(3.0), "MiB", None);
        let met: Vec<_> = report.figures.iter().map(Figure::met).collect();
        assert_eq!(met, ["yes", "NO", "NO", ""]);
        assert!(report.csv().contains("\"bad, \"\"very\"\"\",2,s,1,NO\n"));
        let markdown = report.markdown();
        assert!(markdown.contains("not measured"), "{markdown}");
        let lengths: Vec<_> = markdown
            .lines()
            .take(6)
            .map(|l| l.chars().count())
            .collect();
        assert!(
            lengths.windows(2).all(|pair| pair[0] == pair[1]),
            "{markdown}"
        );
    }
}
