//! What every request and answer is bound by: size, time, origin, headers.

use super::rate;
use http::{HeaderName, HeaderValue, Method, header};
use std::time::Duration;
use tower_http::{
    compression::{
        CompressionLayer, Predicate,
        predicate::{NotForContentType, SizeAbove},
    },
    cors::{AllowHeaders, AllowMethods, AllowOrigin, CorsLayer, ExposeHeaders},
    set_header::SetResponseHeaderLayer,
};

/// The longest body.
pub const BODY_BYTES: usize = 1024 * 1024;
/// How much of a longer body is read and thrown away, so that its sender sees the refusal.
pub const DISCARDED_BYTES: usize = 64 * BODY_BYTES;
/// The longest head of a request.
pub const HEADER_BYTES: usize = 16 * 1024;
/// How long a connection may be idle, and how long a client may take to send a request's head: hyper
/// has one clock for both. Longer than load balancers keep idle connections (60 s), so that it is
/// they who end one, and no request meets a connection that is being closed.
pub const HEADER_TIME: Duration = Duration::from_secs(75);
/// How long a client may take to send a request's body.
pub const BODY_TIME: Duration = Duration::from_secs(10);
/// How long a request may take, reading its body included.
pub const REQUEST_TIME: Duration = Duration::from_secs(15);
/// How long requests in flight are waited for when the process ends.
pub const DRAIN_TIME: Duration = Duration::from_secs(15);

/// Shorter answers are not worth compressing.
const COMPRESSED_FROM_BYTES: u64 = 1024;

/// Compresses longer answers, brotli before gzip.
pub fn compression() -> CompressionLayer<impl Predicate> {
    CompressionLayer::new()
        .compress_when(SizeAbove::new(COMPRESSED_FROM_BYTES).and(NotForContentType::IMAGES))
}

/// What an answer says it is, is what it is.
pub fn no_sniffing() -> SetResponseHeaderLayer<HeaderValue> {
    SetResponseHeaderLayer::if_not_present(
        header::X_CONTENT_TYPE_OPTIONS,
        HeaderValue::from_static("nosniff"),
    )
}

/// Tells browsers to use nothing but HTTPS for so many seconds (RFC 6797); says nothing at 0.
pub fn https_only(max_age: u32) -> SetResponseHeaderLayer<Option<HeaderValue>> {
    let value = (max_age > 0).then(|| HeaderValue::from_str(&format!("max-age={max_age}")).ok());
    SetResponseHeaderLayer::if_not_present(header::STRICT_TRANSPORT_SECURITY, value.flatten())
}

/// Lets browsers call from these origins, with credentials; on errors too.
pub fn cors(origins: &[HeaderValue]) -> CorsLayer {
    CorsLayer::new()
        .allow_origin(AllowOrigin::list(origins.iter().cloned()))
        .allow_credentials(true)
        .allow_methods(AllowMethods::list([
            Method::DELETE,
            Method::GET,
            Method::OPTIONS,
            Method::PATCH,
            Method::POST,
            Method::PUT,
        ]))
        .allow_headers(AllowHeaders::list([
            header::AUTHORIZATION,
            header::CONTENT_TYPE,
            header::IF_MATCH,
            header::IF_NONE_MATCH,
            header::IF_RANGE,
            header::RANGE,
            HeaderName::from_static("idempotency-key"),
            HeaderName::from_static("x-request-id"),
        ]))
        .expose_headers(ExposeHeaders::list([
            header::ACCEPT_RANGES,
            header::CONTENT_RANGE,
            header::ETAG,
            header::LINK,
            header::LOCATION,
            header::RETRY_AFTER,
            HeaderName::from_static("idempotency-replayed"),
            rate::LIMIT,
            rate::POLICY,
            HeaderName::from_static("x-request-id"),
        ]))
        .max_age(Duration::from_mins(10))
}
