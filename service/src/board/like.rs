//! Likes: at most one per post and user.
//!
//! A like made with a token is *verified*. Those of the Flask service and of requests without a
//! token (`ANONYMOUS_LIKES`) are not: anybody could have made them in anybody's name. A user's own
//! token takes over such a like; a request without one never touches a verified like.

use super::{KstTime, PostId};

/// In whose name a like is made or taken back.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Liker {
    /// The user of a token.
    Verified(String),
    /// Whoever a request without a token says it is.
    Unverified(String),
}

impl Liker {
    /// The user's id.
    pub fn id(&self) -> &str {
        match self {
            Self::Verified(id) | Self::Unverified(id) => id,
        }
    }

    /// Whether a token says so.
    pub fn is_verified(&self) -> bool {
        matches!(self, Self::Verified(_))
    }
}

/// What shall become of a like.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Wish {
    /// There where it was not, gone where it was.
    Toggle,
    /// There.
    Like,
    /// Gone.
    Unlike,
}

/// A wish of one liker about one post.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct LikeWish {
    /// The id of the like that it makes, if it makes one; no two wishes have the same.
    pub id: String,
    /// The post.
    pub post: PostId,
    /// The liker.
    pub liker: Liker,
    /// What is wished.
    pub wish: Wish,
    /// When.
    pub at: KstTime,
}

/// What has to be done for a wish.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    /// Insert a like.
    Add,
    /// Delete the like.
    Remove,
    /// Mark the like as verified.
    Verify,
    /// Nothing: it is as wished.
    Keep,
    /// Nothing: the like is out of this liker's reach.
    Refuse,
}

impl Wish {
    /// The step from the like that is there (its `verified` mark), if one is.
    pub fn step(self, liker: &Liker, existing: Option<bool>) -> Step {
        match (self, existing) {
            (_, Some(true)) if !liker.is_verified() => Step::Refuse,
            (Self::Toggle | Self::Like, None) => Step::Add,
            (Self::Toggle | Self::Unlike, Some(_)) => Step::Remove,
            (Self::Like, Some(false)) if liker.is_verified() => Step::Verify,
            (Self::Like, Some(_)) | (Self::Unlike, None) => Step::Keep,
        }
    }
}

/// How a post stands with a user after a wish.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LikeState {
    /// Whether the user likes it now.
    pub is_liked: bool,
    /// How many users like it now.
    pub like_count: i64,
}

/// What a wish came to.
pub type Liked = Result<LikeState, LikeRefusal>;

/// Why a like was not changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LikeRefusal {
    /// No visible post has this id.
    Missing,
    /// The like was made with a token and only changes with one.
    Verified,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_claims_what_was_liked_without_one_and_never_the_reverse() {
        let (user, anyone) = (Liker::Verified("u".into()), Liker::Unverified("u".into()));
        let cases = [
            (Wish::Toggle, None, Step::Add, Step::Add),
            (Wish::Toggle, Some(false), Step::Remove, Step::Remove),
            (Wish::Toggle, Some(true), Step::Remove, Step::Refuse),
            (Wish::Like, None, Step::Add, Step::Add),
            (Wish::Like, Some(false), Step::Verify, Step::Keep),
            (Wish::Like, Some(true), Step::Keep, Step::Refuse),
            (Wish::Unlike, None, Step::Keep, Step::Keep),
            (Wish::Unlike, Some(false), Step::Remove, Step::Remove),
            (Wish::Unlike, Some(true), Step::Remove, Step::Refuse),
        ];
        for (wish, existing, with_token, without) in cases {
            assert_eq!(
                wish.step(&user, existing),
                with_token,
                "{wish:?} {existing:?}"
            );
            assert_eq!(
                wish.step(&anyone, existing),
                without,
                "{wish:?} {existing:?}"
            );
        }
    }
}
