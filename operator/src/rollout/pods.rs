//! What a pod shows of how it does. Pure.

use std::fmt;

use k8s_openapi::api::core::v1::{ContainerStatus, Pod, PodCondition, PodStatus};
use k8s_openapi::jiff::{SignedDuration, Timestamp};
use kube::ResourceExt as _;

use super::trial::Evidence;

/// Label of a pod: the revision that it was made from (`apps/v1`, `ControllerRevisionHashLabelKey`).
pub const REVISION: &str = "controller-revision-hash";
/// Between a container's start and the first probe that it can answer.
const START: SignedDuration = SignedDuration::from_secs(1);

/// A pod of the service.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct PodSeen {
    /// Its name.
    pub name: String,
    /// The revision that it was made from.
    pub revision: Option<String>,
    /// Address of its metrics.
    pub ip: Option<String>,
    /// It is being deleted, or has ended.
    pub ending: bool,
    /// Since when it is ready.
    pub ready_since: Option<Timestamp>,
    /// It was ready, and is not since then.
    pub unready_since: Option<Timestamp>,
    /// Its containers are ready, and a readiness gate is not: the load balancer's.
    pub gated: bool,
    /// What keeps it from serving.
    pub trouble: Option<Trouble>,
}

/// What keeps a pod from serving.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Trouble {
    /// It will not serve as it is.
    Fatal(Evidence),
    /// No node has room for it.
    Unschedulable(Evidence),
    /// It may yet come right.
    Passing(Evidence),
}

impl Trouble {
    /// What shows it.
    pub fn evidence(&self) -> &Evidence {
        let (Self::Fatal(found) | Self::Unschedulable(found) | Self::Passing(found)) = self;
        found
    }

    /// The same, to be changed.
    pub fn evidence_mut(&mut self) -> &mut Evidence {
        let (Self::Fatal(found) | Self::Unschedulable(found) | Self::Passing(found)) = self;
        found
    }
}

impl fmt::Display for Trouble {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.evidence().fmt(f)
    }
}

impl PodSeen {
    /// Reads a pod.
    pub fn of(pod: &Pod) -> Self {
        let name = pod.name_any();
        let status = pod.status.clone().unwrap_or_default();
        let container = status.container_statuses.iter().flatten().next();
        let ended = matches!(status.phase.as_deref(), Some("Failed" | "Succeeded"))
            || is_over(pod, container);
        let ready = condition(&status, "Ready");
        let since = |wanted: &str| {
            let ready = ready.filter(|ready| ready.status == wanted)?;
            ready.last_transition_time.as_ref().map(|time| time.0)
        };
        let started = container.and_then(started_at);
        let lost = since("False").filter(|lost| started.is_some_and(|at| *lost > at + START));
        let is_true = |name| condition(&status, name).is_some_and(|c| c.status == "True");
        Self {
            revision: pod.labels().get(REVISION).cloned(),
            ip: status.pod_ip.clone(),
            ending: ended || pod.metadata.deletion_timestamp.is_some(),
            ready_since: since("True"),
            unready_since: lost.filter(|_| !is_true("ContainersReady")),
            gated: since("True").is_none() && is_true("ContainersReady"),
            trouble: unschedulable(&name, &status)
                .or_else(|| container.and_then(|container| trouble(&name, container))),
            name,
        }
    }
}

/// A Job's container does not start again; the pod's phase says so a moment later.
fn is_over(pod: &Pod, container: Option<&ContainerStatus>) -> bool {
    let spec = pod.spec.as_ref();
    let policy = spec.and_then(|spec| spec.restart_policy.as_deref());
    let state = container.and_then(|container| container.state.as_ref());
    policy == Some("Never") && state.is_some_and(|state| state.terminated.is_some())
}

fn condition<'a>(status: &'a PodStatus, type_: &str) -> Option<&'a PodCondition> {
    let mut conditions = status.conditions.iter().flatten();
    conditions.find(|condition| condition.type_ == type_)
}

fn started_at(container: &ContainerStatus) -> Option<Timestamp> {
    let running = container.state.as_ref()?.running.as_ref()?;
    running.started_at.as_ref().map(|time| time.0)
}

fn unschedulable(pod: &str, status: &PodStatus) -> Option<Trouble> {
    let condition = condition(status, "PodScheduled").filter(|c| c.status == "False")?;
    Some(Trouble::Unschedulable(Evidence {
        pod: pod.to_owned(),
        reason: condition.reason.clone().unwrap_or_default(),
        exit_code: None,
        message: condition.message.clone().unwrap_or_default(),
    }))
}

/// Any end of a container that shall serve counts, also one with exit code 0.
fn trouble(pod: &str, container: &ContainerStatus) -> Option<Trouble> {
    let evidence = |reason: &str, exit_code, message: Option<&String>| Evidence {
        pod: pod.to_owned(),
        reason: reason.to_owned(),
        exit_code,
        message: message.map_or(String::new(), |text| text.trim().to_owned()),
    };
    let state = container.state.as_ref();
    let ends = [state, container.last_state.as_ref()];
    let ended = ends
        .into_iter()
        .flatten()
        .find_map(|state| state.terminated.as_ref());
    let waiting = state.and_then(|state| state.waiting.as_ref());
    let waits_for = waiting.and_then(|waiting| waiting.reason.as_deref());
    if let Some(ended) = ended {
        let reason = match (waits_for, ended.reason.as_deref()) {
            (_, Some(reason @ ("OOMKilled" | "ContainerCannotRun" | "StartError"))) => reason,
            (Some(waits_for), _) => waits_for,
            (None, reason) => reason.unwrap_or("Error"),
        };
        let words = ended.message.as_ref();
        return Some(Trouble::Fatal(evidence(
            reason,
            Some(ended.exit_code),
            words,
        )));
    }
    let message = waiting.and_then(|waiting| waiting.message.as_ref());
    let found = |reason| evidence(reason, None, message);
    match waits_for? {
        "ContainerCreating" | "PodInitializing" => None,
        reason @ ("ErrImagePull" | "ImagePullBackOff") => {
            let refused = message.is_some_and(|message| is_refused(message));
            Some(if refused {
                Trouble::Fatal(found(reason))
            } else {
                Trouble::Passing(found(reason))
            })
        }
        reason @ ("CreateContainerConfigError"
        | "CreateContainerError"
        | "CrashLoopBackOff"
        | "ErrImageNeverPull"
        | "InvalidImageName"
        | "RunContainerError") => Some(Trouble::Fatal(found(reason))),
        reason => Some(Trouble::Passing(found(reason))),
    }
}

/// Whether a registry answered, and will not answer otherwise: containerd's words.
fn is_refused(message: &str) -> bool {
    const WORDS: [&str; 9] = [
        "not found",
        "manifest unknown",
        "no match for platform",
        "does not match the specified platform",
        "unauthorized",
        "denied",
        "403 Forbidden",
        "401 Unauthorized",
        "no basic auth credentials",
    ];
    WORDS.iter().any(|words| message.contains(words))
}
