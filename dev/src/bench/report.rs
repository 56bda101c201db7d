//! Figures and their limits: printed as they are measured, and as tables, Markdown and CSV.

use std::cell::RefCell;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use anyhow::Result;

use super::plot::{self, Series};
use crate::paths;
use crate::progress::Progress;

/// One measured figure.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Figure {
    /// What was measured.
    pub(super) what: String,
    /// Number of stopped `PostService`s, where it is a figure of growth.
    pub(super) level: Option<usize>,
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

    fn title(&self) -> String {
        match self.level {
            Some(level) => format!("{level} stopped: {}", self.what),
            None => self.what.clone(),
        }
    }

    fn measured(&self) -> String {
        match self.value {
            Some(value) => format!("{value:.1} {}", self.unit),
            None => "not measured".into(),
        }
    }

    fn cells(&self) -> Vec<String> {
        let limit = |limit: f64| format!("≤ {limit:.1} {}", self.unit);
        let limit = self.limit.map(limit).unwrap_or_default();
        vec![self.title(), self.measured(), limit, self.met().into()]
    }
}

/// Everything that one run found until now.
#[derive(Debug, Clone, Default, PartialEq)]
struct Found {
    facts: Vec<(&'static str, String)>,
    figures: Vec<Figure>,
}

/// Writes down what a run finds, at once: also an interrupted run leaves its figures.
#[derive(Debug)]
pub(super) struct Report<'a> {
    progress: &'a Progress,
    folder: PathBuf,
    found: RefCell<Found>,
}

