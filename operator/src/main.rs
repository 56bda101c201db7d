//! `post-operator`: see `--help`.

use clap::Parser as _;

// One thread is enough for what waits on the network, and keeps the memory of others.
#[tokio::main(flavor = "current_thread")]
async fn main() -> anyhow::Result<()> {
    post_operator::cli::Cli::parse().run().await
}
