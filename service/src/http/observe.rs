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
use axum::{
    extract::{MatchedPath, Request, State},
    middleware::Next,
    response::Response,
};
use http::{HeaderName, HeaderValue, Method, header};
use secrecy::{ExposeSecret, SecretString};
use std::time::Instant;
use tracing::{Instrument, field::Empty};

const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
const MAX_ID_BYTES: usize = 64;

tokio::task_local! {
    static CURRENT: String;
}

/// The id of the request this task answers.
pub fn current_request_id() -> Option<String> {
    CURRENT.try_with(Clone::clone).ok()
}

/// What watching needs.
#[derive(Clone)]
pub struct Observer {
    readiness: Readiness,
    user_key: hmac::Key,
}

impl Observer {
    /// Watches with this key for the hashes of users.
    pub fn new(readiness: Readiness, secret_key: &SecretString) -> Self {
        let user_key = hmac::Key::new(hmac::HMAC_SHA256, secret_key.expose_secret().as_bytes());
        Self {
            readiness,
            user_key,
        }
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

/// Answers a request, watching.
pub async fn request(State(observer): State<Observer>, request: Request, next: Next) -> Response {
    let begun = Instant::now();
    let caller = request.extensions().get::<Caller>().cloned();
    let id = request_id(&request);
    let method = request.method().clone();
    let matched = request.extensions().get::<MatchedPath>().cloned();
    let matched = matched.as_ref().map(MatchedPath::as_str);
    let route = matched.unwrap_or("unmatched");

    let span = tracing::info_span!(
        target: REQUESTS, "request", request_id = %id,
        otel.name = Empty, otel.kind = Empty, otel.status_code = Empty,
    );
    traces::begin(
        &span,
        &method,
        matched,
        request.uri().path(),
        request.headers(),
    );
    let in_flight = InFlight::enter();
    let answer = next.run(request).instrument(span.clone());
    let mut response = CURRENT.scope(id.clone(), answer).await;
    drop(in_flight);

    if let Ok(id) = HeaderValue::from_str(&id) {
        response.headers_mut().insert(REQUEST_ID, id);
    }
    if observer.readiness.is_draining() {
        response
            .headers_mut()
            .insert(header::CONNECTION, HeaderValue::from_static("close"));
    }
    let trace_id = traces::end(&span, response.status());
    let sql = SqlUsage::of(&span);
    let status = response.status().as_u16();
    let seconds = begun.elapsed().as_secs_f64();
    count(&method, route, status, seconds);
    count_rejection(&response);
    let user = caller
        .as_ref()
        .and_then(Caller::user)
        .map(|user| observer.hash(user));
    tracing::info!(
        request_id = %id,
        %method,
        route,
        status,
        ms = seconds * 1e3,
        sql_ms = sql.as_ref().map(|sql| sql.time().as_secs_f64() * 1e3),
        sql_count = sql.as_ref().map(|sql| sql.count()),
        user,
        trace_id,
        "request"
    );
    response
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
        .map_or_else(|| uuid::Uuid::new_v4().simple().to_string(), str::to_owned)
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
fn count_rejection(response: &Response) {
    let status = response.status();
    if status.is_client_error() || status.is_server_error() {
        let problem = response.extensions().get::<Problem>();
        let reason =
            problem.map_or_else(|| Problem::of_status(status).code, |problem| problem.code);
        metrics::counter!("http_requests_rejected_total", "reason" => reason).increment(1);
    }
}

/// Counts the requests being answered, also those whose client went away.
struct InFlight;

impl InFlight {
    fn enter() -> Self {
        metrics::gauge!("http_requests_in_flight").increment(1);
        Self
    }
}

impl Drop for InFlight {
    fn drop(&mut self) {
        metrics::gauge!("http_requests_in_flight").decrement(1);
    }
}
