//! The table of the module above, row by row.

use std::time::Duration;

use super::{Action, OldService, Seen, Step, Terms, need};
use crate::api::RETRY_ANNOTATION;
use crate::rollout::{JobState, Migration};

/// A step, what to do in it, and a sentence for people.
pub(super) struct Decision {
    pub step: Step,
    pub action: Action,
    pub needs_help: bool,
    pub message: String,
}

fn decide(step: Step, action: Action, message: impl Into<String>) -> Decision {
    Decision {
        step,
        action,
        needs_help: false,
        message: message.into(),
    }
}

fn help(step: Step, message: impl Into<String>) -> Decision {
    Decision {
        needs_help: true,
        ..decide(step, Action::Wait, message)
    }
}

/// Where the adoption stands now, `elapsed` after it came to step `at`.
pub(super) fn step(terms: &Terms, at: Option<Step>, elapsed: Duration, seen: &Seen) -> Decision {
    if at == Some(Step::Complete) && seen.service != OldService::Old {
        return complete(terms, seen);
    }
    if let Some(fault) = fault(terms, at, seen) {
        return help(Step::Blocked, fault);
    }
    if seen.service != OldService::Moved {
        return prepare(terms, seen);
    }
    let serves = seen.ours.available > 0;
    match at {
        None | Some(Step::Blocked | Step::Preparing | Step::Switching) => decide(
            Step::Draining,
            Action::Wait,
            "the old Service leads to the new pods; open connections to the old ones come to rest",
        ),
        Some(Step::Draining | Step::Retiring) if !serves && old_runs(seen) => switch_back(terms),
        Some(Step::Draining) if elapsed < terms.drain_delay => decide(
            Step::Draining,
            Action::Wait,
            "the old Service leads to the new pods; open connections to the old ones come to rest",
        ),
        Some(Step::Draining | Step::Retiring) => retire(terms, seen),
        Some(Step::Finishing | Step::FinishFailed | Step::Baking | Step::Removing)
            if old_runs(seen) =>
        {
            Decision {
                action: Action::RemoveFinish,
                ..revived(terms)
            }
        }
        Some(Step::Finishing | Step::FinishFailed) => finish(terms, seen),
        Some(Step::Baking) if elapsed < terms.bake => bake(terms, seen),
        Some(Step::Baking | Step::Removing) => remove(terms, seen),
        Some(Step::Complete) => complete(terms, seen),
    }
}

/// What cannot be taken over. Names are checked before anything is changed: with a wrong name the
/// old writer would live on while `--finish` runs.
fn fault(terms: &Terms, at: Option<Step>, seen: &Seen) -> Option<String> {
    let service = name(terms.adopt.service.as_deref());
    match seen.service {
        OldService::Absent => {
            return Some(format!(
                "Service {service}, which spec.adopt.service names, does not exist: correct the name, \
                 or remove spec.adopt if there is nothing to take over"
            ));
        }
        OldService::Ours => {
            return Some(format!(
                "Service {service}, which spec.adopt.service names, is this PostService's own: name \
                 the old one, or remove spec.adopt"
            ));
        }
        OldService::OfOthers => {
            return Some(format!(
                "Service {service}, which spec.adopt.service names, belongs to another object, which \
                 would write it too: end that first"
            ));
        }
        OldService::AnotherScheme(scheme) => {
            return Some(format!(
                "Service {service}, which spec.adopt.service names, is an {scheme} load balancer; \
                 another scheme would replace it, and its address: set \
                 spec.service.loadBalancer.scheme: {scheme}"
            ));
        }
        OldService::Old | OldService::Moved => {}
    }
    let begun = seen.service == OldService::Moved || at.is_some_and(|step| step != Step::Blocked);
    if let Some(deployment) = &terms.adopt.deployment {
        match seen.deployment {
            None if !begun => {
                return Some(format!(
                    "Deployment {deployment}, which spec.adopt.deployment names, does not exist: \
                     correct the name, or remove spec.adopt if there is nothing to take over"
                ));
            }
            Some(found) if found.is_ours => {
                return Some(format!(
                    "Deployment {deployment}, which spec.adopt.deployment names, is this \
                     PostService's own: name the old one, or remove spec.adopt"
                ));
            }
            _ => {}
        }
    }
    let scaler = seen.autoscaler.as_ref()?;
    let scaler_name = name(terms.adopt.horizontal_pod_autoscaler.as_deref());
    let wanted = format!("Deployment {}", name(terms.adopt.deployment.as_deref()));
    (scaler.is_ours || scaler.target != wanted).then(|| {
        format!(
            "HorizontalPodAutoscaler {scaler_name}, which spec.adopt.horizontalPodAutoscaler names, \
             scales {}, not {wanted}: correct the name",
            scaler.target
        )
    })
}

