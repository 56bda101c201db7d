//! SQL time and count of each request, taken from sqlx's own events.
//!
//! sqlx tells every statement it ran in an event of the target `sqlx::query`, inside the span of
//! whoever ran it; the SQLite worker's thread, too, enters that span. This layer adds them up in the
//! request's span. Work that another task does outside of the span counts for nobody.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};
use tracing::{
    Event, Level, Span, Subscriber,
    field::{Field, Visit},
    span::{Attributes, Id},
};
use tracing_subscriber::{Layer, Registry, filter::Targets, layer::Context, registry::LookupSpan};

const STATEMENTS: &str = "sqlx::query";
/// The target of requests' spans.
pub const REQUESTS: &str = "post_service::request";

/// What the statements of one request came to.
#[derive(Debug, Default)]
pub struct SqlUsage {
    count: AtomicU64,
    nanoseconds: AtomicU64,
}

impl SqlUsage {
    /// The usage kept for this span, if it is a request's and logging was started.
    pub fn of(span: &Span) -> Option<Arc<Self>> {
        span.with_subscriber(|(id, subscriber)| {
            let span = subscriber.downcast_ref::<Registry>()?.span(id)?;
            span.extensions().get::<Arc<Self>>().cloned()
        })?
    }

    fn add(&self, elapsed: Duration) {
        let nanoseconds = u64::try_from(elapsed.as_nanos()).unwrap_or(u64::MAX);
        self.count.fetch_add(1, Ordering::Relaxed);
        self.nanoseconds.fetch_add(nanoseconds, Ordering::Relaxed);
    }

    /// Statements run.
    pub fn count(&self) -> u64 {
        self.count.load(Ordering::Relaxed)
    }

    /// The sum of their times; statements that ran at once count each.
    pub fn time(&self) -> Duration {
        Duration::from_nanos(self.nanoseconds.load(Ordering::Relaxed))
    }
}

/// Adds up statements; sees nothing but them and requests' spans.
pub fn layer<S>() -> impl Layer<S>
where
    S: Subscriber + for<'span> LookupSpan<'span>,
{
    let seen = Targets::new()
        .with_target(STATEMENTS, Level::DEBUG)
        .with_target(REQUESTS, Level::INFO);
    SqlLayer.with_filter(seen)
}

struct SqlLayer;

impl<S> Layer<S> for SqlLayer
where
    S: Subscriber + for<'span> LookupSpan<'span>,
{
    fn on_new_span(&self, _: &Attributes<'_>, id: &Id, context: Context<'_, S>) {
        if let Some(span) = context.span(id) {
            span.extensions_mut().insert(Arc::<SqlUsage>::default());
        }
    }

    fn on_event(&self, event: &Event<'_>, context: Context<'_, S>) {
        if event.metadata().target() != STATEMENTS {
            return;
        }
        let usage = context.event_scope(event).and_then(|mut scope| {
            scope.find_map(|span| span.extensions().get::<Arc<SqlUsage>>().cloned())
        });
        if let Some(usage) = usage {
            let mut elapsed = Elapsed::default();
            event.record(&mut elapsed);
            usage.add(elapsed.0);
        }
    }
}

/// Picks sqlx's `elapsed_secs` out of an event.
#[derive(Default)]
struct Elapsed(Duration);

impl Visit for Elapsed {
    fn record_f64(&mut self, field: &Field, value: f64) {
        if field.name() == "elapsed_secs" {
            self.0 = Duration::try_from_secs_f64(value).unwrap_or_default();
        }
    }

    fn record_debug(&mut self, _: &Field, _: &dyn std::fmt::Debug) {}
}

#[cfg(test)]
mod tests {
    use super::*;
    use tracing_subscriber::layer::SubscriberExt;

    fn statement(seconds: f64) {
        tracing::debug!(target: "sqlx::query", elapsed_secs = seconds, rows_returned = 1_u64);
    }

    #[test]
    fn a_requests_statements_are_added_up_and_others_count_for_nobody() {
        let subscriber = Registry::default().with(layer());
        tracing::subscriber::with_default(subscriber, || {
            let request = || tracing::info_span!(target: REQUESTS, "request");
            let (one, other) = (request(), request());
            statement(1.0);
            one.in_scope(|| {
                statement(0.25);
                let part = tracing::info_span!(target: REQUESTS, "part");
                drop(part);
                statement(0.5);
            });
            other.in_scope(|| tracing::debug!(target: "sqlx::query", "no time"));
            let (one, other) = (SqlUsage::of(&one).unwrap(), SqlUsage::of(&other).unwrap());
            assert_eq!((one.count(), one.time()), (2, Duration::from_millis(750)));
            assert_eq!((other.count(), other.time()), (1, Duration::ZERO));
        });
    }

    #[test]
    fn without_logging_there_is_no_usage() {
        assert!(SqlUsage::of(&Span::none()).is_none());
    }
}
