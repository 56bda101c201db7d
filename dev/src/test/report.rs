//! What a run of cargo's tests said, line by line: counts, and a table by module and database.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;

use super::Outcome;

/// Begins a line of a test that lacks what it needs.
const SKIPPED: &str = "skipped: ";

/// Tests of these names' endings run on a database of that kind.
const DATABASES: [&str; 3] = ["sqlite", "mysql", "mariadb"];

/// What is known so far.
#[derive(Debug, Default)]
pub(super) struct Report {
    /// Counts of all test programs.
    counts: Outcome,
    /// Tests by name, and whether they passed.
    tests: BTreeMap<String, bool>,
    /// Lines that begin with `skipped: `, without that.
    skipped: Vec<String>,
    /// What threads panicked with, each in one line.
    panics: Vec<String>,
    /// The last of them goes on in the next line.
    panicking: bool,
}

/// Characters of a panic that are told at the end.
const PANIC: usize = 600;

impl Report {
    /// Takes a line of standard output or standard error.
    pub(super) fn read(&mut self, line: &str) {
        self.read_panic(line);
        if let Some(what) = line.strip_prefix(SKIPPED) {
            self.skipped.push(what.trim_end().to_owned());
        } else if let Some((_, result)) = line.split_once("test result: ") {
            self.count(result);
        } else if let Some((name, passed)) = parse_test(line) {
            self.tests.insert(name.to_owned(), passed);
        }
    }

    /// Takes the lines from `thread 'NAME' (7) panicked at FILE:` to the backtrace.
    fn read_panic(&mut self, line: &str) {
        if let Some((thread, place)) = line.split_once(" panicked at ")
            && let Some(thread) = thread.strip_prefix("thread '")
        {
            let name = thread.split('\'').next().unwrap_or_default();
            self.panics.push(format!("{name}: {place}"));
            self.panicking = true;
        } else if line.is_empty()
            || line.starts_with("stack backtrace:")
            || line.starts_with("note: ")
        {
            self.panicking = false;
        } else if self.panicking
            && let Some(panic) = self.panics.last_mut()
        {
            panic.push(' ');
            panic.push_str(line.trim());
        }
    }

    /// Why each failed test failed, a line each.
    pub(super) fn failures(&self) -> Vec<String> {
        let failed = self.tests.iter().filter(|(_, passed)| !**passed);
        let reason = |name: &String| {
            let panicked = |panic: &&String| {
                panic
                    .strip_prefix(name.as_str())
                    .is_some_and(|rest| rest.starts_with(": "))
            };
            let panic = self.panics.iter().find(panicked);
            panic.map_or_else(|| name.clone(), |panic| panic.chars().take(PANIC).collect())
        };
        failed.map(|(name, _)| reason(name)).collect()
    }

    /// Adds what a result such as `ok. 3 passed; 0 failed; 1 ignored; …` says.
    fn count(&mut self, result: &str) {
        for part in result.split([';', '.']) {
            let mut words = part.split_whitespace();
            let (Some(Ok(number)), Some(what)) =
                (words.next().map(str::parse::<u32>), words.next())
            else {
                continue;
            };
            match what {
                "passed" => self.counts.passed += number,
                "failed" => self.counts.failed += number,
                "ignored" => self.counts.ignored += number,
                _ => {}
            }
        }
    }

    /// The counts. A test that skipped itself looks passed to cargo; here it is not.
    pub(super) fn outcome(&self) -> Outcome {
        let skipped = u32::try_from(self.skipping().len()).unwrap_or(u32::MAX);
        Outcome {
            passed: self.counts.passed.saturating_sub(skipped),
            skipped_tests: skipped,
            ..self.counts.clone()
        }
    }

    /// What skipped itself. A line names its test, then the reason; one test may say several lines.
    fn skipping(&self) -> BTreeSet<&str> {
        let name = |line: &'_ str| {
            line.split_once(": ")
                .map_or(line.len(), |(name, _)| name.len())
        };
        self.skipped
            .iter()
            .map(|line| &line[..name(line)])
            .collect()
    }

    /// How many tests of each module passed, by database, and the lines of those skipped.
    pub(super) fn table(&self) -> String {
        let skipping = self.skipping();
        let mut rows: BTreeMap<&str, Row> = BTreeMap::new();
        let mut total = Row::default();
        for (name, passed) in &self.tests {
            let cell = Cell {
                passed: u32::from(*passed && !skipping.contains(name.as_str())),
                failed: u32::from(!passed),
            };
            let column = column(name);
            rows.entry(module(name)).or_default().add(column, cell);
            total.add(column, cell);
        }
        let mut text = format!("\n{:<16}", "passed");
        for title in DATABASES.iter().chain(&["other"]) {
            let _ = write!(text, "{title:>14}");
        }
        text.push('\n');
        for (name, row) in rows.into_iter().chain([("total", total)]) {
            let _ = writeln!(text, "{name:<16}{row}");
        }
        for line in &self.skipped {
            let _ = writeln!(text, "{SKIPPED}{line}");
        }
        text
    }
}

/// The name and whether it passed, of a line such as `test posts::paging::on_mysql ... ok`.
fn parse_test(line: &str) -> Option<(&str, bool)> {
    let (name, result) = line.strip_prefix("test ")?.split_once(" ... ")?;
    let name = name.trim_end_matches(" - should panic");
    match result.split_whitespace().next()? {
        "ok" => Some((name, true)),
        "FAILED" => Some((name, false)),
        _ => None,
    }
}

