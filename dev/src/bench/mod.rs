//! `cargo dev bench`: speed and size, measured on real servers and compared with what is promised.

mod histogram;
mod machine;
mod operator;
mod plot;
mod report;
mod service;
mod statistics;
mod svg;

use std::process::ExitCode;

use anyhow::Result;
use clap::Subcommand;

use crate::backends;
use crate::cli::interrupted;
use crate::paths::Paths;
use crate::programs::cache;
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
    /// The service: speed and cost of each kind of request, beside the least program that could
    /// answer it.
    ///
    /// Fills a database with a board of posts, users and likes that is the same on every machine (kept in the cache
    /// folder for the next run), starts the service's release build on it and drives one kind of
    /// request after the other with wrk, on one, 16 and 256 connections. Then the same requests go
    /// to a program of axum and sqlx that sends one statement each and answers with the posts that
    /// it finds, which are compared with the service's: the ceiling. Everything listens on free
    /// ports of 127.0.0.1; nothing of it stays behind but the board. 100k posts take under ten
    /// minutes besides the release builds. Other load on the machine shows in the figures.
    Service(service::Arguments),
}

/// Measures; exits with 0 also where a figure is above its limit: the table says so.
pub async fn run(paths: &Paths, arguments: &Arguments) -> Result<ExitCode> {
    let progress = Progress::new();
    backends::sweep(paths).await?;
    cache::sweep(paths);
    let measured = async {
        match &arguments.subject {
            Subject::Operator(arguments) => operator::run(paths, &progress, arguments).await,
            Subject::Service(arguments) => service::run(paths, &progress, arguments).await,
        }
    };
    let result = tokio::select! {
        result = measured => Some(result),
        () = interrupted() => None,
    };
    // Whatever happened, nothing of it stays behind.
    backends::clean(paths).await?;
    cache::abandon(paths);
    let Some(result) = result else {
        progress.line("interrupted; everything that was started has ended");
        return Ok(ExitCode::from(130));
    };
    result.map(|()| ExitCode::SUCCESS)
}
