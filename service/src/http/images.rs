//! The images themselves, at the addresses that entries name.

use super::{
    App,
    error::{ApiError, ErrorEnvelope},
    media_fault::MediaFault,
};
use crate::{
    board::PostId,
    media::{Description, Media, MediaError},
};
use axum::{
    body::Body,
    extract::{Path, State},
    response::{IntoResponse, Response},
    routing::get,
};
use headers::{ETag, HeaderMapExt, IfNoneMatch, IfRange};
use http::{HeaderMap, HeaderValue, Method, StatusCode, header};
use std::ops::Range;
use utoipa_axum::{router::OpenApiRouter, routes};

/// What lies at an address never changes: its key holds a random id.
const CACHED: HeaderValue = HeaderValue::from_static("public, max-age=31536000, immutable");

/// Routes under the API's base.
pub fn router() -> OpenApiRouter<App> {
    OpenApiRouter::new()
        .routes(routes!(read_image))
        .route("/images/{*key}", get(no_image))
}

/// Other addresses below are nothing's.
async fn no_image() -> ApiError {
    MediaFault::NoImage.into()
}

/// Read an image.
#[utoipa::path(
    get,
    path = "/images/images/{post}/{file}",
    tag = "media",
    params(
        ("post" = String, Path, description = "The post's id, 32 hexadecimal digits"),
        ("file" = String, Path, description = "The last part of the image's address"),
        ("Range" = Option<String>, Header, description = "One range of bytes"),
        ("If-None-Match" = Option<String>, Header, description = "An `ETag` seen before"),
    ),
    responses(
        (status = OK, content((Vec<u8> = "image/jpeg"), (Vec<u8> = "image/png"),
            (Vec<u8> = "image/gif"), (Vec<u8> = "image/webp")), headers(
            ("ETag" = String, description = "Names the content"),
            ("Cache-Control" = String, description = "A year, immutable"),
        )),
        (status = PARTIAL_CONTENT, description = "The range asked for",
            content((Vec<u8> = "image/jpeg"), (Vec<u8> = "image/png"), (Vec<u8> = "image/gif"),
            (Vec<u8> = "image/webp")),
            headers(("Content-Range" = String, description = "Which bytes of how many"))),
        (status = NOT_MODIFIED, description = "The client has it already"),
        (status = NOT_FOUND, body = ErrorEnvelope, description = "No image is at this address"),
        (status = RANGE_NOT_SATISFIABLE, description = "The range begins behind the end",
            headers(("Content-Range" = String, description = "How many bytes there are"))),
        (status = SERVICE_UNAVAILABLE, body = ErrorEnvelope,
            description = "The place for images does not answer; try again"),
    )
)]
async fn read_image(
    State(media): State<Media>,
    method: Method,
    path: Result<Path<(String, String)>, axum::extract::rejection::PathRejection>,
    headers: HeaderMap,
) -> Result<Response, ApiError> {
    let Ok(Path((post, file))) = path else {
        return Err(MediaFault::NoImage.into());
    };
    let post: PostId = post.parse().map_err(|_| MediaFault::NoImage)?;
    let plain = method == Method::GET
        && !headers.contains_key(header::RANGE)
        && !headers.contains_key(header::IF_NONE_MATCH);
    if plain {
        let object = media.read(&post, &file, None).await.map_err(refuse)?;
        let content = Body::from_stream(object.content);
        let size = object.description.size;
        return answer(StatusCode::OK, &object.description, size, content);
    }
    let found = media.describe(&post, &file).await.map_err(refuse)?;
    let tag = tag(&found)?;
    let known = headers.typed_get::<IfNoneMatch>();
    if known.is_some_and(|known| !known.precondition_passes(&tag)) {
        return Ok(not_modified(tag));
    }
    if method == Method::HEAD {
        return answer(StatusCode::OK, &found, found.size, Body::empty());
    }
    let part = match wanted_part(&headers, &tag, found.size) {
        Wanted::Nothing => {
            let range = [(header::CONTENT_RANGE, format!("bytes */{}", found.size))];
            return Ok((StatusCode::RANGE_NOT_SATISFIABLE, range).into_response());
        }
        Wanted::Whole => None,
        Wanted::Part(part) => Some(part),
    };
    let object = media.read(&post, &file, part.clone());
    let content = Body::from_stream(object.await.map_err(refuse)?.content);
    let Some(Range { start, end }) = part else {
        return answer(StatusCode::OK, &found, found.size, content);
    };
    let range = format!("bytes {start}-{}/{}", end - 1, found.size);
    let part = answer(StatusCode::PARTIAL_CONTENT, &found, end - start, content)?;
    Ok(([(header::CONTENT_RANGE, range)], part).into_response())
}

