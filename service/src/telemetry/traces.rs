//! Traces by OTLP over HTTP: one server span a request, named by OpenTelemetry's conventions
//! (<https://opentelemetry.io/docs/specs/semconv/http/http-spans/>).
//!
//! Off unless `OTEL_EXPORTER_OTLP_ENDPOINT` is set; then requests cost one check of a flag. A
//! collector that is down costs traces, nothing else: they are sent by a thread of their own from a
//! bounded queue.

use super::sql::REQUESTS;
use http::{HeaderMap, Method, StatusCode};
use opentelemetry::{
    propagation::{Extractor, TextMapPropagator},
    trace::{TraceContextExt, TracerProvider},
};
use opentelemetry_otlp::{ExporterBuildError, SpanExporter, WithExportConfig};
use opentelemetry_sdk::{Resource, propagation::TraceContextPropagator, trace::SdkTracerProvider};
use std::{
    sync::atomic::{AtomicBool, Ordering},
    time::Duration,
};
use tracing::{Level, Span, Subscriber};
use tracing_opentelemetry::OpenTelemetrySpanExt;
use tracing_subscriber::{Layer, filter::Targets, registry::LookupSpan};
use url::Url;

/// How long the last traces may take to be sent at the end.
const FLUSH_TIME: Duration = Duration::from_secs(3);
/// How long one batch may take to be sent.
const EXPORT_TIME: Duration = Duration::from_secs(5);

static ON: AtomicBool = AtomicBool::new(false);

/// Sends traces until [`Traces::flush`].
#[derive(Debug)]
pub struct Traces(SdkTracerProvider);

impl Traces {
    /// Sends to the collector at this base URL.
    pub fn to(collector: &Url) -> Result<Self, ExporterBuildError> {
        let exporter = SpanExporter::builder()
            .with_http()
            .with_endpoint(traces_url(collector))
            .with_timeout(EXPORT_TIME)
            .build()?;
        // `OTEL_SERVICE_NAME` and `OTEL_RESOURCE_ATTRIBUTES` add to this.
        let resource = Resource::builder().with_attribute(opentelemetry::KeyValue::new(
            "service.version",
            env!("CARGO_PKG_VERSION"),
        ));
        let resource = if std::env::var_os("OTEL_SERVICE_NAME").is_some() {
            resource
        } else {
            resource.with_service_name("post-service")
        };
        let provider = SdkTracerProvider::builder()
            .with_batch_exporter(exporter)
            .with_resource(resource.build())
            .build();
        ON.store(true, Ordering::Relaxed);
        Ok(Self(provider))
    }

    /// Turns requests' spans, and nothing else, into traces.
    pub fn layer<S>(&self) -> impl Layer<S> + use<S>
    where
        S: Subscriber + for<'span> LookupSpan<'span>,
    {
        tracing_opentelemetry::layer()
            .with_tracer(self.0.tracer("post-service"))
            .with_location(false)
            .with_threads(false)
            .with_target(false)
            .with_level(false)
            .with_tracked_inactivity(false)
            .with_filter(Targets::new().with_target(REQUESTS, Level::INFO))
    }

    /// Sends what is left, for a bounded time.
    pub async fn flush(self) {
        let shutdown = move || self.0.shutdown_with_timeout(FLUSH_TIME);
        match tokio::task::spawn_blocking(shutdown).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => tracing::warn!(%error, "the last traces were not sent"),
            Err(error) => tracing::warn!(%error, "the last traces were not sent"),
        }
    }
}

/// The specification's place of traces under a collector's base URL.
fn traces_url(collector: &Url) -> String {
    format!("{}/v1/traces", collector.as_str().trim_end_matches('/'))
}

/// Gives a request's span its attributes and, if the request names one, its parent. To be called
/// before the span is entered.
pub fn begin(span: &Span, method: &Method, route: Option<&str>, path: &str, headers: &HeaderMap) {
    if !ON.load(Ordering::Relaxed) {
        return;
    }
    let parent = TraceContextPropagator::new().extract(&Headers(headers));
    if parent.span().span_context().is_valid() {
        // Refused only if the layer is not there or the span was entered: then there is no trace.
        let _ = span.set_parent(parent);
    }
    let known = known_method(method);
    let name = route.map_or_else(|| known.to_owned(), |route| format!("{known} {route}"));
    span.record("otel.name", name);
    span.record("otel.kind", "server");
    span.set_attribute("http.request.method", known);
    span.set_attribute("url.path", path.to_owned());
    span.set_attribute("url.scheme", "http");
    if let Some(route) = route {
        span.set_attribute("http.route", route.to_owned());
    }
}

/// Tells a request's span how it ended. The trace's id, for the log.
pub fn end(span: &Span, status: StatusCode) -> Option<String> {
    if !ON.load(Ordering::Relaxed) {
        return None;
    }
    span.set_attribute("http.response.status_code", i64::from(status.as_u16()));
    if status.is_server_error() {
        span.set_attribute("error.type", status.as_str().to_owned());
        span.record("otel.status_code", "ERROR");
    }
    let context = span.context();
    let context = context.span().span_context().clone();
    context.is_valid().then(|| context.trace_id().to_string())
}

/// Methods are the client's text: an unknown one is `_OTHER`, by the conventions.
fn known_method(method: &Method) -> &'static str {
    match *method {
        Method::GET => "GET",
        Method::POST => "POST",
        Method::PUT => "PUT",
        Method::PATCH => "PATCH",
        Method::DELETE => "DELETE",
        Method::HEAD => "HEAD",
        Method::OPTIONS => "OPTIONS",
        Method::CONNECT => "CONNECT",
        Method::TRACE => "TRACE",
        _ => "_OTHER",
    }
}

struct Headers<'a>(&'a HeaderMap);

impl Extractor for Headers<'_> {
    fn get(&self, name: &str) -> Option<&str> {
        self.0.get(name)?.to_str().ok()
    }

    fn keys(&self) -> Vec<&str> {
        self.0.keys().map(http::HeaderName::as_str).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn traces_go_where_the_specification_has_them() {
        for (base, url) in [
            ("http://c:4318", "http://c:4318/v1/traces"),
            ("http://c:4318/", "http://c:4318/v1/traces"),
            ("https://c/otlp/", "https://c/otlp/v1/traces"),
        ] {
            assert_eq!(traces_url(&Url::parse(base).unwrap()), url);
        }
    }
}
