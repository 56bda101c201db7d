//! The trial of a revision: how its pods do, beside those that served before. Pure.
//!
//! Only what the new pods alone show is held against them. Trouble that the old pods share, a
//! database that does not answer, a load balancer that has not registered a pod yet, and a cluster
//! without room pause the trial: its clocks stand still.

use std::fmt;
use std::time::Duration;

use k8s_openapi::jiff::{SignedDuration, Timestamp};

use super::machine::Memory;
use super::pods::{PodSeen, Trouble};
use crate::api::v1alpha1::RolloutStep;

/// A pod that was ready may fail its probe for this long.
const UNREADY: SignedDuration = SignedDuration::from_secs(15);
/// A pod whose container has ended, and which is ready again for this long, is well.
const RECOVERY: SignedDuration = SignedDuration::from_mins(1);
/// Longest message of a container, in bytes, that is repeated.
const MESSAGE: usize = 1024;

/// How a revision's pods do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Trial {
    /// Nothing is to be said yet.
    Waiting,
    /// Clocks stand still.
    Paused(Pause),
    /// The first pod has served alone for long enough.
    Passed,
    /// The revision is no good.
    Failed(Evidence),
}

/// Why clocks stand still.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Pause {
    /// Only the load balancer's readiness gate is missing.
    LoadBalancer,
    /// The database does not answer.
    Database,
    /// Pods of the last good revision are in trouble too.
    Shared,
    /// No node has room.
    Unschedulable,
}

impl Pause {
    /// In a sentence.
    pub fn describe(self) -> &'static str {
        match self {
            Self::LoadBalancer => "waiting for the load balancer to register the new pod",
            Self::Database => "waiting for the database; the image is not blamed",
            Self::Shared => {
                "pods of the last good revision are in trouble too; the image is not blamed"
            }
            Self::Unschedulable => "waiting for a node with room for the new pod",
        }
    }
}

/// Why a revision is no good, by the pod that shows it.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Default)]
pub struct Evidence {
    /// Name of the pod.
    pub pod: String,
    /// Reason, as the kubelet says it.
    pub reason: String,
    /// Exit code of its container.
    pub exit_code: Option<i32>,
    /// Termination message, or what the kubelet says.
    pub message: String,
}

impl fmt::Display for Evidence {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "pod {}: {}", self.pod, self.reason)?;
        if let Some(code) = self.exit_code {
            write!(f, ", exit code {code}")?;
        }
        if self.message.is_empty() {
            return Ok(());
        }
        write!(f, ": {}", last_words(&self.message))
    }
}

/// The end of a long message, from the beginning of a line: what came last tells most.
fn last_words(message: &str) -> &str {
    let excess = message.len().saturating_sub(MESSAGE);
    let end = &message[message.ceil_char_boundary(excess)..];
    match end.split_once('\n') {
        Some((_, lines)) if excess > 0 && !lines.is_empty() => lines,
        _ => end,
    }
}

/// Limits of a trial, from the spec.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Terms {
    /// How long the first pod serves alone.
    pub bake: Duration,
    /// Time without progress.
    pub deadline: Duration,
    /// Highest share of answers with status 5xx, 0 to 1.
    pub max_error_rate: f64,
    /// Requests below which the share says nothing.
    pub min_requests: u64,
}

/// Answers of pods during a trial.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Answers {
    /// All of them.
    pub requests: u64,
    /// Those with status 5xx.
    pub errors: u64,
}

impl Answers {
    /// Share of errors, where there are enough answers.
    #[expect(clippy::cast_precision_loss, reason = "a share need not be exact")]
    fn share(self, at_least: u64) -> Option<f64> {
        (self.requests > 0 && self.requests >= at_least)
            .then(|| self.errors as f64 / self.requests as f64)
    }
}

/// Answers of the new and the old pods.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Traffic {
    /// Of the pods on trial.
    pub new: Answers,
    /// Of those that served before.
    pub old: Answers,
}

