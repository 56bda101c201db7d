//! `cargo dev bench`: speed and size, measured on real servers and compared with what is promised.

mod histogram;
mod operator;
mod report;
mod statistics;

use std::process::ExitCode;

use anyhow::Result;
use clap::Subcommand;

use crate::backends;
use crate::cli::interrupted;
use crate::paths::Paths;
use crate::progress::Progress;

/// What to measure.
#[derive(Debug, clap::Args)]
pub struct Arguments {
    #[command(subcommand)]
    subject: Subject,
}

#[derive(Debug, Subcommand)]
enum Subject {
    /// The operator: time, memory, processor time and requests with up to 1000 PostServices.
    ///
    /// Starts an API server with etcd, MySQL and an ECR stand-in on free ports of 127.0.0.1, and
    /// the operator as a process of its own; the part of the built-in controllers (Jobs and
    /// Deployments) is played. Nothing of it stays behind. Takes about six minutes, besides the
    /// release build of the operator. Other load on the machine shows in the figures.
    Operator(operator::Arguments),
}

/// Measures; exits with 0 also where a figure is above its limit: the table says so.
pub async fn run(paths: &Paths, arguments: &Arguments) -> Result<ExitCode> {
    let progress = Progress::new();
    backends::sweep(paths).await?;
    let measured = async {
        match &arguments.subject {
            Subject::Operator(arguments) => operator::run(paths, &progress, arguments).await,
        }
    };
    let result = tokio::select! {
        result = measured => Some(result),
        () = interrupted() => None,
    };
    // Whatever happened, nothing of it stays behind.
    backends::clean(paths).await?;
    let Some(result) = result else {
        progress.line("interrupted; everything that was started has ended");
        return Ok(ExitCode::from(130));
    };
    result.map(|()| ExitCode::SUCCESS)
}
