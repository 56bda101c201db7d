//! Which files are images, and what is kept of them: functions of bytes.

use super::strip::{Stripped, strip};
use image::{ImageError, ImageFormat, ImageReader, Limits};
use std::io::Cursor;
use thiserror::Error;

/// The longest side, in pixels.
const MAX_SIDE: u32 = 16_384;
/// The most memory a decoded image may take, in bytes: 44 million pixels of three bytes. One is
/// decoded at a time.
const MAX_DECODED: u64 = 128 * 1024 * 1024;
/// The most pictures in an animation.
const MAX_FRAMES: u64 = 1_000;
/// The most pixels in all pictures of an animation together: what a viewer has to draw.
const MAX_ANIMATED_PIXELS: u64 = 500_000_000;
/// How many bytes at the beginning tell the kind.
pub const SNIFFED_BYTES: u64 = 12;

/// A kind of image that is accepted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// JPEG.
    Jpeg,
    /// PNG, animated too.
    Png,
    /// GIF.
    Gif,
    /// WebP.
    WebP,
}

impl Kind {
    const ALL: [Self; 4] = [Self::Jpeg, Self::Png, Self::Gif, Self::WebP];

    /// The kind that content beginning like this can be.
    pub fn sniff(content: &[u8]) -> Option<Self> {
        match content {
            [0xff, 0xd8, 0xff, ..] => Some(Self::Jpeg),
            [0x89, b'P', b'N', b'G', b'\r', b'\n', 0x1a, b'\n', ..] => Some(Self::Png),
            [b'G', b'I', b'F', b'8', b'7' | b'9', b'a', ..] => Some(Self::Gif),
            [
                b'R',
                b'I',
                b'F',
                b'F',
                _,
                _,
                _,
                _,
                b'W',
                b'E',
                b'B',
                b'P',
                ..,
            ] => Some(Self::WebP),
            _ => None,
        }
    }

    /// The kind of this media type.
    pub fn of_type(media_type: &str) -> Option<Self> {
        let media_type = media_type.to_ascii_lowercase();
        match media_type.as_str() {
            // As some clients of the old service named it.
            "image/jpg" => Some(Self::Jpeg),
            _ => Self::ALL
                .into_iter()
                .find(|kind| kind.media_type() == media_type),
        }
    }

    /// Its media type.
    pub fn media_type(self) -> &'static str {
        match self {
            Self::Jpeg => "image/jpeg",
            Self::Png => "image/png",
            Self::Gif => "image/gif",
            Self::WebP => "image/webp",
        }
    }

    /// The extension of its files.
    pub fn extension(self) -> &'static str {
        match self {
            Self::Jpeg => "jpg",
            Self::Png => "png",
            Self::Gif => "gif",
            Self::WebP => "webp",
        }
    }

    fn format(self) -> ImageFormat {
        match self {
            Self::Jpeg => ImageFormat::Jpeg,
            Self::Png => ImageFormat::Png,
            Self::Gif => ImageFormat::Gif,
            Self::WebP => ImageFormat::WebP,
        }
    }
}

/// An image fit to be shown to others.
#[derive(Debug)]
pub struct Image {
    /// What it is.
    pub kind: Kind,
    /// The file, without metadata.
    pub bytes: Vec<u8>,
}

/// Why a file is not taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum ImageFault {
    /// It is larger than files may be.
    #[error("the file has more than {0} bytes")]
    TooLarge(u64),
    /// Its content is none of the accepted kinds', whatever its name says.
    #[error("the content is no JPEG, PNG, GIF or WebP image")]
    UnknownKind,
    /// It begins like an image and cannot be decoded.
    #[error("the image is damaged")]
    Damaged,
    /// Decoded, it would be too large.
    #[error("the image has too many pixels")]
    TooManyPixels,
    /// Its animation is too long.
    #[error("the animation has too many pictures")]
    TooManyFrames,
}

/// Checks a file by its content and takes out what others need not know. The picture is not
/// encoded anew.
pub fn clean(file: Vec<u8>) -> Result<Image, ImageFault> {
    let kind = Kind::sniff(&file).ok_or(ImageFault::UnknownKind)?;
    let stripped = strip(kind, file).ok_or(ImageFault::Damaged)?;
    check_size(&stripped)?;
    // What is decoded is what will be shown, so that it is known to be whole.
    decode(kind, &stripped.bytes)?;
    Ok(Image {
        kind,
        bytes: stripped.bytes,
    })
}

/// What the file's head promises, before anything is decoded.
fn check_size(image: &Stripped) -> Result<(), ImageFault> {
    if image.frames > MAX_FRAMES {
        return Err(ImageFault::TooManyFrames);
    }
    let pixels = u64::from(image.width) * u64::from(image.height);
    if image.width.max(image.height) > MAX_SIDE || pixels * 3 > MAX_DECODED {
        return Err(ImageFault::TooManyPixels);
    }
    if image.frames > 1 && pixels * image.frames > MAX_ANIMATED_PIXELS {
        return Err(ImageFault::TooManyFrames);
    }
    Ok(())
}

/// Decodes the (first) picture.
fn decode(kind: Kind, file: &[u8]) -> Result<(), ImageFault> {
    let mut limits = Limits::default();
    limits.max_image_width = Some(MAX_SIDE);
    limits.max_image_height = Some(MAX_SIDE);
    limits.max_alloc = Some(MAX_DECODED);
    let mut reader = ImageReader::with_format(Cursor::new(file), kind.format());
    reader.limits(limits);
    match reader.decode() {
        Ok(_) => Ok(()),
        Err(ImageError::Limits(_)) => Err(ImageFault::TooManyPixels),
        Err(_) => Err(ImageFault::Damaged),
    }
}
