//! Forms with files, read as they come: never more of them in memory than one file.

use super::{error::ApiError, limits::BODY_TIME, media_fault::MediaFault};
use crate::media::{File, ImageFault};
use axum::{
    body::{Body, Bytes},
    extract::{FromRequest, Multipart, Request, multipart::Field},
};
use futures::{Stream, StreamExt, stream};
use http::{HeaderMap, header};
use std::time::Duration;
use thiserror::Error;
use tokio::time::{Instant, timeout};

/// The most files a request may bring.
pub const MAX_FILES: usize = 10;
/// What a form needs beside its files: boundaries and heads of parts, other fields.
const FORM_BYTES: u64 = 64 * 1024;
/// The names of fields with files.
const FILE_FIELDS: [&str; 3] = ["file", "files", "files[]"];

/// A form that is being read.
pub struct Form {
    multipart: Multipart,
    /// The largest file, in bytes.
    limit: u64,
}

/// What a body stopped with.
#[derive(Debug, Clone, Copy, Error)]
enum BodyFault {
    #[error("the body is too long")]
    TooLong,
    #[error("the body is too slow")]
    TooSlow,
    #[error("the body ended early")]
    Broken,
}

impl Form {
    /// The form in a request's body, which may hold [`MAX_FILES`] files of this size.
    pub async fn of(request: Request, limit: u64) -> Result<Self, ApiError> {
        if !is_form(request.headers()) {
            discard(request, limit).await;
            return Err(MediaFault::NoForm.into());
        }
        let longest = limit * MAX_FILES as u64 + FORM_BYTES;
        let request = request.map(|body| Body::from_stream(guarded(body, longest)));
        let multipart = Multipart::from_request(request, &())
            .await
            .map_err(|_| MediaFault::BrokenForm)?;
        Ok(Self { multipart, limit })
    }

    /// The next file, or what is wrong with it; fields that hold none are passed over.
    pub async fn next_file(&mut self) -> Result<Option<Result<File, ImageFault>>, ApiError> {
        while let Some(field) = self.multipart.next_field().await.map_err(fault)? {
            let is_file = field.name().is_some_and(|name| FILE_FIELDS.contains(&name));
            let name = field.file_name().unwrap_or_default().to_owned();
            // Browsers send a nameless, empty file where none was chosen.
            match read(field, self.limit).await? {
                _ if !is_file => {}
                Ok(content) if name.is_empty() && content.is_empty() => {}
                content => return Ok(Some(content.map(|content| File { name, content }))),
            }
        }
        Ok(None)
    }

    /// Reads what is left to its end, so that its sender sees the answer.
    pub async fn skip_rest(mut self) {
        while let Ok(Some(field)) = self.multipart.next_field().await {
            if read(field, 0).await.is_err() {
                return;
            }
        }
    }
}

/// A field's content; of one that is too long no more is kept.
async fn read(mut field: Field<'_>, limit: u64) -> Result<Result<Vec<u8>, ImageFault>, ApiError> {
    let (mut content, mut is_too_long) = (Vec::new(), false);
    while let Some(chunk) = field.chunk().await.map_err(fault)? {
        is_too_long = is_too_long || (content.len() + chunk.len()) as u64 > limit;
        if is_too_long {
            content = Vec::new();
        } else {
            content.extend_from_slice(&chunk);
        }
    }
    Ok(if is_too_long {
        Err(ImageFault::TooLarge(limit))
    } else {
        Ok(content)
    })
}

/// Throws a refused request's body away, as much as an acceptable one could hold: a client that is
/// still sending when the connection is closed never sees the answer. One that waits for leave to
/// send is not kept waiting.
pub async fn discard(request: Request, limit: u64) {
    if request.headers().contains_key(header::EXPECT) {
        return;
    }
    let chunks = guarded(request.into_body(), limit + FORM_BYTES);
    let _: usize = chunks
        .fold(0, async |total, chunk| {
            total + chunk.map_or(0, |chunk| chunk.len())
        })
        .await;
}

/// A body that ends with an error when it gets longer than this, or keeps its reader waiting longer
/// than [`BODY_TIME`] in all. What the reader does between two chunks does not count.
fn guarded(
    body: Body,
    longest: u64,
) -> impl Stream<Item = Result<Bytes, BodyFault>> + Send + 'static {
    let state = Some((body.into_data_stream(), longest, BODY_TIME));
    stream::unfold(state, async |state| {
        let (mut chunks, left, patience) = state?;
        let (chunk, waited) = wait(chunks.next(), patience).await;
        let next = match chunk {
            None => Err(BodyFault::TooSlow),
            Some(None) => return None,
            Some(Some(Err(_))) => Err(BodyFault::Broken),
            Some(Some(Ok(chunk))) if chunk.len() as u64 > left => Err(BodyFault::TooLong),
            Some(Some(Ok(chunk))) => Ok(chunk),
        };
        let state = next.as_ref().ok().map(|chunk| {
            let left = left - chunk.len() as u64;
            (chunks, left, patience.saturating_sub(waited))
        });
        Some((next, state))
    })
}

