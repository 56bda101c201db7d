//! What handlers take from requests. Every refusal is an [`ApiError`].

use super::{
    App,
    caller::Caller,
    error::ApiError,
    limits::{BODY_BYTES, BODY_TIME, DISCARDED_BYTES},
};
use crate::{
    auth::{Recognition, verifier::TokenError},
    board::{PostId, User},
};
use axum::{
    body::Body,
    extract::{FromRequest, FromRequestParts, Path, Query, Request},
};
use futures::StreamExt;
use headers::{ContentLength, HeaderMapExt};
use http::{HeaderMap, header, request::Parts};
use serde::de::DeserializeOwned;
use std::{convert::Infallible, marker::PhantomData};

/// The user of the request's bearer token, unless deactivated: the one recognised already, or found
/// by waiting for the token's key.
impl FromRequestParts<App> for User {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<Self, ApiError> {
        let caller = parts.extensions.get::<Caller>();
        let user = match caller.and_then(Caller::token) {
            Some(Recognition::User(user)) => user.clone(),
            Some(Recognition::Refused(error)) => return Err((*error).into()),
            Some(Recognition::KeyUnknown) | None => {
                let token = bearer(&parts.headers).ok_or(TokenError::Missing)?;
                let user = app.authenticator.user(token).await?;
                if let Some(caller) = caller {
                    caller.found(&user);
                }
                user
            }
        };
        Ok(app.authenticator.admit(user).await?)
    }
}

/// The user of a request that changes something on the board. Refused before the database is asked about
/// the user where there is no room for another change: under load refusals are many.
pub struct Writer(pub User);

impl FromRequestParts<App> for Writer {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<Self, ApiError> {
        if !app.board.has_room_to_write() {
            return Err(ApiError::Overloaded);
        }
        User::from_request_parts(parts, app).await.map(Self)
    }
}

/// The token in `Authorization: Bearer …`, if there is one.
pub(super) fn bearer(headers: &HeaderMap) -> Option<&str> {
    let value = headers.get(header::AUTHORIZATION)?.to_str().ok()?;
    let (scheme, token) = value.trim().split_once(' ')?;
    let token = token.trim();
    (scheme.eq_ignore_ascii_case("Bearer") && !token.is_empty()).then_some(token)
}

/// The post a path names. What cannot be an id is no post's; `null` and `undefined` are a client's
/// mistake, which the Flask service told apart.
impl FromRequestParts<App> for PostId {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<Self, ApiError> {
        let Path(text) = Path::<String>::from_request_parts(parts, app)
            .await
            .map_err(|_| ApiError::NoPost)?;
        match text.as_str() {
            "null" | "undefined" => Err(ApiError::bad_request("유효하지 않은 게시물 ID입니다")),
            text => text.parse().map_err(|_| ApiError::NoPost),
        }
    }
}

/// The query string's parameters; unknown ones are ignored.
pub struct Params<T>(pub T);

impl<T: DeserializeOwned> FromRequestParts<App> for Params<T> {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<Self, ApiError> {
        let Query(params) = Query::from_request_parts(parts, app)
            .await
            .map_err(|rejection| refuse_query(&rejection.body_text()))?;
        Ok(Self(params))
    }
}

/// What is wrong with a query string. Of serde's text only the parameter's name is told: one that was
/// sent twice.
fn refuse_query(text: &str) -> ApiError {
    let twice = text.split_once("duplicate field `");
    match twice.and_then(|(_, rest)| rest.split('`').next()) {
        Some(name) => ApiError::field(
            name.to_owned(),
            format!("{name} 매개변수는 한 번만 보낼 수 있습니다."),
        ),
        None => ApiError::bad_request("잘못된 요청 매개변수입니다."),
    }
}

/// A JSON object in the body. Fields nobody asked for are ignored.
pub struct JsonObject<T>(pub T);

impl<T: DeserializeOwned> FromRequest<App> for JsonObject<T> {
    type Rejection = ApiError;

    async fn from_request(request: Request, _app: &App) -> Result<Self, ApiError> {
        let kind = PhantomData;
        UnreadJsonObject { request, kind }.read().await.map(Self)
    }
}

/// A JSON object that is read only when asked for: not from somebody who is refused anyway.
pub struct UnreadJsonObject<T> {
    request: Request,
    kind: PhantomData<fn() -> T>,
}

impl<T: DeserializeOwned + Send> FromRequest<App> for UnreadJsonObject<T> {
    type Rejection = Infallible;

    async fn from_request(request: Request, _app: &App) -> Result<Self, Infallible> {
        let kind = PhantomData;
        Ok(Self { request, kind })
    }
}

impl<T: DeserializeOwned> UnreadJsonObject<T> {
    /// The object.
    pub async fn read(self) -> Result<T, ApiError> {
        if !is_json(self.request.headers()) {
            return Err(ApiError::UnsupportedMediaType);
        }
        parse_object(&body(self.request).await?)
    }

    /// The object, or nothing where the body is empty: clients send all kinds of bodies, or none,
    /// with a content type of JSON.
    pub async fn read_if_any(self) -> Result<Option<T>, ApiError> {
        let body = body(self.request).await?;
        if body.is_empty() {
            return Ok(None);
        }
        parse_object(&body).map(Some)
    }
}