impl<'a> Report<'a> {
    /// A report with `facts` about machine and versions, written to `operator.md`,
    /// `operator.csv` and `operator.svg` in `folder`.
    pub(super) fn new(
        progress: &'a Progress,
        folder: PathBuf,
        facts: Vec<(&'static str, String)>,
    ) -> Self {
        let figures = vec![];
        Self {
            progress,
            folder,
            found: RefCell::new(Found { facts, figures }),
        }
    }

    /// Where it is written.
    pub(super) fn folder(&self) -> &Path {
        &self.folder
    }

    /// Adds a figure.
    pub(super) fn add(
        &self,
        what: impl Into<String>,
        value: Option<f64>,
        unit: &'static str,
        limit: Option<f64>,
    ) -> Result<()> {
        self.push(Figure {
            what: what.into(),
            level: None,
            value,
            unit,
            limit,
        })
    }

    /// Adds what was measured with `level` stopped `PostService`s.
    pub(super) fn add_at(
        &self,
        level: usize,
        what: &str,
        (value, unit): (Option<f64>, &'static str),
        limit: Option<f64>,
    ) -> Result<()> {
        self.push(Figure {
            what: what.into(),
            level: Some(level),
            value,
            unit,
            limit,
        })
    }

    fn push(&self, figure: Figure) -> Result<()> {
        let [title, measured, limit, met] = &figure.cells()[..] else {
            return Ok(());
        };
        let line = format!("    {title}: {measured} {limit} {met}");
        self.progress.line(line.trim_end());
        let mut found = self.found.borrow_mut();
        found.figures.push(figure);
        let file = self.folder.join("operator");
        paths::write(&file.with_extension("md"), found.markdown())?;
        paths::write(&file.with_extension("csv"), found.csv())?;
        let series = found.series();
        if series.is_empty() {
            return Ok(());
        }
        let plot = plot::growth("stopped PostServices", &series);
        paths::write(&file.with_extension("svg"), plot)
    }

    /// Markdown that also reads well on a terminal.
    pub(super) fn markdown(&self) -> String {
        self.found.borrow().markdown()
    }
}

impl Found {
    fn markdown(&self) -> String {
        let header = ["figure", "measured", "limit", "met"].map(str::to_owned);
        let singular = |figure: &&Figure| figure.level.is_none() || figure.limit.is_some();
        let rows = self.figures.iter().filter(singular).map(Figure::cells);
        let rows: Vec<_> = std::iter::once(header.to_vec()).chain(rows).collect();
        let mut text = table(&rows);
        let growth = self.growth();
        if growth.len() > 1 {
            text.push('\n');
            text.push_str(&table(&growth));
        }
        text.push('\n');
        for (name, value) in &self.facts {
            let _ = writeln!(text, "- {name}: {value}");
        }
        text
    }

    /// Kinds of figures that were measured with several numbers of `PostService`s, and these numbers.
    fn levels(&self) -> (Vec<&str>, Vec<usize>) {
        let mut levels: Vec<usize> = self.figures.iter().filter_map(|f| f.level).collect();
        levels.sort_unstable();
        levels.dedup();
        let mut kinds: Vec<&str> = Vec::new();
        for figure in self.figures.iter().filter(|f| f.level.is_some()) {
            if !kinds.contains(&figure.what.as_str()) {
                kinds.push(&figure.what);
            }
        }
        (kinds, levels)
    }

    fn figure(&self, what: &str, level: usize) -> Option<&Figure> {
        let mut figures = self.figures.iter();
        figures.find(|f| f.level == Some(level) && f.what == what)
    }

    /// What there is to plot.
    fn series(&self) -> Vec<Series> {
        let (kinds, levels) = self.levels();
        let series = kinds.into_iter().filter_map(|kind| {
            let figures = levels.iter().filter_map(|level| self.figure(kind, *level));
            let unit = figures.clone().next()?.unit;
            Some(Series {
                title: format!("{kind}, {unit}"),
                points: figures.filter_map(|f| f.level.zip(f.value)).collect(),
            })
        });
        series.collect()
    }

    /// A row for each kind of figure, a column for each number of `PostService`s.
    fn growth(&self) -> Vec<Vec<String>> {
        let (kinds, levels) = self.levels();
        let header = levels.iter().map(usize::to_string);
        let mut rows = vec![
            std::iter::once("stopped PostServices".to_owned())
                .chain(header)
                .collect(),
        ];
        for kind in kinds {
            let cell = |level: &usize| {
                let found = self.figure(kind, *level);
                found.map_or(String::new(), Figure::measured)
            };
            let cells = levels.iter().map(cell);
            rows.push(std::iter::once(kind.to_owned()).chain(cells).collect());
        }
        rows
    }

    /// One line a figure.
    fn csv(&self) -> String {
        let mut text = String::from("figure,value,unit,limit,met\n");
        for figure in &self.figures {
            let number = |value: Option<f64>| value.map_or(String::new(), |v| v.to_string());
            let what = figure.title().replace('"', "\"\"");
            let (value, limit) = (number(figure.value), number(figure.limit));
            let (unit, met) = (figure.unit, figure.met());
            let _ = writeln!(text, "\"{what}\",{value},{unit},{limit},{met}");
        }
        text
    }
}

/// A Markdown table with aligned columns; the first row is its header.
pub(super) fn table(rows: &[Vec<String>]) -> String {
    let columns = rows.first().map_or(0, Vec::len);
    let width = |column: usize| {
        let cells = rows.iter().filter_map(|row| row.get(column));
        cells.map(|cell| cell.chars().count()).max().unwrap_or(0)
    };
    let widths: Vec<usize> = (0..columns).map(width).collect();
    let mut text = String::new();
    for (number, row) in rows.iter().enumerate() {
        for (cell, width) in row.iter().zip(&widths) {
            let _ = write!(text, "| {cell:<width$} ");
        }
        text.push_str("|\n");
        if number == 0 {
            for width in &widths {
                let _ = write!(text, "|{}", "-".repeat(width + 2));
            }
            text.push_str("|\n");
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn figure(what: &str, level: Option<usize>, value: Option<f64>, limit: Option<f64>) -> Figure {
        Figure {
            what: what.into(),
            level,
            value,
            unit: "s",
            limit,
        }
    }

    fn found(figures: Vec<Figure>) -> Found {
        Found {
            facts: vec![],
            figures,
        }
    }

    fn widths(text: &str) -> Vec<usize> {
        let lines = text.lines().take_while(|line| line.starts_with('|'));
        lines.map(|line| line.chars().count()).collect()
    }

    #[test]
    fn a_figure_above_its_limit_or_missing_is_not_met() {
        let found = found(vec![
            figure("good", None, Some(1.0), Some(1.0)),
            figure("bad, \"very\"", None, Some(2.0), Some(1.0)),
            figure("missing", None, None, Some(1.0)),
            figure("free", None, Some(3.0), None),
        ]);
        let met: Vec<_> = found.figures.iter().map(Figure::met).collect();
        assert_eq!(met, ["yes", "NO", "NO", ""]);
        assert!(found.csv().contains("\"bad, \"\"very\"\"\",2,s,1,NO\n"));
        let markdown = found.markdown();
        assert!(markdown.contains("not measured"), "{markdown}");
        let widths = widths(&markdown);
        assert_eq!(widths.len(), 6, "{markdown}");
        assert!(widths.windows(2).all(|pair| pair[0] == pair[1]));
    }

    #[test]
    fn what_grows_is_plotted_where_it_was_measured() {
        let found = found(vec![
            figure("memory", Some(10), Some(2.0), None),
            figure("memory", Some(1), Some(1.0), None),
            figure("memory", Some(100), None, None),
            figure("size", None, Some(3.0), None),
        ]);
        let expected = Series {
            title: "memory, s".to_owned(),
            points: vec![(1, 1.0), (10, 2.0)],
        };
        assert_eq!(found.series(), [expected]);
    }

    #[test]
    fn growth_has_a_column_for_each_level_and_limits_stay_in_the_first_table() {
        let found = found(vec![
            figure("memory", Some(10), Some(2.0), None),
            figure("memory", Some(1), Some(1.0), None),
            figure("time", Some(10), Some(3.0), Some(4.0)),
        ]);
        let expected = [
            ["stopped PostServices", "1", "10"],
            ["memory", "1.0 s", "2.0 s"],
            ["time", "", "3.0 s"],
        ];
        assert_eq!(found.growth(), expected);
        let markdown = found.markdown();
        assert!(
            markdown.contains("| 10 stopped: time | 3.0 s    | ≤ 4.0 s | yes |"),
            "{markdown}"
        );
        assert!(!markdown.contains("10 stopped: memory"), "{markdown}");
    }
}
