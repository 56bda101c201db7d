//! Logs, metrics and traces.

mod json;
mod lines;
pub mod sql;
pub mod traces;

use crate::{
    config::LogFormat,
    store::{Store, Waiting},
};
use json::JsonLines;
use lines::Lines;
use metrics_exporter_prometheus::{BuildError, Matcher, PrometheusBuilder, PrometheusHandle};
use std::{
    io::{self, IsTerminal},
    sync::{Arc, OnceLock},
    time::Duration,
};
use thiserror::Error;
use traces::Traces;
use tracing_subscriber::{
    EnvFilter, Layer, filter::ParseError, layer::SubscriberExt, util::SubscriberInitExt,
};
use url::Url;

/// Upper bounds of the buckets that request times fall into, in seconds.
const SECONDS: [f64; 12] = [
    0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 5.0, 15.0,
];
/// How often request times are put into their buckets: in five seconds a crowd's take megabytes.
const TIDIED: Duration = Duration::from_millis(250);

/// Why telemetry does not start.
#[derive(Debug, Error)]
pub enum TelemetryError {
    /// The filter of log lines.
    #[error("RUST_LOG: {0}")]
    Filter(#[from] ParseError),
    /// The sender of traces.
    #[error("OTEL_EXPORTER_OTLP_ENDPOINT: {0}")]
    Traces(#[from] opentelemetry_otlp::ExporterBuildError),
}

/// Starts logging to standard error, and sending traces if there is a collector: they are to be
/// flushed at the end. Panics are logged like everything else.
pub fn start(
    format: LogFormat,
    filter: &str,
    collector: Option<&Url>,
) -> Result<Option<Traces>, TelemetryError> {
    let filter = EnvFilter::try_new(filter)?;
    let traces = collector.map(Traces::to).transpose()?;
    let lines = tracing_subscriber::fmt::layer()
        .with_writer(Lines::to(io::stderr()))
        .with_ansi(io::stderr().is_terminal());
    let lines = match format {
        LogFormat::Json => lines
            .json()
            .flatten_event(true)
            .with_span_list(false)
            .map_event_format(JsonLines)
            .boxed(),
        LogFormat::Text => lines.with_target(false).boxed(),
    };
    // A second start (in tests) changes nothing.
    let _ = tracing_subscriber::registry()
        .with(lines.with_filter(filter))
        .with(sql::layer())
        .with(traces.as_ref().map(Traces::layer))
        .try_init();
    std::panic::set_hook(Box::new(|panic| {
        let place = panic.location().map(ToString::to_string);
        let message = panic.payload_as_str().unwrap_or("(no message)");
        tracing::error!(place, message, "panic");
    }));
    Ok(traces)
}

/// Installs the process's metrics recorder, once; what it collects is rendered by the handle.
pub fn metrics() -> Result<&'static PrometheusHandle, BuildError> {
    static HANDLE: OnceLock<PrometheusHandle> = OnceLock::new();
    if let Some(handle) = HANDLE.get() {
        return Ok(handle);
    }
    let recorder = PrometheusBuilder::new()
        .set_buckets_for_metric(Matcher::Suffix("_seconds".to_owned()), &SECONDS)?
        .build_recorder();
    let handle = HANDLE.get_or_init(|| recorder.handle());
    if metrics::set_global_recorder(recorder).is_ok() {
        describe();
    }
    Ok(handle)
}

/// Puts measured times into their buckets now and then, for ever; spawn it. Until then each takes 24 bytes by
/// itself, so that this must go on even where nobody asks for metrics.
pub async fn tidy(metrics: &'static PrometheusHandle) {
    loop {
        tokio::time::sleep(TIDIED).await;
        metrics.run_upkeep();
    }
}

/// Sets the gauges that are read rather than counted.
pub fn observe_pool(store: &Arc<dyn Store>) {
    let pool = store.pool();
    metrics::gauge!("database_pool_connections", "state" => "busy").set(pool.busy);
    metrics::gauge!("database_pool_connections", "state" => "idle").set(pool.idle);
    metrics::gauge!("database_pool_connections_max").set(pool.limit);
}

/// Sets the gauge of views that wait to be counted.
pub fn observe_views(waiting: &Waiting) {
    #[expect(
        clippy::cast_precision_loss,
        reason = "the queue is far shorter than 2^52"
    )]
    metrics::gauge!("views_waiting").set(waiting.count() as f64);
}

fn describe() {
    use metrics::{Unit, describe_counter, describe_gauge, describe_histogram};
    describe_counter!(
        "http_requests_total",
        "Requests answered, by method, route and status"
    );
    describe_histogram!(
        "http_request_duration_seconds",
        Unit::Seconds,
        "Time from a request's head to its answer's head, by method and route"
    );
    describe_counter!(
        "http_requests_rejected_total",
        "Requests answered with an error, by its kind"
    );
    describe_counter!(
        "fresh_read_requests_total",
        "Requests for something that is read together with others' wishes, by what is read"
    );
    describe_counter!(
        "fresh_read_runs_total",
        "Reads of the database for such requests, by what is read; all others joined one"
    );
    describe_gauge!("views_waiting", "Views that are not stored yet");
    describe_counter!("views_recorded_total", "Views stored");
    describe_counter!("views_lost_total", "Views that a full queue did not take");
    describe_gauge!("http_requests_in_flight", "Requests being answered");
    describe_gauge!(
        "database_pool_connections",
        "Open database connections, by state"
    );
    describe_gauge!(
        "database_pool_connections_max",
        "The most connections the pool may open"
    );
    describe_gauge!(
        "database_replica_lag_seconds",
        Unit::Seconds,
        "How late the replica was at most when it was last looked at"
    );
    describe_counter!("jwks_fetches_total", "Fetches of the token keys, by result");
    describe_gauge!(
        "jwks_last_success_timestamp_seconds",
        Unit::Seconds,
        "When the token keys in use were fetched, as a Unix time"
    );
    describe_gauge!("jwks_keys", "Token keys in use");
    describe_gauge!(
        "post_service_build_info",
        "1; the labels tell which build this is"
    );
    metrics::gauge!("post_service_build_info", "version" => env!("CARGO_PKG_VERSION")).set(1);
}
