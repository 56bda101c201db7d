//! Categories: named groups of posts, made on first use.

use super::{
    FieldError, KstTime,
    text::{at_most_characters, required},
};
use unicode_normalization::UnicodeNormalization;

/// A category's name: trimmed, Unicode NFC, 1 to 50 characters, no NUL.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CategoryName(String);

impl CategoryName {
    /// The longest name, in characters.
    pub const MAX_CHARACTERS: usize = 50;

    /// Parses what a client sent in `field`.
    pub fn parse(field: &'static str, value: Option<&str>) -> Result<Self, FieldError> {
        let name: String = required(field, value)?.trim().nfc().collect();
        at_most_characters(field, &name, Self::MAX_CHARACTERS)?;
        Ok(Self(name))
    }

    /// The name.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// A category as stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Category {
    /// 32 hexadecimal digits.
    pub id: String,
    /// Unique among all categories.
    pub name: String,
    /// When it was first used.
    pub created_at: KstTime,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::board::Fault;

    #[test]
    fn a_name_is_trimmed_and_composed() {
        let decomposed = "  \u{1112}\u{1161}\u{11ab}글 ";
        let name = CategoryName::parse("category", Some(decomposed)).unwrap();
        assert_eq!(name.as_str(), "한글");
    }

    #[test]
    fn fifty_characters_pass_and_one_more_does_not() {
        assert!(CategoryName::parse("category", Some(&"가".repeat(50))).is_ok());
        let refused = CategoryName::parse("category", Some(&"가".repeat(51))).unwrap_err();
        assert_eq!(refused.fault, Fault::TooManyCharacters(50));
        assert_eq!(refused.field, "category");
    }

    #[test]
    fn a_name_of_white_space_is_missing() {
        for value in [None, Some(""), Some(" \t\n\u{3000}")] {
            let refused = CategoryName::parse("name", value).unwrap_err();
            assert_eq!(refused.fault, Fault::Missing);
        }
    }
}