/// What a pass sees of a trial.
#[derive(Clone, Copy, Debug)]
pub struct Stage<'a> {
    /// Id of the revision on trial.
    pub revision: &'a str,
    /// Every pod of the service.
    pub pods: &'a [PodSeen],
    /// Whether the database answers.
    pub database: bool,
    /// Answers during the bake.
    pub traffic: Traffic,
    /// Every pod is new and serves.
    pub complete: bool,
    /// When that last came nearer, as the Deployment's controller says.
    pub progress_at: Option<Timestamp>,
    /// Time of the pass.
    pub now: Timestamp,
}

impl Stage<'_> {
    fn new_pods(&self) -> impl Iterator<Item = &PodSeen> {
        let revision = self.revision;
        let of_revision = move |pod: &&PodSeen| pod.revision.as_deref() == Some(revision);
        self.pods
            .iter()
            .filter(|pod| !pod.ending)
            .filter(of_revision)
    }

    fn old_pods(&self) -> impl Iterator<Item = &PodSeen> {
        let revision = self.revision;
        let of_others = move |pod: &&PodSeen| pod.revision.as_deref() != Some(revision);
        self.pods.iter().filter(|pod| !pod.ending).filter(of_others)
    }

    /// Since when every new pod is ready.
    pub fn ready_since(&self) -> Option<Timestamp> {
        let mut latest = None;
        for pod in self.new_pods() {
            latest = latest.max(Some(pod.ready_since?));
        }
        latest
    }

    /// What a pod dies of, unless it has long been well again.
    fn ailment<'p>(&self, pod: &'p PodSeen) -> Option<&'p Evidence> {
        let Some(Trouble::Fatal(evidence)) = &pod.trouble else {
            return None;
        };
        let well = |since| self.now.duration_since(since) >= RECOVERY;
        (!pod.ready_since.is_some_and(well)).then_some(evidence)
    }

    /// The first thing that keeps a new pod from serving.
    pub fn trouble(&self) -> Option<&Trouble> {
        self.new_pods().find_map(|pod| pod.trouble.as_ref())
    }
}

/// Judges the revision that the Deployment is told to run.
pub fn judge(memory: &Memory, terms: &Terms, stage: &Stage<'_>) -> Trial {
    if let Some(evidence) = fault(memory, terms, stage) {
        return match shared(stage) {
            Some(pause) => Trial::Paused(pause),
            None => Trial::Failed(evidence),
        };
    }
    let baking = memory.step == RolloutStep::Baking;
    match stage.ready_since() {
        Some(_) if !stage.database => Trial::Paused(Pause::Database),
        Some(since) if baking && has_passed(memory, terms.bake, since, stage.now) => Trial::Passed,
        Some(_) if baking => Trial::Waiting,
        ready => match pause(stage) {
            Some(pause) => Trial::Paused(pause),
            None if is_over(memory, terms.deadline, stage) => {
                let failed = too_late(terms, stage, ready.is_some());
                shared(stage).map_or(Trial::Failed(failed), Trial::Paused)
            }
            None => Trial::Waiting,
        },
    }
}

/// What the new pods alone show.
fn fault(memory: &Memory, terms: &Terms, stage: &Stage<'_>) -> Option<Evidence> {
    let fatal = stage.new_pods().find_map(|pod| stage.ailment(pod)).cloned();
    let unready = || {
        let mut pods = stage.new_pods();
        let pod = pods.find(|pod| {
            let lost = pod.unready_since;
            lost.is_some_and(|lost| stage.now.duration_since(lost) >= UNREADY)
        })?;
        Some(Evidence {
            pod: pod.name.clone(),
            reason: "Unready".into(),
            exit_code: None,
            message: "it was ready and fails its readiness probe since".into(),
        })
    };
    let erring = || errors(memory, terms, stage);
    fatal.or_else(unready).or_else(erring)
}

