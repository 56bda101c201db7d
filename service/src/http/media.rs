//! Images of posts: upload, delete, what may be uploaded.

use super::{
    App,
    envelope::Envelope,
    error::{ApiError, ErrorEnvelope, PlainError},
    media_fault::MediaFault,
    uploads::{self, Form},
};
use crate::{
    board::{MediaEntry, PostId, User},
    media::{Media, MediaError},
};
use axum::extract::{DefaultBodyLimit, Path, Request, State, rejection::PathRejection};
use http::{HeaderMap, header, uri::Authority};
use serde::Serialize;
use utoipa::ToSchema;
use utoipa_axum::{router::OpenApiRouter, routes};

/// Routes under the API's base.
pub fn router() -> OpenApiRouter<App> {
    OpenApiRouter::new()
        .routes(routes!(upload_media))
        // Forms have a limit of their own, by the largest file.
        .layer(DefaultBodyLimit::disable())
        .routes(routes!(delete_media))
        .routes(routes!(check_permissions))
}

/// An image of a post.
#[derive(Debug, Clone, Serialize, ToSchema)]
struct MediaView {
    /// A dashed UUID.
    #[schema(example = "0f8fad5b-d9cb-469f-a165-70867728950e")]
    id: String,
    /// As the author named the file.
    #[schema(example = "고양이.jpg")]
    file_name: String,
    /// The object's key.
    #[schema(
        example = "image_files/images/5c1e4b6ac6ff4ee0b2e9b5f2a7b8a2c1/0f8fad5b-d9cb-469f-a165-70867728950e-image.jpg"
    )]
    s3_key: String,
    /// Where browsers get it.
    #[schema(
        example = "https://api.example.com/api/v1/images/images/5c1e4b6ac6ff4ee0b2e9b5f2a7b8a2c1/0f8fad5b-d9cb-469f-a165-70867728950e-image.jpg"
    )]
    s3_url: String,
    /// Always `image`.
    #[schema(example = "image")]
    file_type: &'static str,
    /// Bytes, after metadata was taken out.
    #[schema(example = 48213)]
    file_size: u64,
    /// By content, not by name.
    #[schema(example = "image/jpeg")]
    content_type: &'static str,
    /// Naive KST.
    #[schema(example = "2026-01-02T09:00:00")]
    uploaded_at: String,
}

impl From<MediaEntry> for MediaView {
    fn from(entry: MediaEntry) -> Self {
        Self {
            id: entry.id,
            file_name: entry.file_name,
            s3_key: entry.s3_key,
            s3_url: entry.s3_url,
            file_type: entry.file_type,
            file_size: entry.file_size,
            content_type: entry.content_type,
            uploaded_at: entry.uploaded_at.to_string(),
        }
    }
}

/// What came of an upload. If one file was stored, its own fields stand beside the others.
#[derive(Debug, Serialize, ToSchema)]
struct UploadResult {
    #[serde(flatten)]
    #[schema(ignore)]
    only: Option<MediaView>,
    /// The images that were stored.
    uploaded_files: Vec<MediaView>,
    /// How many were stored.
    #[schema(example = 1)]
    total_count: usize,
    /// How many were not.
    #[schema(example = 0)]
    failed_count: usize,
    /// Which were not, and why.
    failed_files: Vec<FailedFile>,
}

/// A file that was not stored.
#[derive(Debug, Serialize, ToSchema)]
struct FailedFile {
    /// Its place among the request's files, from 0.
    #[schema(example = 0)]
    index: usize,
    /// Why, for people.
    #[schema(example = "파일은 5242880바이트 이하여야 합니다")]
    message: String,
}

/// A form with images.
#[derive(ToSchema)]
#[expect(dead_code, reason = "describes the body, which is read as it comes")]
struct UploadForm {
    /// One image, at most `MAX_FILE_SIZE`.
    #[schema(required = false, value_type = String, format = Binary)]
    file: Vec<u8>,
    /// Several images, at most ten; `files` is accepted as well.
    #[schema(required = false, rename = "files[]", value_type = Vec<String>, format = Binary)]
    files: Vec<Vec<u8>>,
}

