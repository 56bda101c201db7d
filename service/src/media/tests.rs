//! What is taken out of files and what stays, by kind.

use super::images::{ImageFault, Kind, clean};
use image::{
    DynamicImage, ImageDecoder, ImageFormat, ImageReader, Rgb, RgbImage, metadata::Orientation,
};
use img_parts::{Bytes, DynImage, ImageEXIF, ImageICC, jpeg::Jpeg, png::Png, png::PngChunk};
use std::io::Cursor;

const FORMATS: [ImageFormat; 3] = [ImageFormat::Jpeg, ImageFormat::Png, ImageFormat::WebP];
const PROFILE: &[u8] = b"a colour profile";
/// Stands for a place, a serial number, a comment.
const SECRET: &[u8] = b"37.5665N";

fn picture(format: ImageFormat) -> Vec<u8> {
    let pixels = RgbImage::from_fn(40, 20, |x, y| {
        Rgb([
            u8::try_from(x * 6).unwrap(),
            u8::try_from(y * 12).unwrap(),
            7,
        ])
    });
    let mut file = Cursor::new(Vec::new());
    DynamicImage::from(pixels)
        .write_to(&mut file, format)
        .unwrap();
    file.into_inner()
}

/// EXIF with this orientation and a maker's name that is the secret.
fn exif(orientation: u8) -> Bytes {
    let mut block = b"II\x2a\0\x08\0\0\0\x02\0".to_vec();
    block.extend(b"\x0f\x01\x02\0\x08\0\0\0\x26\0\0\0");
    block.extend([0x12, 1, 3, 0, 1, 0, 0, 0, orientation, 0, 0, 0]);
    block.extend([0; 4]);
    block.extend(SECRET);
    block.into()
}

fn with_metadata(file: Vec<u8>, orientation: u8) -> Vec<u8> {
    let mut image = DynImage::from_bytes(file.into()).unwrap().unwrap();
    image.set_icc_profile(Some(Bytes::from_static(PROFILE)));
    image.set_exif(Some(exif(orientation)));
    image.encoder().bytes().to_vec()
}

fn holds(file: &[u8], text: &[u8]) -> bool {
    file.windows(text.len()).any(|window| window == text)
}

fn orientation(file: &[u8]) -> Orientation {
    let reader = ImageReader::new(Cursor::new(file));
    let mut decoder = reader
        .with_guessed_format()
        .unwrap()
        .into_decoder()
        .unwrap();
    decoder.orientation().unwrap()
}

#[test]
fn exif_goes_and_the_colour_profile_and_every_pixel_stay() {
    for format in FORMATS {
        let plain = picture(format);
        let dirty = with_metadata(plain.clone(), 1);
        assert!(holds(&dirty, SECRET), "{format:?}");
        let cleaned = clean(dirty).unwrap();
        assert!(!holds(&cleaned.bytes, SECRET), "{format:?}");
        let image = DynImage::from_bytes(cleaned.bytes.clone().into());
        let image = image.unwrap().unwrap();
        assert_eq!(image.icc_profile().as_deref(), Some(PROFILE), "{format:?}");
        assert_eq!(image.exif(), None, "{format:?}");
        let pixels = |file: &[u8]| image::load_from_memory(file).unwrap().into_rgb8();
        assert_eq!(pixels(&cleaned.bytes), pixels(&plain), "{format:?}");
    }
}

#[test]
fn an_image_that_lies_on_its_side_stays_so_and_tells_nothing_else() {
    for format in FORMATS {
        let cleaned = clean(with_metadata(picture(format), 6)).unwrap();
        assert!(!holds(&cleaned.bytes, SECRET), "{format:?}");
        assert_eq!(
            orientation(&cleaned.bytes),
            Orientation::Rotate90,
            "{format:?}"
        );
    }
}

#[test]
fn a_file_without_metadata_is_not_changed() {
    for format in FORMATS.into_iter().chain([ImageFormat::Gif]) {
        let plain = picture(format);
        let cleaned = clean(plain.clone()).unwrap();
        assert_eq!(cleaned.bytes, plain, "{format:?}");
    }
}

#[test]
fn what_follows_the_picture_goes() {
    for format in FORMATS.into_iter().chain([ImageFormat::Gif]) {
        let plain = picture(format);
        let dirty = [&plain[..], b"PK\x03\x04", SECRET].concat();
        assert_eq!(clean(dirty).unwrap().bytes, plain, "{format:?}");
    }
}

#[test]
fn comments_of_a_jpeg_go_wherever_they_stand() {
    let plain = picture(ImageFormat::Jpeg);
    let comment = [&[0xff, 0xfe, 0, 10][..], SECRET].concat();
    let xmp = [&[0xff, 0xe1, 0, 10][..], SECRET].concat();
    let end = plain.len() - 2;
    let dirty = [
        &plain[..2],
        &comment,
        &plain[2..end],
        &comment,
        &xmp,
        &plain[end..],
    ]
    .concat();
    assert_eq!(clean(dirty).unwrap().bytes, plain);
}

