//! Refusals that several operations share, for the `OpenAPI` document; handlers make them by
//! [`super::error`].
#![expect(dead_code, reason = "only described, never made")]

use super::error::{ErrorEnvelope, PlainError};
use utoipa::IntoResponses;

/// Of a change of a post.
#[derive(IntoResponses)]
pub enum ChangeRefusal {
    /// No valid token
    #[response(status = UNAUTHORIZED)]
    Token(PlainError),
    /// Another user's post
    #[response(status = FORBIDDEN)]
    NotOwner(ErrorEnvelope),
    /// No visible post has this id
    #[response(status = NOT_FOUND)]
    Missing(ErrorEnvelope),
    /// The post has another version
    #[response(status = PRECONDITION_FAILED)]
    Outdated(ErrorEnvelope),
}

/// Of a like with a token.
#[derive(IntoResponses)]
pub enum LikeRefusal {
    /// The id is `null` or `undefined`
    #[response(status = BAD_REQUEST)]
    Id(ErrorEnvelope),
    /// No valid token
    #[response(status = UNAUTHORIZED)]
    Token(PlainError),
    /// No visible post has this id
    #[response(status = NOT_FOUND)]
    Missing(ErrorEnvelope),
}

/// Of a JSON body.
#[derive(IntoResponses)]
pub enum BodyRefusal {
    /// A field is missing or wrong; the message names it
    #[response(status = BAD_REQUEST)]
    Field(ErrorEnvelope),
    /// The body did not come in time
    #[response(status = REQUEST_TIMEOUT)]
    Slow(ErrorEnvelope),
    /// The body is longer than 1 MiB
    #[response(status = PAYLOAD_TOO_LARGE)]
    TooLarge(ErrorEnvelope),
    /// The body is not JSON
    #[response(status = UNSUPPORTED_MEDIA_TYPE)]
    Kind(ErrorEnvelope),
}
