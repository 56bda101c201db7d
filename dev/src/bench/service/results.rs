//! What a run found: printed as it is measured, and written as Markdown, CSV and SVG.

use std::cell::RefCell;
use std::fmt::Write as _;
use std::path::PathBuf;

use anyhow::Result;

use super::kinds::Kind;
use super::limits::{Limit, Measure};
use super::overload::{self, Overload};
use super::plot;
use super::wrk::Sample;
use crate::bench::report::table;
use crate::paths;
use crate::progress::Progress;

const HEADER: [&str; 15] = [
    "request",
    "conn.",
    "req/s",
    "ceiling",
    "ratio",
    "p50 ms",
    "p99 ms",
    "p99.9 ms",
    "errors",
    "SQL/req",
    "rows/req",
    "CPU s/10k",
    "RSS MiB",
    "limit",
    "met",
];

/// One kind of request on so many connections.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Row {
    pub(super) kind: Kind,
    pub(super) connections: u32,
    pub(super) service: Sample,
    pub(super) ceiling: Sample,
    /// Statements of SQL, and rows read by the database, for each request.
    pub(super) statements: f64,
    pub(super) rows: f64,
    /// Seconds of the service's processor time for ten thousand requests.
    pub(super) processor: f64,
    /// Resident memory of the service afterwards, in MiB.
    pub(super) resident: f64,
    pub(super) limits: Vec<Limit>,
}

impl Row {
    /// The service's rate over the ceiling's.
    pub(super) fn ratio(&self) -> f64 {
        self.service.rate() / self.ceiling.rate()
    }

    fn value(&self, measure: Measure) -> f64 {
        match measure {
            Measure::Rate => self.service.rate(),
            Measure::Ratio => self.ratio(),
            Measure::P99 => self.service.p99,
            Measure::Processor => self.processor,
            Measure::Resident => self.resident,
        }
    }

    /// Fast errors keep no promise.
    fn met(&self) -> String {
        if self.limits.is_empty() {
            return String::new();
        }
        let broken = self.limits.iter();
        let broken = broken.filter(|limit| !limit.is_met(self.value(limit.measure)));
        let broken: Vec<String> = broken.map(ToString::to_string).collect();
        if self.service.errors > 0.0 {
            "NO: errors".to_owned()
        } else if broken.is_empty() {
            "yes".to_owned()
        } else if broken.len() == self.limits.len() {
            "NO".to_owned()
        } else {
            format!("NO: {}", broken.join(", "))
        }
    }

    fn limit(&self) -> String {
        let limits: Vec<String> = self.limits.iter().map(ToString::to_string).collect();
        limits.join(", ")
    }

    fn cells(&self) -> Vec<String> {
        let Sample {
            p50,
            p99,
            p999,
            errors,
            ..
        } = self.service;
        vec![
            self.kind.title().to_owned(),
            self.connections.to_string(),
            short(self.service.rate()),
            short(self.ceiling.rate()),
            short(self.ratio()),
            short(p50),
            short(p99),
            short(p999),
            format!("{errors:.0}"),
            short(self.statements),
            short(self.rows),
            short(self.processor),
            format!("{:.1}", self.resident),
            self.limit(),
            self.met(),
        ]
    }

    fn csv(&self) -> String {
        let service = self.service;
        let numbers = [
            service.rate(),
            self.ceiling.rate(),
            self.ratio(),
            service.p50,
            service.p99,
            service.p999,
            self.ceiling.p50,
            self.ceiling.p99,
            self.ceiling.p999,
            service.errors,
            self.ceiling.errors,
            self.statements,
            self.rows,
            self.processor,
            self.resident,
        ];
        let text = |number: f64| {
            if number.is_nan() {
                String::new()
            } else {
                format!("{number:.3}")
            }
        };
        let numbers = numbers.map(text);
        format!(
            "{},{},{},\"{}\",\"{}\"\n",
            self.kind.name(),
            self.connections,
            numbers.join(","),
            self.limit(),
            self.met()
        )
    }
}

/// Three digits or so; more would be noise. Nothing where nothing was counted.
fn short(number: f64) -> String {
    match number.abs() {
        nothing if nothing.is_nan() => String::new(),
        // The ceiling answered nothing in time.
        endless if endless.is_infinite() => "∞".to_owned(),
        large if large >= 100.0 => format!("{number:.0}"),
        middle if middle >= 10.0 => format!("{number:.1}"),
        _ => format!("{number:.2}"),
    }
}

/// Writes down what a run finds, at once: also an interrupted run leaves its figures.
#[derive(Debug)]
pub(super) struct Results<'a> {
    progress: &'a Progress,
    folder: PathBuf,
    /// What the files are called.
    stem: String,
    facts: RefCell<Vec<(&'static str, String)>>,
    rows: RefCell<Vec<Row>>,
    overloads: RefCell<Vec<Overload>>,
}

