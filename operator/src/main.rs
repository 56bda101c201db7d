//! `post-operator`: see `--help`.

use std::process::ExitCode;

use post_operator::cli::Cli;

// One thread is enough for what waits on the network, and keeps the memory of others.
#[tokio::main(flavor = "current_thread")]
async fn main() -> anyhow::Result<ExitCode> {
    match Cli::read() {
        Ok(arguments) => arguments.run().await,
        Err(code) => Ok(code),
    }
}