/// Too many answers with status 5xx during the bake, and not from the old pods as well.
fn errors(memory: &Memory, terms: &Terms, stage: &Stage<'_>) -> Option<Evidence> {
    if memory.step != RolloutStep::Baking {
        return None;
    }
    let answers = stage.traffic.new;
    let share = answers.share(terms.min_requests)?;
    let old = stage.traffic.old.share(1).unwrap_or(0.0);
    let (limit, percent) = (terms.max_error_rate, 100.0);
    (share > limit && old <= limit).then(|| Evidence {
        pod: stage
            .new_pods()
            .next()
            .map_or(String::new(), |pod| pod.name.clone()),
        reason: "TooManyErrors".into(),
        exit_code: None,
        message: format!(
            "{} of {} answers had status 5xx ({:.1}%, at most {:.0}%)",
            answers.errors,
            answers.requests,
            share * percent,
            limit * percent
        ),
    })
}

/// Trouble that is not the new pods' alone.
fn shared(stage: &Stage<'_>) -> Option<Pause> {
    if !stage.database {
        Some(Pause::Database)
    } else if stage.old_pods().any(|pod| stage.ailment(pod).is_some()) {
        Some(Pause::Shared)
    } else {
        None
    }
}

/// What new pods wait for without any fault of theirs.
fn pause(stage: &Stage<'_>) -> Option<Pause> {
    if !stage.database {
        return Some(Pause::Database);
    }
    let mut waiting = stage.new_pods().filter(|pod| pod.ready_since.is_none());
    let first = waiting.next()?;
    if first.gated && waiting.all(|pod| pod.gated) {
        return Some(Pause::LoadBalancer);
    }
    let homeless = |pod: &PodSeen| matches!(pod.trouble, Some(Trouble::Unschedulable(_)));
    stage
        .new_pods()
        .any(homeless)
        .then_some(Pause::Unschedulable)
}

/// Readiness that is younger than the memory knows begins the time anew.
fn has_passed(memory: &Memory, time: Duration, since: Timestamp, now: Timestamp) -> bool {
    let since = memory.progress_at.map_or(since, |at| at.max(since));
    memory.paused_at.is_none() && elapsed(since, now) >= time
}

/// Of what came nearer while nobody looked, the memory does not know yet.
fn is_over(memory: &Memory, deadline: Duration, stage: &Stage<'_>) -> bool {
    let since = memory.progress_at.max(stage.progress_at);
    let is_late = |since| elapsed(since, stage.now) > deadline;
    !stage.complete && memory.paused_at.is_none() && since.is_some_and(is_late)
}

/// None, where the clock that said `since` is ahead.
fn elapsed(since: Timestamp, now: Timestamp) -> Duration {
    Duration::try_from(now.duration_since(since)).unwrap_or_default()
}

fn too_late(terms: &Terms, stage: &Stage<'_>, ready: bool) -> Evidence {
    let limit = terms.deadline.as_secs();
    if let Some(trouble) = stage.trouble() {
        return trouble.evidence().clone();
    }
    let mut unready = stage.new_pods().filter(|pod| pod.ready_since.is_none());
    let pod = unready.next().map_or("(none)", |pod| &pod.name);
    let message = if ready {
        format!("no progress within {limit} s (rollout.progressDeadline)")
    } else {
        format!("it is not ready within {limit} s (rollout.progressDeadline)")
    };
    Evidence {
        pod: pod.to_owned(),
        reason: "ProgressDeadlineExceeded".into(),
        exit_code: None,
        message,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_a_long_message_the_last_lines_are_said() {
        let long = format!("{}\nline\nout of luck", "x".repeat(2 * MESSAGE));
        assert_eq!(last_words(&long), "line\nout of luck");
        assert_eq!(last_words("first\nlast"), "first\nlast");
        let one_line = "한".repeat(MESSAGE);
        let end = last_words(&one_line);
        assert!(!end.is_empty() && end.len() <= MESSAGE);
    }
}