/// Add images to a post.
///
/// Of several files each is stored or refused by itself; the request fails if none is stored.
/// JPEG, PNG, GIF and WebP are told by content; metadata such as places is taken out.
#[utoipa::path(
    post,
    path = "/posts/{id}/media",
    tag = "media",
    params(("id" = String, Path, description = "32 hexadecimal digits")),
    request_body(content = UploadForm, content_type = "multipart/form-data"),
    security(("bearer" = [])),
    responses(
        (status = OK, body = Envelope<UploadResult>),
        (status = BAD_REQUEST, body = ErrorEnvelope,
            description = "No file, too many files, a damaged or huge image, or no proper form"),
        (status = UNAUTHORIZED, body = PlainError, description = "No valid token"),
        (status = FORBIDDEN, body = ErrorEnvelope, description = "The post is somebody else's"),
        (status = NOT_FOUND, body = ErrorEnvelope, description = "No visible post has this id"),
        (status = REQUEST_TIMEOUT, body = ErrorEnvelope, description = "The body came too slowly"),
        (status = PAYLOAD_TOO_LARGE, body = ErrorEnvelope,
            description = "A file is larger than `MAX_FILE_SIZE`; the message tells the limit"),
        (status = UNSUPPORTED_MEDIA_TYPE, body = ErrorEnvelope,
            description = "The file is no image of these kinds, or the body is no form"),
        (status = SERVICE_UNAVAILABLE, body = ErrorEnvelope,
            description = "The database or the place for images does not answer or is not set"),
    )
)]
async fn upload_media(
    State(media): State<Media>,
    user: Result<User, ApiError>,
    post: Result<PostId, ApiError>,
    request: Request,
) -> Result<Envelope<UploadResult>, ApiError> {
    let limit = media.config().max_file_size;
    let (user, post) = match admit(&media, user, post).await {
        Ok(admitted) => admitted,
        Err(refusal) => {
            uploads::discard(request, limit).await;
            return Err(refusal);
        }
    };
    let own_base = own_base(&media, request.headers());
    let room = media.room().await?;
    let mut form = Form::of(request, limit).await?;
    let (mut stored, mut failed) = (Vec::new(), Vec::new());
    loop {
        let file = match form.next_file().await {
            Ok(Some(file)) => file,
            Ok(None) => break,
            Err(error) if stored.is_empty() => return Err(error),
            // What is stored is stored; the rest of the form is lost.
            Err(error) => {
                failed.push(error);
                break;
            }
        };
        if stored.len() + failed.len() >= uploads::MAX_FILES {
            failed.push(MediaFault::TooManyFiles(uploads::MAX_FILES).into());
            form.skip_rest().await;
            break;
        }
        let added = match file {
            Ok(file) => media.add(&post, &user, file, &own_base).await,
            Err(fault) => Err(MediaError::Refused(fault)),
        };
        match added {
            Ok(entry) => stored.push((stored.len() + failed.len(), MediaView::from(entry))),
            Err(error) => failed.push(ApiError::from(error)),
        }
    }
    drop(room);
    answer(stored, failed)
}

/// Who uploads to which post, if they may; known before any file is read.
async fn admit(
    media: &Media,
    user: Result<User, ApiError>,
    post: Result<PostId, ApiError>,
) -> Result<(User, PostId), ApiError> {
    let (user, post) = (user?, post?);
    media.check_author(&post, &user).await?;
    if media.has_place() {
        Ok((user, post))
    } else {
        Err(MediaFault::NoPlace.into())
    }
}

/// The answer: what was stored, or the first fault if nothing was.
fn answer(
    stored: Vec<(usize, MediaView)>,
    failed: Vec<ApiError>,
) -> Result<Envelope<UploadResult>, ApiError> {
    if stored.is_empty() {
        return Err(failed
            .into_iter()
            .next()
            .unwrap_or(MediaFault::NoFile.into()));
    }
    let places: Vec<usize> = stored.iter().map(|(place, _)| *place).collect();
    let failed_places = (0..stored.len() + failed.len()).filter(|place| !places.contains(place));
    let failed_files: Vec<_> = failed_places
        .zip(&failed)
        .map(|(index, error)| FailedFile {
            index,
            message: error.to_string(),
        })
        .collect();
    let uploaded_files: Vec<_> = stored.into_iter().map(|(_, view)| view).collect();
    let message = match uploaded_files.len() {
        1 => "파일이 성공적으로 업로드되었습니다".to_owned(),
        count => format!("{count}개 파일이 성공적으로 업로드되었습니다"),
    };
    let only = match uploaded_files.as_slice() {
        [only] => Some(only.clone()),
        _ => None,
    };
    let uploaded = UploadResult {
        only,
        total_count: uploaded_files.len(),
        failed_count: failed_files.len(),
        uploaded_files,
        failed_files,
    };
    Ok(Envelope::with_message(message, uploaded))
}

