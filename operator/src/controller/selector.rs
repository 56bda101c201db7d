//! How a spec finds its image. Pure.

use super::validate::Invalid;
use crate::api::v1alpha1::{self, rules};
use crate::registry::policy::{Pattern, Policy, Range};
use crate::registry::{Address, Digest};

/// How the image is found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Selector {
    /// By tag, resolved by the registry.
    Tag(String),
    /// As it is.
    Digest(Digest),
    /// By a rule, from all that the registry has.
    Policy(Policy),
}

impl Selector {
    /// Whether the registry's answer is needed.
    pub fn asks_registry(&self) -> bool {
        !matches!(self, Self::Digest(_))
    }

    /// Whether an image that was found by this tag is one that is asked for.
    pub fn admits(&self, tag: &str) -> bool {
        match self {
            Self::Tag(wanted) => wanted == tag,
            Self::Digest(_) => false,
            Self::Policy(policy) => policy.admits(tag),
        }
    }
}

/// Parses it, by the rules of the schema.
pub(super) fn parse(image: &v1alpha1::Image) -> Result<Selector, Invalid> {
    let invalid = |field, fault: &str| Invalid {
        field,
        fault: fault.into(),
    };
    match (&image.tag, &image.digest, &image.policy) {
        (Some(tag), None, None) if tag == "latest" => Err(invalid("image.tag", rules::TAG_LATEST)),
        (Some(tag), None, None) => Ok(Selector::Tag(tag.clone())),
        (None, Some(digest), None) => Digest::parse(digest)
            .map(Selector::Digest)
            .ok_or_else(|| invalid("image.digest", rules::DIGEST_FORM)),
        (None, None, Some(_)) if Address::parse(&image.repository).is_none() => {
            Err(invalid("image.policy", rules::POLICY_ELSEWHERE))
        }
        (None, None, Some(raw)) => policy(raw).map(Selector::Policy),
        _ => Err(invalid("image", rules::ONE_IMAGE)),
    }
}

fn policy(raw: &v1alpha1::Policy) -> Result<Policy, Invalid> {
    let (field, parsed) = match (&raw.newest_pushed, &raw.semver) {
        (Some(rule), None) => (
            "image.policy.newestPushed.pattern",
            Pattern::parse(&rule.pattern)
                .map(Policy::NewestPushed)
                .map_err(|error| format!("is not a regular expression: {error}")),
        ),
        (None, Some(rule)) => (
            "image.policy.semver.range",
            Range::parse(&rule.range)
                .map(Policy::Semver)
                .ok_or_else(|| rules::RANGE_FORM.to_owned()),
        ),
        _ => ("image.policy", Err(rules::ONE_POLICY.to_owned())),
    };
    parsed.map_err(|fault| Invalid { field, fault })
}
