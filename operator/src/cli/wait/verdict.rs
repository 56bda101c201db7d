//! What a `PostService` says about a rollout. Pure.

use super::reading::Reading;
use crate::api::conditions::{ConditionType, Truth};
use crate::api::v1alpha1::{Image, PostService, PostServiceStatus};

/// What is waited for.
#[derive(Clone, Debug, Default)]
pub struct Question {
    /// The tag that shall serve; without one, whatever the spec asks for.
    pub tag: Option<String>,
    /// Whether the spec has asked for that tag; before, another one is only not the right one yet.
    pub asked: bool,
    /// Generation that the object had at least when the question was put.
    pub generation: i64,
    /// Identity of the object.
    pub uid: Option<String>,
    /// A verdict given before the question was put, which is no answer to it.
    pub answered_before: Option<PostServiceStatus>,
}

/// Why something is so: a condition's reason and message, or ones of our own.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cause {
    /// In CamelCase.
    pub reason: String,
    /// A sentence.
    pub message: String,
}

impl Cause {
    /// A cause of these words.
    pub fn new(reason: impl Into<String>, message: impl Into<String>) -> Self {
        Self {
            reason: reason.into(),
            message: message.into(),
        }
    }
}

impl From<&k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition> for Cause {
    fn from(condition: &k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition) -> Self {
        Self::new(&condition.reason, &condition.message)
    }
}

/// The answer to a [`Question`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Judgement {
    /// What is asked for serves.
    Ready(Cause),
    /// It will not, unless somebody does something.
    Failed(Cause),
    /// Somebody asked for something else meanwhile.
    Superseded(Cause),
    /// It has failed if this stays so for a while.
    Doubtful(Cause),
    /// The same verdict as before the question: the operator has not looked yet, or finds the same.
    AsBefore(Box<Judgement>),
    /// Not decided.
    Undecided,
}

impl Question {
    /// Remembers that the spec asks for the tag, if it does; gives what it asks for otherwise.
    pub fn notice(&mut self, image: &Image) -> Option<Cause> {
        let other = other(image, self);
        self.asked |= other.is_none();
        other
    }
}

/// Judges `service`.
pub fn judge(service: &PostService, question: &Question) -> Judgement {
    let judgement = judge_anew(service, question);
    let decided = matches!(judgement, Judgement::Ready(_) | Judgement::Failed(_));
    let before = question.answered_before.as_ref();
    if decided && before.is_some_and(|before| is_same_answer(before, service.status.as_ref())) {
        return Judgement::AsBefore(Box::new(judgement));
    }
    judgement
}

fn judge_anew(service: &PostService, question: &Question) -> Judgement {
    let reading = Reading::of(service);
    if let Some(gone) = gone(service, question) {
        return Judgement::Failed(gone);
    }
    if reading.generation() < question.generation {
        return Judgement::Undecided;
    }
    match other(&service.spec.image, question) {
        Some(other) if question.asked => return Judgement::Superseded(other),
        Some(_) => return Judgement::Undecided,
        None => {}
    }
    let Some(ready) = reading.condition(ConditionType::Ready) else {
        return Judgement::Undecided;
    };
    if let Some(stalled) = reading.with(ConditionType::Stalled, Truth::True) {
        return Judgement::Failed(stalled.into());
    }
    match (ready.status.as_str(), ready.reason.as_str()) {
        ("True", "Stopped") if question.tag.is_some() => Judgement::Failed(ready.into()),
        ("True", _) => match &question.tag {
            Some(tag) if reading.running_tag() != Some(tag) => Judgement::Undecided,
            _ => Judgement::Ready(ready.into()),
        },
        (_, "RolledBack" | "Suspended" | "Stopped" | "Held") => Judgement::Failed(ready.into()),
        _ => unresolved(reading).map_or(Judgement::Undecided, Judgement::Doubtful),
    }
}

/// The object is not the one that was asked about any more.
fn gone(service: &PostService, question: &Question) -> Option<Cause> {
    let is_other = question.uid.is_some() && service.metadata.uid != question.uid;
    if is_other {
        let message = "it was deleted and created anew";
        return Some(Cause::new("Deleted", message));
    }
    service.metadata.deletion_timestamp.as_ref()?;
    Some(Cause::new("Deleted", "it is being deleted"))
}

/// What the spec asks for instead of the tag.
fn other(image: &Image, question: &Question) -> Option<Cause> {
    let tag = question.tag.as_ref()?;
    let message = match &image.tag {
        Some(now) if now == tag => return None,
        Some(now) => format!("spec.image.tag is {now} and not {tag}"),
        None => format!("spec.image.tag is not {tag}: a digest or a policy is set"),
    };
    Some(Cause::new("Superseded", message))
}

/// The registry answered, and has no such image.
fn unresolved(reading: Reading<'_>) -> Option<Cause> {
    reading
        .with(ConditionType::ImageResolved, Truth::False)
        .map(Cause::from)
}

/// Whether `now` says the same of the same rollout, whatever else has changed.
fn is_same_answer(before: &PostServiceStatus, now: Option<&PostServiceStatus>) -> bool {
    let Some(now) = now else {
        return false;
    };
    let verdict = |status: &PostServiceStatus| {
        let telling = [ConditionType::Ready, ConditionType::Stalled].map(ConditionType::as_str);
        let mut conditions = status.conditions.clone();
        conditions.retain(|condition| telling.contains(&condition.type_.as_str()));
        conditions
    };
    before.rollout == now.rollout
        && before.quarantine == now.quarantine
        && before.migration == now.migration
        && before.history == now.history
        && verdict(before) == verdict(now)
}

#[cfg(test)]
mod tests;
