use std::time::Duration;

use anyhow::Context as _;
use clap::Args;
use kube::{Client, Config};

/// Settings of `check`.
#[derive(Debug, Args)]
pub(super) struct Check {
    /// Address of an operator's /readyz, without the path.
    #[arg(long, default_value = "http://127.0.0.1:8080")]
    url: http::Uri,
    /// How long to wait for its answer, in seconds.
    #[arg(long, default_value = "10")]
    timeout: u64,
}

/// Succeeds if the operator answers that it is ready.
pub(super) async fn check(arguments: Check) -> anyhow::Result<()> {
    let Check { url, timeout } = arguments;
    // kube's client is the HTTP client that is there already.
    let client = Client::try_from(Config::new(url.clone()))?;
    let request = http::Request::get("/readyz").body(vec![])?;
    let answer = tokio::time::timeout(Duration::from_secs(timeout), client.request_text(request))
        .await
        .with_context(|| format!("{url} did not answer within {timeout} s"))?
        .with_context(|| format!("the operator at {url} is not ready: read its log"))?;
    println!("{answer}");
    Ok(())
}
