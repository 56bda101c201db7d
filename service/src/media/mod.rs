//! Images of posts: checked, cleaned, kept as objects, listed with their post, deleted with it.
//!
//! An object and its entry cannot be written together. So a row of `object_deletions` is written
//! first, due in an hour; then the object; then the entry, in a transaction that takes the row back.
//! Whatever happens in between, an object without an entry is deleted, and no entry is without its
//! object. Removing an entry writes such a row, due at once, in the same transaction.

mod backend;
pub mod config;
mod deletions;
mod gif;
mod images;
mod names;
mod strip;
#[cfg(test)]
mod tests;

pub use backend::{Backend, BackendError, Description, Object, OpenError};
pub use config::{Config, Place};
pub use deletions::Pace;
pub use images::{ImageFault, Kind};

use crate::{
    board::{Clock, KstTime, MediaEntry, PostId, User, object_key},
    store::{MediaChange, Store, StoreError},
};
use images::Image;
use std::{fmt, sync::Arc, time::Duration};
use thiserror::Error;
use tokio::sync::{Semaphore, SemaphorePermit};

/// How long an object may lie without an entry: far longer than any upload lasts.
const UNLISTED_TIME: Duration = Duration::from_hours(1);
/// Files that are in memory at the same time, over all requests.
const FILES_IN_MEMORY: usize = 16;

/// The longest name of a file in a key, in bytes; ours are shorter.
const MAX_NAME_BYTES: usize = 200;

/// All that concerns images; cheap to clone.
#[derive(Clone)]
pub struct Media(Arc<Inner>);

struct Inner {
    config: Config,
    backend: Option<Backend>,
    store: Arc<dyn Store>,
    clock: Arc<dyn Clock>,
    memory: Semaphore,
    /// Decoding takes a processor and much memory: one at a time. The permit stays with the
    /// decoding, which cannot be called off.
    decoding: Arc<Semaphore>,
}

/// Why something was not done with an image.
#[derive(Debug, Error)]
pub enum MediaError {
    /// No visible post has this id.
    #[error("no such post")]
    NoPost,
    /// The post is somebody else's.
    #[error("not the post's author")]
    NotAuthor,
    /// The post has no such image.
    #[error("no such image")]
    NoImage,
    /// The post has as many images as it may.
    #[error("the post has too many images")]
    PostIsFull,
    /// The file is not taken.
    #[error(transparent)]
    Refused(#[from] ImageFault),
    /// No place for images is set.
    #[error("no place for images is set: S3_BUCKET_NAME or MEDIA_FOLDER")]
    NoPlace,
    /// The place for images does not answer or fails.
    #[error(transparent)]
    Away(BackendError),
    /// The database.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// A fault of ours.
    #[error("decoding did not end")]
    Internal,
}

impl From<BackendError> for MediaError {
    fn from(error: BackendError) -> Self {
        match error {
            BackendError::NotFound => Self::NoImage,
            error => Self::Away(error),
        }
    }
}

/// A file as an author sent it.
#[derive(Debug)]
pub struct File {
    /// What the author called it.
    pub name: String,
    /// Its content.
    pub content: Vec<u8>,
}

impl Media {
    /// Images at the configured place, listed in this store.
    pub fn open(
        config: Config,
        store: Arc<dyn Store>,
        clock: Arc<dyn Clock>,
    ) -> Result<Self, OpenError> {
        let backend = Backend::open(&config.place)?;
        Ok(Self::new(config, backend, store, clock))
    }

    /// Images in this backend, whatever place the configuration names.
    pub fn new(
        config: Config,
        backend: Option<Backend>,
        store: Arc<dyn Store>,
        clock: Arc<dyn Clock>,
    ) -> Self {
        Self(Arc::new(Inner {
            config,
            backend,
            store,
            clock,
            memory: Semaphore::new(FILES_IN_MEMORY),
            decoding: Arc::new(Semaphore::new(1)),
        }))
    }

    /// What was set.
    pub fn config(&self) -> &Config {
        &self.0.config
    }

    /// Whether there is a place for images.
    pub fn has_place(&self) -> bool {
        self.0.backend.is_some()
    }

    /// Whether this user may change the images of this post, at this moment.
    pub async fn check_author(&self, post: &PostId, user: &User) -> Result<(), MediaError> {
        match self.0.store.author_of(post).await? {
            None => Err(MediaError::NoPost),
            Some(author) if author.as_deref() == Some(user.id()) => Ok(()),
            Some(_) => Err(MediaError::NotAuthor),
        }
    }

