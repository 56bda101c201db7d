//! The domain: posts, categories, users and the rules they obey.
//!
//! Nothing in here knows HTTP or SQL. Raw text becomes a value of one of these types exactly once,
//! by parsing; after that it cannot be wrong any more. Time and ids are arguments.

mod category;
mod clock;
mod media;
mod page;
mod post;
mod service;
mod text;
mod user;

pub use category::{Category, CategoryName};
pub use clock::{Clock, KstTime, SystemClock};
pub use media::{MediaEntry, MediaList, object_key, post_of_key};
pub use page::{Page, PageLimits, PageRequest};
pub use post::{Draft, Filter, NewPost, Order, Post, PostId};
pub use service::{Board, CategoryExists};
pub use text::{Fault, FieldError};
pub use user::User;

/// A new random identifier: 32 lower-case hexadecimal digits, as the schema has them.
pub(crate) fn new_id() -> String {
    uuid::Uuid::new_v4().simple().to_string()
}
