//! Errors as RFC 9457 has them, for clients that ask for `application/problem+json`.
//!
//! Errors are made once, by [`error`](super::error), in the old service's shapes, with a [`Problem`]
//! beside them in the response's extensions; for clients that ask, [`rewrite`] puts the problem in
//! the body's place. What made no problem of its own is described by its status.

use super::observe;
use axum::{body::Body, response::Response};
use http::{HeaderMap, HeaderValue, StatusCode, header};
use serde::Serialize;
use std::borrow::Cow;
use utoipa::ToSchema;

/// The media type.
pub const MEDIA_TYPE: &str = "application/problem+json";

/// What an error says, apart from any shape; travels in a response's extensions.
#[derive(Debug, Clone)]
pub struct Problem {
    /// The kind of error, for programs. One of a fixed set: it is a label of metrics, too.
    pub code: &'static str,
    /// The sentence for people.
    pub detail: String,
    /// The fields that are wrong.
    pub errors: Vec<FieldProblem>,
}

/// What is wrong with one field.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct FieldProblem {
    /// The field's name.
    #[schema(example = "title")]
    pub field: Cow<'static, str>,
    /// What is wrong with it, for people.
    #[schema(example = "title 필드가 필요합니다.")]
    pub message: String,
}

/// An error, as clients that accept `application/problem+json` see it (RFC 9457).
#[derive(Debug, Serialize, ToSchema)]
pub struct ProblemDetails {
    /// Always `about:blank`: the title is the status's name, and `code` tells more.
    #[serde(rename = "type")]
    #[schema(example = "about:blank")]
    kind: &'static str,
    /// The status's name.
    #[schema(example = "Not Found")]
    title: &'static str,
    /// The status.
    #[schema(example = 404)]
    status: u16,
    /// What happened, for people.
    #[schema(example = "게시글을 찾을 수 없습니다")]
    detail: String,
    /// The request's id, as a URN.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(example = "urn:request-id:0b0e4b6ac6ff4ee0b2e9b5f2a7b8a2c1")]
    instance: Option<String>,
    /// The kind of error, for programs.
    #[schema(example = "post_not_found")]
    code: &'static str,
    /// The fields that are wrong, if the error is about fields.
    errors: Vec<FieldProblem>,
}

impl ProblemDetails {
    fn new(status: StatusCode, problem: Problem, request_id: Option<String>) -> Self {
        Self {
            kind: "about:blank",
            title: status.canonical_reason().unwrap_or("Error"),
            status: status.as_u16(),
            detail: problem.detail,
            instance: request_id.map(|id| format!("urn:request-id:{id}")),
            code: problem.code,
            errors: problem.errors,
        }
    }
}

impl Problem {
    /// The problem of an answer that carries none of its own.
    pub fn of_status(status: StatusCode) -> Self {
        Self {
            code: code_of(status),
            detail: status.canonical_reason().unwrap_or("Error").to_owned(),
            errors: Vec::new(),
        }
    }
}

fn code_of(status: StatusCode) -> &'static str {
    match status {
        StatusCode::NOT_FOUND => "not_found",
        StatusCode::METHOD_NOT_ALLOWED => "method_not_allowed",
        StatusCode::PRECONDITION_FAILED => "precondition_failed",
        StatusCode::RANGE_NOT_SATISFIABLE => "range_not_satisfiable",
        StatusCode::SERVICE_UNAVAILABLE => "unavailable",
        status if status.is_server_error() => "internal",
        _ => "bad_request",
    }
}

/// An error with its problem for a body, other answers as they are.
pub fn rewrite(response: Response) -> Response {
    let status = response.status();
    if !status.is_client_error() && !status.is_server_error() {
        return response;
    }
    let (mut parts, body) = response.into_parts();
    let problem = parts.extensions.get::<Problem>().cloned();
    let problem = problem.unwrap_or_else(|| Problem::of_status(parts.status));
    let details = ProblemDetails::new(parts.status, problem, observe::current_request_id());
    let Ok(json) = serde_json::to_vec(&details) else {
        return Response::from_parts(parts, body);
    };
    parts.headers.remove(header::CONTENT_LENGTH);
    parts.headers.remove(header::CONTENT_ENCODING);
    parts
        .headers
        .insert(header::CONTENT_TYPE, HeaderValue::from_static(MEDIA_TYPE));
    parts
        .headers
        .append(header::VARY, HeaderValue::from_static("accept"));
    Response::from_parts(parts, Body::from(json))
}

/// Whether problems are named in `Accept`, and plain JSON is not liked better.
pub fn is_asked_for(headers: &HeaderMap) -> bool {
    let lines = headers
        .get_all(header::ACCEPT)
        .iter()
        .filter_map(|line| line.to_str().ok());
    let (mut problem, mut json) = (0.0, 0.0);
    for range in lines.flat_map(|line| line.split(',')) {
        let mut parts = range.split(';').map(str::trim);
        let kind = parts.next().unwrap_or_default();
        let weight = parts.find_map(|part| {
            let (name, value) = part.split_once('=')?;
            name.eq_ignore_ascii_case("q")
                .then(|| value.parse().unwrap_or(0.0))
        });
        let weight = weight.unwrap_or(1.0);
        if kind.eq_ignore_ascii_case(MEDIA_TYPE) {
            problem = weight;
        } else if kind.eq_ignore_ascii_case("application/json") {
            json = weight;
        }
    }
    problem > 0.0 && problem >= json
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asks(accept: &str) -> bool {
        is_asked_for(&HeaderMap::from_iter([(
            header::ACCEPT,
            accept.parse().unwrap(),
        )]))
    }

    #[test]
    fn problems_are_sent_to_those_who_name_them() {
        for accept in [
            "application/problem+json",
            "Application/Problem+JSON",
            "application/json, application/problem+json",
            "text/html;q=0.9, application/problem+json;q=0.5, */*",
            "application/problem+json; charset=utf-8; q=0.1",
        ] {
            assert!(asks(accept), "{accept}");
        }
    }

    #[test]
    fn everybody_else_is_answered_as_ever() {
        for accept in [
            "",
            "*/*",
            "application/json",
            "application/*",
            "application/problem+xml",
            "application/problem+json;q=0",
            "application/problem+json;q=x",
            "application/json, application/problem+json;q=0.9",
        ] {
            assert!(!asks(accept), "{accept}");
        }
        assert!(!is_asked_for(&HeaderMap::new()));
    }
}
