//! Posts and what may be in them.

use super::{
    CategoryName, Fault, FieldError, KstTime, Sent, User,
    text::{at_most_characters, required},
};
use sha2::{Digest, Sha256};
use std::{fmt, str::FromStr};

/// A post's identifier: 32 lower-case hexadecimal digits.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct PostId(String);

impl PostId {
    /// A new random identifier.
    pub fn random() -> Self {
        Self(super::new_id())
    }

    /// The digits.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for PostId {
    type Err = NotAPostId;

    fn from_str(text: &str) -> Result<Self, NotAPostId> {
        let is_digit = |byte: u8| matches!(byte, b'0'..=b'9' | b'a'..=b'f');
        if text.len() == 32 && text.bytes().all(is_digit) {
            Ok(Self(text.to_owned()))
        } else {
            Err(NotAPostId)
        }
    }
}

impl fmt::Display for PostId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The text cannot name any post.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not a post id")]
pub struct NotAPostId;

/// What an author wrote, checked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Draft {
    title: String,
    content: String,
    category: CategoryName,
}

impl Draft {
    /// The longest title, in characters.
    pub const MAX_TITLE: usize = 200;
    /// The longest content, in bytes of UTF-8.
    pub const MAX_CONTENT: usize = 64 * 1024;
    /// The same in a database taken over from the Flask service, whose column is a `TEXT`.
    pub const MAX_ADOPTED_CONTENT: usize = 64 * 1024 - 1;

    /// Checks the three fields in this order. The title is trimmed; content is kept as written.
    pub fn parse(
        title: Option<&str>,
        content: Option<&str>,
        category: Option<&str>,
    ) -> Result<Self, FieldError> {
        Ok(Self {
            title: parse_title(title)?,
            content: parse_content(content)?,
            category: CategoryName::parse("category", category)?,
        })
    }

    /// SHA-256 of all its fields.
    pub fn fingerprint(&self) -> [u8; 32] {
        let mut hash = Sha256::new();
        for field in [self.title.as_str(), &self.content, self.category.as_str()] {
            hash.update(field.len().to_be_bytes());
            hash.update(field);
        }
        hash.finalize().into()
    }
}

fn parse_title(title: Option<&str>) -> Result<String, FieldError> {
    let title = required("title", title)?.trim();
    at_most_characters("title", title, Draft::MAX_TITLE)?;
    Ok(title.to_owned())
}

fn parse_content(content: Option<&str>) -> Result<String, FieldError> {
    let content = required("content", content)?;
    if content.len() > Draft::MAX_CONTENT {
        let fault = Fault::TooManyBytes(Draft::MAX_CONTENT);
        return Err(FieldError::new("content", fault));
    }
    Ok(content.to_owned())
}

/// What an author changes, checked; fields that are `None` stay as they are.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Edit {
    /// The new title.
    pub title: Option<String>,
    /// The new text.
    pub content: Option<String>,
    /// The new category, made on first use.
    pub category: Option<CategoryName>,
}

impl Edit {
    /// Checks the fields that were sent.
    pub fn parse(
        title: Sent<&str>,
        content: Sent<&str>,
        category: Sent<&str>,
    ) -> Result<Self, FieldError> {
        Ok(Self {
            title: title.parse(parse_title)?,
            content: content.parse(parse_content)?,
            category: category.parse(|name| CategoryName::parse("category", name))?,
        })
    }

    /// Whether a post with these fields is what this edit would make of it.
    pub fn is_done_by(&self, title: &str, content: &str, category: &str) -> bool {
        self.title.as_deref().is_none_or(|new| new == title)
            && self.content.as_deref().is_none_or(|new| new == content)
            && self
                .category
                .as_ref()
                .is_none_or(|new| new.as_str() == category)
    }

    /// Whether nothing is changed.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

/// Why a post was not changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refusal {
    /// No visible post has this id.
    Missing,
    /// It is another user's.
    NotOwner,
    /// It is not the version that the client saw (`If-Match`).
    Outdated,
}

/// A post about to be stored; everything but its number and its category's id is settled.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewPost {
    /// Chosen by the service, so that a repeated attempt is seen to be the same post.
    pub id: PostId,
    /// Trimmed, 1 to 200 characters.
    pub title: String,
    /// 1 byte to 64 KiB.
    pub content: String,
    /// Made on first use.
    pub category: CategoryName,
    /// Who wrote it.
    pub author: User,
    /// When.
    pub created_at: KstTime,
}

impl NewPost {
    /// The draft, signed by its author at this time.
    pub fn new(id: PostId, draft: Draft, author: User, created_at: KstTime) -> Self {
        let Draft {
            title,
            content,
            category,
        } = draft;
        Self {
            id,
            title,
            content,
            category,
            author,
            created_at,
        }
    }
}

