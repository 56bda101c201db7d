//! Taking over the objects of older, hand-written manifests, as a pure state machine:
//! (terms, memory, seen, now) → plan.
//!
//! Its memory is in the cluster: the objects themselves, and step and time in `.status.adoption`.
//! The operator may be killed between any two writes; each action may be done twice.
//!
//! | Step         | Holds while                                        | Does                                  | Leaves to                  |
//! |--------------|----------------------------------------------------|---------------------------------------|----------------------------|
//! | Blocked      | `spec.adopt` names what cannot be taken over       | nothing                               | Preparing                  |
//! | Preparing    | too few new pods serve beside the old ones         | nothing: migration and rollout run    | Switching                  |
//! | Switching    | the old Service leads to the old pods              | the Service leads to the new pods     | Draining                   |
//! | Draining     | `drainDelay` has not passed since                  | nothing: open connections come to rest | Retiring, Preparing       |
//! | Retiring     | old pods exist                                     | the old Deployment is scaled to zero, once | Finishing, Preparing  |
//! | Finishing    | the Job `migrate --finish` has not succeeded       | makes it                              | Baking, `FinishFailed`     |
//! | `FinishFailed` | it failed; the new pods serve on                 | nothing                               | Finishing (spec or retry token) |
//! | Baking       | `rollout.bake.duration` has not passed since       | nothing: the old objects are a way back | Removing, Retiring       |
//! | Removing     | the old Deployment or autoscaler exists            | deletes them                          | Complete                   |
//! | Complete     | `spec.adopt` is as it was                          | nothing                               | Switching (the old Service was made anew) |
//!
//! Two ways lead back. While old pods exist and not one new pod serves, the Service is moved back to
//! them (Draining, Retiring → Preparing). And if old pods come to life after they were retired, the
//! counters that `--finish` made exact may drift, so that it runs again once they are gone (Finishing,
//! Baking, Removing → Retiring). Whoever brings them to life (a person, a `GitOps` controller) is told so
//! in a condition and not fought: an old Deployment is scaled to zero once.
//!
//! The old autoscaler needs no write to lose its power: an autoscaler leaves a Deployment with zero
//! replicas alone (Kubernetes documentation, "Implicit maintenance-mode deactivation").

mod decide;

use std::time::Duration;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use k8s_openapi::jiff::Timestamp;

use crate::api::v1alpha1::{Adopt, AdoptionStatus, AdoptionStep as Step};
use crate::controller::validate::Validated;
use crate::rollout::Migration;

/// What the spec asks for.
#[derive(Clone, Debug)]
pub struct Terms {
    /// The names of the old objects. A Deployment comes with its Service, an autoscaler with its
    /// Deployment: `controller::validate` refuses others.
    pub adopt: Adopt,
    /// How long open connections to the old pods are given.
    pub drain_delay: Duration,
    /// How long the old objects are kept at zero.
    pub bake: Duration,
    /// Fewest and most pods, while an autoscaler owns their number.
    pub bounds: Option<(i32, i32)>,
}

impl Terms {
    /// The terms of a spec.
    pub fn of(spec: &Validated) -> Self {
        let scaling = &spec.spec.autoscaling;
        Self {
            adopt: spec.spec.adopt.clone(),
            drain_delay: spec.drain_delay,
            bake: spec.bake,
            bounds: scaling
                .enabled
                .then_some((scaling.min_replicas, scaling.max_replicas)),
        }
    }
}

/// What a pass sees of old and new objects.
#[derive(Clone, Debug)]
pub struct Seen {
    /// The Service named in `spec.adopt`.
    pub service: OldService,
    /// The Deployment named in `spec.adopt`, if it is there.
    pub deployment: Option<OldDeployment>,
    /// The autoscaler named in `spec.adopt`, if it is there.
    pub autoscaler: Option<OldAutoscaler>,
    /// Names of old pods that exist, also of those on their way out; known once the Service has moved.
    pub pods: Vec<String>,
    /// The new pods.
    pub ours: Ours,
    /// The Job `migrate --finish`.
    pub finish: Migration,
    /// Last words of that Job's pod, where it failed.
    pub finish_failure: Option<String>,
}

/// Where the old Service leads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OldService {
    /// It is not there.
    Absent,
    /// It is the `PostService`'s own, and no older one.
    Ours,
    /// It belongs to another object, which would write it too.
    OfOthers,
    /// It is a load balancer of this scheme, and the spec asks for the other.
    AnotherScheme(&'static str),
    /// To the old pods.
    Old,
    /// To the new pods; it belongs to the `PostService`.
    Moved,
}

/// The old Deployment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OldDeployment {
    /// Pods it shall have.
    pub replicas: i32,
    /// Pods that serve.
    pub ready: i32,
    /// The operator scaled it to zero before.
    pub retired: bool,
    /// It is the `PostService`'s own.
    pub is_ours: bool,
}