impl<'a> Results<'a> {
    pub(super) fn new(
        progress: &'a Progress,
        folder: PathBuf,
        stem: String,
        facts: Vec<(&'static str, String)>,
    ) -> Self {
        Self {
            progress,
            folder,
            stem,
            facts: RefCell::new(facts),
            rows: RefCell::default(),
            overloads: RefCell::default(),
        }
    }

    /// Where they are written, without the ending.
    pub(super) fn place(&self) -> String {
        self.folder.join(&self.stem).display().to_string()
    }

    /// Adds a fact about the run.
    pub(super) fn fact(&self, name: &'static str, value: String) -> Result<()> {
        self.progress.line(&format!("    {name}: {value}"));
        self.facts.borrow_mut().push((name, value));
        self.write()
    }

    /// Adds a measurement.
    pub(super) fn add(&self, row: Row) -> Result<()> {
        let Sample {
            p50, p99, errors, ..
        } = row.service;
        let line = format!(
            "    {} on {}: {}/s, ceiling {}/s, p50 {} ms, p99 {} ms, {errors} errors {}",
            row.kind.title(),
            row.connections,
            short(row.service.rate()),
            short(row.ceiling.rate()),
            short(p50),
            short(p99),
            row.met(),
        );
        self.progress.line(line.trim_end());
        self.rows.borrow_mut().push(row);
        self.write()
    }

    /// Adds what came of too many requests.
    pub(super) fn overload(&self, overload: Overload) -> Result<()> {
        self.progress.line(&format!("    {overload}"));
        self.overloads.borrow_mut().push(overload);
        self.write()
    }

    /// Markdown that also reads well on a terminal.
    pub(super) fn markdown(&self) -> String {
        let mut text = String::new();
        let rows: Vec<_> = self.rows.borrow().iter().map(Row::cells).collect();
        let overloads = self.overloads.borrow();
        let overloads: Vec<_> = overloads.iter().map(Overload::cells).collect();
        for (header, cells) in [(&HEADER[..], rows), (&overload::HEADER[..], overloads)] {
            if !cells.is_empty() {
                let header = header.iter().map(ToString::to_string).collect();
                let lines: Vec<_> = std::iter::once(header).chain(cells).collect();
                text.push_str(&table(&lines));
                text.push('\n');
            }
        }
        for (name, value) in self.facts.borrow().iter() {
            let _ = writeln!(text, "- {name}: {value}");
        }
        text
    }

    fn write(&self) -> Result<()> {
        let file = |ending: &str| self.folder.join(format!("{}{ending}", self.stem));
        paths::write(&file(".md"), self.markdown())?;
        let rows = self.rows.borrow();
        let header = "request,connections,rate,ceiling,ratio,p50_ms,p99_ms,p999_ms,ceiling_p50_ms,\
            ceiling_p99_ms,ceiling_p999_ms,errors,ceiling_errors,statements,rows_read,cpu_s_10k,\
            resident_mib,limit,met\n";
        let lines = rows.iter().map(Row::csv);
        let csv: String = std::iter::once(header.to_owned()).chain(lines).collect();
        paths::write(&file(".csv"), csv)?;
        let mut numbers: Vec<u32> = rows.iter().map(|row| row.connections).collect();
        numbers.sort_unstable();
        numbers.dedup();
        for connections in numbers {
            let rows: Vec<&Row> = rows
                .iter()
                .filter(|row| row.connections == connections)
                .collect();
            let plot = plot::rates(&self.stem, connections, &rows);
            paths::write(&file(&format!("-{connections}.svg")), plot)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample(requests: f64, errors: f64) -> Sample {
        Sample {
            requests,
            seconds: 1.0,
            p50: 1.0,
            p99: 2.0,
            p999: 3.0,
            errors,
        }
    }

    fn row(rate: f64, errors: f64, limits: &[(Measure, f64)]) -> Row {
        let limits = limits.iter();
        Row {
            kind: Kind::List,
            connections: 16,
            service: sample(rate, errors),
            ceiling: sample(100.0, 0.0),
            statements: 2.0,
            rows: 22.0,
            processor: 0.5,
            resident: 20.0,
            limits: limits
                .map(|(measure, bound)| Limit {
                    measure: *measure,
                    bound: *bound,
                })
                .collect(),
        }
    }

    #[test]
    fn a_row_says_which_of_its_limits_it_breaks() {
        let limits = [(Measure::Rate, 150.0), (Measure::Ratio, 3.0)];
        assert_eq!(row(300.0, 0.0, &limits).met(), "yes");
        assert_eq!(row(200.0, 0.0, &limits).met(), "NO: ≥ 3.0 ×");
        assert_eq!(row(100.0, 0.0, &limits).met(), "NO");
        assert_eq!(row(300.0, 1.0, &limits).met(), "NO: errors");
        assert_eq!(row(1.0, 0.0, &[]).met(), "");
    }

    #[test]
    fn every_measurement_is_in_every_file() {
        let folder = tempfile::tempdir().unwrap();
        let progress = Progress::new();
        let results = Results::new(&progress, folder.path().into(), "x".into(), vec![]);
        results.add(row(200.0, 0.0, &[])).unwrap();
        results.fact("start", "1 ms".into()).unwrap();
        let read = |name| std::fs::read_to_string(folder.path().join(name)).unwrap();
        assert!(read("x.md").contains("- start: 1 ms"));
        let csv = read("x.csv");
        let columns = |line: &str| line.split(',').count();
        assert!(csv.lines().all(|line| columns(line) == 19), "{csv}");
        assert!(read("x-16.svg").contains("list, first page"));
    }
}