/// A post as stored.
#[derive(Debug, Clone, PartialEq)]
pub struct Post {
    /// Its identifier.
    pub id: PostId,
    /// Its number: unique, rising in the order of creation.
    pub number: i64,
    /// Its title.
    pub title: String,
    /// Its text.
    pub content: String,
    /// The author's name when it was written.
    pub username: String,
    /// The author; rows of the Flask service may have none.
    pub user_id: Option<String>,
    /// The category's name.
    pub category: String,
    /// Viewers, each counted once a day.
    pub view_count: i64,
    /// Likes.
    pub like_count: i64,
    /// Comments, as the comment service last told.
    pub comment_count: i64,
    /// Raised by every edit, from 1.
    pub version: i64,
    /// Attached media as stored, one JSON object each.
    pub media_files: Vec<serde_json::Value>,
    /// When it was written.
    pub created_at: KstTime,
    /// When it was last edited.
    pub updated_at: KstTime,
}

/// Which visible posts a list holds; the conditions add up.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Filter {
    /// In the category of this id.
    pub category_id: Option<String>,
    /// By this author.
    pub user_id: Option<String>,
    /// With this text in the title, taken literally.
    pub search: Option<String>,
}

/// What a list is ordered by; equal ones newest first.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
pub enum SortKey {
    /// The time of creation.
    #[default]
    Created,
    /// Likes.
    Likes,
    /// Views.
    Views,
    /// Comments.
    Comments,
}

/// Which end a list begins with.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
pub enum Direction {
    /// Newest or most first.
    #[default]
    Descending,
    /// Oldest or least first: the descending order read backwards.
    Ascending,
}

/// How a list is ordered.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
pub struct Order {
    /// By what.
    pub key: SortKey,
    /// From which end.
    pub direction: Direction,
}

impl Order {
    /// Newest first.
    pub const LATEST: Self = Self {
        key: SortKey::Created,
        direction: Direction::Descending,
    };
    /// Most liked first, then newest.
    pub const POPULAR: Self = Self {
        key: SortKey::Likes,
        direction: Direction::Descending,
    };
    const KEYS: [(SortKey, &str); 4] = [
        (SortKey::Created, "created"),
        (SortKey::Likes, "likes"),
        (SortKey::Views, "views"),
        (SortKey::Comments, "comments"),
    ];
    const DIRECTIONS: [(Direction, &str); 2] = [
        (Direction::Descending, "desc"),
        (Direction::Ascending, "asc"),
    ];
}

/// As cursors hold it, e.g. `likes-desc`.
impl fmt::Display for Order {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let key = Self::KEYS.iter().find(|(key, _)| *key == self.key);
        let direction = Self::DIRECTIONS
            .iter()
            .find(|(direction, _)| *direction == self.direction);
        let name = |found: Option<&'static str>| found.unwrap_or_default();
        write!(
            f,
            "{}-{}",
            name(key.map(|(_, name)| *name)),
            name(direction.map(|(_, name)| *name))
        )
    }
}

impl FromStr for Order {
    type Err = NotAnOrder;

    fn from_str(text: &str) -> Result<Self, NotAnOrder> {
        let (key, direction) = text.split_once('-').ok_or(NotAnOrder)?;
        let key = Self::KEYS.iter().find(|(_, name)| *name == key);
        let direction = Self::DIRECTIONS.iter().find(|(_, name)| *name == direction);
        match (key, direction) {
            (Some((key, _)), Some((direction, _))) => Ok(Self {
                key: *key,
                direction: *direction,
            }),
            _ => Err(NotAnOrder),
        }
    }
}

/// The text names no order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not an order")]
pub struct NotAnOrder;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_thirty_two_lower_case_hexadecimal_digits_are_an_id() {
        assert!("0123456789abcdef0123456789abcdef".parse::<PostId>().is_ok());
        for text in [
            "",
            "nope",
            "0123456789ABCDEF0123456789abcdef",
            "0123456789abcdef0123456789abcdef0",
            "0123456789abcdef-123456789abcdef",
        ] {
            assert!(text.parse::<PostId>().is_err(), "{text}");
        }
        assert!(PostId::random().to_string().parse::<PostId>().is_ok());
    }

    #[test]
    fn a_draft_at_its_limits_passes() {
        let title = format!("  {}  ", "𝄞".repeat(200));
        let content = "x".repeat(64 * 1024);
        let draft = Draft::parse(Some(&title), Some(&content), Some("자유")).unwrap();
        assert_eq!(draft.title.chars().count(), 200);
    }

    #[test]
    fn a_draft_names_the_first_field_that_is_wrong() {
        let long_title = "가".repeat(201);
        let long_content = "가".repeat(64 * 1024 / 3 + 1);
        let cases = [
            (None, Some("c"), Some("k"), "title", Fault::Missing),
            (Some("   "), Some("c"), Some("k"), "title", Fault::Missing),
            (Some("a\0"), Some("c"), Some("k"), "title", Fault::Nul),
            (
                Some(&*long_title),
                Some("c"),
                Some("k"),
                "title",
                Fault::TooManyCharacters(200),
            ),
            (Some("t"), Some(""), Some("k"), "content", Fault::Missing),
            (
                Some("t"),
                Some(&*long_content),
                Some("k"),
                "content",
                Fault::TooManyBytes(65_536),
            ),
            (Some("t"), Some("c"), None, "category", Fault::Missing),
        ];
        for (title, content, category, field, fault) in cases {
            let refused = Draft::parse(title, content, category).unwrap_err();
            assert_eq!(refused, FieldError { field, fault });
        }
    }
}