fn module(name: &str) -> &str {
    name.split_once("::").map_or("(top)", |(module, _)| module)
}

/// The database's place in [`DATABASES`]; the place behind them for any other test.
fn column(name: &str) -> usize {
    let is_on = |database: &&str| {
        name.strip_suffix(database)
            .is_some_and(|rest| rest.ends_with("::on_") || rest.ends_with("_on_"))
    };
    DATABASES.iter().position(is_on).unwrap_or(DATABASES.len())
}

#[derive(Debug, Default, Clone, Copy)]
struct Cell {
    passed: u32,
    failed: u32,
}

#[derive(Debug, Default)]
struct Row([Cell; DATABASES.len() + 1]);

impl Row {
    fn add(&mut self, column: usize, cell: Cell) {
        self.0[column].passed += cell.passed;
        self.0[column].failed += cell.failed;
    }
}

impl std::fmt::Display for Row {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        for Cell { passed, failed } in self.0 {
            let text = match (passed, failed) {
                (0, 0) => "-".to_owned(),
                (_, 0) => passed.to_string(),
                _ => format!("{passed} ({failed} bad)"),
            };
            write!(f, "{text:>14}")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Report {
        let mut report = Report::default();
        text.lines().for_each(|line| report.read(line));
        report
    }

    #[test]
    fn results_of_several_test_programs_add_up() {
        let report = read(
            "test result: ok. 12 passed; 0 failed; 1 ignored; 0 measured; 0 filtered out; finished in 0.01s\n\
             test result: FAILED. 3 passed; 2 failed; 0 ignored; 0 measured; 7 filtered out; finished in 1.20s\n\
             running 4 tests\n",
        );
        let expected = Outcome {
            passed: 15,
            failed: 2,
            ignored: 1,
            ..Outcome::default()
        };
        assert_eq!(report.outcome(), expected);
    }

    #[test]
    fn a_test_that_skips_itself_has_not_passed() {
        let report = read(
            "skipped: posts::paging::on_mariadb: TEST_MARIADB_URL is not set\n\
             skipped: pages::docs: TEST_CHROMIUM is not set\n\
             skipped: pages::docs: TEST_CHROMEDRIVER is not set\n\
             test posts::paging::on_mariadb ... ok\n\
             test posts::paging::on_mysql ... ok\n\
             test pages::docs ... ok\n\
             test result: ok. 3 passed; 0 failed; 0 ignored; 0 measured; 0 filtered out; finished in 0.01s\n",
        );
        let outcome = report.outcome();
        assert_eq!((outcome.passed, outcome.skipped_tests), (1, 2));
        let table = report.table();
        assert!(
            table.contains("skipped: pages::docs: TEST_CHROMIUM is not set\n"),
            "{table}"
        );
        assert_eq!(words(&table, "total"), ["total", "-", "1", "-", "-"]);
    }

    #[test]
    fn why_a_test_failed_is_told_in_a_line() {
        let report = read(
            "test a::b ... FAILED\n\
             test a::c ... FAILED\n\
             test a::d ... ok\n\
             thread 'a::d' (7) panicked at tests/a.rs:1:2:\n\
             as it should\n\
             \n\
             thread 'a::b' (8) panicked at tests/a.rs:3:4:\n\
             assertion `left == right` failed: text\n  left: 1\n right: 2\n\
             stack backtrace:\n   0: something\n",
        );
        assert_eq!(
            report.failures(),
            [
                "a::b: tests/a.rs:3:4: assertion `left == right` failed: text left: 1 right: 2",
                "a::c"
            ]
        );
    }

    #[test]
    fn the_table_is_by_module_and_database() {
        let report = read(
            "test posts::paging::on_sqlite ... ok\n\
             test posts::paging::on_mysql ... ok\n\
             test posts::search::on_mysql ... FAILED\n\
             test outage::a_long_one_on_mysql ... ok\n\
             test likes::once::on_mariadb ... ok\n\
             test binary::is_upon_mysql ... ok\n\
             test tokens::expired - should panic ... ok\n\
             test tokens::slow ... ignored, takes a minute\n\
             test alone ... ok\n\
             test result: nothing\n",
        );
        let table = report.table();
        assert_eq!(
            words(&table, "passed"),
            ["passed", "sqlite", "mysql", "mariadb", "other"]
        );
        assert_eq!(
            words(&table, "posts"),
            ["posts", "1", "1", "(1", "bad)", "-", "-"]
        );
        assert_eq!(words(&table, "outage"), ["outage", "-", "1", "-", "-"]);
        assert_eq!(words(&table, "likes"), ["likes", "-", "-", "1", "-"]);
        assert_eq!(words(&table, "binary"), ["binary", "-", "-", "-", "1"]);
        assert_eq!(words(&table, "tokens"), ["tokens", "-", "-", "-", "1"]);
        assert_eq!(words(&table, "(top)"), ["(top)", "-", "-", "-", "1"]);
        assert_eq!(
            words(&table, "total"),
            ["total", "1", "2", "(1", "bad)", "1", "3"]
        );
    }

    fn words<'t>(table: &'t str, row: &str) -> Vec<&'t str> {
        let line = table.lines().find(|line| line.starts_with(row));
        line.unwrap_or_default().split_whitespace().collect()
    }
}
