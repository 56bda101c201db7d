//! Whether the load balancer is there, from what its controller left in the cluster. Pure.

use std::time::Duration;

use k8s_openapi::api::core::v1::{Event, Service};
use k8s_openapi::jiff::Timestamp;

use crate::api::conditions::{ConditionType, Finding, Truth};
use crate::api::v1alpha1::PostServiceStatus;
use crate::build::service::Exposure;

/// A controller that has left no trace for so long is taken for absent.
pub const PATIENCE: Duration = Duration::from_mins(2);
/// Longest part of the controller's own words that is passed on, in bytes.
const WORDS: usize = 1000;

/// What the controller did so far.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Seen {
    /// Address in the Service's status.
    pub address: Option<String>,
    /// It took the Service into its care, which it marks with a finalizer.
    pub taken: bool,
    /// Message of its last Warning about the Service, where there is no address.
    pub warning: Option<String>,
    /// The binding to a target group.
    pub binding: Binding,
}

/// Where the binding to a target group that is owned elsewhere stands.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Binding {
    /// The cluster does not know the kind.
    #[default]
    Unknown,
    /// Not made, or its controller has not registered the pods.
    Pending,
    /// The pods are registered.
    Bound,
}

impl Seen {
    /// What the Service itself tells.
    pub fn of(service: &Service) -> Self {
        let finalizers = service.metadata.finalizers.as_ref();
        Self {
            address: address(Some(service)),
            taken: finalizers.is_some_and(|all| !all.is_empty()),
            ..Self::default()
        }
    }
}

/// What the load balancer's controller wrote into the Service.
pub fn address(service: Option<&Service>) -> Option<String> {
    let status = service?.status.as_ref()?.load_balancer.as_ref()?;
    let ingress = status.ingress.as_ref()?.first()?;
    ingress.hostname.clone().or_else(|| ingress.ip.clone())
}

/// The newest of the Warnings, in its author's words.
pub fn last_warning(events: &[Event]) -> Option<String> {
    let time = |event: &Event| {
        let exact = event.event_time.as_ref().map(|time| time.0);
        let last = event.last_timestamp.as_ref().map(|time| time.0);
        exact.max(last)
    };
    let newest = events.iter().max_by_key(|event| time(event))?;
    let reason = newest.reason.as_deref().unwrap_or("Warning");
    let words = newest.message.as_deref().unwrap_or_default().trim();
    let words = &words[..words.floor_char_boundary(WORDS)];
    Some(format!("{reason}: {words}"))
}

/// Condition `LoadBalancerReady`.
pub fn finding(
    exposure: Exposure<'_>,
    seen: &Seen,
    previous: &PostServiceStatus,
    now: Timestamp,
) -> Finding {
    let finding = |truth, reason, message: String| {
        Finding::new(ConditionType::LoadBalancerReady, truth, reason, message)
    };
    let missing = |message: String| finding(Truth::False, "ControllerMissing", message);
    let pending = |message: String| finding(Truth::False, "Pending", message);
    let out_of_patience = waiting_since(previous, now) + PATIENCE <= now;
    match exposure {
        Exposure::Cluster => finding(Truth::True, "Ready", "no load balancer is asked for".into()),
        Exposure::TargetGroup(arn) => match seen.binding {
            Binding::Bound => finding(
                Truth::True,
                "Ready",
                format!("the pods are registered in target group {arn}"),
            ),
            Binding::Unknown => missing(
                "the cluster does not know the kind TargetGroupBinding: install the AWS Load Balancer Controller"
                    .into(),
            ),
            Binding::Pending if out_of_patience => missing(
                "nobody has registered the pods for 2 minutes: does the AWS Load Balancer Controller run, and may it read the target group?"
                    .into(),
            ),
            Binding::Pending => {
                pending(format!("the pods are not yet registered in target group {arn}"))
            }
        },
        Exposure::LoadBalancer(own) => match (&seen.address, &seen.warning) {
            (Some(address), _) => finding(Truth::True, "Ready", format!("reached at {address}")),
            (None, Some(words)) => finding(Truth::False, "ControllerError", words.clone()),
            (None, None) if !seen.taken && out_of_patience => missing(format!(
                "nobody has answered for 2 minutes: install the controller of class {} (the AWS Load Balancer Controller, or EKS Auto Mode), correct service.loadBalancer.class, or set service.loadBalancer.enabled: false",
                own.class
            )),
            (None, None) => pending(format!(
                "no address yet from the controller of class {}",
                own.class
            )),
        },
    }
}

