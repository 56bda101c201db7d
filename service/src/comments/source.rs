//! The comment service, as far as it is asked: `GET {url}/api/v1/posts/{id}/comments`, of whose
//! answer `data.total` counts.

use crate::board::PostId;
use reqwest::{StatusCode, redirect};
use serde::Deserialize;
use std::time::Duration;
use thiserror::Error;
use url::Url;

/// An answer holds a page of comments; a longer one is not read to its end.
const MAX_ANSWER_BYTES: usize = 1024 * 1024;
/// The largest count that the schema holds.
const MAX_COUNT: u32 = i32::MAX.unsigned_abs();

/// Why the comment service told no count.
#[derive(Debug, Error)]
pub enum SourceError {
    /// No answer, or not in time.
    #[error("{0}")]
    Http(#[from] reqwest::Error),
    /// An answer that is no success. Redirects are not followed.
    #[error("answered {0}")]
    Status(StatusCode),
    /// An answer that is too long.
    #[error("the answer is longer than {MAX_ANSWER_BYTES} bytes")]
    TooLong,
    /// An answer without a usable `data.total`.
    #[error("the answer has no usable data.total: {0}")]
    Malformed(#[from] serde_json::Error),
    /// A count that is none.
    #[error("data.total is {0}")]
    Absurd(u32),
    /// Too many are waiting for it already.
    #[error("too many requests are waiting for it")]
    Busy,
}

impl SourceError {
    /// For metrics.
    pub(super) fn kind(&self) -> &'static str {
        match self {
            Self::Http(error) if error.is_timeout() => "timeout",
            Self::Http(_) => "unreachable",
            Self::Status(_) => "status",
            Self::TooLong | Self::Malformed(_) | Self::Absurd(_) => "malformed",
            Self::Busy => "busy",
        }
    }

    /// Whether the service says that it knows no such post.
    pub(super) fn is_unknown_post(&self) -> bool {
        matches!(self, Self::Status(StatusCode::NOT_FOUND | StatusCode::GONE))
    }

    /// Whether the service is well and refuses this post alone.
    pub(super) fn concerns_one_post(&self) -> bool {
        match self {
            Self::Status(status) => {
                status.is_client_error()
                    && !matches!(
                        *status,
                        StatusCode::REQUEST_TIMEOUT | StatusCode::TOO_MANY_REQUESTS
                    )
            }
            Self::Absurd(_) | Self::Busy => true,
            _ => false,
        }
    }
}

/// Whether a URL can be the comment service's.
pub fn is_usable(url: &Url) -> bool {
    matches!(url.scheme(), "http" | "https") && url.has_host()
}

/// A client of the comment service.
#[derive(Debug)]
pub(super) struct Source {
    url: Url,
    client: reqwest::Client,
}

impl Source {
    /// The service at this URL, which answers within `patience` or has failed.
    pub(super) fn new(url: Url, patience: Duration) -> Result<Self, reqwest::Error> {
        let client = reqwest::Client::builder()
            .timeout(patience)
            .redirect(redirect::Policy::none())
            .build()?;
        Ok(Self { url, client })
    }

    /// Where it is.
    pub(super) fn url(&self) -> &Url {
        &self.url
    }

    /// How many comments a post has.
    pub(super) async fn count(&self, id: &PostId) -> Result<u32, SourceError> {
        let mut response = self.client.get(comments_of(&self.url, id)).send().await?;
        if !response.status().is_success() {
            return Err(SourceError::Status(response.status()));
        }
        let mut json = Vec::new();
        while let Some(chunk) = response.chunk().await? {
            if json.len() + chunk.len() > MAX_ANSWER_BYTES {
                return Err(SourceError::TooLong);
            }
            json.extend_from_slice(&chunk);
        }
        total(&json)
    }
}

/// Where a post's comments are.
fn comments_of(base: &Url, id: &PostId) -> Url {
    let mut url = base.clone();
    if let Ok(mut path) = url.path_segments_mut() {
        path.pop_if_empty()
            .extend(["api", "v1", "posts", id.as_str(), "comments"]);
    }
    url
}

/// The count that an answer tells.
fn total(json: &[u8]) -> Result<u32, SourceError> {
    #[derive(Deserialize)]
    struct Answer {
        data: Data,
    }
    #[derive(Deserialize)]
    struct Data {
        total: u32,
    }
    let Answer { data } = serde_json::from_slice(json)?;
    if data.total > MAX_COUNT {
        return Err(SourceError::Absurd(data.total));
    }
    Ok(data.total)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_address_keeps_the_bases_path() {
        let id: PostId = "0123456789abcdef0123456789abcdef".parse().unwrap();
        for (base, expected) in [
            ("http://c:8083", "http://c:8083/api/v1/posts/"),
            ("http://c:8083/", "http://c:8083/api/v1/posts/"),
            ("http://c/sub/", "http://c/sub/api/v1/posts/"),
            ("http://c/sub", "http://c/sub/api/v1/posts/"),
        ] {
            let url = comments_of(&base.parse().unwrap(), &id);
            assert_eq!(url.as_str(), format!("{expected}{id}/comments"));
        }
    }

    #[test]
    fn only_a_count_is_a_count() {
        let told = |text: &str| total(text.as_bytes()).ok();
        assert_eq!(told(r#"{"data": {"total": 0}}"#), Some(0));
        assert_eq!(
            told(r#"{"success": true, "data": {"comments": [{"total": -1}], "total": 12}}"#),
            Some(12)
        );
        assert_eq!(told(r#"{"data": {"total": 2147483647}}"#), Some(MAX_COUNT));
        for text in [
            "",
            "null",
            "[]",
            "{}",
            "<html>",
            r#"{"data": null}"#,
            r#"{"data": []}"#,
            r#"{"total": 1}"#,
            r#"{"data": {"total": null}}"#,
            r#"{"data": {"total": "1"}}"#,
            r#"{"data": {"total": -1}}"#,
            r#"{"data": {"total": 1.5}}"#,
            r#"{"data": {"total": 2147483648}}"#,
            r#"{"data": {"total": 1e400}}"#,
            r#"{"data": {"total": 18446744073709551616}}"#,
            r#"{"data": {"total": true}}"#,
            r#"{"data": {"total": 1}"#,
            r#"{"data": {"total": 1, "total": 2}}"#,
        ] {
            assert_eq!(told(text), None, "{text}");
        }
    }

    #[test]
    fn a_refusal_of_one_post_is_told_from_a_failing_service() {
        let status = |code| SourceError::Status(StatusCode::from_u16(code).unwrap());
        for code in [400, 403, 404, 410] {
            assert!(status(code).concerns_one_post(), "{code}");
        }
        for code in [301, 408, 429, 500, 502, 503] {
            assert!(!status(code).concerns_one_post(), "{code}");
        }
    }
}
