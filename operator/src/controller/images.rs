//! What the registries say of each `PostService`'s image, asked beside the passes.

use std::sync::Arc;
use std::time::Duration;

use kube_runtime::reflector::ObjectRef;

use super::observer::{Observer, Wake};
use super::retention::{self, Needed};
use super::validate::{Selector, Validated};
use crate::api::v1alpha1::{PostService, PostServiceStatus};
use crate::build::Pace;
use crate::registry::lifecycle::{Keeping, Outlook};
use crate::registry::policy::{Memory, Policy};
use crate::registry::{Address, Digest, Listing, Registry, RegistryError, RegistryImage};

type Answer<T> = Result<T, RegistryError>;

/// The latest answers of the registries, shared by all who ask the same: it is asked as often as the
/// shortest `scanInterval` among them says.
pub struct Images {
    registry: Arc<dyn Registry>,
    tags: Arc<Observer<TagQuestion, Answer<RegistryImage>>>,
    listings: Arc<Observer<String, Answer<Arc<Listing>>>>,
    keepings: Arc<Observer<KeepingQuestion, Answer<Keeping>>>,
}

#[derive(Clone, PartialEq, Eq, Hash)]
struct TagQuestion {
    repository: String,
    tag: String,
    /// A new retry token asks for a fresh look.
    retry: Option<String>,
}

#[derive(Clone, PartialEq, Eq, Hash)]
struct KeepingQuestion {
    repository: String,
    digest: Digest,
    /// Where that changes, it is asked anew.
    listed: Listed,
}

/// An image in the latest listing.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
enum Listed {
    NoListing,
    Absent,
    Archived,
    Present,
}

impl Images {
    /// Asks `registry`, and calls passes by `wake`.
    pub fn new(registry: Arc<dyn Registry>, wake: Wake) -> Self {
        Self {
            registry,
            tags: Observer::new(wake.clone()),
            listings: Observer::new(wake.clone()),
            keepings: Observer::new(wake),
        }
    }

    /// The image that the spec names; `None`: not known yet, or without the registry.
    pub fn ask(
        &self,
        spec: &Validated,
        status: &PostServiceStatus,
        who: &ObjectRef<PostService>,
        pace: Pace,
    ) -> Option<Answer<RegistryImage>> {
        match &spec.selector {
            Selector::Digest(_) => None,
            Selector::Tag(tag) => self.resolve(spec, tag, who, pace),
            Selector::Policy(policy) => {
                let listing = self.list(spec, who, pace)?;
                Some(listing.and_then(|listing| select(spec, policy, &listing, status)))
            }
        }
    }

    /// What becomes of the images that the service needs.
    pub fn retention(
        &self,
        spec: &Validated,
        running: Option<&Digest>,
        status: &PostServiceStatus,
        pace: Pace,
    ) -> Vec<(Needed, retention::Answer)> {
        if spec.spec.stopped {
            return Vec::new();
        }
        let who = ObjectRef::new(&spec.id.name).within(&spec.id.namespace);
        let needed = retention::needed(&spec.spec.image.repository, running, &status.image);
        let max_age = |answer: &Answer<Keeping>| match answer {
            Ok(Keeping::Kept(Outlook::Safe)) => pace.retention,
            // Somebody may be mending it.
            _ => pace.retention / 36,
        };
        let ask = |image: Needed| {
            let question = KeepingQuestion {
                repository: image.repository.clone(),
                digest: image.digest.clone(),
                listed: self.listed(&image),
            };
            let answer = self.keepings.ask(&question, &who, max_age, || {
                self.registry
                    .clone()
                    .keeping(question.repository.clone(), question.digest.clone())
            });
            (image, answer)
        };
        needed.into_iter().map(ask).collect()
    }

    fn listed(&self, image: &Needed) -> Listed {
        match self.listings.latest(&image.repository) {
            None | Some(Err(_)) => Listed::NoListing,
            Some(Ok(listing)) => match listing.find(image.digest.as_str()) {
                None => Listed::Absent,
                Some(found) if found.archived => Listed::Archived,
                Some(_) => Listed::Present,
            },
        }
    }

    /// Something happened in the repository: whatever is known of it is asked again at once.
    pub fn outdate(&self, repository: &Address) {
        let is_it = |other: &str| Address::parse(other).as_ref() == Some(repository);
        self.tags.outdate(|question| is_it(&question.repository));
        self.listings.outdate(|listed| is_it(listed));
        self.keepings
            .outdate(|question| is_it(&question.repository));
    }

    fn resolve(
        &self,
        spec: &Validated,
        tag: &str,
        who: &ObjectRef<PostService>,
        pace: Pace,
    ) -> Option<Answer<RegistryImage>> {
        let question = TagQuestion {
            repository: spec.spec.image.repository.clone(),
            tag: tag.to_owned(),
            retry: spec.retry.clone(),
        };
        self.tags.ask(&question, who, max_age(spec, pace), || {
            self.registry
                .clone()
                .resolve(question.repository.clone(), question.tag.clone())
        })
    }

    fn list(
        &self,
        spec: &Validated,
        who: &ObjectRef<PostService>,
        pace: Pace,
    ) -> Option<Answer<Arc<Listing>>> {
        let repository = &spec.spec.image.repository;
        self.listings.ask(repository, who, max_age(spec, pace), || {
            let listing = self.registry.clone().list(repository.clone());
            async { listing.await.map(Arc::new) }
        })
    }
}

/// When a pass finds that the registry must be asked again, if it is called only for that.
pub fn look_again(spec: &Validated) -> Option<Duration> {
    let asks = spec.selector.asks_registry() && !spec.spec.stopped;
    // The answer is a little younger than the pass that asked for it.
    asks.then_some(spec.scan_interval + Duration::from_secs(1))
}

/// No failure is kept for longer than it takes to try again.
fn max_age<T>(spec: &Validated, pace: Pace) -> impl Fn(&Answer<T>) -> Duration {
    move |answer| match answer {
        Ok(_) => spec.scan_interval,
        Err(_) => pace.poll_in_trouble,
    }
}

/// What the policy selects, after what it selected before under this very spec.
fn select(
    spec: &Validated,
    policy: &Policy,
    listing: &Listing,
    status: &PostServiceStatus,
) -> Answer<RegistryImage> {
    let repository = &spec.spec.image.repository;
    let is_same_spec = status.observed_generation == spec.id.generation;
    let memory = if is_same_spec {
        let desired = status.image.desired.as_ref();
        let watermark = status.quarantine_watermark.as_ref();
        Memory {
            desired: desired.filter(|known| known.repository.as_ref() == Some(repository)),
            watermark: watermark.map(|time| time.0),
        }
    } else {
        Memory::default()
    };
    policy.select(repository, listing, memory)
}