fn prepare(terms: &Terms, seen: &Seen) -> Decision {
    let service = name(terms.adopt.service.as_deref());
    let need = need(terms, seen);
    if !seen.ours.up_to_date {
        return decide(
            Step::Preparing,
            Action::Wait,
            format!("the old pods serve; Service {service} moves when the new ones do"),
        );
    }
    if seen.ours.available < need {
        let message = format!(
            "the old pods serve; Service {service} moves when {need} new ones do, as many as the \
             old load needs"
        );
        return decide(Step::Preparing, Action::Wait, message);
    }
    let message = format!("Service {service} moves to the new pods");
    decide(Step::Switching, Action::Switch, message)
}

fn switch_back(terms: &Terms) -> Decision {
    let service = name(terms.adopt.service.as_deref());
    let message = format!(
        "no new pod serves any more: Service {service} leads to the old pods again and moves when \
         the new ones serve"
    );
    decide(Step::Preparing, Action::SwitchBack, message)
}

fn retire(terms: &Terms, seen: &Seen) -> Decision {
    let Some(name) = &terms.adopt.deployment else {
        return decide(
            Step::Complete,
            Action::Wait,
            "the Service is taken over. No old Deployment is named: once no process of the old \
             service is left, run `post-service migrate --finish`",
        );
    };
    match seen.deployment {
        Some(old) if old.replicas > 0 && old.retired => revived(terms),
        Some(old) if old.replicas > 0 => {
            let message = format!("Deployment {name} is scaled to zero");
            decide(Step::Retiring, Action::Retire, message)
        }
        _ if !seen.pods.is_empty() => {
            let some = seen.pods.iter().take(3).map(String::as_str);
            let message = format!(
                "waiting for pods of the old service to end: {}",
                some.collect::<Vec<_>>().join(", ")
            );
            decide(Step::Retiring, Action::Wait, message)
        }
        _ => finish(terms, seen),
    }
}

fn finish(terms: &Terms, seen: &Seen) -> Decision {
    let running = "no pod of the old service is left: the Job `post-service migrate --finish` runs";
    match seen.finish {
        Migration::Disabled | Migration::Job(JobState::Complete) => bake(terms, seen),
        Migration::Pending if !seen.ours.up_to_date => decide(
            Step::Finishing,
            Action::Wait,
            "no pod of the old service is left; `post-service migrate --finish` waits for the \
             rollout",
        ),
        Migration::Pending => decide(Step::Finishing, Action::Finish, running),
        Migration::Job(JobState::Running) => decide(Step::Finishing, Action::Wait, running),
        Migration::Retry => decide(Step::Finishing, Action::RemoveFinish, running),
        Migration::Job(JobState::Failed) => help(
            Step::FinishFailed,
            format!(
                "the Job `post-service migrate --finish` failed: {}. The service serves on with \
                 totals that are counted. Mend the cause, then set annotation {RETRY_ANNOTATION} to \
                 a new value",
                seen.finish_failure
                    .as_deref()
                    .unwrap_or("its pod left no message")
            ),
        ),
    }
}

fn bake(terms: &Terms, seen: &Seen) -> Decision {
    let name = name(terms.adopt.deployment.as_deref());
    let by_hand = if seen.finish == Migration::Disabled {
        "; database.migrations.enabled is false: run `post-service migrate --finish` yourself"
    } else {
        ""
    };
    let message =
        format!("the old Deployment {name} is kept at zero for rollout.bake.duration{by_hand}");
    decide(Step::Baking, Action::Wait, message)
}

fn remove(terms: &Terms, seen: &Seen) -> Decision {
    if seen.deployment.is_none() && seen.autoscaler.is_none() {
        return complete(terms, seen);
    }
    decide(
        Step::Removing,
        Action::Delete,
        "the old Deployment and autoscaler are deleted",
    )
}

fn complete(terms: &Terms, seen: &Seen) -> Decision {
    let back = seen.deployment.is_some_and(|old| !old.is_ours);
    if !back {
        let by_hand = if seen.finish == Migration::Disabled {
            "; run `post-service migrate --finish` unless you did"
        } else {
            ""
        };
        let message = format!("the old objects are taken over: spec.adopt can go{by_hand}");
        return decide(Step::Complete, Action::Wait, message);
    }
    let name = name(terms.adopt.deployment.as_deref());
    let message = format!(
        "Deployment {name} of the old service is there again: remove it from where it comes from \
         (GitOps?) and delete it; if its pods wrote, run `post-service migrate --finish` once more"
    );
    help(Step::Complete, message)
}

/// Somebody scaled the old Deployment up again after the operator had scaled it to zero.
fn revived(terms: &Terms) -> Decision {
    let name = name(terms.adopt.deployment.as_deref());
    help(
        Step::Retiring,
        format!(
            "Deployment {name} of the old service runs again after it was scaled to zero, though \
             Service {} leads to the new pods: scale it to zero where it is managed (GitOps?), then \
             the adoption goes on",
            terms.adopt.service.as_deref().unwrap_or_default()
        ),
    )
}

pub(super) fn old_runs(seen: &Seen) -> bool {
    !seen.pods.is_empty() || seen.deployment.is_some_and(|old| old.replicas > 0)
}

fn name(name: Option<&str>) -> &str {
    name.unwrap_or_default()
}