#[test]
fn texts_and_times_of_a_png_go() {
    let mut png = Png::from_bytes(picture(ImageFormat::Png).into()).unwrap();
    for kind in [*b"tEXt", *b"iTXt", *b"zTXt", *b"tIME", *b"prVt"] {
        let chunk = PngChunk::new(kind, Bytes::from_static(SECRET));
        png.chunks_mut().insert(1, chunk);
    }
    let dirty = png.encoder().bytes().to_vec();
    assert_eq!(clean(dirty).unwrap().bytes, picture(ImageFormat::Png));
}

#[test]
fn disguised_files_are_told_by_their_content() {
    for content in [
        &b"<svg xmlns=\"http://www.w3.org/2000/svg\"><script/></svg>"[..],
        b"<!doctype html><script>alert(1)</script>",
        b"PK\x03\x04 a zip",
        b"%PDF-1.7",
        b"BM a bitmap",
        b"RIFF\x10\0\0\0WAVEfmt ",
        b"",
        b"\xff\xd8",
    ] {
        let fault = clean(content.to_vec()).unwrap_err();
        assert_eq!(fault, ImageFault::UnknownKind);
    }
    // The first bytes alone make no image.
    for head in [
        &b"GIF89a<script>alert(1)</script>"[..],
        b"\x89PNG\r\n\x1a\n<svg/>",
    ] {
        assert_eq!(clean(head.to_vec()).unwrap_err(), ImageFault::Damaged);
    }
}

#[test]
fn a_file_cut_anywhere_is_no_panic() {
    for format in FORMATS {
        let whole = with_metadata(picture(format), 6);
        for length in 0..whole.len() {
            let _ = clean(whole[..length].to_vec());
        }
    }
}

#[test]
fn a_png_that_claims_too_many_pixels_is_refused_by_its_head() {
    let mut png = Png::from_bytes(picture(ImageFormat::Png).into()).unwrap();
    let mut resize = |width: u32, height: u32| {
        let old = png.chunk_by_type(*b"IHDR").unwrap().contents().clone();
        let head = [&width.to_be_bytes()[..], &height.to_be_bytes(), &old[8..]].concat();
        png.chunks_mut()[0] = PngChunk::new(*b"IHDR", head.into());
        clean(png.clone().encoder().bytes().to_vec()).unwrap_err()
    };
    for (width, height) in [(60_000, 60_000), (16_385, 1), (1, 16_385), (16_000, 16_000)] {
        assert_eq!(resize(width, height), ImageFault::TooManyPixels);
    }
    // Small enough to be looked at, and not what it claims.
    assert_eq!(resize(41, 20), ImageFault::Damaged);
}

#[test]
fn an_animation_of_too_many_pictures_is_refused_by_counting() {
    let gif = picture(ImageFormat::Gif);
    let image = gif.iter().position(|byte| *byte == 0x2c).unwrap();
    let (head, frame) = (&gif[..image], &gif[image..gif.len() - 1]);
    let animation = |frames: usize| [head, &frame.repeat(frames), &[0x3b]].concat();
    assert!(clean(animation(1_000)).is_ok());
    let fault = clean(animation(1_001)).unwrap_err();
    assert_eq!(fault, ImageFault::TooManyFrames);
    // Fewer, on a large canvas.
    let mut large = animation(100);
    large[6..10].copy_from_slice(&[0xff, 0x0f, 0xff, 0x0f]);
    assert_eq!(clean(large).unwrap_err(), ImageFault::TooManyFrames);
}

#[test]
fn a_thumbnail_of_a_jpeg_goes() {
    let mut jpeg = Jpeg::from_bytes(picture(ImageFormat::Jpeg).into()).unwrap();
    let head = &mut jpeg.segments_mut()[0];
    assert!(head.contents().starts_with(b"JFIF\0"));
    let contents = [&head.contents()[..12], &[1, 1], b"RGB"].concat();
    *head = img_parts::jpeg::JpegSegment::new_with_contents(head.marker(), contents.into());
    let dirty = jpeg.encoder().bytes().to_vec();
    assert_eq!(clean(dirty).unwrap().bytes, picture(ImageFormat::Jpeg));
}

#[test]
fn kinds_and_media_types_belong_together() {
    for (media_type, kind) in [
        ("image/png", Some(Kind::Png)),
        ("IMAGE/JPG", Some(Kind::Jpeg)),
        ("image/svg+xml", None),
        ("text/html", None),
        ("application/octet-stream", None),
    ] {
        assert_eq!(Kind::of_type(media_type), kind, "{media_type}");
    }
}
