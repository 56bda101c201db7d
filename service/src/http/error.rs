//! Everything that can go wrong, as the client sees it.
//!
//! An [`ApiError`] knows its status and its sentence; the shape around it is the Flask service's,
//! which existing clients read: the envelope, and for creating a post and for tokens a bare
//! `{"error": …}`, now with `success` and `message` beside it.

use super::{
    media_fault::MediaFault,
    observe,
    problem::{FieldProblem, Problem},
};
use crate::{
    auth::{AuthError, verifier::TokenError},
    board::{Draft, Fault, FieldError},
    store::StoreError,
};
use axum::{
    Json,
    response::{IntoResponse, Response},
};
use http::{HeaderValue, StatusCode, header};
use serde::Serialize;
use serde_json::json;
use std::borrow::Cow;
use thiserror::Error;
use utoipa::ToSchema;

/// Seconds after which a client may try again what was refused for want of the database.
const RETRY_AFTER: HeaderValue = HeaderValue::from_static("2");

/// The shape of most errors.
#[derive(Debug, Serialize, ToSchema)]
pub struct ErrorEnvelope {
    /// Always false.
    #[schema(example = false)]
    success: bool,
    /// For people.
    #[schema(example = "게시글을 찾을 수 없습니다")]
    message: String,
    error: ErrorCode,
    /// The request's id, where the fault is the service's.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(example = "0b0e4b6ac6ff4ee0b2e9b5f2a7b8a2c1")]
    request_id: Option<String>,
}

/// The error in numbers.
#[derive(Debug, Serialize, ToSchema)]
pub struct ErrorCode {
    /// The status.
    #[schema(example = 404)]
    code: u16,
    /// Always null.
    #[schema(value_type = Option<Object>)]
    details: (),
}

/// The shape of errors of tokens and of creating a post.
#[derive(Debug, Serialize, ToSchema)]
pub struct PlainError {
    /// Always false.
    #[schema(example = false)]
    success: bool,
    /// The error, for programs.
    #[schema(example = "Token expired")]
    error: String,
    /// The same for people.
    #[schema(example = "로그인이 만료되었습니다. 다시 로그인해 주세요")]
    message: String,
    /// The request's id, where the fault is the service's.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(example = "0b0e4b6ac6ff4ee0b2e9b5f2a7b8a2c1")]
    request_id: Option<String>,
}

/// Why a request was not answered as hoped.
#[derive(Debug, Error)]
pub enum ApiError {
    /// No user is known.
    #[error(transparent)]
    Token(#[from] TokenError),
    /// Something in the request is wrong; the sentence names it.
    #[error("{0}")]
    BadRequest(Cow<'static, str>),
    /// One field of the request is wrong; the sentence names it.
    #[error("{message}")]
    Field {
        /// The field's name in the API.
        field: Cow<'static, str>,
        /// The sentence.
        message: String,
    },
    /// The body is not JSON by its own account.
    #[error("Content-Type은 application/json이어야 합니다")]
    UnsupportedMediaType,
    /// The body is longer than it may be.
    #[error("요청 본문은 1 MiB 이하여야 합니다")]
    TooLarge,
    /// The body did not come in time.
    #[error("요청 본문이 너무 늦게 도착했습니다")]
    SlowBody,
    /// The body ended before its end.
    #[error("요청 본문을 읽을 수 없습니다")]
    BrokenBody,
    /// One request too many; after so many seconds the next is welcome.
    #[error("요청이 너무 많습니다. 잠시 후 다시 시도해 주세요")]
    TooManyRequests(u64),
    /// No user is known, where the Flask service had a sentence of its own for it.
    #[error("인증이 필요합니다")]
    SignInRequired,
    /// The comment service told no count.
    #[error(
        "댓글 서비스가 응답하지 않아 댓글 수를 업데이트하지 못했습니다. 잠시 후 다시 시도해 주세요"
    )]
    CommentServiceFails,
    /// There is no comment service.
    #[error("댓글 서비스가 설정되지 않아 댓글 수를 업데이트할 수 없습니다")]
    NoCommentService,
    /// No visible post has this id.
    #[error("게시글을 찾을 수 없습니다")]
    NoPost,
    /// The post is another user's.
    #[error("이 게시글에 대한 권한이 없습니다")]
    Forbidden,
    /// The post is not the version that the client saw.
    #[error("게시글이 그 사이에 변경되었습니다. 다시 읽은 후 시도해 주세요")]
    Outdated,
    /// A request with the same Idempotency-Key is being answered.
    #[error("같은 Idempotency-Key의 요청이 처리 중입니다. 잠시 후 다시 시도해 주세요")]
    KeyInFlight,
    /// The Idempotency-Key was used for another request.
    #[error("Idempotency-Key가 이미 다른 요청에 사용되었습니다")]
    KeyReused,
    /// Something about images.
    #[error(transparent)]
    Media(#[from] MediaFault),
    /// The answer was not ready in time.
    #[error("요청 처리 시간이 초과되었습니다. 잠시 후 다시 시도해 주세요")]
    Timeout,
    /// Something this service needs does not answer.
    #[error("일시적으로 서비스를 이용할 수 없습니다. 잠시 후 다시 시도해 주세요")]
    Unavailable,
    /// More is asked than can be done soon.
    #[error("지금은 요청이 너무 많습니다. 잠시 후 다시 시도해 주세요")]
    Overloaded,
    /// A search that takes too long, or has to wait too long for others.
    #[error(
        "검색에 시간이 너무 오래 걸립니다. 검색어를 두 글자 이상으로 입력하거나 잠시 후 다시 시도해 주세요"
    )]
    SlowSearch,
    /// A fault of ours.
    #[error("서버 오류가 발생했습니다")]
    Internal,
}

