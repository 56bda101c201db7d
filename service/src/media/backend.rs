//! Where objects lie: a bucket of S3 or a folder.
//!
//! Every call ends after a few seconds, whatever the other side does: nobody's request waits longer
//! for a store that hangs, and requests that need no object never come here.

use super::{
    config::Place,
    images::{Image, Kind, SNIFFED_BYTES},
};
use futures::{StreamExt, stream::BoxStream};
use img_parts::Bytes;
use object_store::{
    Attribute, Attributes, BackoffConfig, ClientOptions, GetOptions, GetRange, ObjectMeta,
    ObjectStore, ObjectStoreExt, PutOptions, RetryConfig,
    aws::{AmazonS3Builder, AmazonS3ConfigKey},
    local::LocalFileSystem,
    path::Path,
};
use std::{ops::Range, path::PathBuf, sync::Arc, time::Duration};
use thiserror::Error;
use tokio::time::timeout;

/// How long connecting may take.
const CONNECT_TIME: Duration = Duration::from_secs(2);
/// How long the other side may be silent.
const SILENCE: Duration = Duration::from_secs(3);
/// How long one HTTP exchange may take in all; a slow reader of an image holds one open.
const EXCHANGE_TIME: Duration = Duration::from_mins(1);
/// How long reading may take until the first byte, attempts included.
const READ_TIME: Duration = Duration::from_secs(4);
/// How long writing an object may take, attempts included.
const WRITE_TIME: Duration = Duration::from_secs(8);
/// How long deleting an object may take, attempts included.
const DELETE_TIME: Duration = Duration::from_secs(5);
/// After this long nothing is tried again.
const RETRY_TIME: Duration = Duration::from_secs(2);

/// A store of objects.
#[derive(Debug, Clone)]
pub struct Backend {
    objects: Arc<dyn ObjectStore>,
    /// It remembers the media types of its objects.
    knows_types: bool,
}

/// An object's description.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Description {
    /// What it is.
    pub kind: Kind,
    /// Its bytes.
    pub size: u64,
    /// Changes with its content; without quotes.
    pub tag: String,
}

/// An object that is being read.
pub struct Object {
    /// What it is.
    pub description: Description,
    /// Its content, or the part that was asked for.
    pub content: BoxStream<'static, object_store::Result<Bytes>>,
}

