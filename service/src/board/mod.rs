//! The domain: posts, categories, users and the rules they obey.
//!
//! Nothing in here knows HTTP or SQL. Raw text becomes a value of one of these types exactly once,
//! by parsing; after that it cannot be wrong any more. Time and ids are arguments.

mod category;
mod clock;
mod counted;
mod crowd;
mod freshness;
mod idempotency;
mod like;
mod media;
mod page;
mod post;
mod service;
mod text;
mod user;
mod view;

pub use category::{Category, CategoryName};
pub use clock::{Clock, KstTime, SystemClock};
pub use crowd::SharedPlace;
pub use freshness::Freshness;
pub use idempotency::{Created, IdempotencyKey, REMEMBERED_HOURS};
pub use like::{LikeRefusal, LikeState, LikeWish, Liked, Liker, Step, Wish};
pub use media::{MediaEntry, MediaList, object_key, post_of_key};
pub use page::{Cursor, NotACursor, Page, PageLimits, PageRequest, Start};
pub use post::{Direction, Draft, Edit, Filter, NewPost, Order, Post, PostId, Refusal, SortKey};
pub use service::{Board, CategoryExists, PostFilter};
pub use text::{Fault, FieldError, Sent};
pub use user::User;
pub use view::{View, ViewerHash};

/// A new random identifier: 32 lower-case hexadecimal digits, as the schema has them.
pub(crate) fn new_id() -> String {
    uuid::Uuid::new_v4().simple().to_string()
}
