use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;

use anyhow::Context as _;
use clap::Args;
use kube::Client;
use tokio::signal::unix::{SignalKind, signal};

use crate::build::Settings;
use crate::controller::{self, Scope};
use crate::registry::ecr::{self, Ecr};
use crate::telemetry::{self, LogFormat};

/// Settings of `run`: flag, environment, default and meaning of each.
#[derive(Debug, Args)]
pub(super) struct Run {
    /// Namespace to watch; all namespaces when absent.
    #[arg(long, env = "WATCH_NAMESPACE")]
    namespace: Option<String>,
    /// Address of /livez, /readyz and /metrics.
    #[arg(long, env = "LISTEN_ADDRESS", default_value = "0.0.0.0:8080")]
    listen_address: SocketAddr,
    /// Form of the log lines.
    #[arg(long, env = "LOG_FORMAT", value_enum, default_value = "json")]
    log_format: LogFormat,
    /// Environment variable of every post-service pod, such as COGNITO_JWKS_URL; may be repeated.
    #[arg(long = "service-env", value_name = "NAME=VALUE", value_parser = parse_pair)]
    service_env: Vec<(String, String)>,
}

fn parse_pair(text: &str) -> Result<(String, String), String> {
    text.split_once('=')
        .filter(|(name, _)| !name.is_empty())
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .ok_or_else(|| format!("{text:?} is not NAME=VALUE"))
}

pub(super) async fn run(arguments: Run) -> anyhow::Result<()> {
    telemetry::logs(arguments.log_format);
    let handle = telemetry::metrics()?;
    let address = arguments.listen_address;
    tokio::spawn(async move {
        if let Err(error) = telemetry::serve(address, handle).await {
            tracing::error!(%error, %address, "cannot serve health and metrics");
            std::process::exit(1);
        }
    });
    let client = Client::try_default()
        .await
        .context("no access to a Kubernetes API: run inside a cluster, or set KUBECONFIG")?;
    let scope = arguments.namespace.map_or(Scope::Cluster, Scope::Namespace);
    let settings = Settings {
        service_env: arguments
            .service_env
            .into_iter()
            .collect::<BTreeMap<_, _>>(),
        ..Settings::default()
    };
    tracing::info!(
        ?scope,
        version = env!("CARGO_PKG_VERSION"),
        "post-operator started"
    );
    let registry = Arc::new(Ecr::new(ecr::config().await));
    controller::run(client, scope, registry, settings, shutdown()?).await;
    tracing::info!("post-operator ended");
    Ok(())
}

/// Ends at SIGTERM or SIGINT.
fn shutdown() -> anyhow::Result<impl Future<Output = ()> + Send + Sync + 'static> {
    let (ended, waiting) = tokio::sync::watch::channel(());
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    tokio::spawn(async move {
        tokio::select! { _ = terminate.recv() => {}, _ = interrupt.recv() => {} }
        drop(ended);
    });
    Ok(async move {
        let mut waiting = waiting;
        // Only the sender's end is awaited: nothing is ever sent.
        let _ = waiting.changed().await;
    })
}
