//! Whether ECR keeps an image.

use std::time::Duration;

use aws_sdk_ecr::client::Waiters as _;
use aws_sdk_ecr::error::ProvideErrorMetadata as _;
use aws_sdk_ecr::types::{
    DescribeImagesFilter, ImageActionType, ImageIdentifier, ImageStatusFilter,
};
use k8s_openapi::jiff::Timestamp;

use super::{DESCRIBE, Ecr, address, classify, to_image};
use crate::registry::lifecycle::{self, Keeping, Outlook, Preview, Rules, Taking};
use crate::registry::{Digest, ListedImage, RegistryError};

/// The optional action without which lifecycle rules are unknown.
const READ_POLICY: &str = "ecr:GetLifecyclePolicy";
/// A preview that takes longer is done without.
const PREVIEW_TIMEOUT: Duration = Duration::from_mins(1);

/// What becomes of the image of that digest.
pub(super) async fn keeping(
    ecr: &Ecr,
    repository: &str,
    digest: &Digest,
) -> Result<Keeping, RegistryError> {
    let image = match find(ecr, repository, digest).await? {
        None => return Ok(Keeping::Gone),
        Some(image) if image.archived => return Ok(Keeping::Archived),
        Some(image) => image,
    };
    let rules = rules(ecr, repository).await?;
    if rules.as_ref().is_some_and(Rules::is_empty) {
        return Ok(Keeping::Kept(Outlook::Safe));
    }
    let preview = preview(ecr, repository, digest).await;
    let by_rules = match rules {
        Some(rules) => {
            let listing = ecr.describe_all(repository).await?;
            Some(rules.outlook(&image, &listing, Timestamp::now()))
        }
        None => None,
    };
    Ok(Keeping::Kept(lifecycle::outlook(by_rules, preview)))
}

async fn find(
    ecr: &Ecr,
    repository: &str,
    digest: &Digest,
) -> Result<Option<ListedImage>, RegistryError> {
    let address = address(repository)?;
    let image = ImageIdentifier::builder().image_digest(digest.as_str());
    let request = ecr
        .client(&address.region)
        .describe_images()
        .registry_id(address.account)
        .repository_name(address.name)
        .image_ids(image.build());
    let any = DescribeImagesFilter::builder().image_status(ImageStatusFilter::Any);
    let answer = match request.clone().filter(any.build()).send().await {
        // Where a filter does not go with identifiers.
        Err(error) if error.code() == Some("InvalidParameterException") => request.send().await,
        answer => answer,
    };
    match answer {
        Ok(answer) => {
            let image = answer.image_details().first();
            image.map(|image| to_image(image, repository)).transpose()
        }
        Err(error) if error.code() == Some("ImageNotFoundException") => Ok(None),
        Err(error) => Err(classify(&error, repository, DESCRIBE)),
    }
}

/// The lifecycle policy; `None`: it may not be read, or is not understood.
async fn rules(ecr: &Ecr, repository: &str) -> Result<Option<Rules>, RegistryError> {
    let address = address(repository)?;
    let answer = ecr
        .client(&address.region)
        .get_lifecycle_policy()
        .registry_id(address.account)
        .repository_name(address.name)
        .send()
        .await;
    match answer {
        Ok(answer) => {
            let text = answer.lifecycle_policy_text().unwrap_or_default();
            Ok(Rules::parse(text)
                .inspect_err(|error| tracing::warn!(repository, %error, "a lifecycle policy is not understood"))
                .ok())
        }
        Err(error) if error.code() == Some("LifecyclePolicyNotFoundException") => {
            Ok(Some(Rules::default()))
        }
        Err(error) => match classify(&error, repository, READ_POLICY) {
            RegistryError::AccessDenied { .. } => Ok(None),
            error => Err(error),
        },
    }
}

/// What the registry itself would do to the image now.
async fn preview(ecr: &Ecr, repository: &str, digest: &Digest) -> Preview {
    run_preview(ecr, repository, digest)
        .await
        .unwrap_or(Preview::Untold)
}

async fn run_preview(ecr: &Ecr, repository: &str, digest: &Digest) -> Option<Preview> {
    let address = address(repository).ok()?;
    let client = ecr.client(&address.region);
    let started = client
        .start_lifecycle_policy_preview()
        .registry_id(&address.account)
        .repository_name(&address.name)
        .send()
        .await;
    match started {
        Ok(_) => {}
        // Somebody else asked.
        Err(error) if error.code() == Some("LifecyclePolicyPreviewInProgressException") => {}
        Err(error) => {
            tracing::debug!(repository, code = error.code(), "no lifecycle preview");
            return None;
        }
    }
    client
        .wait_until_lifecycle_policy_preview_complete()
        .registry_id(&address.account)
        .repository_name(&address.name)
        .wait(PREVIEW_TIMEOUT)
        .await
        .ok()?;
    let mut results = client
        .get_lifecycle_policy_preview()
        .registry_id(address.account)
        .repository_name(address.name)
        .into_paginator()
        .items()
        .send();
    while let Some(result) = results.next().await {
        let result = result.ok()?;
        if result.image_digest() == Some(digest.as_str()) {
            let action = result.action().and_then(|action| action.r#type());
            return Some(Preview::Due(Taking {
                rule: result.applied_rule_priority().unwrap_or_default().into(),
                archives: action == Some(&ImageActionType::Transition),
            }));
        }
    }
    Some(Preview::Spared)
}