/// Since when the load balancer is not there, as far as the last report knows.
fn waiting_since(previous: &PostServiceStatus, now: Timestamp) -> Timestamp {
    let type_ = ConditionType::LoadBalancerReady.as_str();
    let known = previous.conditions.iter().find(|c| c.type_ == type_);
    known
        .filter(|condition| condition.status == Truth::False.as_str())
        .map_or(now, |condition| condition.last_transition_time.0)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::api::v1alpha1::LoadBalancer;

    fn since(seconds: i64) -> (PostServiceStatus, Timestamp) {
        let now = Timestamp::from_second(1_000_000).unwrap();
        let then = Timestamp::from_second(1_000_000 - seconds).unwrap();
        let mut status = PostServiceStatus::default();
        let condition = Finding::new(
            ConditionType::LoadBalancerReady,
            Truth::False,
            "Pending",
            "",
        )
        .into_condition(None, &[], then);
        status.conditions.push(condition);
        (status, now)
    }

    fn judged(exposure: Exposure<'_>, seen: &Seen, seconds: i64) -> (Truth, &'static str) {
        let (status, now) = since(seconds);
        let finding = finding(exposure, seen, &status, now);
        (finding.truth, finding.reason)
    }

    #[test]
    fn a_controller_without_a_trace_is_missing_after_two_minutes_and_not_before() {
        let own = LoadBalancer::default();
        let exposure = Exposure::LoadBalancer(&own);
        let silent = Seen::default();
        assert_eq!(judged(exposure, &silent, 119), (Truth::False, "Pending"));
        assert_eq!(
            judged(exposure, &silent, 120),
            (Truth::False, "ControllerMissing")
        );
        let taken = Seen {
            taken: true,
            ..Seen::default()
        };
        assert_eq!(judged(exposure, &taken, 999), (Truth::False, "Pending"));
        let now = Timestamp::from_second(1_000_000).unwrap();
        let first = finding(exposure, &silent, &PostServiceStatus::default(), now);
        assert_eq!(first.reason, "Pending", "nothing is known of before");
    }

    #[test]
    fn the_controllers_own_words_are_passed_on_until_there_is_an_address() {
        let own = LoadBalancer::default();
        let mut seen = Seen {
            warning: Some("FailedBuildModel: no subnet".into()),
            ..Seen::default()
        };
        let (status, now) = since(1);
        let failed = finding(Exposure::LoadBalancer(&own), &seen, &status, now);
        assert_eq!(failed.reason, "ControllerError");
        assert!(failed.message.contains("no subnet"), "{}", failed.message);
        seen.address = Some("a.elb.amazonaws.com".into());
        assert_eq!(
            judged(Exposure::LoadBalancer(&own), &seen, 1),
            (Truth::True, "Ready")
        );
    }

    #[test]
    fn a_binding_is_ready_when_its_controller_has_registered_the_pods() {
        let exposure = Exposure::TargetGroup("arn");
        for (binding, seconds, expected) in [
            (Binding::Bound, 0, (Truth::True, "Ready")),
            (Binding::Pending, 0, (Truth::False, "Pending")),
            (Binding::Pending, 121, (Truth::False, "ControllerMissing")),
            (Binding::Unknown, 0, (Truth::False, "ControllerMissing")),
        ] {
            let seen = Seen {
                binding,
                ..Seen::default()
            };
            assert_eq!(judged(exposure, &seen, seconds), expected, "{binding:?}");
        }
    }

    #[test]
    fn the_newest_warning_counts_and_is_bounded() {
        let event = |second: i64, message: &str| -> Event {
            serde_json::from_value(json!({
                "metadata": {}, "involvedObject": {}, "reason": "FailedDeployModel",
                "message": message,
                "lastTimestamp": Timestamp::from_second(second).unwrap().to_string(),
            }))
            .unwrap()
        };
        let events = [event(2, &"새".repeat(2000)), event(1, "old")];
        let words = last_warning(&events).unwrap();
        assert!(words.starts_with("FailedDeployModel: 새"), "{words}");
        assert!(words.len() < 1100, "{}", words.len());
        assert_eq!(last_warning(&[]), None);
    }
}
