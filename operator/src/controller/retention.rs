//! Whether the registry keeps the images that run, or would run after a rollback. It is only told:
//! nothing else depends on it. Pure.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;

use crate::api::conditions::{ConditionType, Finding, Truth};
use crate::api::v1alpha1::{ImageRef, ImageStatus};
use crate::registry::lifecycle::{Keeping, Outlook, Taking};
use crate::registry::{Address, Digest, RegistryError};

/// An image that must not get lost.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Needed {
    /// What it is to the service.
    pub role: &'static str,
    /// Repository with its host, in Amazon ECR.
    pub repository: String,
    /// Its digest.
    pub digest: Digest,
    /// The tag by which it was found, if any.
    pub tag: Option<String>,
}

/// What the registry says of it; `None`: the answer is on its way.
pub type Answer = Option<Result<Keeping, RegistryError>>;

/// The image that runs, and the last good one if it is another. None that is elsewhere than in
/// Amazon ECR, of which alone anything is known.
pub fn needed(repository: &str, running: Option<&Digest>, known: &ImageStatus) -> Vec<Needed> {
    let find = |digest: &Digest| {
        [&known.desired, &known.current, &known.last_good]
            .into_iter()
            .flatten()
            .find(|image| image.digest == digest.as_str())
    };
    let running = running.map(|digest| needed_as("the image that runs", digest, find(digest)));
    let good = known.last_good.as_ref().and_then(|image| {
        let digest = Digest::parse(&image.digest)?;
        Some(needed_as("the last good image", &digest, Some(image)))
    });
    let good = good.filter(|good| running.as_ref().is_none_or(|one| one.digest != good.digest));
    let mut all: Vec<_> = running.into_iter().chain(good).collect();
    for image in &mut all {
        if image.repository.is_empty() {
            repository.clone_into(&mut image.repository);
        }
    }
    all.retain(|image| Address::parse(&image.repository).is_some());
    all
}

fn needed_as(role: &'static str, digest: &Digest, known: Option<&ImageRef>) -> Needed {
    let repository = known.and_then(|image| image.repository.clone());
    Needed {
        role,
        repository: repository.unwrap_or_default(),
        digest: digest.clone(),
        tag: known.and_then(|image| image.tag.clone()),
    }
}

/// The condition; until there are answers it stays as it was.
pub fn finding(images: &[(Needed, Answer)], previous: &[Condition]) -> Option<Finding> {
    if images.is_empty() {
        return None;
    }
    let verdicts: Option<Vec<_>> = images
        .iter()
        .map(|(image, answer)| Some(verdict(image, answer.as_ref()?)))
        .collect();
    let Some(verdicts) = verdicts else {
        return before(previous);
    };
    let worst = verdicts.iter().map(|(reason, _)| *reason).max()?;
    let message = if worst == Reason::Retained {
        "what runs, and what a rollback would run, can be pulled, and no lifecycle rule is about to take it"
            .to_owned()
    } else {
        let sentences = verdicts.into_iter().filter_map(|(_, sentence)| sentence);
        sentences.collect::<Vec<_>>().join(". ")
    };
    Some(of(worst, message))
}

/// From the best to the worst.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Reason {
    Retained,
    LifecycleUnknown,
    RegistryUnavailable,
    AccessDenied,
    Expiring,
    Archived,
    Gone,
}

impl Reason {
    const ALL: [Self; 7] = [
        Self::Retained,
        Self::LifecycleUnknown,
        Self::RegistryUnavailable,
        Self::AccessDenied,
        Self::Expiring,
        Self::Archived,
        Self::Gone,
    ];

    fn as_str(self) -> &'static str {
        match self {
            Self::Retained => "Retained",
            Self::LifecycleUnknown => "LifecycleUnknown",
            Self::RegistryUnavailable => "RegistryUnavailable",
            Self::AccessDenied => "AccessDenied",
            Self::Expiring => "Expiring",
            Self::Archived => "Archived",
            Self::Gone => "Gone",
        }
    }

    fn truth(self) -> Truth {
        match self {
            Self::Retained => Truth::True,
            Self::LifecycleUnknown | Self::RegistryUnavailable | Self::AccessDenied => {
                Truth::Unknown
            }
            Self::Expiring | Self::Archived | Self::Gone => Truth::False,
        }
    }
}

fn of(reason: Reason, message: String) -> Finding {
    let type_ = ConditionType::ImageRetained;
    Finding::new(type_, reason.truth(), reason.as_str(), message)
}

fn before(previous: &[Condition]) -> Option<Finding> {
    let type_ = ConditionType::ImageRetained.as_str();
    let known = previous.iter().find(|condition| condition.type_ == type_)?;
    let reason = Reason::ALL
        .into_iter()
        .find(|reason| reason.as_str() == known.reason)?;
    Some(of(reason, known.message.clone()))
}

fn verdict(image: &Needed, answer: &Result<Keeping, RegistryError>) -> (Reason, Option<String>) {
    let what = image.to_string();
    let repository = &image.repository;
    let (reason, sentence) = match answer {
        Ok(Keeping::Kept(Outlook::Safe)) => return (Reason::Retained, None),
        Ok(Keeping::Gone) => (
            Reason::Gone,
            format!(
                "{what} is gone from {repository}: pods serve on, but a new one cannot pull it. Push it again, or deploy another"
            ),
        ),
        Ok(Keeping::Archived) => (
            Reason::Archived,
            format!(
                "{what} is archived in {repository}: pods serve on, but a new one cannot pull it. Restore it from the archive, or push it again"
            ),
        ),
        Ok(Keeping::Kept(Outlook::Due(taking))) => {
            (Reason::Expiring, taken(image, *taking, "within 24 hours"))
        }
        Ok(Keeping::Kept(Outlook::Next(taking))) => (
            Reason::Expiring,
            taken(image, *taking, "soon, by its age or at the next push"),
        ),
        Ok(Keeping::Kept(Outlook::Unmeasured(rule))) => (
            Reason::LifecycleUnknown,
            format!(
                "{what} can be pulled; when lifecycle rule {rule} of {repository} takes it cannot be told here: allow ecr:StartLifecyclePolicyPreview and ecr:GetLifecyclePolicyPreview to the operator's role to know"
            ),
        ),
        Ok(Keeping::Kept(Outlook::Unreadable)) => (
            Reason::LifecycleUnknown,
            format!(
                "{what} can be pulled; whether a lifecycle rule of {repository} takes it is unknown: allow ecr:GetLifecyclePolicy to the operator's role to know"
            ),
        ),
        Err(error @ RegistryError::AccessDenied { .. }) => {
            (Reason::AccessDenied, error.to_string())
        }
        Err(RegistryError::RepositoryNotFound { .. }) => (
            Reason::Gone,
            format!("{what} is gone with its repository {repository}: create it and push again"),
        ),
        Err(error) => (Reason::RegistryUnavailable, error.to_string()),
    };
    (reason, Some(sentence))
}

fn taken(image: &Needed, taking: Taking, when: &str) -> String {
    let takes = if taking.archives {
        "archives"
    } else {
        "deletes"
    };
    let tag = image.tag.as_deref().unwrap_or("in-use");
    format!(
        "lifecycle rule {} of {} {takes} {image} {when}: tag it deployed-{tag} too, and let a rule of higher priority keep tagPrefixList deployed-; or deploy another",
        taking.rule, image.repository,
    )
}

impl std::fmt::Display for Needed {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match &self.tag {
            Some(tag) => write!(f, "{} ({tag}, {})", self.role, self.digest),
            None => write!(f, "{} ({})", self.role, self.digest),
        }
    }
}

#[cfg(test)]
mod tests;
