//! Images of posts, and objects to be deleted: what the databases are asked, and the decisions
//! inside their transactions.

use super::StoreError;
use crate::board::{KstTime, MediaEntry, MediaList, PostId};
use async_trait::async_trait;
use sqlx::FromRow;

/// Images of posts and their objects.
#[async_trait]
pub trait MediaStore {
    /// The author of the visible post of this id; rows of the Flask service may have none.
    async fn author_of(&self, post: &PostId) -> Result<Option<Option<String>>, StoreError>;

    /// Lists an object for deletion at that time, unless [`MediaStore::add_media`] takes the row
    /// back before. Returns the row's id.
    async fn announce_object(&self, key: &str, due_at: KstTime) -> Result<i64, StoreError>;

    /// Adds an image to the author's post and takes back its object's row, all or nothing.
    async fn add_media(
        &self,
        post: &PostId,
        author: &str,
        entry: &MediaEntry,
        announced: i64,
    ) -> Result<MediaChange, StoreError>;

    /// Takes an image from the author's post and lists its object for deletion, all or nothing.
    async fn remove_media(
        &self,
        post: &PostId,
        author: &str,
        id: &str,
        now: KstTime,
    ) -> Result<MediaChange, StoreError>;

    /// Objects to be deleted by now, longest due first.
    async fn due_deletions(&self, now: KstTime, limit: u32) -> Result<Vec<Deletion>, StoreError>;

    /// Takes on a deletion, which is due again at that time if it is not finished; false if
    /// somebody else took it on.
    async fn claim_deletion(
        &self,
        deletion: &Deletion,
        retry_at: KstTime,
    ) -> Result<bool, StoreError>;

    /// Strikes a deletion off the list.
    async fn finish_deletion(&self, id: i64) -> Result<(), StoreError>;

    /// Whether the post is there and lists an image with this object.
    async fn shows_object(&self, post: &PostId, key: &str) -> Result<bool, StoreError>;
}

/// What came of changing a post's images.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MediaChange {
    /// It was done.
    Done,
    /// No visible post has this id.
    NoPost,
    /// The post is somebody else's.
    NotAuthor,
    /// The post has no such image.
    NoEntry,
    /// The post has as many images as it may.
    Full,
    /// The object is being deleted already.
    TooLate,
}

/// An object to be deleted.
#[derive(Debug, Clone, PartialEq, Eq, FromRow)]
pub struct Deletion {
    /// The row.
    pub id: i64,
    /// The object.
    pub object_key: String,
    /// Earlier attempts.
    pub attempts: u32,
}

/// What a transaction knows of a post whose images change: its row is locked.
#[derive(FromRow)]
pub(super) struct LockedPost {
    user_id: Option<String>,
    media_files: Option<String>,
}

/// What a transaction does next.
pub(super) enum Step {
    /// End without a change.
    End(MediaChange),
    /// Write this list; the objects of what was taken from it are listed for deletion.
    Write {
        /// All that stay.
        list: MediaList,
        /// Those that go.
        taken: MediaList,
    },
}

/// How adding goes on. An entry that is there already is that of an earlier attempt.
pub(super) fn add(post: Option<LockedPost>, author: &str, entry: &MediaEntry) -> Step {
    match list_of(post, author) {
        Err(change) => Step::End(change),
        Ok(list) if list.contains(&entry.id) => Step::End(MediaChange::Done),
        Ok(list) if list.is_full() => Step::End(MediaChange::Full),
        Ok(mut list) => {
            list.push(entry);
            let taken = MediaList::default();
            Step::Write { list, taken }
        }
    }
}

/// How removing goes on. `repeated`: an earlier attempt may have done it.
pub(super) fn remove(post: Option<LockedPost>, author: &str, id: &str, repeated: bool) -> Step {
    let mut list = match list_of(post, author) {
        Ok(list) => list,
        Err(change) => return Step::End(change),
    };
    let taken = list.take(id);
    match taken.count() {
        0 if repeated => Step::End(MediaChange::Done),
        0 => Step::End(MediaChange::NoEntry),
        _ => Step::Write { list, taken },
    }
}

fn list_of(post: Option<LockedPost>, author: &str) -> Result<MediaList, MediaChange> {
    let post = post.ok_or(MediaChange::NoPost)?;
    if post.user_id.as_deref() != Some(author) {
        return Err(MediaChange::NotAuthor);
    }
    Ok(MediaList::read(post.media_files.as_deref()))
}

/// `media_count` for a list.
pub(super) fn count(list: &MediaList) -> i64 {
    i64::try_from(list.count()).unwrap_or(i64::MAX)
}
