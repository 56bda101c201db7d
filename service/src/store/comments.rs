//! How many comments posts have, as the comment service tells.

use super::StoreError;
use crate::board::PostId;
use async_trait::async_trait;

/// Comment counts, and how far those of adopted posts have been asked for.
#[async_trait]
pub trait CommentStore {
    /// The stored count of the visible post of this id.
    async fn comment_count(&self, id: &PostId) -> Result<Option<i64>, StoreError>;

    /// Sets the count of a visible post; `version` and `updated_at` stay. Writes nothing where the
    /// count is this already. False if there is no such post.
    async fn set_comment_count(&self, id: &PostId, count: u32) -> Result<bool, StoreError>;

    /// How far the sweep over adopted posts has come.
    async fn comment_sweep(&self) -> Result<CommentSweep, StoreError>;

    /// The visible posts with the highest numbers below this one, at most `limit`.
    async fn comment_sweep_batch(
        &self,
        before: Option<i64>,
        limit: u32,
    ) -> Result<CommentSweepBatch, StoreError>;

    /// Remembers that every post from this number up has been asked for; 0: all. Never goes back,
    /// whichever process is ahead.
    async fn advance_comment_sweep(&self, before: i64) -> Result<(), StoreError>;
}

/// How far the sweep over adopted posts has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CommentSweep {
    /// The adoption has not finished: nothing to do yet.
    Waiting,
    /// Posts below this number are left; with `None` all are.
    Left {
        /// The lowest number asked for.
        before: Option<i64>,
    },
    /// Every post has been asked for.
    Done,
}

impl CommentSweep {
    /// What the row says, once the adoption has finished.
    pub(super) fn of(before: Option<i64>) -> Self {
        match before {
            Some(0) => Self::Done,
            before => Self::Left { before },
        }
    }
}

/// A few posts of the sweep.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CommentSweepBatch {
    /// From the newest down. An adopted row whose id is none is left out.
    pub posts: Vec<PostId>,
    /// The lowest number looked at; none if no post is left.
    pub lowest: Option<i64>,
}

impl CommentSweepBatch {
    /// A batch of rows (number, id), the highest number first.
    pub(super) fn of(rows: Vec<(i64, String)>) -> Self {
        Self {
            lowest: rows.last().map(|(number, _)| *number),
            posts: rows
                .into_iter()
                .filter_map(|(_, id)| id.parse().ok())
                .collect(),
        }
    }
}