impl ApiError {
    /// A request that is wrong in the way this sentence tells.
    pub fn bad_request(message: impl Into<Cow<'static, str>>) -> Self {
        Self::BadRequest(message.into())
    }

    /// A request whose field of this name is wrong in the way this sentence tells.
    pub fn field(field: impl Into<Cow<'static, str>>, message: impl Into<String>) -> Self {
        Self::Field {
            field: field.into(),
            message: message.into(),
        }
    }

    /// The status it is answered with.
    pub fn status(&self) -> StatusCode {
        match self {
            Self::Token(_) | Self::SignInRequired => StatusCode::UNAUTHORIZED,
            Self::BadRequest(_) | Self::Field { .. } | Self::BrokenBody => StatusCode::BAD_REQUEST,
            Self::SlowBody => StatusCode::REQUEST_TIMEOUT,
            Self::UnsupportedMediaType => StatusCode::UNSUPPORTED_MEDIA_TYPE,
            Self::TooLarge => StatusCode::PAYLOAD_TOO_LARGE,
            Self::TooManyRequests(_) => StatusCode::TOO_MANY_REQUESTS,
            Self::NoPost => StatusCode::NOT_FOUND,
            Self::Forbidden => StatusCode::FORBIDDEN,
            Self::Outdated => StatusCode::PRECONDITION_FAILED,
            Self::KeyInFlight => StatusCode::CONFLICT,
            Self::KeyReused => StatusCode::UNPROCESSABLE_ENTITY,
            Self::Media(fault) => fault.status(),
            Self::CommentServiceFails => StatusCode::BAD_GATEWAY,
            Self::Timeout
            | Self::Unavailable
            | Self::Overloaded
            | Self::SlowSearch
            | Self::NoCommentService => StatusCode::SERVICE_UNAVAILABLE,
            Self::Internal => StatusCode::INTERNAL_SERVER_ERROR,
        }
    }

