//! What `status` shows, as `-o json` prints it. Pure.

use k8s_openapi::api::core::v1::Event;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};
use k8s_openapi::jiff::Timestamp;
use serde::Serialize;

use crate::api::conditions::ConditionType;
use crate::api::v1alpha1::{
    DatabaseStatus, Endpoint, Image, ImageStatus, MigrationStatus, PostService, PostServiceStatus,
    QuarantineEntry, RolloutStatus, RolloutStep,
};
use crate::cli::advice::advice;
use crate::cli::wait::{Reading, bake_left, pods};

/// Reason where there is no status.
pub const UNKNOWN: &str = "Unknown";
/// Events that are shown.
const EVENTS: usize = 5;

/// A `PostService` on one screen. Fields are added, never renamed.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct View {
    /// Name of the object.
    pub name: String,
    /// Its namespace.
    pub namespace: String,
    /// Generation of the spec.
    pub generation: i64,
    /// Whether the operator has seen that generation.
    pub is_observed: bool,
    /// Whether everything asked for is in place.
    pub ready: bool,
    /// Reason of the condition Ready.
    pub reason: String,
    /// Its message.
    pub message: String,
    /// Which image the spec asks for, in words.
    pub asked: String,
    /// Images wanted, running and last known to be good.
    pub image: ImageStatus,
    /// The rollout under way.
    pub rollout: Option<RolloutView>,
    /// How many pods serve, in words.
    pub pods: Option<String>,
    /// The last migration.
    pub migration: Option<MigrationStatus>,
    /// The database.
    pub database: Option<DatabaseStatus>,
    /// Where the API is reached.
    pub endpoints: Vec<Endpoint>,
    /// Conditions that are not as they should be.
    pub not_fine: Vec<Condition>,
    /// The rollout that failed last.
    pub last_failure: Option<QuarantineEntry>,
    /// The last Events, newest first; null where they may not be listed.
    pub events: Option<Vec<EventView>>,
    /// What to do, if anything.
    pub what_to_do: Vec<String>,
}

/// A rollout under way.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct RolloutView {
    /// As in the status.
    #[serde(flatten)]
    pub status: RolloutStatus,
    /// What happens.
    pub message: String,
    /// Seconds that the first new pod still runs alone.
    pub bake_seconds_left: Option<u64>,
}

/// An Event.
#[derive(Clone, Debug, Serialize)]
pub struct EventView {
    /// When it happened last.
    pub at: Option<Time>,
    /// `Normal` or `Warning`.
    #[serde(rename = "type")]
    pub type_: String,
    /// Its reason.
    pub reason: String,
    /// What happened.
    pub message: String,
}

impl View {
    /// The view of `service` at `now`.
    pub fn of(service: &PostService, events: Option<Vec<Event>>, now: Timestamp) -> Self {
        let reading = Reading::of(service);
        let status = service.status.clone().unwrap_or_default();
        let ready = find(&status, ConditionType::Ready);
        let (namespace, name) = (
            service.metadata.namespace.clone().unwrap_or_default(),
            service.metadata.name.clone().unwrap_or_default(),
        );
        let not_fine: Vec<_> = status
            .conditions
            .iter()
            .filter(|c| !is_fine(c))
            .cloned()
            .collect();
        Self {
            generation: reading.generation(),
            is_observed: status.observed_generation >= service.metadata.generation,
            ready: ready.is_some_and(|ready| ready.status == "True"),
            reason: ready.map_or(UNKNOWN, |ready| &ready.reason).to_owned(),
            message: ready
                .map_or("the operator has not said anything yet", |r| &r.message)
                .to_owned(),
            asked: asked(&service.spec.image),
            rollout: rollout(service, &status, now),
            pods: pods(reading),
            what_to_do: what_to_do(ready, &not_fine, &namespace, &name),
            not_fine,
            last_failure: status.quarantine.first().cloned(),
            events: events.map(newest),
            image: status.image,
            migration: status.migration,
            database: status.database,
            endpoints: status.endpoints,
            namespace,
            name,
        }
    }
}

fn find(status: &PostServiceStatus, type_: ConditionType) -> Option<&Condition> {
    let mut conditions = status.conditions.iter();
    conditions.find(|condition| condition.type_ == type_.as_str())
}

/// `Ready` is the headline, `Reconciling` the rollout; a database that works can have a warning.
fn is_fine(condition: &Condition) -> bool {
    let is = |type_: ConditionType| condition.type_ == type_.as_str();
    if is(ConditionType::Ready) || is(ConditionType::Reconciling) {
        return true;
    }
    let is_warning = is(ConditionType::DatabaseReady) && condition.reason != "Ready";
    condition.status == "True" && !is(ConditionType::Stalled) && !is_warning
}

