//! What goes on, in a line. Pure.

use std::time::Duration;

use k8s_openapi::jiff::Timestamp;

use super::reading::Reading;
use crate::api::conditions::{ConditionType, Truth};
use crate::api::v1alpha1::{PostService, RolloutStatus, RolloutStep};
use crate::cli::ages;

/// A line about a `PostService` on its way.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stage {
    /// What goes on: changes only when something has changed.
    pub line: String,
    /// A clock beside it, for those who watch.
    pub clock: Option<String>,
}

/// What goes on in `service` at `now`.
pub fn stage(service: &PostService, now: Timestamp) -> Stage {
    let reading = Reading::of(service);
    let Some(ready) = reading.condition(ConditionType::Ready) else {
        return Stage {
            line: format!(
                "waiting for the operator to see generation {} of the spec",
                reading.generation()
            ),
            clock: None,
        };
    };
    let rollout = reading
        .status
        .and_then(|status| status.rollout.as_ref())
        .filter(|rollout| rollout.step != RolloutStep::Idle);
    let what = reading
        .with(ConditionType::Reconciling, Truth::True)
        .unwrap_or(ready);
    let mut line = format!("{}: {}", what.reason, what.message);
    if let Some(pods) = pods(reading) {
        line.push_str("; ");
        line.push_str(&pods);
    }
    if rollout.is_some_and(|rollout| rollout.paused_at.is_some()) {
        line.push_str("; its clocks stand still, since the trouble is not the new pods'");
    }
    for trouble in troubles(reading) {
        if !line.contains(trouble) {
            line.push_str("; ");
            line.push_str(trouble);
        }
    }
    let clock = rollout
        .and_then(|rollout| bake_left(service, rollout, now))
        .map(|left| format!("{} of the bake left", ages::short(left)));
    Stage { line, clock }
}

/// How many pods serve.
pub fn pods(reading: Reading<'_>) -> Option<String> {
    let status = reading.status?;
    let ready = status.ready_replicas.unwrap_or_default();
    Some(format!("{ready} of {} pods serve", status.replicas?))
}

/// What is waited for that does not fail a rollout, as sentences.
fn troubles(reading: Reading<'_>) -> impl Iterator<Item = &str> {
    [
        (ConditionType::SecretsReady, Truth::False),
        (ConditionType::DatabaseReady, Truth::False),
        (ConditionType::ImageResolved, Truth::False),
        (ConditionType::ImageResolved, Truth::Unknown),
    ]
    .into_iter()
    .filter_map(move |(type_, truth)| reading.with(type_, truth))
    .map(|condition| condition.message.as_str())
}

/// How long the first new pod still runs alone.
pub fn bake_left(
    service: &PostService,
    rollout: &RolloutStatus,
    now: Timestamp,
) -> Option<Duration> {
    if rollout.step != RolloutStep::Baking {
        return None;
    }
    let whole: kube::core::Duration = service.spec.rollout.bake.duration.parse().ok()?;
    let until = rollout.paused_at.as_ref().map_or(now, |time| time.0);
    let began = rollout.last_progress_at.as_ref()?.0;
    Duration::from(whole).checked_sub(ages::between(began, until))
}

#[cfg(test)]
mod tests {
    use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;

    use super::*;
    use crate::cli::sample::{self, now, seen};

    fn rolling(step: RolloutStep, reason: &str) -> PostService {
        let mut service = seen(
            "2",
            &[
                ("Ready", "False", "Progressing"),
                ("Reconciling", "True", reason),
            ],
        );
        let status = service.status.as_mut().unwrap();
        (status.replicas, status.ready_replicas) = (Some(4), Some(3));
        status.rollout = Some(RolloutStatus {
            step,
            last_progress_at: Some(Time("2026-01-02T03:03:35Z".parse().unwrap())),
            ..RolloutStatus::default()
        });
        service
    }

    #[test]
    fn a_step_is_said_with_its_pods_and_the_clock_apart() {
        let baking = stage(&rolling(RolloutStep::Baking, "Baking"), now());
        assert_eq!(baking.line, "Baking: because of Baking; 3 of 4 pods serve");
        assert_eq!(baking.clock.as_deref(), Some("1m30s of the bake left"));
        let rolling = stage(&rolling(RolloutStep::RollingOut, "RollingOut"), now());
        assert_eq!(rolling.clock, None);
    }

    #[test]
    fn the_line_is_the_same_while_only_time_passes() {
        let service = rolling(RolloutStep::Baking, "Baking");
        let later = now() + Duration::from_secs(30);
        assert_eq!(stage(&service, now()).line, stage(&service, later).line);
        assert_ne!(stage(&service, now()).clock, stage(&service, later).clock);
    }

    #[test]
    fn what_is_not_the_new_pods_fault_is_said_once() {
        let mut service = rolling(RolloutStep::RollingOut, "RollingOut");
        let status = service.status.as_mut().unwrap();
        status.rollout.as_mut().unwrap().paused_at = Some(Time(now()));
        for trouble in [
            ("DatabaseReady", "False", "Unreachable"),
            ("ImageResolved", "Unknown", "RegistryUnavailable"),
            ("SecretsReady", "True", "Found"),
        ] {
            status.conditions.push(sample::condition(trouble));
        }
        let line = stage(&service, now()).line;
        assert!(line.contains("clocks stand still"), "{line}");
        assert!(line.contains("because of Unreachable"), "{line}");
        assert!(line.contains("because of RegistryUnavailable"), "{line}");
        assert!(!line.contains("Found"), "{line}");
        let degraded = seen(
            "2",
            &[
                ("Ready", "False", "Unreachable"),
                ("DatabaseReady", "False", "Unreachable"),
            ],
        );
        let line = stage(&degraded, now()).line;
        assert_eq!(line.matches("because of Unreachable").count(), 1, "{line}");
    }

    #[test]
    fn an_operator_that_has_not_looked_is_waited_for() {
        let line = stage(&sample::service("2"), now()).line;
        assert!(line.contains("generation 3"), "{line}");
    }
}