    /// Room for a file in memory, once there is some.
    pub async fn room(&self) -> Result<SemaphorePermit<'_>, MediaError> {
        let permit = self.0.memory.acquire().await;
        permit.map_err(|_| MediaError::Internal)
    }

    /// Adds a file to a post. `own_base` is what addresses begin with if nothing else is set.
    pub async fn add(
        &self,
        post: &PostId,
        author: &User,
        file: File,
        own_base: &str,
    ) -> Result<MediaEntry, MediaError> {
        let backend = self.0.backend.as_ref().ok_or(MediaError::NoPlace)?;
        let image = self.clean(file.content).await?;
        let entry = self.entry(post, &file.name, &image, own_base);
        let unlisted_until = deletions::later(self.0.clock.now(), UNLISTED_TIME);
        let store = &self.0.store;
        let row = store.announce_object(&entry.s3_key, unlisted_until).await?;
        backend.put(&entry.s3_key, image).await?;
        done(store.add_media(post, author.id(), &entry, row).await?)?;
        Ok(entry)
    }

    /// Takes an image from a post; its object is deleted later.
    pub async fn remove(&self, post: &PostId, author: &User, id: &str) -> Result<(), MediaError> {
        let change = self.0.store.remove_media(post, author.id(), id, self.now());
        done(change.await?)
    }

    /// What lies at an address, by its post and the name of its file.
    pub async fn describe(&self, post: &PostId, file: &str) -> Result<Description, MediaError> {
        let (backend, key) = self.place_of(post, file)?;
        Ok(backend.describe(&key).await?)
    }

    /// An image, or a part of it, which must lie within it.
    pub async fn read(
        &self,
        post: &PostId,
        file: &str,
        part: Option<std::ops::Range<u64>>,
    ) -> Result<Object, MediaError> {
        let (backend, key) = self.place_of(post, file)?;
        Ok(backend.read(&key, part).await?)
    }

    fn place_of(&self, post: &PostId, file: &str) -> Result<(&Backend, String), MediaError> {
        let backend = self.0.backend.as_ref().ok_or(MediaError::NoPlace)?;
        // No name of ours, and refused by folders and buckets in ways that look like their failure.
        if file.len() > MAX_NAME_BYTES || file.contains(['/', '#']) {
            return Err(MediaError::NoImage);
        }
        let key = object_key(&self.0.config.prefix, post.as_str(), file);
        Ok((backend, key))
    }

    /// Checks and cleans a file, off the threads that answer requests.
    async fn clean(&self, content: Vec<u8>) -> Result<Image, MediaError> {
        let limit = self.0.config.max_file_size;
        if content.len() as u64 > limit {
            return Err(ImageFault::TooLarge(limit).into());
        }
        let permit = Arc::clone(&self.0.decoding).acquire_owned().await;
        let permit = permit.map_err(|_| MediaError::Internal)?;
        let decoding = tokio::task::spawn_blocking(move || {
            let image = images::clean(content);
            drop(permit);
            image
        });
        let image = decoding.await.map_err(|_| MediaError::Internal)?;
        Ok(image?)
    }

    fn entry(&self, post: &PostId, name: &str, image: &Image, own_base: &str) -> MediaEntry {
        let Config {
            prefix,
            public_base,
            ..
        } = &self.0.config;
        let id = uuid::Uuid::new_v4().to_string();
        let extension = image.kind.extension();
        let file = format!("{id}-{}", names::safe(name, extension));
        let base = public_base.as_deref().unwrap_or(own_base);
        MediaEntry {
            id,
            file_name: names::shown(name, extension),
            s3_key: object_key(prefix, post.as_str(), &file),
            s3_url: format!("{base}/api/v1/images/images/{post}/{file}"),
            file_type: "image",
            file_size: image.bytes.len() as u64,
            content_type: image.kind.media_type(),
            uploaded_at: self.now(),
        }
    }

    fn now(&self) -> KstTime {
        KstTime::at(self.0.clock.now())
    }
}

impl fmt::Debug for Media {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Media")
            .field("config", &self.0.config)
            .finish_non_exhaustive()
    }
}

fn done(change: MediaChange) -> Result<(), MediaError> {
    match change {
        MediaChange::Done => Ok(()),
        MediaChange::NoPost => Err(MediaError::NoPost),
        MediaChange::NotAuthor => Err(MediaError::NotAuthor),
        MediaChange::NoEntry => Err(MediaError::NoImage),
        MediaChange::Full => Err(MediaError::PostIsFull),
        // It took an hour to get here.
        MediaChange::TooLate => Err(MediaError::Away(BackendError::Silent)),
    }
}
