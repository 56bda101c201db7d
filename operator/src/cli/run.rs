use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use clap::Args;
use futures::FutureExt as _;
use kube::client::ClientBuilder;
use kube::{Client, Config};
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::{oneshot, watch};

use super::election::Election;
use crate::build::Settings;
use crate::controller::{self, Role, Scope};
use crate::lease::{Fence, Lease, LeaseError};
use crate::registry::Registries;
use crate::registry::ecr::{self, Ecr};
use crate::registry::oci::Oci;
use crate::telemetry::{self, Health, LogFormat, MeasuredRequests};

/// Passes under way at the end have this long; what they leave undone the next leader does.
const LAST_PASSES: Duration = Duration::from_millis(1500);

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
    /// Queue in Amazon SQS with the events of ECR repositories: a push is known at once.
    #[arg(long, env = "EVENTS_QUEUE_URL")]
    events_queue_url: Option<String>,
    /// Host of a registry that is spoken to without TLS: for tests.
    #[arg(long, env = "PLAIN_HTTP_REGISTRY", hide = true)]
    plain_http_registry: Option<String>,
    #[command(flatten)]
    election: Election,
}

fn parse_pair(text: &str) -> Result<(String, String), String> {
    text.split_once('=')
        .filter(|(name, _)| !name.is_empty())
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .ok_or_else(|| format!("{text:?} is not NAME=VALUE"))
}

pub(super) async fn run(arguments: Run) -> anyhow::Result<()> {
    telemetry::logs(arguments.log_format);
    let health = serve(arguments.listen_address)?;
    let config = Config::infer()
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
    let mut candidacy = Candidacy::new(&config, arguments.election, &health)?;
    let role = candidacy.role();
    let client = ClientBuilder::try_from(config)?
        .with_layer(&role.fence)
        .with_layer(&MeasuredRequests)
        .build();
    let ecr = Ecr::new(ecr::config().await).with_events(arguments.events_queue_url);
    let others = Oci::with_plain_http(arguments.plain_http_registry);
    let registry = Arc::new(Registries::new(ecr, others));
    let shutdown = shutdown()?;
    let controller = controller::run_as(
        role,
        client,
        scope,
        registry,
        settings,
        begun(shutdown.clone()),
    );
    let ended = async {
        tokio::select! {
            () = controller => {}
            () = begun(shutdown).then(|()| tokio::time::sleep(LAST_PASSES)) => {
                tracing::warn!("a pass under way was given up");
            }
        }
    };
    let lost = tokio::select! {
        () = ended => Ok(()),
        lost = candidacy.stand() => Err(lost),
    };
    candidacy.end(lost.is_ok()).await;
    lost?;
    tracing::info!("post-operator ended");
    Ok(())
}

/// Starts to answer probes and scrapes.
fn serve(address: SocketAddr) -> anyhow::Result<Health> {
    let (handle, health) = (telemetry::metrics()?, Health::default());
    let served = health.clone();
    tokio::spawn(async move {
        if let Err(error) = telemetry::serve(address, handle, served).await {
            tracing::error!(%error, %address, "cannot serve health and metrics");
            std::process::exit(1);
        }
    });
    Ok(health)
}

/// This process's part in the election, if there is one.
struct Candidacy {
    lease: Option<Lease>,
    fence: Fence,
    health: Health,
    lead: Option<oneshot::Sender<()>>,
}

impl Candidacy {
    fn new(config: &Config, election: Election, health: &Health) -> anyhow::Result<Self> {
        let settings = election.settings();
        let fence = settings
            .as_ref()
            .map_or_else(Fence::open, |_| Fence::waiting());
        let lease = match settings {
            Some(settings) => {
                // No retries of the client's own: a late attempt must not look like a slow one.
                let mut config = config.clone();
                config.default_retry = false;
                Some(Lease::new(
                    Client::try_from(config)?,
                    settings,
                    fence.clone(),
                ))
            }
            None => None,
        };
        Ok(Self {
            lease,
            fence,
            health: health.clone(),
            lead: None,
        })
    }

    fn role(&mut self) -> Role {
        let (lead, leading) = oneshot::channel();
        self.lead = Some(lead);
        let leading = async {
            // A candidacy that was dropped never leads.
            if leading.await.is_err() {
                std::future::pending::<()>().await;
            }
        };
        Role {
            leading: leading.boxed(),
            fence: self.fence.clone(),
            health: self.health.clone(),
        }
    }

    /// Waits for the lease and keeps it; returns why that came to an end.
    async fn stand(&mut self) -> LeaseError {
        if let Some(lease) = &mut self.lease
            && let Err(error) = lease.acquire().await
        {
            return error;
        }
        tracing::info!("leading");
        self.health.set_leading(true);
        if let Some(lead) = self.lead.take() {
            // The controller has ended when nobody receives: so will this.
            let _ = lead.send(());
        }
        match &mut self.lease {
            Some(lease) => lease.keep().await,
            None => std::future::pending().await,
        }
    }

    async fn end(self, in_peace: bool) {
        self.fence.shut();
        self.health.set_leading(false);
        if let Some(lease) = self.lease.filter(|_| in_peace) {
            lease.release().await;
        }
    }
}

/// Notices SIGTERM and SIGINT.
fn shutdown() -> anyhow::Result<watch::Receiver<()>> {
    let (ended, waiting) = watch::channel(());
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    tokio::spawn(async move {
        tokio::select! { _ = terminate.recv() => {}, _ = interrupt.recv() => {} }
        drop(ended);
    });
    Ok(waiting)
}

/// Resolves when the end has begun.
async fn begun(mut shutdown: watch::Receiver<()>) {
    // Only the sender's end is awaited: nothing is ever sent.
    let _ = shutdown.changed().await;
}
