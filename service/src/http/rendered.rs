//! Answers that are written once for many, and compressed once for all who accept the same encodings.

use super::{
    etag::{ETag, unless_known},
    limits,
};
use axum::{
    body::{Body, Bytes, to_bytes},
    response::{IntoResponse, Response},
};
use futures::FutureExt;
use http::{HeaderMap, HeaderValue, Request, header};
use serde::Serialize;
use std::{
    convert::Infallible,
    future::ready,
    mem,
    sync::{Arc, Mutex, OnceLock, PoisonError},
};
use tower::{Layer, ServiceExt, service_fn};

/// So many different values of `Accept-Encoding` are remembered: browsers send two or three. For others
/// the layer around all handlers compresses.
const ACCEPTED: usize = 4;

/// Longer bodies take too long to be compressed in one go.
const LONGEST: usize = 64 * 1024;

/// A JSON body and its entity tag. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Rendered {
    tag: ETag,
    body: Bytes,
    /// For whom the body has been compressed, by what they accept.
    compressed: Arc<Mutex<Vec<(HeaderValue, Once)>>>,
}

/// The one compression for all who accept the same.
type Once = Arc<OnceLock<Option<Compressed>>>;

/// A body and the headers that go with it.
type Compressed = (HeaderMap, Bytes);

impl Rendered {
    /// Writes the answer's body.
    ///
    /// # Panics
    /// If it holds what JSON does not: a map whose keys are no texts.
    #[expect(
        clippy::expect_used,
        reason = "answers are structs of texts and numbers"
    )]
    pub fn new(tag: ETag, answer: &impl Serialize) -> Self {
        let body = serde_json::to_vec(answer).expect("an answer can be written as JSON");
        Self {
            tag,
            body: body.into(),
            compressed: Arc::default(),
        }
    }

    /// The answer, or 304 if the client knows it.
    pub fn unless_known(&self, headers: &HeaderMap) -> Response {
        unless_known(headers, &self.tag, || {
            let compressed = self.once_for(headers).and_then(|once| {
                let compress = || compressed(self.plain(), headers);
                once.get_or_init(compress).clone()
            });
            compressed.map_or_else(|| self.plain(), IntoResponse::into_response)
        })
    }

    fn plain(&self) -> Response {
        const JSON: HeaderValue = HeaderValue::from_static("application/json");
        ([(header::CONTENT_TYPE, JSON)], self.body.clone()).into_response()
    }

    /// The compression for clients like this one.
    fn once_for(&self, headers: &HeaderMap) -> Option<Once> {
        let accepted = headers.get(header::ACCEPT_ENCODING)?;
        if self.body.len() > LONGEST {
            return None;
        }
        let compressed = self.compressed.lock();
        let mut compressed = compressed.unwrap_or_else(PoisonError::into_inner);
        if let Some((_, once)) = compressed.iter().find(|(known, _)| known == accepted) {
            return Some(Arc::clone(once));
        }
        if compressed.len() == ACCEPTED {
            return None;
        }
        let once = Once::default();
        compressed.push((accepted.clone(), Arc::clone(&once)));
        Some(once)
    }
}

/// What the layer around all handlers would make of an answer for a client who accepts this. It waits
/// for nothing: the body is in memory.
fn compressed(mut answer: Response, headers: &HeaderMap) -> Option<Compressed> {
    let accepted = headers.get(header::ACCEPT_ENCODING)?;
    let mut request = Request::new(());
    let name = header::ACCEPT_ENCODING;
    request.headers_mut().insert(name, accepted.clone());
    let handler = service_fn(move |_: Request<()>| {
        let answer = mem::take(&mut answer);
        ready(Ok::<_, Infallible>(answer))
    });
    let service = limits::compression().layer(handler);
    let Ok(answer) = service.oneshot(request).now_or_never()?;
    let (parts, body) = answer.into_parts();
    let body = to_bytes(Body::new(body), usize::MAX).now_or_never()?.ok()?;
    Some((parts.headers, body))
}

#[cfg(test)]
mod tests {
    use super::*;
    use flate2::read::GzDecoder;
    use std::io::Read;

    fn rendered() -> Rendered {
        Rendered::new(ETag::of(&1), &"가나다".repeat(1_000))
    }

    async fn answer(rendered: &Rendered, accepted: Option<&'static str>) -> (HeaderMap, Bytes) {
        let accepted = accepted.map(|accepted| {
            let value = HeaderValue::from_static(accepted);
            (header::ACCEPT_ENCODING, value)
        });
        let headers = accepted.into_iter().collect();
        let (parts, body) = rendered.unless_known(&headers).into_parts();
        (parts.headers, to_bytes(body, usize::MAX).await.unwrap())
    }

    #[tokio::test]
    async fn all_who_accept_the_same_share_one_compression() {
        let rendered = rendered();
        let (headers, body) = answer(&rendered, Some("gzip")).await;
        assert_eq!(headers[header::CONTENT_ENCODING], "gzip");
        assert_eq!(headers[header::VARY], "accept-encoding");
        assert_eq!(headers[header::CONTENT_TYPE], "application/json");
        assert!(headers.contains_key(header::ETAG));
        let mut text = Vec::new();
        GzDecoder::new(&*body).read_to_end(&mut text).unwrap();
        assert_eq!(text, rendered.body);
        let (_, again) = answer(&rendered.clone(), Some("gzip")).await;
        assert_eq!(again.as_ptr(), body.as_ptr());
    }

    #[tokio::test]
    async fn who_accepts_nothing_or_anything_strange_gets_it_plain() {
        let rendered = rendered();
        for accepted in [None, Some("identity"), Some("x;"), Some("gzip;q=0")] {
            let (headers, body) = answer(&rendered, accepted).await;
            assert!(!headers.contains_key(header::CONTENT_ENCODING));
            assert_eq!(body, rendered.body);
        }
    }

    #[tokio::test]
    async fn a_long_body_is_left_to_the_layer_which_compresses_in_parts() {
        let rendered = Rendered::new(ETag::of(&1), &"x".repeat(LONGEST));
        let (headers, _) = answer(&rendered, Some("gzip")).await;
        assert!(!headers.contains_key(header::CONTENT_ENCODING));
    }

    #[tokio::test]
    async fn no_more_than_some_are_remembered() {
        let rendered = rendered();
        for accepted in ["gzip", "br", "br, gzip", "gzip, br"] {
            let (headers, _) = answer(&rendered, Some(accepted)).await;
            assert!(headers.contains_key(header::CONTENT_ENCODING));
        }
        let (headers, body) = answer(&rendered, Some("gzip;q=0.5")).await;
        assert!(!headers.contains_key(header::CONTENT_ENCODING));
        assert_eq!(body, rendered.body);
    }
}