/// What addresses of images begin with where no public address is set: on a developer's machine the
/// one this request came to; elsewhere nothing, because whoever uploads would choose it for all
/// readers. A `Host` that is none is not repeated.
fn own_base(media: &Media, headers: &HeaderMap) -> String {
    if media.config().place.is_shared() {
        String::new()
    } else {
        base_of(headers)
    }
}

fn base_of(headers: &HeaderMap) -> String {
    let host = headers
        .get(header::HOST)
        .and_then(|host| host.to_str().ok())
        .and_then(|host| host.parse::<Authority>().ok())
        .filter(|host| !host.as_str().contains('@'));
    host.map_or_else(String::new, |host| format!("http://{host}"))
}

/// Delete an image of a post.
#[utoipa::path(
    delete,
    path = "/posts/{id}/media/{media_id}",
    tag = "media",
    params(
        ("id" = String, Path, description = "32 hexadecimal digits"),
        ("media_id" = String, Path, description = "The image's id, a dashed UUID"),
    ),
    security(("bearer" = [])),
    responses(
        (status = OK, body = Envelope<Option<String>>, description = "`data` is null"),
        (status = BAD_REQUEST, body = ErrorEnvelope,
            description = "The post's id is `null` or `undefined`"),
        (status = UNAUTHORIZED, body = PlainError, description = "No valid token"),
        (status = FORBIDDEN, body = ErrorEnvelope, description = "The post is somebody else's"),
        (status = NOT_FOUND, body = ErrorEnvelope,
            description = "No visible post has this id, or it has no such image"),
        (status = SERVICE_UNAVAILABLE, body = ErrorEnvelope,
            description = "The database does not answer; try again"),
    )
)]
async fn delete_media(
    State(media): State<Media>,
    user: User,
    path: Result<Path<(String, String)>, PathRejection>,
) -> Result<Envelope<Option<String>>, ApiError> {
    let Path((post, id)) = path.map_err(|_| ApiError::NoPost)?;
    if matches!(post.as_str(), "null" | "undefined") {
        return Err(ApiError::bad_request("유효하지 않은 게시물 ID입니다"));
    }
    let post: PostId = post.parse().map_err(|_| ApiError::NoPost)?;
    media.remove(&post, &user, &id).await?;
    let message = "미디어 파일이 성공적으로 삭제되었습니다";
    Ok(Envelope::with_message(message, None))
}

/// What may be uploaded.
#[derive(Debug, Serialize, ToSchema)]
struct Permissions {
    /// Whether there is a place for images.
    #[schema(example = true)]
    has_permission: bool,
    #[schema(example = "board-images")]
    bucket_name: String,
    /// What keys of images begin with.
    #[schema(example = "image_files")]
    folder_prefix: String,
    /// Bytes.
    #[schema(example = 5_242_880)]
    max_file_size: u64,
    #[schema(example = json!(["gif", "jpg", "webp", "png", "jpeg"]))]
    allowed_image_extensions: [&'static str; 5],
    /// Always the same.
    #[schema(example = "image_only")]
    file_type_support: &'static str,
}

/// Tell what may be uploaded.
#[utoipa::path(
    get,
    path = "/posts/media/check-permissions",
    tag = "media",
    security(("bearer" = [])),
    responses(
        (status = OK, body = Envelope<Permissions>),
        (status = UNAUTHORIZED, body = PlainError, description = "No valid token"),
        (status = SERVICE_UNAVAILABLE, body = ErrorEnvelope,
            description = "No place for images is set, or token keys cannot be fetched"),
    )
)]
async fn check_permissions(
    State(media): State<Media>,
    _user: User,
) -> Result<Envelope<Permissions>, ApiError> {
    if !media.has_place() {
        return Err(MediaFault::NoPlace.into());
    }
    let config = media.config();
    let permissions = Permissions {
        has_permission: true,
        bucket_name: config.bucket_name.clone(),
        folder_prefix: config.prefix.clone(),
        max_file_size: config.max_file_size,
        // In the order of the Flask service, in case somebody relies on it.
        allowed_image_extensions: ["gif", "jpg", "webp", "png", "jpeg"],
        file_type_support: "image_only",
    };
    let message = "S3 업로드 권한이 있습니다";
    Ok(Envelope::with_message(message, permissions))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_host_that_is_none_is_not_repeated() {
        let base = |host: &'static str| {
            base_of(&HeaderMap::from_iter([(
                header::HOST,
                http::HeaderValue::from_static(host),
            )]))
        };
        assert_eq!(base("127.0.0.1:8082"), "http://127.0.0.1:8082");
        for host in ["", "a/b", "u@evil.example", "a b", "\"><script>"] {
            assert_eq!(base(host), "", "{host}");
        }
    }
}