/// The old autoscaler.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OldAutoscaler {
    /// Kind and name of what it scales, e.g. `Deployment post-service`.
    pub target: String,
    /// It is the `PostService`'s own.
    pub is_ours: bool,
}

/// The new pods.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Ours {
    /// Every pod is of the wanted image and template.
    pub up_to_date: bool,
    /// Pods that serve.
    pub available: i32,
    /// Pods there shall be; 0 without Deployment.
    pub wanted: i32,
    /// `minReplicas` of the live autoscaler.
    pub floor: Option<i32>,
}

/// What this pass shall bring about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// Nothing.
    Wait,
    /// Let the old Service lead to the new pods.
    Switch,
    /// Let it lead to the old pods again.
    SwitchBack,
    /// Scale the old Deployment to zero, and note in it that this was done.
    Retire,
    /// Make the Job `migrate --finish`.
    Finish,
    /// Remove that Job, so that it can be made anew.
    RemoveFinish,
    /// Delete the old Deployment and autoscaler.
    Delete,
}

/// Where the adoption stands, and what comes next.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Plan {
    /// For `.status.adoption`.
    pub status: AdoptionStatus,
    /// What to do now.
    pub action: Action,
    /// Somebody must help: the message says how.
    pub needs_help: bool,
    /// Fewest pods that the autoscaler shall keep while the old load moves.
    pub floor: Option<i32>,
    /// When to look again at the latest.
    pub look_again: Option<Duration>,
}

impl Plan {
    /// Nothing may be changed before somebody helped.
    pub fn is_blocked(&self) -> bool {
        self.status.step == Step::Blocked
    }
}

/// Whether nothing is named.
pub fn is_empty(adopt: &Adopt) -> bool {
    *adopt == Adopt::default()
}

/// What to do next; `None` when `spec.adopt` names nothing. Total and without memory: the same
/// arguments give the same plan.
pub fn next(
    terms: &Terms,
    memory: Option<&AdoptionStatus>,
    seen: &Seen,
    now: Timestamp,
) -> Option<Plan> {
    if is_empty(&terms.adopt) {
        return None;
    }
    let memory = memory.filter(|memory| memory.objects == terms.adopt);
    let at = memory.map(|memory| memory.step);
    let since = memory.and_then(|memory| memory.since.as_ref());
    let elapsed = since.map_or(Duration::ZERO, |since| elapsed(since, now));
    let decision = decide::step(terms, at, elapsed, seen);
    let since = match since {
        Some(since) if at == Some(decision.step) => since.clone(),
        // Times are stored in whole seconds: rounded up, no period is cut short.
        _ => Time(Timestamp::from_second(now.as_second() + 1).unwrap_or(now)),
    };
    let rest = match decision.step {
        Step::Draining => Some(terms.drain_delay),
        Step::Baking => Some(terms.bake),
        _ => None,
    };
    let rest = rest.map(|period| (period + Duration::from_secs(1)).saturating_sub(elapsed));
    Some(Plan {
        floor: floor(terms, decision.step, seen),
        look_again: look_again(decision.step, rest),
        action: decision.action,
        needs_help: decision.needs_help,
        status: AdoptionStatus {
            step: decision.step,
            since: Some(since),
            message: decision.message,
            objects: terms.adopt.clone(),
        },
    })
}

fn elapsed(since: &Time, now: Timestamp) -> Duration {
    Duration::try_from(now.duration_since(since.0)).unwrap_or(Duration::ZERO)
}

/// Nothing calls a pass when an old object changes: they are not watched.
fn look_again(step: Step, rest: Option<Duration>) -> Option<Duration> {
    const SOON: Duration = Duration::from_secs(1);
    const LATEST: Duration = Duration::from_secs(5);
    match step {
        Step::Blocked | Step::FinishFailed | Step::Complete => None,
        _ => Some(rest.map_or(SOON, |rest| rest.clamp(SOON, LATEST))),
    }
}

/// As many new pods as the old load needs.
fn need(terms: &Terms, seen: &Seen) -> i32 {
    let old = seen.deployment.map_or(0, |old| old.ready);
    match terms.bounds {
        Some((min, max)) => old.max(min).min(max),
        None => old.min(seen.ours.wanted),
    }
    .max(1)
}

/// The autoscaler alone would keep pods without load at their minimum, and it knows no load before
/// the Service moves.
fn floor(terms: &Terms, step: Step, seen: &Seen) -> Option<i32> {
    let (min, max) = terms.bounds?;
    match step {
        Step::Complete => None,
        Step::Blocked | Step::Preparing | Step::Switching => Some(need(terms, seen)),
        _ => seen.ours.floor.map(|floor| floor.max(min).min(max)),
    }
}

#[cfg(test)]
mod tests;