fn refuse(error: MediaError) -> ApiError {
    match error {
        MediaError::NoImage => MediaFault::NoImage.into(),
        error => error.into(),
    }
}

/// An answer of this many bytes of an image.
fn answer(
    status: StatusCode,
    found: &Description,
    length: u64,
    content: Body,
) -> Result<Response, ApiError> {
    let mut answer = (status, content).into_response();
    let headers = answer.headers_mut();
    let kind = HeaderValue::from_static(found.kind.media_type());
    headers.insert(header::CONTENT_TYPE, kind);
    headers.insert(header::CONTENT_LENGTH, length.into());
    headers.insert(header::CACHE_CONTROL, CACHED);
    headers.insert(header::ACCEPT_RANGES, HeaderValue::from_static("bytes"));
    let inline = HeaderValue::from_static("inline");
    headers.insert(header::CONTENT_DISPOSITION, inline);
    headers.typed_insert(tag(found)?);
    Ok(answer)
}

fn not_modified(tag: ETag) -> Response {
    let mut answer = StatusCode::NOT_MODIFIED.into_response();
    answer.headers_mut().typed_insert(tag);
    answer.headers_mut().insert(header::CACHE_CONTROL, CACHED);
    answer
}

fn tag(found: &Description) -> Result<ETag, ApiError> {
    let tag = format!("\"{}\"", found.tag).parse();
    tag.map_err(|_| ApiError::Internal)
}

/// Which bytes a request wants.
#[derive(Debug, PartialEq, Eq)]
enum Wanted {
    Whole,
    Part(Range<u64>),
    Nothing,
}

/// The part named by `Range`, unless `If-Range` names other content.
fn wanted_part(headers: &HeaderMap, tag: &ETag, size: u64) -> Wanted {
    let Some(range) = headers.get(header::RANGE).and_then(|r| r.to_str().ok()) else {
        return Wanted::Whole;
    };
    let changed = match headers.typed_try_get::<IfRange>() {
        Ok(condition) => condition.is_some_and(|known| known.is_modified(Some(tag), None)),
        Err(_) => true,
    };
    if changed {
        Wanted::Whole
    } else {
        parse_range(range, size)
    }
}

/// One range of bytes (RFC 9110, 14.1.2). Several, and what is no range, may be ignored: the whole
/// is answered.
fn parse_range(text: &str, size: u64) -> Wanted {
    let number = |text: &str| {
        let digits = !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
        digits.then(|| text.parse().unwrap_or(u64::MAX))
    };
    let bounds = text
        .strip_prefix("bytes=")
        .and_then(|bounds| bounds.trim().split_once('-'));
    let (first, last) = match bounds {
        Some(("", last)) => match number(last) {
            Some(count) => (size.saturating_sub(count), u64::MAX),
            None => return Wanted::Whole,
        },
        Some((first, "")) => match number(first) {
            Some(first) => (first, u64::MAX),
            None => return Wanted::Whole,
        },
        Some((first, last)) => match (number(first), number(last)) {
            (Some(first), Some(last)) if first <= last => (first, last),
            _ => return Wanted::Whole,
        },
        None => return Wanted::Whole,
    };
    if first < size {
        Wanted::Part(first..last.saturating_add(1).min(size))
    } else {
        Wanted::Nothing
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_range_of_bytes_is_understood_and_anything_else_means_the_whole() {
        for (text, wanted) in [
            ("bytes=0-0", Wanted::Part(0..1)),
            ("bytes=2-4", Wanted::Part(2..5)),
            ("bytes=2-", Wanted::Part(2..10)),
            ("bytes=2-99", Wanted::Part(2..10)),
            ("bytes=-3", Wanted::Part(7..10)),
            ("bytes=-99", Wanted::Part(0..10)),
            ("bytes=0-18446744073709551616", Wanted::Part(0..10)),
            ("bytes=10-", Wanted::Nothing),
            ("bytes=99999999999999999999-", Wanted::Nothing),
            ("bytes=-0", Wanted::Nothing),
            ("bytes=4-2", Wanted::Whole),
            ("bytes=0-1,3-4", Wanted::Whole),
            ("bytes=-", Wanted::Whole),
            ("bytes=+1-2", Wanted::Whole),
            ("items=0-1", Wanted::Whole),
            ("", Wanted::Whole),
        ] {
            assert_eq!(parse_range(text, 10), wanted, "{text}");
        }
    }
}
