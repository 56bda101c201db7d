//! Amazon ECR.

mod retention;

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use aws_config::retry::RetryConfig;
use aws_config::timeout::TimeoutConfig;
use aws_config::{Region, SdkConfig};
use aws_sdk_ecr::Client;
use aws_sdk_ecr::error::{ProvideErrorMetadata, SdkError};
use aws_sdk_ecr::types::{
    DescribeImagesFilter, ImageDetail, ImageIdentifier, ImageStatus, ImageStatusFilter,
};
use futures::FutureExt;
use futures::future::BoxFuture;
use k8s_openapi::jiff::Timestamp;

use super::events::Queue;
use super::lifecycle::Keeping;
use super::{
    Address, Digest, ListedImage, Listing, OnChange, Registry, RegistryError, RegistryImage,
    to_the_second,
};

/// The only action that images are found by.
const DESCRIBE: &str = "ecr:DescribeImages";
/// Images of a page, the most that there may be (`DescribeImages`, `maxResults`).
const PAGE: i32 = 1000;
const ATTEMPT_TIMEOUT: Duration = Duration::from_secs(4);
const CALL_TIMEOUT: Duration = Duration::from_secs(15);

/// The operator's AWS configuration: the default credential chain (environment, IRSA, EKS Pod
/// Identity), with a time limit and a few attempts for each call.
pub async fn config() -> SdkConfig {
    let timeouts = TimeoutConfig::builder()
        .operation_attempt_timeout(ATTEMPT_TIMEOUT)
        .operation_timeout(CALL_TIMEOUT)
        .build();
    aws_config::from_env()
        .timeout_config(timeouts)
        .retry_config(RetryConfig::standard().with_max_attempts(3))
        .load()
        .await
}

/// ECR registries of every account and region.
pub struct Ecr {
    config: SdkConfig,
    events_queue: Option<String>,
    clients: Mutex<HashMap<String, Client>>,
}

impl Ecr {
    /// Registries reached by `config`, whose region is replaced by the repository's.
    pub fn new(config: SdkConfig) -> Self {
        Self {
            config,
            events_queue: None,
            clients: Mutex::default(),
        }
    }

    /// The same, with a queue in SQS that tells what changes.
    #[must_use]
    pub fn with_events(self, queue_url: Option<String>) -> Self {
        Self {
            events_queue: queue_url,
            ..self
        }
    }

    fn client(&self, region: &str) -> Client {
        let mut clients = self.clients.lock().unwrap_or_else(PoisonError::into_inner);
        clients
            .entry(region.to_owned())
            .or_insert_with(|| {
                let config = aws_sdk_ecr::config::Builder::from(&self.config)
                    .region(Region::new(region.to_owned()))
                    .build();
                Client::from_conf(config)
            })
            .clone()
    }

    async fn describe(&self, repository: &str, tag: &str) -> Result<RegistryImage, RegistryError> {
        let address = address(repository)?;
        let image = ImageIdentifier::builder().image_tag(tag).build();
        let answer = self
            .client(&address.region)
            .describe_images()
            .registry_id(&address.account)
            .repository_name(&address.name)
            .image_ids(image)
            .send()
            .await
            .map_err(|error| match error.code() {
                Some("ImageNotFoundException") => not_found(repository, tag),
                _ => classify(&error, repository, DESCRIBE),
            })?;
        let image = answer
            .image_details()
            .iter()
            .find(|image| image.image_tags().iter().any(|other| other == tag))
            .ok_or_else(|| not_found(repository, tag))?;
        let found = to_image(image, repository)?;
        if found.archived {
            return Err(RegistryError::Archived {
                repository: repository.to_owned(),
                tag: tag.to_owned(),
            });
        }
        Ok(RegistryImage {
            digest: found.digest,
            tag: Some(tag.to_owned()),
            pushed_at: found.pushed_at.map(to_the_second),
        })
    }

