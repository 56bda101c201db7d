//! The blocks of a GIF file (<https://www.w3.org/Graphics/GIF/spec-gif89a.txt>): comments and foreign
//! extensions are left out, image data is copied as it is.

use super::strip::Stripped;

const EXTENSION: u8 = 0x21;
const IMAGE: u8 = 0x2c;
const TRAILER: u8 = 0x3b;
const GRAPHIC_CONTROL: u8 = 0xf9;
const APPLICATION: u8 = 0xff;

/// Application extensions that say how to show the image: repetition, and the colour profile.
const KEPT_APPLICATIONS: [&[u8]; 3] = [b"NETSCAPE2.0", b"ANIMEXTS1.0", b"ICCRGBG1012"];

/// The file without metadata; `None` if it is no whole GIF.
pub fn strip(file: &[u8]) -> Option<Stripped> {
    let mut reader = Reader { file, at: 0 };
    let mut bytes = Vec::with_capacity(file.len());
    let header = reader.take(13)?;
    let side = |at: usize| {
        Some(u32::from(u16::from_le_bytes([
            *header.get(at)?,
            *header.get(at + 1)?,
        ])))
    };
    let (width, height) = (side(6)?, side(8)?);
    bytes.extend_from_slice(header);
    bytes.extend_from_slice(reader.take(table_length(header[10]))?);
    let mut frames = 0;
    loop {
        let begun = reader.at;
        match reader.byte()? {
            EXTENSION => {
                let label = reader.byte()?;
                let application = reader.blocks()?;
                let kept = label == GRAPHIC_CONTROL
                    || label == APPLICATION && KEPT_APPLICATIONS.contains(&application);
                if kept {
                    bytes.extend_from_slice(&file[begun..reader.at]);
                }
            }
            IMAGE => {
                let descriptor = reader.take(9)?;
                // The local colour table and the code size.
                reader.take(table_length(descriptor[8]) + 1)?;
                reader.blocks()?;
                bytes.extend_from_slice(&file[begun..reader.at]);
                frames += 1;
            }
            TRAILER => {
                bytes.push(TRAILER);
                return Some(Stripped {
                    bytes,
                    frames,
                    width,
                    height,
                });
            }
            _ => return None,
        }
    }
}

/// The bytes of the colour table that these flags announce.
fn table_length(flags: u8) -> usize {
    if flags & 0x80 == 0 {
        0
    } else {
        3 << ((flags & 7) + 1)
    }
}

struct Reader<'a> {
    file: &'a [u8],
    at: usize,
}

impl<'a> Reader<'a> {
    fn take(&mut self, count: usize) -> Option<&'a [u8]> {
        let taken = self.file.get(self.at..self.at.checked_add(count)?)?;
        self.at += count;
        Some(taken)
    }

    fn byte(&mut self) -> Option<u8> {
        self.take(1).map(|byte| byte[0])
    }

    /// Reads blocks to their end and returns the first.
    fn blocks(&mut self) -> Option<&'a [u8]> {
        let mut first: Option<&[u8]> = None;
        loop {
            let length = usize::from(self.byte()?);
            if length == 0 {
                return Some(first.unwrap_or_default());
            }
            let block = self.take(length)?;
            first.get_or_insert(block);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use image::{
        Delay, Frame, RgbaImage,
        codecs::gif::{GifEncoder, Repeat},
    };

    fn animation() -> Vec<u8> {
        let mut file = Vec::new();
        {
            let mut encoder = GifEncoder::new(&mut file);
            encoder.set_repeat(Repeat::Infinite).unwrap();
            for shade in [0, 255] {
                let image = RgbaImage::from_pixel(8, 4, image::Rgba([shade, 0, 0, 255]));
                let delay = Delay::from_numer_denom_ms(100, 1);
                encoder
                    .encode_frame(Frame::from_parts(image, 0, 0, delay))
                    .unwrap();
            }
        }
        file
    }

    #[test]
    fn comments_and_what_follows_the_end_are_left_out_and_frames_kept() {
        let clean = animation();
        let comment = [0x21, 0xfe, 3, b'G', b'P', b'S', 0];
        let xmp = [&[0x21, 0xff, 11][..], b"XMP DataXMP", &[1, b'x', 0]].concat();
        let end = clean.len() - 1;
        let dirty = [&clean[..end], &comment, &xmp, &clean[end..], b"PK\x03\x04"].concat();
        let stripped = strip(&dirty).unwrap();
        assert_eq!(stripped.bytes, clean);
        assert_eq!(
            (stripped.frames, stripped.width, stripped.height),
            (2, 8, 4)
        );
    }

    #[test]
    fn a_file_cut_anywhere_is_refused_without_a_panic() {
        let whole = animation();
        for length in 0..whole.len() {
            assert!(strip(&whole[..length]).is_none(), "{length}");
        }
    }
}