/// The whole body, if it is short enough and comes soon enough.
async fn body(request: Request) -> Result<Vec<u8>, ApiError> {
    let announced = request.headers().typed_get::<ContentLength>();
    let is_too_long = announced.is_some_and(|length| length.0 > BODY_BYTES as u64);
    let reading = read(request.into_body());
    let slow = if is_too_long {
        ApiError::TooLarge
    } else {
        ApiError::SlowBody
    };
    tokio::time::timeout(BODY_TIME, reading)
        .await
        .unwrap_or(Err(slow))
}

/// Reads a body. Of one that is too long the rest is thrown away, within reason: a client that is
/// still sending when the connection is closed never sees the answer.
async fn read(body: Body) -> Result<Vec<u8>, ApiError> {
    let mut chunks = body.into_data_stream();
    let (mut bytes, mut length) = (Vec::new(), 0);
    while let Some(chunk) = chunks.next().await {
        let chunk = chunk.map_err(|_| ApiError::BrokenBody)?;
        length += chunk.len();
        if length <= BODY_BYTES {
            bytes.extend_from_slice(&chunk);
        } else if length > DISCARDED_BYTES {
            break;
        }
    }
    if length <= BODY_BYTES {
        Ok(bytes)
    } else {
        Err(ApiError::TooLarge)
    }
}

/// `application/json`, or a type built on it.
fn is_json(headers: &HeaderMap) -> bool {
    let value = headers
        .get(header::CONTENT_TYPE)
        .and_then(|value| value.to_str().ok());
    let kind = value
        .and_then(|value| value.split(';').next())
        .unwrap_or_default()
        .trim();
    let kind = kind.to_ascii_lowercase();
    kind == "application/json" || (kind.starts_with("application/") && kind.ends_with("+json"))
}

/// No field of ours has a longer name: a longer one is not repeated to the client.
const MAX_NAMED_BYTES: usize = 64;

/// Reads an object; the error names the field that could not be read.
fn parse_object<T: DeserializeOwned>(body: &[u8]) -> Result<T, ApiError> {
    // serde would also fill a struct from an array.
    if body.trim_ascii_start().first() != Some(&b'{') {
        return Err(ApiError::bad_request(
            "요청 본문(body)은 JSON 객체여야 합니다.",
        ));
    }
    let mut json = serde_json::Deserializer::from_slice(body);
    let object = serde_path_to_error::deserialize(&mut json).map_err(|error| {
        match error.path().iter().next() {
            Some(serde_path_to_error::Segment::Map { key }) if key.len() <= MAX_NAMED_BYTES => {
                ApiError::field(key.clone(), format!("{key} 필드의 값이 올바르지 않습니다."))
            }
            _ => ApiError::bad_request("요청 본문(body)이 올바른 JSON이 아닙니다."),
        }
    })?;
    json.end()
        .map_err(|_| ApiError::bad_request("요청 본문(body)이 올바른 JSON이 아닙니다."))?;
    Ok(object)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde::Deserialize;

    #[derive(Debug, Deserialize, PartialEq)]
    struct Titled {
        title: Option<String>,
    }

    fn refusal(body: &[u8]) -> String {
        parse_object::<Titled>(body).unwrap_err().to_string()
    }

    #[test]
    fn an_object_may_carry_more_than_was_asked_for() {
        let body: Titled = parse_object(br#" {"title": "t", "x": [{"y": 1}]} "#).unwrap();
        assert_eq!(
            body,
            Titled {
                title: Some("t".into())
            }
        );
        assert_eq!(
            parse_object::<Titled>(b"{}").unwrap(),
            Titled { title: None }
        );
    }

    #[test]
    fn a_field_of_the_wrong_type_is_named() {
        for value in ["1", "true", "[]", "{}", r#""\ud800""#] {
            let body = format!(r#"{{"title": {value}}}"#);
            assert!(refusal(body.as_bytes()).starts_with("title "), "{value}");
        }
        assert!(refusal(b"{\"title\": \"\xff\"}").starts_with("title "));
    }

    #[test]
    fn what_is_no_object_is_refused() {
        for body in ["", "null", "[\"t\"]", "\"t\"", "notjson", "{", "{} {}"] {
            assert!(refusal(body.as_bytes()).contains("body"), "{body:.20}");
        }
    }

    #[test]
    fn nesting_without_end_is_refused() {
        assert!(refusal(format!(r#"{{"x": {}"#, "[".repeat(100_000)).as_bytes()).starts_with('x'));
    }

    #[tokio::test(start_paused = true)]
    async fn a_body_that_does_not_come_is_the_clients_fault() {
        let never = futures::stream::pending::<Result<Vec<u8>, std::io::Error>>();
        let request = Request::new(Body::from_stream(never));
        let refused = body(request).await.unwrap_err();
        assert_eq!(refused.status(), http::StatusCode::REQUEST_TIMEOUT);
    }

    #[test]
    fn a_bearer_token_is_found_whatever_the_case_of_the_scheme() {
        let token = |value: &str| {
            let mut headers = HeaderMap::new();
            headers.insert(header::AUTHORIZATION, value.parse().unwrap());
            bearer(&headers).map(str::to_owned)
        };
        assert_eq!(token("Bearer abc"), Some("abc".into()));
        assert_eq!(token("bearer  abc "), Some("abc".into()));
        for value in ["Bearer", "Bearer ", "abc", "Basic abc"] {
            assert_eq!(token(value), None, "{value}");
        }
    }
}
