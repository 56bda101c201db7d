//! Everything that can go wrong, as the client sees it.
//!
//! An [`ApiError`] knows its status and its sentence; the shape around it is the Flask service's,
//! which existing clients read: the envelope, and for creating a post and for tokens a bare
//! `{"error": …}`, now with `success` and `message` beside it.

use super::observe;
use crate::{
    auth::{AuthError, verifier::TokenError},
    board::{Fault, FieldError},
    store::StoreError,
};
use axum::{
    Json,
    response::{IntoResponse, Response},
};
use http::{HeaderValue, StatusCode, header};
use serde_json::{Value, json};
use std::borrow::Cow;
use thiserror::Error;

/// Seconds after which a client may try again what was refused for want of the database.
const RETRY_AFTER: HeaderValue = HeaderValue::from_static("2");

/// Why a request was not answered as hoped.
#[derive(Debug, Error)]
pub enum ApiError {
    /// No user is known.
    #[error(transparent)]
    Token(#[from] TokenError),
    /// Something in the request is wrong; the sentence names it.
    #[error("{0}")]
    BadRequest(Cow<'static, str>),
    /// The body is not JSON by its own account.
    #[error("Content-Type은 application/json이어야 합니다")]
    UnsupportedMediaType,
    /// The body is longer than it may be.
    #[error("요청 본문은 1 MiB 이하여야 합니다")]
    TooLarge,
    /// The body did not come in time.
    #[error("요청 본문을 읽을 수 없습니다")]
    BrokenBody,
    /// No visible post has this id.
    #[error("게시글을 찾을 수 없습니다")]
    NoPost,
    /// The answer was not ready in time.
    #[error("요청 처리 시간이 초과되었습니다. 잠시 후 다시 시도해 주세요")]
    Timeout,
    /// Something this service needs does not answer.
    #[error("일시적으로 서비스를 이용할 수 없습니다. 잠시 후 다시 시도해 주세요")]
    Unavailable,
    /// A fault of ours.
    #[error("서버 오류가 발생했습니다")]
    Internal,
}

impl ApiError {
    /// A request that is wrong in the way this sentence tells.
    pub fn bad_request(message: impl Into<Cow<'static, str>>) -> Self {
        Self::BadRequest(message.into())
    }

    /// The status it is answered with.
    pub fn status(&self) -> StatusCode {
        match self {
            Self::Token(_) => StatusCode::UNAUTHORIZED,
            Self::BadRequest(_) | Self::BrokenBody => StatusCode::BAD_REQUEST,
            Self::UnsupportedMediaType => StatusCode::UNSUPPORTED_MEDIA_TYPE,
            Self::TooLarge => StatusCode::PAYLOAD_TOO_LARGE,
            Self::NoPost => StatusCode::NOT_FOUND,
            Self::Timeout | Self::Unavailable => StatusCode::SERVICE_UNAVAILABLE,
            Self::Internal => StatusCode::INTERNAL_SERVER_ERROR,
        }
    }

    /// The answer, with this body.
    fn answer(&self, mut body: Value) -> Response {
        let status = self.status();
        if status.is_server_error()
            && let Some(id) = observe::current_request_id()
        {
            body["request_id"] = Value::String(id);
        }
        let mut response = (status, Json(body)).into_response();
        let headers = response.headers_mut();
        match self {
            Self::Token(_) => {
                headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
            }
            Self::Timeout | Self::Unavailable => {
                headers.insert(header::RETRY_AFTER, RETRY_AFTER);
            }
            _ => {}
        }
        response
    }
}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        let body = match &self {
            Self::Token(error) => json!({
                "success": false, "error": error.to_string(), "message": explain_token(*error),
            }),
            _ => json!({
                "success": false,
                "message": self.to_string(),
                "error": {"code": self.status().as_u16(), "details": null},
            }),
        };
        self.answer(body)
    }
}

/// An error of creating a post, which has a shape of its own.
#[derive(Debug, Error)]
#[error(transparent)]
pub struct CreateError(#[from] ApiError);

impl IntoResponse for CreateError {
    fn into_response(self) -> Response {
        if let ApiError::Token(_) = self.0 {
            return self.0.into_response();
        }
        let message = self.0.to_string();
        self.0
            .answer(json!({"success": false, "error": message, "message": message}))
    }
}

impl From<AuthError> for ApiError {
    fn from(error: AuthError) -> Self {
        match error {
            AuthError::Token(error) => Self::Token(error),
            AuthError::KeysUnavailable => Self::Unavailable,
        }
    }
}

impl From<FieldError> for ApiError {
    fn from(FieldError { field, fault }: FieldError) -> Self {
        Self::bad_request(match fault {
            Fault::Missing => format!("{field} 필드가 필요합니다."),
            Fault::TooManyCharacters(limit) => format!("{field} 필드는 {limit}자 이하여야 합니다."),
            Fault::TooManyBytes(limit) => format!("{field} 필드는 {limit}바이트 이하여야 합니다."),
            Fault::Nul => format!("{field} 필드에 사용할 수 없는 문자(NUL)가 있습니다."),
        })
    }
}

/// What happened goes to the log; the client learns only whether to try again.
impl From<StoreError> for ApiError {
    fn from(error: StoreError) -> Self {
        match error {
            StoreError::Unavailable(error) => {
                tracing::warn!(%error, "database unavailable");
                Self::Unavailable
            }
            StoreError::Failed(error) => {
                tracing::error!(%error, "database failure");
                Self::Internal
            }
        }
    }
}

/// The sentence the frontend shows.
fn explain_token(error: TokenError) -> &'static str {
    match error {
        TokenError::Missing => "로그인이 필요합니다",
        TokenError::Expired => "로그인이 만료되었습니다. 다시 로그인해 주세요",
        _ => "유효하지 않은 인증 정보입니다. 다시 로그인해 주세요",
    }
}

/// The answer to a path that nothing is at.
pub async fn no_route() -> Response {
    router_error(
        StatusCode::NOT_FOUND,
        "Not Found",
        "The requested resource was not found",
    )
}

/// The answer to a method that a path does not take.
pub async fn wrong_method() -> Response {
    router_error(
        StatusCode::METHOD_NOT_ALLOWED,
        "Method Not Allowed",
        "The method is not allowed for the requested URL.",
    )
}

fn router_error(status: StatusCode, name: &str, description: &str) -> Response {
    let error = json!({"code": status.as_u16(), "name": name, "description": description});
    (status, Json(json!({ "error": error }))).into_response()
}
