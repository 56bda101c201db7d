//! Standard output, and what the shell is told.

use std::io::Write as _;
use std::process::ExitCode;

use clap::ValueEnum;
use serde::Serialize;

/// Form of the answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default, ValueEnum)]
pub(super) enum Output {
    /// For people.
    #[default]
    Text,
    /// One object, for programs.
    Json,
}

/// The exit codes of `deploy` and `wait`, for their `--help`.
pub(super) const EXIT_CODES: &str = "\
Exit codes:
  0    ready: pods of the wanted image serve
  1    failed, refused, or the cluster could not be asked: the sentence says why and what to do
  2    undecided: the time was over, or somebody changed spec.image.tag meanwhile
  64   wrong arguments
  130  Ctrl-C: the rollout goes on in the cluster";

/// Wrong arguments (sysexits.h, `EX_USAGE`): 2 has another meaning here.
pub(super) const USAGE: u8 = 64;

/// Writes a text to standard output, with a newline at its end.
pub(super) fn print(text: &str) {
    // A reader that has gone, such as `head`, has read enough.
    let _ = writeln!(std::io::stdout(), "{}", text.trim_end());
}

/// Writes an object to standard output.
pub(super) fn print_json(value: &impl Serialize) -> anyhow::Result<()> {
    print(&serde_json::to_string_pretty(value)?);
    Ok(())
}

/// Writes a sentence about what is in the way to standard error.
pub(super) fn complain(sentence: &impl std::fmt::Display) -> ExitCode {
    let _ = writeln!(std::io::stderr(), "error: {sentence}");
    ExitCode::FAILURE
}

/// Columns as wide as what is in them.
pub(super) fn table(rows: &[Vec<String>]) -> String {
    let columns = rows.iter().map(Vec::len).max().unwrap_or_default();
    let cell = |row: &Vec<String>, column: usize| row.get(column).map_or(0, |c| c.chars().count());
    let width = |column| rows.iter().map(|row| cell(row, column)).max();
    let widths: Vec<usize> = (0..columns).filter_map(width).collect();
    let line = |row: &Vec<String>| {
        let cells = row.iter().zip(&widths);
        let padded: Vec<_> = cells
            .map(|(cell, &width)| format!("{cell:width$}"))
            .collect();
        padded.join("  ").trim_end().to_owned()
    };
    rows.iter().map(line).collect::<Vec<_>>().join("\n")
}

#[cfg(test)]
mod tests {
    use super::table;

    #[test]
    fn columns_are_aligned_and_lines_have_no_trailing_blanks() {
        let row = |cells: &[&str]| cells.iter().map(|cell| (*cell).to_owned()).collect();
        let rows = [
            row(&["TAG", "WHEN"]),
            row(&["1.4.2", ""]),
            row(&["é", "now"]),
        ];
        assert_eq!(table(&rows), "TAG    WHEN\n1.4.2\né      now");
    }
}
