//! Entity tags of reads and versions of writes (RFC 9110, sections 8.8 and 13.1).

use super::error::ApiError;
use axum::response::{IntoResponse, Response};
use foldhash::quality::FixedState;
use headers::{HeaderMapExt, IfNoneMatch};
use http::{HeaderMap, StatusCode, header};
use std::hash::{BuildHasher, Hash};

/// A weak entity tag, e.g. `W/"0123456789abcdef"`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ETag(String);

impl ETag {
    /// The tag of what is answered. Processes of one build agree on it; after an upgrade clients
    /// read everything once more.
    pub fn of(content: &impl Hash) -> Self {
        let hash = FixedState::with_seed(0).hash_one(content);
        Self(format!("W/\"{hash:016x}\""))
    }
}

/// The answer with its tag, or 304 if the client knows it.
pub fn unless_known<Answer: IntoResponse>(
    headers: &HeaderMap,
    tag: &ETag,
    answer: impl FnOnce() -> Answer,
) -> Response {
    let tag_header = [(header::ETAG, tag.0.as_str())];
    let known = headers.typed_get::<IfNoneMatch>().is_some_and(|known| {
        tag.0
            .parse()
            .is_ok_and(|tag: headers::ETag| !known.precondition_passes(&tag))
    });
    if known {
        (StatusCode::NOT_MODIFIED, tag_header).into_response()
    } else {
        (tag_header, answer()).into_response()
    }
}

/// The version that a write's `If-Match: "v<version>"` names, if it does; `*` names any. What cannot
/// be a version matches none.
pub fn expected_version(headers: &HeaderMap) -> Result<Option<i64>, ApiError> {
    const NO_VERSION: i64 = -1;
    let values = headers.get_all(header::IF_MATCH).iter();
    let tags: Vec<&str> = values
        .flat_map(|value| value.to_str().unwrap_or_default().split(','))
        .map(str::trim)
        .collect();
    if tags.is_empty() || tags == ["*"] {
        return Ok(None);
    }
    let mut versions = tags.iter().filter_map(|tag| {
        let digits = tag.strip_prefix("\"v")?.strip_suffix('"')?;
        digits.parse().ok()
    });
    match (versions.next(), versions.next()) {
        (Some(_), Some(_)) => Err(ApiError::field(
            "If-Match",
            "If-Match 헤더에는 버전을 하나만 적어야 합니다. 예: \"v1\"",
        )),
        (version, _) => Ok(Some(version.unwrap_or(NO_VERSION))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(name: header::HeaderName, value: &str) -> HeaderMap {
        HeaderMap::from_iter([(name, value.parse().unwrap())])
    }

    #[test]
    fn an_answer_the_client_knows_is_not_sent_again() {
        let tag = ETag::of(&"content");
        let status = |known: &str| {
            let headers = headers(header::IF_NONE_MATCH, known);
            let answer = unless_known(&headers, &tag, || "content");
            assert_eq!(answer.headers()[header::ETAG], tag.0.as_str());
            answer.status().as_u16()
        };
        assert_eq!(status(&tag.0), 304);
        assert_eq!(status(&tag.0.replace("W/", "")), 304);
        assert_eq!(status(&format!("\"x\", {}", tag.0)), 304);
        assert_eq!(status("*"), 304);
        assert_eq!(status("W/\"x\""), 200);
        assert_eq!(status("nonsense"), 200);
    }

    #[test]
    fn a_write_names_one_version_or_any() {
        let version = |value: &str| expected_version(&headers(header::IF_MATCH, value)).ok();
        assert_eq!(expected_version(&HeaderMap::new()).ok(), Some(None));
        assert_eq!(version("*"), Some(None));
        assert_eq!(version("\"v12\""), Some(Some(12)));
        for never in ["v12", "\"12\"", "W/\"v12\"", "\"vx\"", ""] {
            assert_eq!(version(never), Some(Some(-1)), "{never}");
        }
        assert_eq!(version("\"x\", \"v2\""), Some(Some(2)));
        assert_eq!(version("\"v1\", \"v2\""), None);
    }
}
