//! Image registries: from a tag to a digest.

pub mod ecr;

use std::sync::Arc;

use futures::future::BoxFuture;
use k8s_openapi::jiff::Timestamp;

/// An image as a registry knows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RegistryImage {
    /// `sha256:…`.
    pub digest: Digest,
    /// When it was pushed, where the registry tells.
    pub pushed_at: Option<Timestamp>,
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

/// Why a tag could not be resolved.
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
    /// The registry has no such repository.
    #[error("repository {repository} does not exist: create it, or correct spec.image.repository")]
    RepositoryNotFound {
        /// Repository with its host.
        repository: String,
    },
    /// The operator's identity may not read the repository.
    #[error(
        "access to {repository} was denied: allow ecr:DescribeImages to the operator's role ({detail})"
    )]
    AccessDenied {
        /// Repository with its host.
        repository: String,
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
    /// The host is no ECR registry, which alone resolves tags.
    #[error("{repository} is not in Amazon ECR: give spec.image.digest instead of a tag")]
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
}