    async fn describe_all(&self, repository: &str) -> Result<Listing, RegistryError> {
        let address = address(repository)?;
        let any = DescribeImagesFilter::builder()
            .image_status(ImageStatusFilter::Any)
            .build();
        let mut pages = self
            .client(&address.region)
            .describe_images()
            .registry_id(&address.account)
            .repository_name(&address.name)
            .filter(any)
            .max_results(PAGE)
            .into_paginator()
            .send();
        let (mut images, mut rest) = (Vec::new(), None);
        while let Some(page) = pages.next().await {
            let page = page.map_err(|error| classify(&error, repository, DESCRIBE))?;
            rest = page.next_token().map(str::to_owned);
            for image in page.image_details() {
                images.push(to_image(image, repository)?);
            }
        }
        // The paginator ends, as if all were well, where the same page is named twice.
        if rest.is_some_and(|token| !token.is_empty()) {
            return Err(RegistryError::Unavailable {
                repository: repository.to_owned(),
                detail: "the listing came to no end".into(),
            });
        }
        Ok(Listing::new(images))
    }
}

impl Registry for Ecr {
    fn resolve(
        self: Arc<Self>,
        repository: String,
        tag: String,
    ) -> BoxFuture<'static, Result<RegistryImage, RegistryError>> {
        async move { self.describe(&repository, &tag).await }.boxed()
    }

    fn list(
        self: Arc<Self>,
        repository: String,
    ) -> BoxFuture<'static, Result<Listing, RegistryError>> {
        async move { self.describe_all(&repository).await }.boxed()
    }

    fn keeping(
        self: Arc<Self>,
        repository: String,
        digest: Digest,
    ) -> BoxFuture<'static, Result<Keeping, RegistryError>> {
        async move { retention::keeping(&self, &repository, &digest).await }.boxed()
    }

    fn follow(self: Arc<Self>, changed: OnChange) -> BoxFuture<'static, ()> {
        let Some(url) = self.events_queue.clone() else {
            return futures::future::pending().boxed();
        };
        async move { Queue::new(&self.config, url).follow(changed).await }.boxed()
    }
}

fn address(repository: &str) -> Result<Address, RegistryError> {
    Address::parse(repository).ok_or_else(|| RegistryError::Unsupported {
        repository: repository.to_owned(),
    })
}

fn not_found(repository: &str, tag: &str) -> RegistryError {
    RegistryError::TagNotFound {
        repository: repository.to_owned(),
        tag: tag.to_owned(),
    }
}

fn to_image(image: &ImageDetail, repository: &str) -> Result<ListedImage, RegistryError> {
    let digest = image
        .image_digest()
        .and_then(Digest::parse)
        .ok_or_else(|| RegistryError::Unavailable {
            repository: repository.to_owned(),
            detail: "the answer carries no sha256 digest".into(),
        })?;
    let pushed_at = image.image_pushed_at().and_then(|time| {
        let nanoseconds = i32::try_from(time.subsec_nanos()).ok()?;
        Timestamp::new(time.secs(), nanoseconds).ok()
    });
    Ok(ListedImage {
        digest,
        tags: image.image_tags().to_vec(),
        pushed_at,
        // One that is being restored cannot be pulled yet.
        archived: !matches!(image.image_status(), None | Some(ImageStatus::Active)),
    })
}

/// What a call for `action` that failed says of the repository.
fn classify<E>(error: &SdkError<E>, repository: &str, action: &'static str) -> RegistryError
where
    E: ProvideErrorMetadata,
    SdkError<E>: ProvideErrorMetadata,
{
    let repository = repository.to_owned();
    match error.code() {
        Some("RepositoryNotFoundException") => RegistryError::RepositoryNotFound { repository },
        Some(
            code @ ("AccessDeniedException"
            | "UnrecognizedClientException"
            | "InvalidSignatureException"),
        ) => RegistryError::AccessDenied {
            repository,
            action,
            detail: code.to_owned(),
        },
        code => match error {
            // The connector's other failures: no credentials were found, or they were refused.
            SdkError::DispatchFailure(failure) if failure.is_other() => {
                let detail = "no usable AWS credentials: bind the service account to a role".into();
                RegistryError::AccessDenied {
                    repository,
                    action,
                    detail,
                }
            }
            // Without the request's id, so that the same fault reads the same.
            _ => {
                let code = code.unwrap_or("no answer");
                let detail = format!("{code} {}", error.message().unwrap_or_default());
                let detail = detail.trim().to_owned();
                RegistryError::Unavailable { repository, detail }
            }
        },
    }
}

#[cfg(test)]
mod tests;
