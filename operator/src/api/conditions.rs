//! Condition types and reasons, as users read them in `.status.conditions`.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};
use k8s_openapi::jiff::Timestamp;

/// Type of a condition. `Reconciling` and `Stalled` exist only while true, as kstatus asks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ConditionType {
    /// Everything asked for is in place.
    Ready,
    /// The operator is bringing something about.
    Reconciling,
    /// The operator cannot go on without somebody's help.
    Stalled,
    /// At least one pod serves now.
    Available,
    /// The referenced Secrets hold what is needed.
    SecretsReady,
    /// The database exists and accepts the service's account.
    DatabaseReady,
    /// The schema fits the wanted image.
    MigrationsComplete,
    /// The wanted image was found in the registry.
    ImageResolved,
    /// The images that run, or would after a rollback, stay in the registry. Only in Amazon ECR.
    ImageRetained,
    /// The load balancer has an address. Never gates `Ready`.
    LoadBalancerReady,
    /// What `spec.adopt` names is taken over. Exists only while it names something.
    AdoptionComplete,
}

impl ConditionType {
    /// The word in `.status.conditions[].type`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Ready => "Ready",
            Self::Reconciling => "Reconciling",
            Self::Stalled => "Stalled",
            Self::Available => "Available",
            Self::SecretsReady => "SecretsReady",
            Self::DatabaseReady => "DatabaseReady",
            Self::MigrationsComplete => "MigrationsComplete",
            Self::ImageResolved => "ImageResolved",
            Self::ImageRetained => "ImageRetained",
            Self::LoadBalancerReady => "LoadBalancerReady",
            Self::AdoptionComplete => "AdoptionComplete",
        }
    }
}

/// Value of a condition.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Truth {
    /// It holds.
    True,
    /// It does not hold.
    False,
    /// It cannot be told.
    Unknown,
}

impl Truth {
    /// The word in `.status.conditions[].status`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::True => "True",
            Self::False => "False",
            Self::Unknown => "Unknown",
        }
    }
}

/// What one pass found of one condition.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// Which condition.
    pub type_: ConditionType,
    /// Whether it holds.
    pub truth: Truth,
    /// Reason in CamelCase, from the table in the custom resource's documentation.
    pub reason: &'static str,
    /// A sentence for people: what, on what, and what to do next.
    pub message: String,
}

impl Finding {
    /// A finding of `type_`.
    pub fn new(
        type_: ConditionType,
        truth: Truth,
        reason: &'static str,
        message: impl Into<String>,
    ) -> Self {
        Self {
            type_,
            truth,
            reason,
            message: message.into(),
        }
    }

    /// The condition of the object's `generation`; the transition time of `previous` stays while the
    /// status does.
    pub fn into_condition(
        self,
        generation: Option<i64>,
        previous: &[Condition],
        now: Timestamp,
    ) -> Condition {
        let last_transition_time = previous
            .iter()
            .find(|c| c.type_ == self.type_.as_str() && c.status == self.truth.as_str())
            .map_or(Time(now), |c| c.last_transition_time.clone());
        Condition {
            type_: self.type_.as_str().into(),
            status: self.truth.as_str().into(),
            reason: self.reason.into(),
            message: self.message,
            observed_generation: generation,
            last_transition_time,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_transition_time_stays_while_the_status_does() {
        let early = Timestamp::UNIX_EPOCH;
        let late = "2026-01-01T00:00:00Z".parse().unwrap();
        let finding = |truth| Finding::new(ConditionType::Ready, truth, "UpToDate", "");
        let first = finding(Truth::True).into_condition(Some(1), &[], early);
        let second =
            finding(Truth::True).into_condition(Some(2), std::slice::from_ref(&first), late);
        assert_eq!(second.last_transition_time, first.last_transition_time);
        let third = finding(Truth::False).into_condition(Some(2), &[second], late);
        assert_eq!(third.last_transition_time.0, late);
    }
}
