//! Users' accounts.

use super::{
    App,
    envelope::Envelope,
    error::{ApiError, ErrorEnvelope, PlainError},
};
use crate::{
    auth::verifier::TokenError,
    board::User,
    config::Deactivation,
    deactivation::{Deactivations, Progress},
};
use axum::extract::State;
use http::StatusCode;
use serde::Serialize;
use utoipa::ToSchema;
use utoipa_axum::{router::OpenApiRouter, routes};

/// Routes under the API's base.
pub fn router() -> OpenApiRouter<App> {
    OpenApiRouter::new().routes(routes!(deactivate))
}

/// What became of an account.
#[derive(Debug, Serialize, ToSchema)]
struct DeactivatedAccount {
    /// Whether the user pool has deleted it.
    #[schema(example = true)]
    deleted: bool,
    /// The user's name in the user pool.
    #[schema(example = "alice")]
    username: String,
}

/// Nobody was recognised.
#[derive(Serialize, ToSchema)]
#[serde(untagged)]
#[expect(dead_code, reason = "describes two answers of the API")]
enum Unrecognised {
    /// There is no token.
    NoToken(ErrorEnvelope),
    /// The token is not good, or its user is deactivated already.
    BadToken(PlainError),
}

/// Deactivate the caller's account.
///
/// Tokens of the user are refused from this answer on, for ever and everywhere. The user pool is
/// told to sign the user out and to delete the account (or to disable it, as the service is set
/// up); if that takes longer than a moment, it goes on behind this answer until it is done.
#[utoipa::path(
    post,
    path = "/users/me/deactivate",
    tag = "users",
    security(("bearer" = [])),
    responses(
        (status = OK, body = Envelope<DeactivatedAccount>, description = "Done"),
        (status = ACCEPTED, body = Envelope<DeactivatedAccount>,
            description = "The user is refused; the user pool has yet to follow"),
        (status = UNAUTHORIZED, body = Unrecognised, description = "No valid token"),
        (status = SERVICE_UNAVAILABLE, body = ErrorEnvelope,
            description = "The database does not answer, nothing happened; try again"),
    )
)]
async fn deactivate(
    State(deactivations): State<Deactivations>,
    user: Result<User, ApiError>,
) -> Result<(StatusCode, Envelope<DeactivatedAccount>), ApiError> {
    let user = user.map_err(|error| match error {
        ApiError::Token(TokenError::Missing) => ApiError::SignInRequired,
        error => error,
    })?;
    let progress = deactivations.deactivate(&user).await?;
    let (status, deleted, message) = answer(progress, deactivations.action());
    let account = DeactivatedAccount {
        deleted,
        username: user.username().to_owned(),
    };
    Ok((status, Envelope::with_message(message, account)))
}

/// Status, whether the account is deleted, and the sentence.
fn answer(progress: Progress, action: Deactivation) -> (StatusCode, bool, &'static str) {
    match (progress, action) {
        (Progress::Finished, Deactivation::Delete) => {
            (StatusCode::OK, true, "계정이 완전히 삭제되었습니다")
        }
        (Progress::Finished, Deactivation::Disable) => {
            (StatusCode::OK, false, "계정이 비활성화되었습니다")
        }
        (Progress::UnderWay, Deactivation::Delete) => (
            StatusCode::ACCEPTED,
            false,
            "계정이 비활성화되었으며 곧 완전히 삭제됩니다",
        ),
        (Progress::UnderWay, Deactivation::Disable) => (
            StatusCode::ACCEPTED,
            false,
            "계정 사용이 중지되었으며 곧 비활성화가 완료됩니다",
        ),
    }
}
