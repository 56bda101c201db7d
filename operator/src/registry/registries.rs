//! The registry of each repository.

use std::sync::Arc;

use futures::FutureExt as _;
use futures::future::BoxFuture;

use super::ecr::Ecr;
use super::lifecycle::Keeping;
use super::oci::Oci;
use super::{Address, Digest, Listing, OnChange, Registry, RegistryError, RegistryImage};

/// Amazon ECR, and all others.
pub struct Registries {
    ecr: Arc<Ecr>,
    others: Oci,
}

impl Registries {
    /// Repositories of ECR by `ecr`, others by `others`.
    pub fn new(ecr: Ecr, others: Oci) -> Self {
        Self {
            ecr: Arc::new(ecr),
            others,
        }
    }
}

impl Registry for Registries {
    fn resolve(
        self: Arc<Self>,
        repository: String,
        tag: String,
    ) -> BoxFuture<'static, Result<RegistryImage, RegistryError>> {
        if Address::parse(&repository).is_some() {
            return self.ecr.clone().resolve(repository, tag);
        }
        async move { self.others.resolve(&repository, &tag).await }.boxed()
    }

    fn list(
        self: Arc<Self>,
        repository: String,
    ) -> BoxFuture<'static, Result<Listing, RegistryError>> {
        self.ecr.clone().list(repository)
    }

    fn keeping(
        self: Arc<Self>,
        repository: String,
        digest: Digest,
    ) -> BoxFuture<'static, Result<Keeping, RegistryError>> {
        self.ecr.clone().keeping(repository, digest)
    }

    fn follow(self: Arc<Self>, changed: OnChange) -> BoxFuture<'static, ()> {
        self.ecr.clone().follow(changed)
    }
}
