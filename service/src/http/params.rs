//! Parameters that several operations share, for the `OpenAPI` document; handlers take them by the
//! extractors of [`super::extract`] and [`super::etag`]. Optional ones have no example: Swagger UI
//! would send it.
#![expect(dead_code, reason = "only described, never made")]

use utoipa::IntoParams;

/// Names a post in the path.
#[derive(IntoParams)]
#[into_params(parameter_in = Path)]
pub struct PostPath {
    /// 32 hexadecimal digits.
    #[param(example = "5c1e4b6ac6ff4ee0b2e9b5f2a7b8a2c1")]
    id: String,
}

/// What a reader knows already.
#[derive(IntoParams)]
#[into_params(parameter_in = Header)]
pub struct IfNoneMatch {
    /// Entity tags the client knows: 304 if the answer's is among them.
    #[param(rename = "If-None-Match")]
    if_none_match: Option<String>,
}

/// What a writer has seen.
#[derive(IntoParams)]
#[into_params(parameter_in = Header)]
pub struct IfMatch {
    /// The version the client saw: the write is refused if the post has another one.
    #[param(rename = "If-Match")]
    if_match: Option<String>,
}
