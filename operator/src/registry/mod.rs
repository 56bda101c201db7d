//! Image registries: from a tag, or a rule that selects one, to a digest.

mod address;
pub mod ecr;
mod events;
pub mod lifecycle;
pub mod oci;
pub mod policy;
mod registries;

use std::sync::Arc;

use futures::future::BoxFuture;
use k8s_openapi::jiff::Timestamp;

pub use address::Address;
use lifecycle::Keeping;
pub use registries::Registries;

/// An image as a registry knows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RegistryImage {
    /// `sha256:…`.
    pub digest: Digest,
    /// The tag by which it was found.
    pub tag: Option<String>,
    /// When it was pushed, where the registry tells.
    pub pushed_at: Option<Timestamp>,
}

/// Every image of a repository, archived ones among them, as they were at one time. There is none of
/// a part of a repository: what is selected from a page may be older than what is on the next one.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Listing {
    images: Vec<ListedImage>,
}

/// An image of a [`Listing`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ListedImage {
    /// `sha256:…`.
    pub digest: Digest,
    /// Its tags.
    pub tags: Vec<String>,
    /// When it was pushed.
    pub pushed_at: Option<Timestamp>,
    /// It can be described, but not pulled (Amazon ECR user guide, "Archiving an image").
    pub archived: bool,
}

impl Listing {
    /// All of a repository's images.
    pub fn new(mut images: Vec<ListedImage>) -> Self {
        // The same order for the same images, so that equal listings are equal.
        images.sort_unstable_by(|a, b| {
            let by_digest = || a.digest.as_str().cmp(b.digest.as_str());
            b.pushed_at.cmp(&a.pushed_at).then_with(by_digest)
        });
        images.shrink_to_fit();
        Self { images }
    }

    /// What was pushed last comes first.
    pub fn images(&self) -> &[ListedImage] {
        &self.images
    }

    /// The image of that digest.
    pub fn find(&self, digest: &str) -> Option<&ListedImage> {
        self.images
            .iter()
            .find(|image| image.digest.as_str() == digest)
    }
}

/// A time as the API server keeps it (`Time` of apimachinery).
fn to_the_second(time: Timestamp) -> Timestamp {
    Timestamp::from_second(time.as_second()).unwrap_or(time)
}

/// A content digest, `sha256:` and 64 hexadecimal digits (OCI image specification, "Digests").
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Digest(String);

impl Digest {
    /// Parses a digest; `None` when it is not of the form `sha256:<64 hexadecimal digits>`.
    pub fn parse(text: &str) -> Option<Self> {
        let hex = text.strip_prefix("sha256:")?;
        let valid = hex.len() == 64 && hex.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'));
        valid.then(|| Self(text.to_owned()))
    }

    /// The whole digest.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl std::fmt::Display for Digest {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

/// Why an image could not be found.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RegistryError {
    /// The repository has no such tag.
    #[error("tag {tag} was not found in {repository}: push it, or correct spec.image.tag")]
    TagNotFound {
        /// Repository with its host.
        repository: String,
        /// The tag asked for.
        tag: String,
    },
    /// The repository has the tag, but its image cannot be pulled.
    #[error(
        "tag {tag} of {repository} is archived and cannot be pulled: restore it or push it again, or correct spec.image.tag"
    )]
    Archived {
        /// Repository with its host.
        repository: String,
        /// The tag asked for.
        tag: String,
    },
    /// No image of the repository is one that the policy may select.
    #[error(
        "none of the {tags} tags of {repository} that can be pulled has {rule}: push one, or correct spec.image.policy"
    )]
    NoMatchingTag {
        /// Repository with its host.
        repository: String,
        /// What the policy asks for.
        rule: String,
        /// How many tags were looked at.
        tags: usize,
    },
    /// The registry has no such repository.
    #[error("repository {repository} does not exist: create it, or correct spec.image.repository")]
    RepositoryNotFound {
        /// Repository with its host.
        repository: String,
    },
    /// The operator's identity may not read the repository.
    #[error("access to {repository} was denied: allow {action} to the operator's role ({detail})")]
    AccessDenied {
        /// Repository with its host.
        repository: String,
        /// The action that AWS IAM does not allow.
        action: &'static str,
        /// The registry's code.
        detail: String,
    },
    /// The registry did not answer, or not sensibly. Transient.
    #[error("the registry of {repository} is unavailable, trying again: {detail}")]
    Unavailable {
        /// Repository with its host.
        repository: String,
        /// What happened.
        detail: String,
    },
    /// The registry, which is not Amazon ECR, gives the image to nobody without credentials.
    #[error(
        "{repository} is not public or does not exist: outside of Amazon ECR a tag is looked for without credentials. Correct spec.image.repository, or give spec.image.digest, which nobody looks for"
    )]
    NotPublic {
        /// Repository with its host.
        repository: String,
    },
    /// The host is no ECR registry, which alone can do what was asked for.
    #[error("{repository} is not in Amazon ECR: give spec.image.tag or digest instead of a policy")]
    Unsupported {
        /// Repository with its host.
        repository: String,
    },
}

/// Asks a registry. Object-safe, so that tests put their own in its place.
pub trait Registry: Send + Sync + 'static {
    /// Resolves `tag` of `repository` (with registry host) to a digest.
    fn resolve(
        self: Arc<Self>,
        repository: String,
        tag: String,
    ) -> BoxFuture<'static, Result<RegistryImage, RegistryError>>;

    /// Lists `repository` (with registry host): all of it, or it fails.
    fn list(
        self: Arc<Self>,
        repository: String,
    ) -> BoxFuture<'static, Result<Listing, RegistryError>>;

    /// What becomes of the image of that digest in `repository` (with registry host).
    fn keeping(
        self: Arc<Self>,
        repository: String,
        digest: Digest,
    ) -> BoxFuture<'static, Result<Keeping, RegistryError>>;

    /// Calls `changed` with each repository in which something happened, as far as the registry
    /// tells; never ends.
    fn follow(self: Arc<Self>, changed: OnChange) -> BoxFuture<'static, ()>;
}

/// What is done when something happened in a repository.
pub type OnChange = Box<dyn Fn(&Address) + Send + Sync>;
