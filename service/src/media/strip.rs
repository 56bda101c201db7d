//! Takes metadata out of files without touching the picture.
//!
//! What may stay is listed, everything else goes: EXIF with its places and serial numbers, XMP,
//! comments, thumbnails of what was cropped away, and whatever follows the picture's end (other
//! pictures, films, archives). Colour profiles stay.
//!
//! An EXIF orientation other than the usual stays as the only tag of a new EXIF block. Turning the
//! pixels instead would mean decoding and lossy re-encoding of every second phone's photographs, at
//! twice the memory; a tag of 26 bytes shows them everywhere as they were shown before.

use super::images::Kind;
use image::metadata::Orientation;
use img_parts::{
    Bytes, ImageEXIF,
    jpeg::{Jpeg, JpegSegment, markers},
    png::Png,
    riff::RiffContent,
    webp::{self, WebP},
};

/// A file without metadata, and what its head says.
#[derive(Debug)]
pub struct Stripped {
    /// The file.
    pub bytes: Vec<u8>,
    /// Pictures in it.
    pub frames: u64,
    /// Pixels a row.
    pub width: u32,
    /// Rows.
    pub height: u32,
}

/// The file without metadata; `None` if it is not a whole file of its kind.
pub fn strip(kind: Kind, file: Vec<u8>) -> Option<Stripped> {
    match kind {
        Kind::Jpeg => jpeg(&Bytes::from(file)),
        Kind::Png => png(Bytes::from(file)),
        Kind::Gif => super::gif::strip(&file),
        Kind::WebP => webp(Bytes::from(file)),
    }
}

fn jpeg(file: &Bytes) -> Option<Stripped> {
    let mut jpeg = Jpeg::from_bytes(file.clone()).ok()?;
    let (width, height) = jpeg.dimensions()?;
    let orientation = jpeg.exif().as_deref().and_then(orientation_tag);
    let segments = std::mem::take(jpeg.segments_mut());
    // The last segment begins the scans; behind it comes all the rest of the file.
    let last = segments.last()?;
    let scans = last.len_with_entropy() - last.len();
    let kept = segments.into_iter().filter_map(keep_segment);
    jpeg.segments_mut().extend(kept);
    if orientation.is_some() {
        jpeg.set_exif(orientation);
    }
    let mut bytes = jpeg.encoder().bytes().to_vec();
    bytes.truncate(bytes.len().checked_sub(scans)?);
    copy_scans(&file[file.len() - scans..], &mut bytes);
    Some(Stripped {
        bytes,
        frames: 1,
        width: width.into(),
        height: height.into(),
    })
}

/// The segment if it is needed to show the picture, without a thumbnail.
fn keep_segment(segment: JpegSegment) -> Option<JpegSegment> {
    let contents = segment.contents();
    if !is_kept(segment.marker(), contents) {
        return None;
    }
    if segment.marker() != markers::APP0 {
        return Some(segment);
    }
    // JFIF: version and density; then a width and height of 0 for the thumbnail.
    let mut head = contents.get(..12)?.to_vec();
    head.extend([0, 0]);
    Some(JpegSegment::new_with_contents(markers::APP0, head.into()))
}

fn is_kept(marker: u8, contents: &[u8]) -> bool {
    match marker {
        // Frames, scans and their tables.
        markers::SOF0..=markers::SOF15 | markers::SOS..=markers::EXP => true,
        markers::APP0 => contents.starts_with(b"JFIF\0"),
        markers::APP2 => contents.starts_with(b"ICC_PROFILE\0"),
        // Which colour space the numbers are in.
        markers::APP14 => contents.starts_with(b"Adobe"),
        _ => false,
    }
}

