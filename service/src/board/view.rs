//! Views: each viewer of a post counts once a day.

use super::{KstTime, PostId};
use aws_lc_rs::hmac;
use jiff::civil::Date;
use std::{fmt, sync::Arc};

/// Turns what is known of a viewer into a mark that tells nothing of them: a keyed hash, different
/// every day, so that rows of two days cannot be put together.
#[derive(Clone)]
pub struct ViewerHash(Arc<hmac::Key>);

impl ViewerHash {
    /// Keyed by the secret of all processes on one database.
    pub fn new(secret: &str) -> Self {
        Self(Arc::new(hmac::Key::new(
            hmac::HMAC_SHA256,
            secret.as_bytes(),
        )))
    }

    /// The view of a post by this viewer at this time.
    pub fn view(&self, post: &PostId, viewer: &str, now: KstTime) -> View {
        let day = now.date();
        let tag = hmac::sign(&self.0, format!("{day} {viewer}").as_bytes());
        let mut mark = [0; 16];
        mark.copy_from_slice(&tag.as_ref()[..16]);
        View {
            post: post.clone(),
            day,
            viewer: mark,
        }
    }
}

impl fmt::Debug for ViewerHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ViewerHash")
    }
}

/// Somebody looked at a post.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct View {
    /// The post.
    pub post: PostId,
    /// The day, in Korea.
    pub day: Date,
    /// Who, as a keyed hash.
    pub viewer: [u8; 16],
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_viewer_is_the_same_all_day_in_korea_and_another_the_next() {
        let hash = ViewerHash::new("secret");
        let post = PostId::random();
        let view = |time: &str, viewer: &str| hash.view(&post, viewer, time.parse().unwrap());
        let morning = view("2026-01-02T00:00:00", "alice");
        assert_eq!(morning, view("2026-01-02T23:59:59", "alice"));
        assert_ne!(morning.viewer, view("2026-01-03T00:00:00", "alice").viewer);
        assert_ne!(morning.viewer, view("2026-01-02T00:00:00", "bob").viewer);
        let other =
            ViewerHash::new("other").view(&post, "alice", "2026-01-02T00:00:00".parse().unwrap());
        assert_ne!(morning.viewer, other.viewer);
    }
}
