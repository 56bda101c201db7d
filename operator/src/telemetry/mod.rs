//! Logs, metrics and the operator's own health.
//!
//! | Metric | Labels | Meaning |
//! |---|---|---|
//! | `post_operator_condition` | namespace, name, type, status, reason | 1 for each condition of each `PostService`; only from the leader |
//! | `post_operator_leader` | | 1 while this process leads |
//! | `post_operator_reconciles_total` | result | passes |
//! | `post_operator_reconcile_duration_seconds` | | how long they took |
//! | `post_operator_api_request_duration_seconds` | verb, code | requests to the API server |
//! | `post_operator_build_info` | version | 1 |

mod api_requests;
mod conditions;
mod health;

use std::net::SocketAddr;

use axum::Router;
use axum::extract::State;
use axum::http::StatusCode;
use axum::routing::get;
use metrics_exporter_prometheus::{Matcher, PrometheusBuilder, PrometheusHandle};
use tokio::net::TcpListener;
use tracing_subscriber::Layer as _;
use tracing_subscriber::filter::{LevelFilter, Targets};
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::SubscriberInitExt as _;

pub use api_requests::{Measured, MeasuredRequests};
pub use health::{Conditioned, Health};

const LEADER: &str = "post_operator_leader";

/// Upper bounds of the histogram's buckets, in seconds.
const BUCKETS: &[f64] = &[
    0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 5.0,
];

/// Form of the log lines.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum LogFormat {
    /// One JSON object a line.
    Json,
    /// For people.
    Text,
}

/// Logs go to standard error; `RUST_LOG` chooses what.
pub fn logs(format: LogFormat) {
    let chosen = std::env::var("RUST_LOG")
        .ok()
        .and_then(|text| text.parse().ok());
    let targets: Targets = chosen.unwrap_or_else(|| {
        Targets::new()
            .with_default(LevelFilter::INFO)
            .with_target("kube_runtime", LevelFilter::WARN)
            .with_target("sqlx", LevelFilter::WARN)
    });
    let lines = tracing_subscriber::fmt::layer().with_writer(std::io::stderr);
    let lines = match format {
        LogFormat::Json => lines.json().flatten_event(true).boxed(),
        LogFormat::Text => lines.boxed(),
    };
    tracing_subscriber::registry()
        .with(lines.with_filter(targets))
        .init();
}

/// Starts to record metrics.
pub fn metrics() -> anyhow::Result<PrometheusHandle> {
    let handle = PrometheusBuilder::new()
        .set_buckets_for_metric(Matcher::Suffix("duration_seconds".into()), BUCKETS)?
        .install_recorder()?;
    metrics::gauge!("post_operator_build_info", "version" => env!("CARGO_PKG_VERSION")).set(1);
    metrics::gauge!(LEADER).set(0);
    for result in ["success", "error"] {
        metrics::counter!("post_operator_reconciles_total", "result" => result).absolute(0);
    }
    Ok(handle)
}

/// Serves `/livez`, `/readyz` and `/metrics`.
pub async fn serve(
    address: SocketAddr,
    handle: PrometheusHandle,
    health: Health,
) -> anyhow::Result<()> {
    let router = Router::new()
        // One thread does everything: an answer says that it is not stuck.
        .route("/livez", get(|| async { "ok" }))
        .route("/readyz", get(ready))
        .route("/metrics", get(render))
        .with_state((handle, health));
    let listener = TcpListener::bind(address).await?;
    axum::serve(listener, router).await?;
    Ok(())
}

type Served = State<(PrometheusHandle, Health)>;

async fn ready(State((_, health)): Served) -> (StatusCode, &'static str) {
    if health.is_ready() {
        (StatusCode::OK, "ok")
    } else {
        let why = "the caches are not filled yet: see the log for watches that fail";
        (StatusCode::SERVICE_UNAVAILABLE, why)
    }
}

async fn render(State((handle, health)): Served) -> String {
    handle.run_upkeep();
    handle.render() + &health.condition_lines()
}
