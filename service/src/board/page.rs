//! Pages of lists, and where in a list they begin.

use super::{Order, Post, SortKey};
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use std::{fmt, str::FromStr};
use thiserror::Error;

/// How long a page may be, from the settings.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PageLimits {
    /// Entries when the client names no number.
    pub default_size: u32,
    /// The most entries a page holds, whatever the client asks for.
    pub max_size: u32,
}

impl PageLimits {
    /// What the Flask service served to a `per_page` below 1; clients were built on it.
    const SIZE_BELOW_ONE: u32 = 20;

    /// The size a client gets: what it asked for, kept within the limits.
    fn size(self, wanted: Option<i64>) -> u32 {
        match wanted {
            None => self.default_size,
            Some(size) if size < 1 => Self::SIZE_BELOW_ONE,
            Some(size) => u32::try_from(size).unwrap_or(u32::MAX),
        }
        .min(self.max_size)
    }
}

/// Which page of a list is wanted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct PageRequest {
    /// Where it begins.
    pub start: Start,
    /// Entries a page, at least 1.
    pub size: u32,
}

/// Where a page begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Start {
    /// With the page of this number, from 1.
    Page(u64),
    /// After this place: entries that come or go before it move nothing.
    After(Cursor),
}

impl PageRequest {
    /// The page a client asked for by number: below 1 means the first.
    pub fn numbered(number: Option<i64>, size: Option<i64>, limits: PageLimits) -> Self {
        let number = number.and_then(|number| u64::try_from(number).ok());
        Self {
            start: Start::Page(number.unwrap_or(1).max(1)),
            size: limits.size(size),
        }
    }

    /// The page after a cursor.
    pub fn after(cursor: Cursor, size: Option<i64>, limits: PageLimits) -> Self {
        Self {
            start: Start::After(cursor),
            size: limits.size(size),
        }
    }

    /// Entries before this page. Never more than SQL's signed integers hold.
    pub fn offset(self) -> i64 {
        let Start::Page(number) = self.start else {
            return 0;
        };
        let before = (number - 1).saturating_mul(u64::from(self.size));
        i64::try_from(before).unwrap_or(i64::MAX)
    }
}

/// A place in a list of this order: right after a post with this sort value and number.
///
/// Written as opaque text; what it holds is no secret, and a made-up one only names another place.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Cursor {
    /// The order of the list.
    pub order: Order,
    /// The post's likes, views or comments; its number in a list by creation.
    pub value: i64,
    /// The post's number.
    pub number: i64,
}

impl Cursor {
    /// The place after this post.
    pub fn after(post: &Post, order: Order) -> Self {
        let value = match order.key {
            SortKey::Created => post.number,
            SortKey::Likes => post.like_count,
            SortKey::Views => post.view_count,
            SortKey::Comments => post.comment_count,
        };
        Self {
            order,
            value,
            number: post.number,
        }
    }
}

impl fmt::Display for Cursor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            order,
            value,
            number,
        } = self;
        f.write_str(&URL_SAFE_NO_PAD.encode(format!("{order}.{value}.{number}")))
    }
}

impl FromStr for Cursor {
    type Err = NotACursor;

    fn from_str(text: &str) -> Result<Self, NotACursor> {
        let bytes = URL_SAFE_NO_PAD.decode(text).map_err(|_| NotACursor)?;
        let plain = String::from_utf8(bytes).map_err(|_| NotACursor)?;
        let parts: Vec<&str> = plain.split('.').collect();
        let [order, value, number] = parts[..] else {
            return Err(NotACursor);
        };
        Ok(Self {
            order: order.parse().map_err(|_| NotACursor)?,
            value: value.parse().map_err(|_| NotACursor)?,
            number: number.parse().map_err(|_| NotACursor)?,
        })
    }
}

/// The text names no place.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("not a cursor")]
pub struct NotACursor;

/// One page of a list and where it stands in the whole.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Page<T> {
    /// The entries.
    pub items: Vec<T>,
    /// What was asked for.
    pub request: PageRequest,
    /// Entries in the whole list.
    pub total: u64,
    /// There are more than `total`: counting stopped there.
    pub total_is_lower_bound: bool,
    /// Where the next page begins, if there is one.
    pub next: Option<Cursor>,
}

impl<T> Page<T> {
    /// The page of a list that holds nothing.
    pub fn empty(request: PageRequest) -> Self {
        Self {
            items: Vec::new(),
            request,
            total: 0,
            total_is_lower_bound: false,
            next: None,
        }
    }

    /// How many pages there are.
    pub fn pages(&self) -> u64 {
        self.total.div_ceil(u64::from(self.request.size))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::board::Direction;

    const LIMITS: PageLimits = PageLimits {
        default_size: 10,
        max_size: 50,
    };

    #[test]
    fn a_request_is_kept_within_the_limits() {
        let cases = [
            ((None, None), (1, 10)),
            ((Some(0), Some(0)), (1, 20)),
            ((Some(-3), Some(-1)), (1, 20)),
            ((Some(2), Some(50)), (2, 50)),
            ((Some(2), Some(51)), (2, 50)),
            (
                (Some(i64::MAX), Some(i64::MAX)),
                (i64::MAX.unsigned_abs(), 50),
            ),
        ];
        for ((number, size), (expected_number, expected_size)) in cases {
            let page = PageRequest::numbered(number, size, LIMITS);
            let expected = (Start::Page(expected_number), expected_size);
            assert_eq!((page.start, page.size), expected);
        }
    }

    #[test]
    fn the_offset_of_an_absurd_page_does_not_overflow() {
        let offset = |number| PageRequest::numbered(Some(number), Some(50), LIMITS).offset();
        assert_eq!(offset(3), 100);
        assert_eq!(offset(i64::MAX), i64::MAX);
    }

    #[test]
    fn the_last_page_may_be_short() {
        let page = |total| Page::<()> {
            total,
            ..Page::empty(PageRequest::numbered(None, None, LIMITS))
        };
        assert_eq!(
            [0, 1, 10, 11].map(|total| page(total).pages()),
            [0, 1, 1, 2]
        );
    }

    #[test]
    fn a_cursor_is_read_back_and_nothing_else_is_one() {
        for direction in [Direction::Descending, Direction::Ascending] {
            let cursor = Cursor {
                order: Order {
                    key: SortKey::Views,
                    direction,
                },
                value: -1,
                number: i64::MAX,
            };
            assert_eq!(cursor.to_string().parse(), Ok(cursor));
        }
        let encoded = |plain: &str| URL_SAFE_NO_PAD.encode(plain);
        for text in [
            String::new(),
            "%%%".into(),
            encoded("views-desc.1"),
            encoded("views-desc.1.2.3"),
            encoded("views-desc.1.x"),
            encoded("title-desc.1.2"),
            encoded("views-desc.99999999999999999999.2"),
        ] {
            assert_eq!(text.parse::<Cursor>(), Err(NotACursor), "{text}");
        }
    }
}