/// Copies a JPEG's scans up to the picture's end, without metadata between them.
fn copy_scans(data: &[u8], bytes: &mut Vec<u8>) {
    let mut rest = data;
    while let Some(at) = rest.iter().position(|byte| *byte == markers::P) {
        let Some(&marker) = rest.get(at + 1) else {
            break;
        };
        let next = match marker {
            // A byte of data that looks like a marker, or a restart within the data.
            markers::Z | markers::RST0..=markers::RST7 => {
                bytes.extend_from_slice(&rest[..at + 2]);
                at + 2
            }
            markers::P => {
                bytes.extend_from_slice(&rest[..at]);
                at + 1
            }
            markers::EOI => {
                bytes.extend_from_slice(&rest[..at + 2]);
                return;
            }
            marker => {
                bytes.extend_from_slice(&rest[..at]);
                let Some(length) = rest.get(at + 2..at + 4) else {
                    break;
                };
                let end = at + 2 + usize::from(u16::from_be_bytes([length[0], length[1]]));
                let Some(contents) = rest.get(at + 4..end) else {
                    break;
                };
                if is_kept(marker, contents) {
                    bytes.extend_from_slice(&rest[at..end]);
                }
                end
            }
        };
        rest = &rest[next..];
    }
    // Cut off before its end: whether enough is left is for the decoder to say.
    if rest.iter().all(|byte| *byte != markers::P) {
        bytes.extend_from_slice(rest);
    }
    bytes.extend([markers::P, markers::EOI]);
}

/// Chunks of the picture, its colours, its transparency and its animation
/// (<https://www.w3.org/TR/png-3/#11Chunks>).
const PNG_CHUNKS: [&[u8; 4]; 20] = [
    b"IHDR", b"PLTE", b"IDAT", b"IEND", b"tRNS", b"cHRM", b"gAMA", b"iCCP", b"sBIT", b"sRGB",
    b"cICP", b"mDCV", b"cLLI", b"bKGD", b"hIST", b"pHYs", b"sPLT", b"acTL", b"fcTL", b"fdAT",
];

fn png(file: Bytes) -> Option<Stripped> {
    let mut png = Png::from_bytes(file).ok()?;
    let (width, height) = png.dimensions()?;
    let orientation = png.exif().as_deref().and_then(orientation_tag);
    png.chunks_mut()
        .retain(|chunk| PNG_CHUNKS.contains(&&chunk.kind()));
    png.set_exif(orientation);
    let frames = png.chunks_by_type(*b"fcTL").count().max(1);
    Some(Stripped {
        bytes: png.encoder().bytes().to_vec(),
        frames: frames as u64,
        width,
        height,
    })
}

const WEBP_CHUNKS: [[u8; 4]; 7] = [
    webp::CHUNK_VP8,
    webp::CHUNK_VP8L,
    webp::CHUNK_VP8X,
    webp::CHUNK_ALPH,
    webp::CHUNK_ANIM,
    webp::CHUNK_ANMF,
    webp::CHUNK_ICCP,
];
/// Bits of `VP8X` that announce metadata
/// (<https://developers.google.com/speed/webp/docs/riff_container#extended_file_format>).
const WEBP_EXIF: u8 = 0b0000_1000;
const WEBP_XMP: u8 = 0b0000_0100;

fn webp(file: Bytes) -> Option<Stripped> {
    let mut webp = WebP::from_bytes(file).ok()?;
    let (width, height) = webp.dimensions()?;
    let orientation = webp.exif().as_deref().and_then(orientation_tag);
    let chunks = webp.chunks_mut();
    chunks.retain(|chunk| WEBP_CHUNKS.contains(&chunk.id()));
    for chunk in chunks.iter_mut().filter(|c| c.id() == webp::CHUNK_VP8X) {
        if let RiffContent::Data(data) = chunk.content_mut() {
            let mut flags = data.to_vec();
            *flags.first_mut()? &= !(WEBP_EXIF | WEBP_XMP);
            *data = flags.into();
        }
    }
    if orientation.is_some() {
        webp.set_exif(orientation);
    }
    let frames = webp.chunks_by_id(webp::CHUNK_ANMF).count().max(1);
    Some(Stripped {
        bytes: webp.encoder().bytes().to_vec(),
        frames: frames as u64,
        width,
        height,
    })
}

/// An EXIF block that says nothing but this block's orientation; `None` if that is the usual one.
fn orientation_tag(exif: &[u8]) -> Option<Bytes> {
    let orientation = Orientation::from_exif_chunk(exif)?;
    if orientation == Orientation::NoTransforms {
        return None;
    }
    // TIFF, big-endian: one directory at 8 with one entry: tag 0x0112, one SHORT; no more after it.
    let mut block = b"MM\0\x2a\0\0\0\x08\0\x01\x01\x12\0\x03\0\0\0\x01\0".to_vec();
    block.push(orientation.to_exif());
    block.extend([0; 6]);
    Some(block.into())
}
