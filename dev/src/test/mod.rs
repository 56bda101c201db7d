//! `cargo dev test`.
use std::process::ExitCode;

use anyhow::Result;

use crate::paths::Paths;

/// x
#[derive(Debug, clap::Args)]
pub struct Arguments {}

/// x
pub async fn run(_paths: &Paths, _arguments: &Arguments) -> Result<ExitCode> {
    Ok(ExitCode::SUCCESS)
}