    /// The kind of error, for programs and metrics.
    fn code(&self) -> &'static str {
        match self {
            Self::Token(TokenError::Missing) | Self::SignInRequired => "token_required",
            Self::Token(TokenError::Expired) => "token_expired",
            Self::Token(_) => "token_invalid",
            Self::BadRequest(_) | Self::BrokenBody => "bad_request",
            Self::Field { .. } => "invalid_field",
            Self::SlowBody => "slow_body",
            Self::UnsupportedMediaType => "unsupported_media_type",
            Self::TooLarge => "body_too_large",
            Self::TooManyRequests(_) => "rate_limited",
            Self::CommentServiceFails => "comment_service_failed",
            Self::NoCommentService => "no_comment_service",
            Self::Media(fault) => fault.code(),
            Self::NoPost => "post_not_found",
            Self::Forbidden => "forbidden",
            Self::Outdated => "version_mismatch",
            Self::KeyInFlight => "idempotency_key_in_flight",
            Self::KeyReused => "idempotency_key_reused",
            Self::Timeout => "timeout",
            Self::Unavailable => "unavailable",
            Self::Overloaded => "overloaded",
            Self::SlowSearch => "slow_search",
            Self::Internal => "internal",
        }
    }

    /// What it says, apart from any shape.
    pub(super) fn problem(&self) -> Problem {
        let detail = match self {
            Self::Token(error) => explain_token(*error).to_owned(),
            error => error.to_string(),
        };
        let errors = match self {
            Self::Field { field, message } => vec![FieldProblem {
                field: field.clone(),
                message: message.clone(),
            }],
            _ => Vec::new(),
        };
        Problem {
            code: self.code(),
            detail,
            errors,
        }
    }

    /// The request's id, for errors that somebody has to look into.
    fn request_id(&self) -> Option<String> {
        if self.status().is_server_error() {
            observe::current_request_id()
        } else {
            None
        }
    }

    /// The answer, with this body.
    fn answer(&self, body: impl Serialize) -> Response {
        let mut response = (self.status(), Json(body)).into_response();
        response.extensions_mut().insert(self.problem());
        let headers = response.headers_mut();
        match self {
            Self::Token(_) | Self::SignInRequired => {
                headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
            }
            Self::Timeout | Self::Unavailable | Self::Overloaded | Self::SlowSearch => {
                headers.insert(header::RETRY_AFTER, RETRY_AFTER);
            }
            Self::TooManyRequests(seconds) => {
                headers.insert(header::RETRY_AFTER, (*seconds).into());
            }
            Self::Media(fault) if fault.is_passing() => {
                headers.insert(header::RETRY_AFTER, RETRY_AFTER);
            }
            _ => {}
        }
        response
    }

    /// The answer in the bare shape.
    fn answer_plainly(&self, message: String) -> Response {
        let (error, request_id) = (self.to_string(), self.request_id());
        self.answer(PlainError {
            success: false,
            error,
            message,
            request_id,
        })
    }
}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        if let Self::Token(error) = &self {
            return self.answer_plainly(explain_token(*error).to_owned());
        }
        self.answer(ErrorEnvelope {
            success: false,
            message: self.to_string(),
            error: ErrorCode {
                code: self.status().as_u16(),
                details: (),
            },
            request_id: self.request_id(),
        })
    }
}

/// An error of creating a post, which has a shape of its own.
#[derive(Debug, Error)]
#[error(transparent)]
pub struct CreateError(#[from] ApiError);

impl IntoResponse for CreateError {
    fn into_response(self) -> Response {
        match self.0 {
            error @ ApiError::Token(_) => error.into_response(),
            error => error.answer_plainly(error.to_string()),
        }
    }
}

impl From<AuthError> for ApiError {
    fn from(error: AuthError) -> Self {
        match error {
            AuthError::Token(error) => Self::Token(error),
            AuthError::KeysUnavailable => Self::Unavailable,
            AuthError::Store(error) => error.into(),
        }
    }
}

impl From<FieldError> for ApiError {
    fn from(FieldError { field, fault }: FieldError) -> Self {
        let message = match fault {
            Fault::Missing => format!("{field} 필드가 필요합니다."),
            Fault::TooManyCharacters(limit) => format!("{field} 필드는 {limit}자 이하여야 합니다."),
            Fault::TooManyBytes(limit) => format!("{field} 필드는 {limit}바이트 이하여야 합니다."),
            Fault::Nul => format!("{field} 필드에 사용할 수 없는 문자(NUL)가 있습니다."),
        };
        Self::field(field, message)
    }
}

/// What happened goes to the log; the client learns only whether to try again.
impl From<StoreError> for ApiError {
    fn from(error: StoreError) -> Self {
        match error {
            // The content is the only field that an adopted table holds less of than the board does.
            StoreError::TooLong(_) => FieldError {
                field: "content",
                fault: Fault::TooManyBytes(Draft::MAX_ADOPTED_CONTENT),
            }
            .into(),
            StoreError::Unavailable(error) => {
                tracing::warn!(%error, "database unavailable");
                Self::Unavailable
            }
            StoreError::Crowded => Self::Overloaded,
            StoreError::SlowSearch => Self::SlowSearch,
            StoreError::Failed(error) => {
                tracing::error!(%error, "database failure");
                Self::Internal
            }
            // What happened was logged where it did.
            StoreError::Abandoned(_) => Self::Internal,
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
    let mut response = (status, Json(json!({ "error": error }))).into_response();
    let problem = Problem {
        detail: description.to_owned(),
        ..Problem::of_status(status)
    };
    response.extensions_mut().insert(problem);
    response
}
