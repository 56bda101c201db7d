//! One log line, one count and one time per request, and the id that ties them together.

use super::{caller::Caller, problem::Problem};
use crate::{
    board::User,
    shutdown::Readiness,
    telemetry::{
        sql::{REQUESTS, SqlUsage},
        traces,
    },
};
use aws_lc_rs::hmac;
use axum::extract::{MatchedPath, Request};
use futures::future::BoxFuture;
use http::{HeaderName, HeaderValue, Method, Response, header};
use metrics::Gauge;
use secrecy::{ExposeSecret, SecretString};
use std::{
    convert::Infallible,
    sync::Arc,
    task::{Context, Poll},
    time::Instant,
};
use tower::{Layer, Service};
use tracing::{Instrument, Span, field::Empty};

const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
const MAX_ID_BYTES: usize = 64;

tokio::task_local! {
    static CURRENT: String;
}

/// The id of the request this task answers.
pub fn current_request_id() -> Option<String> {
    CURRENT.try_with(Clone::clone).ok()
}

/// Puts an [`Observe`] around services.
#[derive(Clone)]
pub struct ObserveLayer(Arc<Observer>);

impl ObserveLayer {
    /// Watches with this key for the hashes of users, for the recorder of metrics that is installed.
    pub fn new(readiness: Readiness, secret_key: &SecretString) -> Self {
        let user_key = hmac::Key::new(hmac::HMAC_SHA256, secret_key.expose_secret().as_bytes());
        Self(Arc::new(Observer {
            readiness,
            user_key,
            in_flight: metrics::gauge!("http_requests_in_flight"),
        }))
    }
}

impl<S> Layer<S> for ObserveLayer {
    type Service = Observe<S>;

    fn layer(&self, inner: S) -> Observe<S> {
        let observer = Arc::clone(&self.0);
        Observe { observer, inner }
    }
}

/// Watches the requests to a service.
#[derive(Clone)]
pub struct Observe<S> {
    observer: Arc<Observer>,
    inner: S,
}

impl<S, B> Service<Request> for Observe<S>
where
    S: Service<Request, Response = Response<B>, Error = Infallible>,
    S::Future: Send + 'static,
    B: Send + 'static,
{
    type Response = Response<B>;
    type Error = Infallible;
    type Future = BoxFuture<'static, Result<Response<B>, Infallible>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, request: Request) -> Self::Future {
        let seen = Seen::of(&request);
        let in_flight = InFlight::enter(self.observer.in_flight.clone());
        let answer = self.inner.call(request).instrument(seen.span.clone());
        let answer = CURRENT.scope(seen.id.clone(), answer);
        let observer = Arc::clone(&self.observer);
        Box::pin(async move {
            let mut response = answer.await?;
            drop(in_flight);
            observer.answered(&seen, &mut response);
            Ok(response)
        })
    }
}

/// What watching needs.
struct Observer {
    readiness: Readiness,
    user_key: hmac::Key,
    in_flight: Gauge,
}

impl Observer {
    /// Tells log, metrics and the client of an answer.
    fn answered<B>(&self, seen: &Seen, response: &mut Response<B>) {
        if let Ok(id) = HeaderValue::from_str(&seen.id) {
            response.headers_mut().insert(REQUEST_ID, id);
        }
        if self.readiness.is_draining() {
            let close = HeaderValue::from_static("close");
            response.headers_mut().insert(header::CONNECTION, close);
        }
        let trace_id = traces::end(&seen.span, response.status());
        let sql = SqlUsage::of(&seen.span);
        let status = response.status().as_u16();
        let seconds = seen.begun.elapsed().as_secs_f64();
        let (method, route) = (&seen.method, seen.route());
        count(method, route, status, seconds);
        count_rejection(response);
        let user = seen.caller.as_ref().and_then(Caller::user);
        tracing::info!(
            request_id = %seen.id,
            %method,
            route,
            status,
            ms = seconds * 1e3,
            sql_ms = sql.as_ref().map(|sql| sql.time().as_secs_f64() * 1e3),
            sql_count = sql.as_ref().map(|sql| sql.count()),
            user = user.map(|user| self.hash(user)),
            trace_id,
            "request"
        );
    }

