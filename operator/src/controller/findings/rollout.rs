//! What is to be said of a rollout.

use kube::core::Duration;
use std::fmt::Write as _;

use crate::api::RETRY_ANNOTATION;
use crate::api::conditions::{ConditionType, Finding, Truth};
use crate::api::v1alpha1::QuarantineEntry;
use crate::build::Revision;
use crate::controller::report::Pass;
use crate::rollout::trial::{Pause, Trial};
use crate::rollout::{self, Step};

/// `Ready`, and `Reconciling` or `Stalled`.
pub(super) fn overall(pass: &Pass<'_>) -> Vec<Finding> {
    match (pass.plan.step, quarantined(pass)) {
        (Step::RollingBack, Some(entry)) => {
            let message = rolled_back(pass, entry);
            vec![
                not_ready("RolledBack", &message),
                found(ConditionType::Reconciling, "RollingBack", &message),
            ]
        }
        (Step::RollingBack, None) => progressing(
            "RollingBack",
            "pods of the last good revision take the places of the others",
        ),
        (Step::RolledBack, entry) => {
            let message = entry.map_or_else(
                || "what is wanted is older than an image that failed".to_owned(),
                |entry| rolled_back(pass, entry),
            );
            stuck("RolledBack", "RolledBack", &message)
        }
        (Step::Baking, _) => on_trial(pass, "Baking", &baking(pass)),
        _ => on_trial(pass, "RollingOut", &rolling_out(pass)),
    }
}

/// The trial's own words come first.
fn on_trial(pass: &Pass<'_>, reason: &'static str, otherwise: &str) -> Vec<Finding> {
    let judged = pass.seen.judged.as_ref().filter(|judged| {
        let current = pass.memory.current.as_ref();
        !pass.memory.is_proven() && current.is_some_and(|current| current.id == judged.id)
    });
    match judged.map(|judged| &judged.trial) {
        Some(Trial::Paused(Pause::LoadBalancer)) => {
            progressing("WaitingForLoadBalancer", Pause::LoadBalancer.describe())
        }
        Some(Trial::Paused(pause)) => {
            let trouble = pass.inputs.pods.iter().find_map(|pod| pod.trouble.as_ref());
            let mut message = pause.describe().to_owned();
            if let Some(trouble) = trouble {
                // Writing to a String cannot fail.
                let _ = write!(message, " ({trouble})");
            }
            progressing(reason, &message)
        }
        // Nothing to go back to, or `rollback: false`.
        Some(Trial::Failed(evidence)) => stuck("Degraded", "RolloutFailed", &evidence.to_string()),
        _ => match deadline(pass) {
            Some(message) => vec![not_ready("Degraded", &message)],
            None => progressing(reason, otherwise),
        },
    }
}

fn baking(pass: &Pass<'_>) -> String {
    let ready = pass
        .seen
        .judged
        .as_ref()
        .and_then(|judged| judged.progress_at);
    let (Some(ready), Some(at)) = (ready, pass.memory.progress_at) else {
        return trouble(pass).unwrap_or_else(|| "waiting for the first new pod to serve".into());
    };
    let until = ready.max(at).checked_add(pass.spec.bake).unwrap_or(at);
    format!(
        "the first new pod serves beside all old ones until {until:.0}, for {}",
        Duration::from(pass.spec.bake)
    )
}

fn rolling_out(pass: &Pass<'_>) -> String {
    trouble(pass).unwrap_or_else(|| "waiting for pods of the wanted image to serve".to_owned())
}

fn trouble(pass: &Pass<'_>) -> Option<String> {
    let mut pods = pass.inputs.pods.iter().filter(|pod| !pod.ending);
    pods.find_map(|pod| pod.trouble.as_ref())
        .map(ToString::to_string)
}

/// Pods that were lost do not come back.
fn deadline(pass: &Pass<'_>) -> Option<String> {
    let live = pass.inputs.deployment.as_deref()?;
    let message = rollout::deadline_message(live)?;
    Some(match trouble(pass) {
        Some(trouble) => format!("{message} {trouble}"),
        None => message,
    })
}

/// Why what the spec asks for does not run.
fn quarantined<'a>(pass: &Pass<'a>) -> Option<&'a QuarantineEntry> {
    let wanted = pass.sight.aim.wanted.as_ref()?.candidate();
    pass.memory.quarantine.entry(&wanted, &pass.sight.ask)
}

fn rolled_back(pass: &Pass<'_>, entry: &QuarantineEntry) -> String {
    let named = |revision: &Revision| {
        let image = &revision.content.image;
        image.tag.clone().unwrap_or_else(|| image.digest.clone())
    };
    let wanted = pass.sight.aim.wanted.as_deref().map(named);
    let good = pass.memory.good.as_ref();
    let good = good.and_then(|good| pass.sight.find(&good.id));
    format!(
        "{} failed and {} serves on: {}. Push another image, change the spec, or set annotation {RETRY_ANNOTATION} to a new value",
        wanted.unwrap_or_default(),
        good.map_or_else(String::new, |good| named(good)),
        entry.reason,
    )
}

fn found(type_: ConditionType, reason: &'static str, message: &str) -> Finding {
    Finding::new(type_, Truth::True, reason, message)
}

fn not_ready(reason: &'static str, message: &str) -> Finding {
    Finding::new(ConditionType::Ready, Truth::False, reason, message)
}

fn progressing(reason: &'static str, message: &str) -> Vec<Finding> {
    vec![
        not_ready("Progressing", message),
        found(ConditionType::Reconciling, reason, message),
    ]
}

fn stuck(ready: &'static str, stalled: &'static str, message: &str) -> Vec<Finding> {
    vec![
        not_ready(ready, message),
        found(ConditionType::Stalled, stalled, message),
    ]
}
