//! What can go wrong with images, as the client sees it.

use super::error::ApiError;
use crate::{
    board::MediaList,
    media::{ImageFault, MediaError},
};
use http::StatusCode;
use thiserror::Error;

/// Why a request about images was refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum MediaFault {
    /// The post is somebody else's.
    #[error("권한이 없습니다")]
    NotAuthor,
    /// The post has no such image.
    #[error("미디어 파일을 찾을 수 없습니다")]
    NoMedia,
    /// Nothing that may be shown lies at this address.
    #[error("이미지를 찾을 수 없습니다")]
    NoImage,
    /// The form holds no file.
    #[error("업로드할 파일이 없습니다")]
    NoFile,
    /// The body is no form by its own account.
    #[error("Content-Type은 multipart/form-data여야 합니다")]
    NoForm,
    /// The body is not the form that it says it is.
    #[error("요청 본문(body)이 올바른 multipart/form-data가 아닙니다")]
    BrokenForm,
    /// The whole body is longer than any acceptable one.
    #[error("요청 본문이 너무 큽니다. 파일은 한 번에 {0}개까지 올릴 수 있습니다")]
    FormTooLarge(usize),
    /// More files than one request may bring.
    #[error("파일은 한 번에 {0}개까지 올릴 수 있습니다")]
    TooManyFiles(usize),
    /// The post has as many images as it may.
    #[error("게시글에는 파일을 {}개까지 올릴 수 있습니다", MediaList::MAX)]
    PostIsFull,
    /// The file is not taken.
    #[error("{}", explain(.0))]
    Refused(ImageFault),
    /// No place for images is set.
    #[error("이미지 저장소가 설정되지 않아 파일을 올릴 수 없습니다")]
    NoPlace,
    /// The place for images does not answer.
    #[error("이미지 저장소를 일시적으로 이용할 수 없습니다. 잠시 후 다시 시도해 주세요")]
    Away,
}

impl MediaFault {
    /// The status it is answered with.
    pub fn status(self) -> StatusCode {
        match self {
            Self::NotAuthor => StatusCode::FORBIDDEN,
            Self::NoMedia | Self::NoImage => StatusCode::NOT_FOUND,
            Self::NoFile | Self::BrokenForm | Self::TooManyFiles(_) | Self::PostIsFull => {
                StatusCode::BAD_REQUEST
            }
            Self::NoForm | Self::Refused(ImageFault::UnknownKind) => {
                StatusCode::UNSUPPORTED_MEDIA_TYPE
            }
            Self::FormTooLarge(_) | Self::Refused(ImageFault::TooLarge(_)) => {
                StatusCode::PAYLOAD_TOO_LARGE
            }
            Self::Refused(_) => StatusCode::BAD_REQUEST,
            Self::NoPlace | Self::Away => StatusCode::SERVICE_UNAVAILABLE,
        }
    }

    /// The kind of fault, for programs and metrics.
    pub fn code(self) -> &'static str {
        match self {
            Self::NotAuthor => "forbidden",
            Self::NoMedia => "media_not_found",
            Self::NoImage => "image_not_found",
            Self::NoFile => "file_missing",
            Self::NoForm => "unsupported_media_type",
            Self::BrokenForm => "bad_request",
            Self::FormTooLarge(_) => "body_too_large",
            Self::TooManyFiles(_) | Self::PostIsFull => "too_many_files",
            Self::Refused(ImageFault::TooLarge(_)) => "file_too_large",
            Self::Refused(_) => "file_refused",
            Self::NoPlace => "no_media_storage",
            Self::Away => "media_storage_unavailable",
        }
    }

    /// Whether another try may succeed soon.
    pub fn is_passing(self) -> bool {
        self == Self::Away
    }
}

/// What happened goes to the log; the client learns only what it can act on.
impl From<MediaError> for ApiError {
    fn from(error: MediaError) -> Self {
        let fault = match error {
            MediaError::NoPost => return Self::NoPost,
            MediaError::Store(error) => return error.into(),
            MediaError::Internal => return Self::Internal,
            MediaError::NotAuthor => MediaFault::NotAuthor,
            MediaError::NoImage => MediaFault::NoMedia,
            MediaError::PostIsFull => MediaFault::PostIsFull,
            MediaError::Refused(fault) => MediaFault::Refused(fault),
            MediaError::NoPlace => MediaFault::NoPlace,
            MediaError::Away(error) => {
                tracing::warn!(%error, "images unavailable");
                MediaFault::Away
            }
        };
        Self::Media(fault)
    }
}

fn explain(fault: &ImageFault) -> String {
    match fault {
        ImageFault::TooLarge(limit) => format!("파일은 {limit}바이트 이하여야 합니다"),
        ImageFault::UnknownKind => {
            "이미지 파일(jpg, jpeg, png, gif, webp)만 올릴 수 있습니다".to_owned()
        }
        ImageFault::Damaged => "이미지 파일이 손상되었습니다".to_owned(),
        ImageFault::TooManyPixels => "이미지의 가로세로 크기가 너무 큽니다".to_owned(),
        ImageFault::TooManyFrames => "움직이는 이미지의 프레임이 너무 많습니다".to_owned(),
    }
}
