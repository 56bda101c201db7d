//! Answers that are written once for many.

use super::etag::{ETag, unless_known};
use axum::{
    body::Bytes,
    response::{IntoResponse, Response},
};
use http::{HeaderMap, HeaderValue, header};
use serde::Serialize;

/// A JSON body and its entity tag. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Rendered {
    tag: ETag,
    body: Bytes,
}

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
        let body = body.into();
        Self { tag, body }
    }

    /// The answer, or 304 if the client knows it.
    pub fn unless_known(&self, headers: &HeaderMap) -> Response {
        const JSON: HeaderValue = HeaderValue::from_static("application/json");
        unless_known(headers, &self.tag, || {
            ([(header::CONTENT_TYPE, JSON)], self.body.clone()).into_response()
        })
    }
}