fn asked(image: &Image) -> String {
    match (&image.tag, &image.digest, &image.policy) {
        (Some(tag), _, _) => format!("tag {tag}"),
        (_, Some(digest), _) => format!("digest {digest}"),
        _ => "what a policy selects".to_owned(),
    }
}

fn rollout(
    service: &PostService,
    status: &PostServiceStatus,
    now: Timestamp,
) -> Option<RolloutView> {
    let rollout = status.rollout.clone()?;
    if rollout.step == RolloutStep::Idle {
        return None;
    }
    let said =
        find(status, ConditionType::Reconciling).or_else(|| find(status, ConditionType::Ready));
    Some(RolloutView {
        message: said.map(|said| said.message.clone()).unwrap_or_default(),
        bake_seconds_left: bake_left(service, &rollout, now).map(|left| left.as_secs()),
        status: rollout,
    })
}

/// Each piece of advice once, that of the headline first.
fn what_to_do(
    ready: Option<&Condition>,
    not_fine: &[Condition],
    namespace: &str,
    name: &str,
) -> Vec<String> {
    let mut all = Vec::new();
    for condition in ready.into_iter().chain(not_fine) {
        let advice = advice(&condition.reason, namespace, name);
        all.extend(advice.filter(|advice| !all.contains(advice)));
    }
    all
}

fn newest(events: Vec<Event>) -> Vec<EventView> {
    let mut events: Vec<_> = events.into_iter().map(EventView::from).collect();
    events.sort_by_key(|event| std::cmp::Reverse(event.at.as_ref().map(|at| at.0)));
    events.truncate(EVENTS);
    events
}

impl From<Event> for EventView {
    fn from(event: Event) -> Self {
        let series = event.series.and_then(|series| series.last_observed_time);
        let precise = series.or(event.event_time).map(|time| Time(time.0));
        Self {
            at: precise.or(event.last_timestamp).or(event.first_timestamp),
            type_: event.type_.unwrap_or_default(),
            reason: event.reason.unwrap_or_default(),
            message: event.message.unwrap_or_default(),
        }
    }
}

#[cfg(test)]
pub mod tests {
    use super::*;
    use crate::cli::sample;

    /// In the middle of a bake whose database has gone.
    pub fn baking() -> PostService {
        let mut service = sample::seen(
            "1.4.3",
            &[
                ("Ready", "False", "Progressing"),
                ("Reconciling", "True", "Baking"),
                ("Available", "True", "PodsServe"),
                ("DatabaseReady", "False", "Unreachable"),
                ("SecretsReady", "True", "Found"),
            ],
        );
        let at = |text: &str| Some(Time(text.parse().unwrap()));
        let status = service.status.as_mut().unwrap();
        status.image.desired = Some(sample::image("1.4.3"));
        status.image.current = Some(sample::image("1.4.3"));
        status.image.last_good = Some(sample::image("1.4.2"));
        (status.replicas, status.ready_replicas) = (Some(3), Some(2));
        status.rollout = Some(RolloutStatus {
            step: RolloutStep::Baking,
            started_at: at("2026-01-02T03:00:05Z"),
            last_progress_at: at("2026-01-02T03:02:35Z"),
            paused_at: at("2026-01-02T03:03:05Z"),
            ..RolloutStatus::default()
        });
        service
    }

    #[test]
    fn what_is_as_it_should_be_is_left_out() {
        let view = View::of(&baking(), None, sample::now());
        let not_fine: Vec<_> = view.not_fine.iter().map(|c| c.type_.as_str()).collect();
        assert_eq!(not_fine, ["DatabaseReady"]);
        assert_eq!(view.what_to_do.len(), 1, "{:?}", view.what_to_do);
        let rollout = view.rollout.unwrap();
        // Half a minute of two had passed when the clocks stopped.
        assert_eq!(rollout.bake_seconds_left, Some(90));
        assert_eq!(rollout.message, "because of Baking");
        assert!(view.is_observed);
    }

    #[test]
    fn a_warning_about_a_working_database_is_shown() {
        let service = sample::seen("1", &[("DatabaseReady", "True", "ConnectionBudget")]);
        assert_eq!(View::of(&service, None, sample::now()).not_fine.len(), 1);
    }

    #[test]
    fn an_object_that_no_operator_saw_is_shown_as_that() {
        let view = View::of(&sample::service("1"), None, sample::now());
        assert!(!view.is_observed && !view.ready);
        assert_eq!(view.reason, UNKNOWN);
    }

    #[test]
    fn the_newest_events_come_first_and_old_ones_not_at_all() {
        let event = |second: i64| Event {
            reason: Some(second.to_string()),
            last_timestamp: Some(Time(Timestamp::from_second(second).unwrap())),
            ..Event::default()
        };
        let events = (0..9).map(event).collect();
        let reasons: Vec<_> = newest(events)
            .into_iter()
            .map(|event| event.reason)
            .collect();
        assert_eq!(reasons, ["8", "7", "6", "5", "4"]);
    }
}