/// What a future came to within this time, and how long it took.
async fn wait<T>(future: impl Future<Output = T>, patience: Duration) -> (Option<T>, Duration) {
    let begun = Instant::now();
    let result = timeout(patience, future).await.ok();
    (result, begun.elapsed())
}

/// What a form stopped with: the body's fault if it was one, else the form's own.
#[expect(
    clippy::needless_pass_by_value,
    reason = "it is what `map_err` hands over"
)]
fn fault(error: axum::extract::multipart::MultipartError) -> ApiError {
    let mut cause: Option<&dyn std::error::Error> = Some(&error);
    while let Some(error) = cause {
        match error.downcast_ref() {
            Some(BodyFault::TooLong) => return MediaFault::FormTooLarge(MAX_FILES).into(),
            Some(BodyFault::TooSlow) => return ApiError::SlowBody,
            Some(BodyFault::Broken) => return ApiError::BrokenBody,
            None => cause = error.source(),
        }
    }
    MediaFault::BrokenForm.into()
}

fn is_form(headers: &HeaderMap) -> bool {
    let value = headers.get(header::CONTENT_TYPE);
    let text = value
        .and_then(|value| value.to_str().ok())
        .unwrap_or_default();
    let kind = text.split(';').next().unwrap_or_default().trim();
    kind.eq_ignore_ascii_case("multipart/form-data")
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::StatusCode;

    fn request(body: Body) -> Request {
        Request::post("/")
            .header("Content-Type", "multipart/form-data; boundary=B")
            .body(body)
            .unwrap()
    }

    fn part(head: &str, content: &str) -> String {
        format!("--B\r\nContent-Disposition: form-data; {head}\r\n\r\n{content}\r\n")
    }

    #[tokio::test]
    async fn files_are_found_among_other_fields_and_long_ones_are_refused() {
        let body = [
            part("name=\"note\"", "0123456789"),
            part("name=\"files[]\"; filename=\"a\"", "0123"),
            part("name=\"file\"; filename=\"b\"", "01234"),
            part("name=\"file\"; filename=\"\"", ""),
            part("name=\"files\"; filename=\"c\"", "01"),
            "--B--\r\n".to_owned(),
        ];
        let mut form = Form::of(request(body.concat().into()), 4).await.unwrap();
        let mut found = Vec::new();
        while let Some(file) = form.next_file().await.unwrap() {
            found.push(file.map(|file| (file.name, file.content.len())));
        }
        let expected = [
            Ok(("a".to_owned(), 4)),
            Err(ImageFault::TooLarge(4)),
            Ok(("c".to_owned(), 2)),
        ];
        assert_eq!(found, expected);
    }

    #[tokio::test(start_paused = true)]
    async fn a_form_that_does_not_come_is_the_clients_fault() {
        let never = stream::pending::<Result<Vec<u8>, std::io::Error>>();
        let mut form = Form::of(request(Body::from_stream(never)), 4)
            .await
            .unwrap();
        let refused = form.next_file().await.unwrap_err();
        assert_eq!(refused.status(), StatusCode::REQUEST_TIMEOUT);
    }

    #[tokio::test]
    async fn a_form_without_end_is_cut() {
        let head = part("name=\"file\"; filename=\"a\"", "");
        let endless = stream::once(std::future::ready(head.into_bytes()))
            .chain(stream::repeat(vec![b'x'; 10_000]))
            .map(Ok::<_, std::io::Error>);
        let mut form = Form::of(request(Body::from_stream(endless)), 4)
            .await
            .unwrap();
        let refused = form.next_file().await.unwrap_err();
        assert_eq!(refused.status(), StatusCode::PAYLOAD_TOO_LARGE);
    }

    #[tokio::test]
    async fn what_is_no_form_or_a_cut_one_is_refused() {
        let json = Request::post("/").header("Content-Type", "application/json");
        let refused = Form::of(json.body("{}".into()).unwrap(), 4).await.err();
        assert_eq!(
            refused.unwrap().status(),
            StatusCode::UNSUPPORTED_MEDIA_TYPE
        );
        let cut = part("name=\"file\"; filename=\"a\"", "01");
        for body in [cut.as_str(), "", "nonsense"] {
            let mut form = Form::of(request(body.to_owned().into()), 4).await.unwrap();
            let refused = form.next_file().await.err();
            assert_eq!(
                refused.map(|e| e.status()),
                Some(StatusCode::BAD_REQUEST),
                "{body}"
            );
        }
    }
}
