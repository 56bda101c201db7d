//! Names of files: what the author called them, and what may stand in a key.

use unicode_normalization::UnicodeNormalization;

/// The longest name shown, in characters.
const MAX_SHOWN: usize = 255;
/// The longest name in a key, in bytes, without its extension.
const MAX_SAFE: usize = 100;

/// The file's name without folders and control characters, for people.
pub fn shown(name: &str, extension: &str) -> String {
    let base = base(name);
    let plain: String = base.nfc().filter(|c| !is_invisible(*c)).collect();
    let shown: String = plain.trim().chars().take(MAX_SHOWN).collect();
    if matches!(shown.as_str(), "" | "." | "..") {
        format!("image.{extension}")
    } else {
        shown
    }
}

/// The file's name in letters that are the same in keys, paths and addresses. Its extension tells
/// the content, whatever the author's told.
pub fn safe(name: &str, extension: &str) -> String {
    let base = base(name);
    let stem = base.rsplit_once('.').map_or(base, |(stem, _)| stem);
    let mut safe = String::new();
    for character in stem.chars() {
        if safe.len() >= MAX_SAFE {
            break;
        }
        match character {
            'a'..='z' | 'A'..='Z' | '0'..='9' | '-' => safe.push(character),
            // One for each run of others.
            _ if safe.ends_with('_') => {}
            _ => safe.push('_'),
        }
    }
    let stem = safe.trim_matches(|c| matches!(c, '_' | '-'));
    let stem = if stem.is_empty() { "image" } else { stem };
    format!("{stem}.{extension}")
}

/// What follows the last separator of folders, of whatever system.
fn base(name: &str) -> &str {
    name.rsplit(['/', '\\']).next().unwrap_or(name)
}

/// Control characters, and those that change the direction of text (a `gnp.exe` shown backwards).
fn is_invisible(character: char) -> bool {
    character.is_control()
        || matches!(character, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{feff}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_hold_plain_letters_and_the_contents_extension() {
        for (name, expected) in [
            ("cat.png", "cat.png"),
            ("my cat (1).jpeg", "my_cat_1.png"),
            ("고양이.png", "image.png"),
            ("고양이 cat.png", "cat.png"),
            ("../../etc/passwd", "passwd.png"),
            (r"C:\Users\a\b.gif", "b.png"),
            ("a\0\n\r\tb.png", "a_b.png"),
            ("evil.html", "evil.png"),
            (".png", "image.png"),
            ("..", "image.png"),
            ("", "image.png"),
        ] {
            assert_eq!(safe(name, "png"), expected, "{name}");
        }
        assert!(safe(&"a".repeat(10_000), "png").len() <= MAX_SAFE + 4);
    }

    #[test]
    fn people_see_the_authors_name_without_what_cannot_be_seen() {
        for (name, expected) in [
            ("고양이.png", "고양이.png"),
            // As macOS writes it.
            ("\u{1100}\u{1161}.png", "가.png"),
            ("a/b\\c.png", "c.png"),
            ("a\u{202e}gnp\0.\n", "agnp."),
            ("", "image.png"),
            ("/", "image.png"),
        ] {
            assert_eq!(shown(name, "png"), expected, "{name}");
        }
        assert_eq!(shown(&"가".repeat(1000), "png").chars().count(), MAX_SHOWN);
    }
}