/// Why a store cannot be used at all.
#[derive(Debug, Error)]
pub enum OpenError {
    /// The folder cannot be made or read.
    #[error("cannot use the folder of images {0}: {1}")]
    Folder(PathBuf, #[source] Box<dyn std::error::Error + Send + Sync>),
    /// The bucket's settings do not fit together.
    #[error("cannot use the bucket of images: {0}")]
    Bucket(#[source] object_store::Error),
}

/// Why an object was not read, written or deleted.
#[derive(Debug, Error)]
pub enum BackendError {
    /// There is none of this key that is an image.
    #[error("no such image")]
    NotFound,
    /// The store refused or failed.
    #[error("the store of images failed: {0}")]
    Failed(#[source] object_store::Error),
    /// The store did not answer in time.
    #[error("the store of images does not answer")]
    Silent,
}

impl From<object_store::Error> for BackendError {
    fn from(error: object_store::Error) -> Self {
        match error {
            object_store::Error::NotFound { .. } | object_store::Error::InvalidPath { .. } => {
                Self::NotFound
            }
            error => Self::Failed(error),
        }
    }
}

impl Backend {
    /// The store at this place; `None` if there is none.
    pub fn open(place: &Place) -> Result<Option<Self>, OpenError> {
        Ok(match place {
            Place::Nowhere => None,
            Place::Folder(folder) => Some(Self::folder(folder)?),
            Place::Bucket { name, region } => {
                // Credentials and endpoint as AWS's own tools find them in the environment.
                let mut builder = AmazonS3Builder::from_env().with_bucket_name(name);
                if let Some(region) = region {
                    builder = builder.with_region(region);
                }
                Some(Self::s3(builder)?)
            }
        })
    }

    /// A folder, made if absent.
    pub fn folder(folder: &std::path::Path) -> Result<Self, OpenError> {
        let unusable = |error| OpenError::Folder(folder.to_owned(), error);
        std::fs::create_dir_all(folder).map_err(|error| unusable(error.into()))?;
        let objects =
            LocalFileSystem::new_with_prefix(folder).map_err(|error| unusable(error.into()))?;
        Ok(Self {
            objects: Arc::new(objects.with_automatic_cleanup(true)),
            knows_types: false,
        })
    }

    /// A bucket, by its name, credentials and endpoint; timeouts and retries are set here.
    pub fn s3(builder: AmazonS3Builder) -> Result<Self, OpenError> {
        let endpoint = [AmazonS3ConfigKey::S3Endpoint, AmazonS3ConfigKey::Endpoint]
            .iter()
            .find_map(|key| builder.get_config_value(key));
        // A stand-in on this machine; AWS itself is always spoken to by HTTPS.
        let plain = endpoint.is_some_and(|endpoint| endpoint.starts_with("http://"));
        let options = ClientOptions::new()
            .with_allow_http(plain)
            .with_connect_timeout(CONNECT_TIME)
            .with_read_timeout(SILENCE)
            .with_timeout(EXCHANGE_TIME);
        let retry = RetryConfig {
            backoff: BackoffConfig {
                init_backoff: Duration::from_millis(100),
                max_backoff: Duration::from_millis(500),
                base: 2.0,
            },
            max_retries: 2,
            retry_timeout: RETRY_TIME,
        };
        let objects = builder
            .with_client_options(options)
            .with_retry(retry)
            // One key a request needs no permission beyond `s3:DeleteObject` and tells its own error.
            .with_disable_bulk_delete(true)
            .build()
            .map_err(OpenError::Bucket)?;
        Ok(Self {
            objects: Arc::new(objects),
            knows_types: true,
        })
    }

    /// Writes an object; whole or not at all.
    pub async fn put(&self, key: &str, image: Image) -> Result<(), BackendError> {
        let key = path(key)?;
        let mut attributes = Attributes::new();
        if self.knows_types {
            attributes.insert(Attribute::ContentType, image.kind.media_type().into());
        }
        let options = PutOptions {
            attributes,
            ..PutOptions::default()
        };
        let writing = self.objects.put_opts(&key, image.bytes.into(), options);
        in_time(WRITE_TIME, writing).await.map(drop)
    }

    /// Deletes an object; one that is not there is deleted.
    pub async fn delete(&self, key: &str) -> Result<(), BackendError> {
        let key = path(key)?;
        match in_time(DELETE_TIME, self.objects.delete(&key)).await {
            Err(BackendError::NotFound) => Ok(()),
            result => result,
        }
    }

    /// What lies there.
    pub async fn describe(&self, key: &str) -> Result<Description, BackendError> {
        let key = path(key)?;
        let options = GetOptions {
            head: true,
            ..GetOptions::default()
        };
        let found = in_time(READ_TIME, self.objects.get_opts(&key, options)).await?;
        self.description(&key, &found.meta, &found.attributes).await
    }

    /// An object, or a part of it, which must lie within it.
    pub async fn read(&self, key: &str, part: Option<Range<u64>>) -> Result<Object, BackendError> {
        let key = path(key)?;
        let options = GetOptions {
            range: part.map(GetRange::Bounded),
            ..GetOptions::default()
        };
        let found = in_time(READ_TIME, self.objects.get_opts(&key, options)).await?;
        Ok(Object {
            description: self
                .description(&key, &found.meta, &found.attributes)
                .await?,
            content: found.into_stream().boxed(),
        })
    }

    async fn description(
        &self,
        key: &Path,
        meta: &ObjectMeta,
        attributes: &Attributes,
    ) -> Result<Description, BackendError> {
        let size = meta.size;
        let stored = attributes.get(&Attribute::ContentType);
        let kind = match stored.and_then(|stored| Kind::of_type(stored)) {
            Some(kind) => kind,
            None => self.sniff(key, size).await?,
        };
        let tag = match &meta.e_tag {
            Some(tag) => tag.trim_start_matches("W/").replace('"', ""),
            None => format!("{:x}-{size:x}", meta.last_modified.timestamp_millis()),
        };
        Ok(Description { kind, size, tag })
    }

    /// The kind by the first bytes; what is no image is not served at all.
    async fn sniff(&self, key: &Path, size: u64) -> Result<Kind, BackendError> {
        if size < SNIFFED_BYTES {
            return Err(BackendError::NotFound);
        }
        let reading = self.objects.get_range(key, 0..SNIFFED_BYTES);
        let head = in_time(READ_TIME, reading).await?;
        Kind::sniff(&head).ok_or(BackendError::NotFound)
    }
}

/// A key as a path; what leads elsewhere names nothing.
fn path(key: &str) -> Result<Path, BackendError> {
    let path = Path::parse(key).map_err(|_| BackendError::NotFound)?;
    // Empty segments are dropped by parsing: such a key is another's.
    if path.as_ref() == key && !key.is_empty() {
        Ok(path)
    } else {
        Err(BackendError::NotFound)
    }
}

async fn in_time<T>(
    time: Duration,
    operation: impl Future<Output = object_store::Result<T>>,
) -> Result<T, BackendError> {
    match timeout(time, operation).await {
        Ok(result) => Ok(result?),
        Err(_) => Err(BackendError::Silent),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_key_leads_out_of_the_store() {
        for key in [
            "..", "a/../b", "/a", "a//b", "a/", "", "a/./b", "a\0b", "a\nb",
        ] {
            assert!(path(key).is_err(), "{key:?}");
        }
        for key in ["a/b.png", "a/한글.png", "a/b c%2F..png", r"a\..\b"] {
            assert_eq!(path(key).unwrap().as_ref(), key);
        }
    }
}
