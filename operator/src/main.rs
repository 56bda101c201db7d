//! `post-operator`: see `--help`.

use clap::Parser as _;

#[tokio::main(worker_threads = 2)]
async fn main() -> anyhow::Result<()> {
    post_operator::cli::Cli::parse().run().await
}
