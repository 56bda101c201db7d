//! The `post-service` of a commit that must not be released, for the test of the pipeline: it has
//! nothing to migrate, and ends as soon as it shall serve.

use std::process::ExitCode;

fn main() -> ExitCode {
    if std::env::args().nth(1).as_deref() == Some("migrate") {
        return ExitCode::SUCCESS;
    }
    eprintln!("this commit cannot start");
    ExitCode::from(3)
}