    /// Tells a user's requests from others' without telling the user: user ids are public, so that
    /// a plain hash would give them away. 16 hexadecimal digits.
    fn hash(&self, user: &User) -> String {
        let tag = hmac::sign(&self.user_key, user.id().as_bytes());
        tag.as_ref()
            .iter()
            .take(8)
            .fold(String::new(), |hash, byte| hash + &format!("{byte:02x}"))
    }
}

/// What is seen of a request before it is answered.
struct Seen {
    begun: Instant,
    caller: Option<Caller>,
    id: String,
    method: Method,
    matched: Option<MatchedPath>,
    span: Span,
}

impl Seen {
    fn of(request: &Request) -> Self {
        let begun = Instant::now();
        let id = request_id(request);
        let method = request.method().clone();
        let matched = request.extensions().get::<MatchedPath>().cloned();
        let span = tracing::info_span!(
            target: REQUESTS, "request", request_id = %id,
            otel.name = Empty, otel.kind = Empty, otel.status_code = Empty,
        );
        let route = matched.as_ref().map(MatchedPath::as_str);
        let (path, headers) = (request.uri().path(), request.headers());
        traces::begin(&span, &method, route, path, headers);
        Self {
            begun,
            caller: request.extensions().get::<Caller>().cloned(),
            id,
            method,
            matched,
            span,
        }
    }

    fn route(&self) -> &str {
        self.matched
            .as_ref()
            .map_or("unmatched", MatchedPath::as_str)
    }
}

/// The client's id if it is plain enough to be logged, else a new one.
fn request_id(request: &Request) -> String {
    let plain = |id: &&str| {
        let fits = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b'-');
        (1..=MAX_ID_BYTES).contains(&id.len()) && id.bytes().all(fits)
    };
    request
        .headers()
        .get(REQUEST_ID)
        .and_then(|value| value.to_str().ok())
        .filter(plain)
        .map_or_else(new_id, str::to_owned)
}

/// A random UUID. Nobody gains by guessing it: the system need not be asked for secure randomness.
fn new_id() -> String {
    let random = fastrand::u128(..).to_ne_bytes();
    let id = uuid::Builder::from_random_bytes(random).into_uuid();
    id.simple().to_string()
}

fn count(method: &Method, route: &str, status: u16, seconds: f64) {
    // Methods are the client's text: only known ones become labels.
    let method = match *method {
        Method::GET => "GET",
        Method::POST => "POST",
        Method::PUT => "PUT",
        Method::PATCH => "PATCH",
        Method::DELETE => "DELETE",
        Method::HEAD => "HEAD",
        Method::OPTIONS => "OPTIONS",
        _ => "other",
    };
    let (route, status) = (route.to_owned(), status.to_string());
    metrics::counter!(
        "http_requests_total", "method" => method, "route" => route.clone(), "status" => status
    )
    .increment(1);
    metrics::histogram!("http_request_duration_seconds", "method" => method, "route" => route)
        .record(seconds);
}

/// Counts errors by their kinds.
fn count_rejection<B>(response: &Response<B>) {
    let status = response.status();
    if status.is_client_error() || status.is_server_error() {
        let problem = response.extensions().get::<Problem>();
        let reason =
            problem.map_or_else(|| Problem::of_status(status).code, |problem| problem.code);
        metrics::counter!("http_requests_rejected_total", "reason" => reason).increment(1);
    }
}

/// Counts the requests being answered, also those whose client went away.
struct InFlight(Gauge);

impl InFlight {
    fn enter(requests: Gauge) -> Self {
        requests.increment(1);
        Self(requests)
    }
}

impl Drop for InFlight {
    fn drop(&mut self) {
        self.0.decrement(1);
    }
}
