//! Which image of a complete listing a policy selects. Pure.
//!
//! Under one spec a policy never goes back: what it selected stays while nothing newer (by push
//! time) or higher (by version) is there, also when it is gone from the registry.

use std::fmt;

use k8s_openapi::jiff::Timestamp;
use regex_lite::{Regex, RegexBuilder};
use semver::{Version, VersionReq};

use super::{Digest, ListedImage, Listing, RegistryError, RegistryImage, to_the_second};
use crate::api::v1alpha1::ImageRef;

/// Largest compiled pattern: one that could make a pass slow is refused.
const PATTERN_SIZE: usize = 64 * 1024;

/// How a tag is selected.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Policy {
    /// The image that was pushed last, of those with a tag of a pattern.
    NewestPushed(Pattern),
    /// The image of the highest version within a range.
    Semver(Range),
}

/// A regular expression that the whole tag must match.
#[derive(Clone, Debug)]
pub struct Pattern {
    text: String,
    regex: Regex,
}

impl PartialEq for Pattern {
    fn eq(&self, other: &Self) -> bool {
        self.text == other.text
    }
}

impl Eq for Pattern {}

impl Pattern {
    /// Parses a regular expression in the syntax of crate `regex-lite`; else says what is wrong.
    pub fn parse(text: &str) -> Result<Self, String> {
        let whole = RegexBuilder::new(&format!("^(?:{text})$"))
            .size_limit(PATTERN_SIZE)
            .build();
        // Alone, too: `a)(b` is none, though it becomes one within the group.
        match (
            RegexBuilder::new(text).size_limit(PATTERN_SIZE).build(),
            whole,
        ) {
            (Ok(_), Ok(regex)) => Ok(Self {
                text: text.to_owned(),
                regex,
            }),
            (Err(error), _) | (_, Err(error)) => Err(error.to_string()),
        }
    }
}

/// A range of semantic versions.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Range {
    text: String,
    requirement: VersionReq,
}

impl Range {
    /// Parses comparators separated by commas or spaces, each as Cargo reads it (The Cargo Book,
    /// "Specifying Dependencies"): a pre-release matches only where one of its version is named.
    pub fn parse(text: &str) -> Option<Self> {
        let mut comparators = Vec::<String>::new();
        for word in text.split([' ', ',']).filter(|word| !word.is_empty()) {
            match comparators.last_mut() {
                // An operator may stand alone before its version.
                Some(last) if last.ends_with(['<', '>', '=', '~', '^']) => last.push_str(word),
                _ => comparators.push(word.to_owned()),
            }
        }
        let requirement = VersionReq::parse(&comparators.join(",")).ok()?;
        (!comparators.is_empty()).then(|| Self {
            text: text.to_owned(),
            requirement,
        })
    }
}

impl fmt::Display for Policy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NewestPushed(pattern) => write!(f, "pattern {}", pattern.text),
            Self::Semver(range) => write!(f, "a version in {}", range.text),
        }
    }
}

/// What earlier passes left under the same spec, which is not gone behind.
#[derive(Clone, Copy, Debug, Default)]
pub struct Memory<'a> {
    /// The image selected last.
    pub desired: Option<&'a ImageRef>,
    /// Nothing that was pushed until then is selected anew.
    pub watermark: Option<Timestamp>,
}

/// A tag that the policy admits, of an image that can be pulled.
#[derive(Clone, Copy)]
struct Candidate<'a> {
    image: &'a ListedImage,
    tag: &'a str,
}

impl Policy {
    /// Whether an image with this tag may be selected.
    pub fn admits(&self, tag: &str) -> bool {
        match self {
            Self::NewestPushed(pattern) => pattern.regex.is_match(tag),
            Self::Semver(range) => {
                version(tag).is_some_and(|version| range.requirement.matches(&version))
            }
        }
    }

    /// The image of `listing`, that of `repository`, to run.
    pub fn select(
        &self,
        repository: &str,
        listing: &Listing,
        memory: Memory<'_>,
    ) -> Result<RegistryImage, RegistryError> {
        let known = memory.desired.filter(|known| {
            let tag = known.tag.as_deref();
            tag.is_some_and(|tag| self.admits(tag))
        });
        let best = self
            .best(listing, known, memory.watermark)
            .filter(|best| known.is_none_or(|known| !self.is_behind(*best, known, listing)))
            .map(Candidate::found);
        best.or_else(|| known.and_then(kept))
            .ok_or_else(|| RegistryError::NoMatchingTag {
                repository: repository.to_owned(),
                rule: self.to_string(),
                tags: pullable(listing).map(|image| image.tags.len()).sum(),
            })
    }

    /// The newest or highest of the candidates; of equals the one that is known already.
    fn best<'a>(
        &self,
        listing: &'a Listing,
        known: Option<&ImageRef>,
        watermark: Option<Timestamp>,
    ) -> Option<Candidate<'a>> {
        let is_known =
            |image: &ListedImage| known.is_some_and(|known| known.digest == image.digest.as_str());
        let mut candidates = pullable(listing)
            .filter(|image| is_known(image) || image.pushed_at.map(to_the_second) > watermark)
            .flat_map(|image| image.tags.iter().map(move |tag| Candidate { image, tag }))
            .filter(|candidate| self.admits(candidate.tag))
            .peekable();
        let by_tag = |candidate: &Candidate<'a>| {
            let is_known = known.and_then(|known| known.tag.as_deref()) == Some(candidate.tag);
            (is_known, candidate.image.pushed_at, candidate.tag)
        };
        match self {
            Self::NewestPushed(_) => {
                // A listing begins with what was pushed last, so that few tags are looked at.
                let newest = candidates.peek()?.image.pushed_at;
                candidates
                    .take_while(|candidate| candidate.image.pushed_at == newest)
                    .max_by_key(|candidate| (is_known(candidate.image), by_tag(candidate)))
            }
            Self::Semver(_) => {
                candidates.max_by_key(|candidate| (version(candidate.tag), by_tag(candidate)))
            }
        }
    }

    /// Whether running `candidate` after `known` would be a way back.
    fn is_behind(&self, candidate: Candidate<'_>, known: &ImageRef, listing: &Listing) -> bool {
        match self {
            Self::Semver(_) => version(candidate.tag) < known.tag.as_deref().and_then(version),
            Self::NewestPushed(_) => {
                let candidate = candidate.image.pushed_at;
                if let Some(listed) = listing.find(&known.digest) {
                    return candidate < listed.pushed_at;
                }
                // The status tells seconds: of those pushed in the same one nothing is known.
                let known = known.pushed_at.as_ref().map(|time| to_the_second(time.0));
                candidate.map(to_the_second) <= known
            }
        }
    }
}

fn pullable(listing: &Listing) -> impl Iterator<Item = &ListedImage> {
    listing.images().iter().filter(|image| !image.archived)
}

/// The version that a tag says, with or without a leading `v`.
fn version(tag: &str) -> Option<Version> {
    Version::parse(tag.strip_prefix('v').unwrap_or(tag)).ok()
}

impl Candidate<'_> {
    fn found(self) -> RegistryImage {
        RegistryImage {
            digest: self.image.digest.clone(),
            tag: Some(self.tag.to_owned()),
            pushed_at: self.image.pushed_at.map(to_the_second),
        }
    }
}

/// What was selected before, as the status has it.
fn kept(known: &ImageRef) -> Option<RegistryImage> {
    Some(RegistryImage {
        digest: Digest::parse(&known.digest)?,
        tag: known.tag.clone(),
        pushed_at: known.pushed_at.as_ref().map(|time| time.0),
    })
}

#[cfg(test)]
mod tests;
