//! `serve`: puts the pieces together and runs them until a signal.

mod parts;

use crate::{
    auth::development::KeyError,
    config::Config,
    http, media, server,
    shutdown::{Readiness, Signals},
    store::{self, MigrateError, Schema, Store},
    telemetry,
};
use axum::{Router, routing::get};
use std::{fs, io, net::SocketAddr, path::Path, sync::Arc, time::Duration};
use thiserror::Error;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

/// How often a schema that is not current is looked at again.
const SCHEMA_CHECK_INTERVAL: Duration = Duration::from_secs(1);

/// Why the service does not start.
#[derive(Debug, Error)]
pub enum ServeError {
    /// The default database's folder or the key's file.
    #[error("cannot create {0}: {1}")]
    Folder(String, #[source] io::Error),
    /// The SQLite file.
    #[error(transparent)]
    Database(#[from] MigrateError),
    /// An address that cannot be listened on.
    #[error("cannot listen on {address} ({setting}): {source}")]
    Listen {
        /// The setting that names it.
        setting: &'static str,
        /// The address.
        address: SocketAddr,
        /// What happened.
        source: io::Error,
    },
    /// An address that was listened on, but cannot be told.
    #[error("cannot tell the address listened on: {0}")]
    Address(#[source] io::Error),
    /// The development issuer.
    #[error(transparent)]
    DevelopmentKey(#[from] KeyError),
    /// The client that fetches token keys.
    #[error("cannot fetch token keys: {0}")]
    Keys(#[from] reqwest::Error),
    /// The client that asks the comment service.
    #[error("cannot ask the comment service: {0}")]
    Comments(#[source] reqwest::Error),
    /// The metrics recorder.
    #[error("cannot record metrics: {0}")]
    Metrics(#[from] metrics_exporter_prometheus::BuildError),
    /// The place for images.
    #[error(transparent)]
    Media(#[from] media::OpenError),
    /// Signals.
    #[error("cannot wait for signals: {0}")]
    Signals(#[source] io::Error),
}

/// Serves until SIGTERM or SIGINT.
pub async fn serve(config: Config) -> Result<(), ServeError> {
    let mut signals = Signals::install().map_err(ServeError::Signals)?;
    let metrics = telemetry::metrics()?;
    let api_listener = listen("LISTEN_ADDRESS", config.listen).await?;
    let metrics_listener = listen("METRICS_ADDRESS", config.metrics).await?;
    let addresses = Addresses::of(&api_listener, &metrics_listener).map_err(ServeError::Address)?;
    let store = open_store(&config).await?;
    let (readiness, stop) = (Readiness::default(), CancellationToken::new());
    let (app, token, background) = parts::assemble(&config, &store, &readiness, &stop).await?;
    let metrics_router = metrics_router(Arc::clone(&store), background.views_waiting(), metrics);
    let metrics_server = tokio::spawn(server::serve(
        metrics_listener,
        metrics_router,
        stop.clone().cancelled_owned(),
    ));
    let api_server = tokio::spawn(server::serve(
        api_listener,
        http::router(app, &config.gate()),
        stop.clone().cancelled_owned(),
    ));
    announce(&addresses, &config, token.as_deref());
    let tidying = tokio::spawn(telemetry::tidy(metrics));
    let watch = tokio::spawn(watch_schema(Arc::clone(&store), readiness.clone()));

    let signal = signals.received().await;
    tracing::info!(signal, "draining");
    readiness.drain();
    stop.cancel();
    if !api_server.await.unwrap_or(false) {
        tracing::warn!("some requests were cut off");
    }
    for task in [watch, tidying] {
        task.abort();
    }
    metrics_server.abort();
    // Every request is answered: what they left to be done beside them is done now.
    background.end().await;
    store.close().await;
    tracing::info!("stopped");
    Ok(())
}

async fn listen(setting: &'static str, address: SocketAddr) -> Result<TcpListener, ServeError> {
    TcpListener::bind(address)
        .await
        .map_err(|source| ServeError::Listen {
            setting,
            address,
            source,
        })
}

async fn open_store(config: &Config) -> Result<Arc<dyn Store>, ServeError> {
    if let store::DatabaseUrl::Sqlite(options) = &config.database
        && let Some(folder) = options.get_filename().parent()
    {
        create_folder(folder)?;
    }
    Ok(store::open(
        &config.database,
        config.read_database.as_ref(),
        config.pool_size,
    )
    .await?)
}

fn create_folder(folder: &Path) -> Result<(), ServeError> {
    fs::create_dir_all(folder)
        .map_err(|error| ServeError::Folder(folder.display().to_string(), error))
}

/// Makes the service ready once the schema is seen to be good.
async fn watch_schema(store: Arc<dyn Store>, readiness: Readiness) {
    let mut last_problem = String::new();
    loop {
        let problem = match store.check_schema().await {
            Ok(Schema::Current) => {
                readiness.schema_is_good();
                tracing::info!("ready to serve");
                return;
            }
            Ok(Schema::Behind { applied, wanted }) => format!(
                "the schema is at version {applied}, {wanted} is needed: run `post-service migrate`"
            ),
            Err(error) => error.to_string(),
        };
        if problem != last_problem {
            tracing::warn!("not ready: {problem}");
            last_problem = problem;
        }
        tokio::time::sleep(SCHEMA_CHECK_INTERVAL).await;
    }
}

fn metrics_router(
    store: Arc<dyn Store>,
    views: store::Waiting,
    metrics: &'static metrics_exporter_prometheus::PrometheusHandle,
) -> Router {
    let render = move || {
        telemetry::observe_pool(&store);
        telemetry::observe_views(&views);
        std::future::ready(metrics.render())
    };
    Router::new().route("/metrics", get(render))
}

/// Where the service really is: a port of 0 was replaced by a free one.
struct Addresses {
    api: SocketAddr,
    metrics: SocketAddr,
}

impl Addresses {
    fn of(api: &TcpListener, metrics: &TcpListener) -> io::Result<Self> {
        Ok(Self {
            api: api.local_addr()?,
            metrics: metrics.local_addr()?,
        })
    }
}

/// Says where the service is; with the development issuer, also how to use it.
fn announce(addresses: &Addresses, config: &Config, token: Option<&str>) {
    let Addresses { api, metrics } = addresses;
    let database = &config.database;
    tracing::info!(%api, %metrics, %database, "serving");
    let Some(token) = token else { return };
    println!(
        "\nPost Service at http://{api}  (docs: http://{api}/api/docs)\n\
         Posts are kept in {database}\n\n\
         !! DEVELOPMENT TOKENS: no Cognito is configured, so this process signs its own tokens.\n\
         !! Anybody on this machine can make one. Never use this for real posts.\n\n\
         Create a post:\n\n\
         curl -X POST http://{api}/api/v1/posts -H 'Content-Type: application/json' \\\n  \
         -H 'Authorization: Bearer {token}' \\\n  \
         -d '{{\"title\": \"Hello\", \"content\": \"First post\", \"category\": \"자유\"}}'\n"
    );
}
