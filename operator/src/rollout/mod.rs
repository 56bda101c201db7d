//! The rollout as a pure state machine: (status, spec, observed) → plan.
//!
//! Its whole memory is in the cluster: the Deployment's image, the migration Jobs and `.status`.
//!
//! | Step          | Holds while                                   | Leaves to                       |
//! |---------------|-----------------------------------------------|---------------------------------|
//! | Resolving     | the wanted image is unknown                   | Bootstrapping                   |
//! | Bootstrapping | Secrets or database are not ready             | Migrating                       |
//! | Migrating     | the wanted image's Job has not succeeded      | `RollingOut`, `MigrationFailed` |
//! | MigrationFailed | its Job failed; old pods serve on         | Migrating (spec or retry token) |
//! | Held          | `rollout.hold`, and another image is wanted   | Migrating                       |
//! | Stopped       | `stopped`: no pods, and nothing is asked      | Resolving                       |
//! | RollingOut    | the Deployment has not replaced its pods      | Idle                            |
//! | Idle          | everything asked for runs                     | any of the above                |
//!
//! Baking and rolling back take their places between Migrating and Idle.

pub mod replicas;

use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;

use crate::api::v1alpha1::{ImageRef, PostServiceStatus};
use crate::controller::validate::{Selector, Validated};
use crate::database::{DatabaseError, DatabaseFacts};
use crate::registry::{Digest, RegistryError, RegistryImage};
use replicas::Authority;

/// What a pass knows, beside the spec.
#[derive(Clone, Debug)]
pub struct Observed {
    /// The registry's latest answer; `None`: not yet asked.
    pub image: Option<Result<RegistryImage, RegistryError>>,
    /// Whether the Secrets hold what is needed.
    pub secrets_ready: bool,
    /// The database's latest answer; `None`: not yet asked.
    pub database: Option<Result<DatabaseFacts, DatabaseError>>,
    /// What the Deployment is told to run; `None`: there is no Deployment.
    pub running: Option<Running>,
    /// The wanted image's migration Job, by digest.
    pub migration: Migration,
}

/// The live Deployment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Running {
    /// Digest in its pod template; `None`: a foreign image.
    pub digest: Option<Digest>,
    /// Every pod runs the template, and as many are available as the spec asks for.
    pub complete: bool,
    /// Pods that exist.
    pub pods: i32,
}

/// Where a migration Job stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum JobState {
    /// Not ended.
    Running,
    /// Ended well.
    Complete,
    /// Ended badly.
    Failed,
}

/// What is known of the wanted image's migration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Migration {
    /// `database.migrations.enabled` is false.
    Disabled,
    /// No Job ran yet.
    Pending,
    /// A Job is there.
    Job(JobState),
    /// A Job failed, and somebody asked for another try.
    Retry,
}

/// An image that may run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Image {
    /// Its digest.
    pub digest: Digest,
    /// Its registry facts, for status.
    pub reference: ImageRef,
}

/// Step of the state machine; see the module's table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// The wanted image is unknown.
    Resolving,
    /// Secrets or database are not ready.
    Bootstrapping,
    /// The wanted image's Job has not succeeded.
    Migrating,
    /// The wanted image's Job failed.
    MigrationFailed,
    /// Another image is wanted, but rollouts are held.
    Held,
    /// The Deployment replaces its pods.
    RollingOut,
    /// Everything asked for runs.
    Idle,
    /// No pods are asked for.
    Stopped,
}

impl Step {
    /// The word in `.status.phase`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Resolving => "Resolving",
            Self::Bootstrapping => "Bootstrapping",
            Self::Migrating => "Migrating",
            Self::MigrationFailed => "MigrationFailed",
            Self::Held => "Held",
            Self::RollingOut => "RollingOut",
            Self::Idle => "Idle",
            Self::Stopped => "Stopped",
        }
    }
}

/// What the Deployment shall be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Workload {
    /// Run this image.
    Run(Image),
    /// Leave whatever is there.
    Keep,
}

/// What the migration Jobs shall be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum MigrationJob {
    /// A Job of this image, which alone is needed.
    Run(Image),
    /// Remove this image's failed Job, so that the next pass makes it anew.
    Remove(Image),
    /// Leave whatever is there.
    Keep,
}

/// What this pass shall bring about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Plan {
    /// Where the rollout stands.
    pub step: Step,
    /// What the spec resolves to, if that is known.
    pub wanted: Option<Image>,
    /// The Deployment.
    pub workload: Workload,
    /// The migration Jobs.
    pub migration: MigrationJob,
}

impl Plan {
    /// Whether pods may be started: they would run what is wanted, or what is held.
    pub fn starts_pods(&self) -> bool {
        self.step == Step::Held || matches!(self.workload, Workload::Run(_))
    }
}

/// The image that the spec asks for: as the registry says, or as it said when `status` was written
/// and the registry does not answer now.
pub fn wanted(
    spec: &Validated,
    status: &PostServiceStatus,
    observed: Option<&Result<RegistryImage, RegistryError>>,
) -> Option<Image> {
    let repository = Some(spec.spec.image.repository.clone());
    match (&spec.selector, observed) {
        (Selector::Digest(digest), _) => Some(Image {
            digest: digest.clone(),
            reference: ImageRef {
                repository,
                digest: digest.to_string(),
                ..ImageRef::default()
            },
        }),
        (_, Some(Ok(image))) => Some(Image {
            digest: image.digest.clone(),
            reference: ImageRef {
                repository,
                tag: image.tag.clone(),
                digest: image.digest.to_string(),
                pushed_at: image.pushed_at.map(Time),
            },
        }),
        (selector, None | Some(Err(RegistryError::Unavailable { .. }))) => {
            let known = status.image.desired.as_ref();
            let known = known.filter(|known| {
                let tag = known.tag.as_deref();
                tag.is_some_and(|tag| selector.admits(tag))
            });
            known.and_then(|known| from_status(spec, known))
        }
        (_, Some(Err(_))) => None,
    }
}

/// An image of an earlier pass, if it is of the repository that the spec names now.
fn from_status(spec: &Validated, reference: &ImageRef) -> Option<Image> {
    let same = reference.repository.as_ref() == Some(&spec.spec.image.repository);
    let digest = same.then(|| Digest::parse(&reference.digest)).flatten()?;
    Some(Image {
        digest,
        reference: reference.clone(),
    })
}

/// What to do next. Total and without memory: the same arguments give the same plan.
pub fn next(spec: &Validated, status: &PostServiceStatus, observed: &Observed) -> Plan {
    if spec.spec.stopped {
        return Plan {
            step: Step::Stopped,
            wanted: None,
            workload: Workload::Keep,
            migration: MigrationJob::Keep,
        };
    }
    let keep = keep_or_restore(spec, status, observed);
    let Some(wanted) = wanted(spec, status, observed.image.as_ref()) else {
        return Plan {
            step: Step::Resolving,
            wanted: None,
            workload: keep,
            migration: MigrationJob::Keep,
        };
    };
    let plan = |step, workload, migration| Plan {
        step,
        wanted: Some(wanted.clone()),
        workload,
        migration,
    };
    if spec.spec.rollout.hold && is_another(&wanted, status, observed) {
        return plan(Step::Held, keep, MigrationJob::Keep);
    }
    let database_ready = matches!(observed.database, Some(Ok(_)));
    if !observed.secrets_ready || !database_ready {
        let step = step_without_database(&wanted, observed);
        return plan(step, keep, MigrationJob::Keep);
    }
    let run_job = MigrationJob::Run(wanted.clone());
    let run = Workload::Run(wanted.clone());
    match observed.migration {
        Migration::Pending | Migration::Job(JobState::Running) => {
            plan(Step::Migrating, keep, run_job)
        }
        Migration::Job(JobState::Failed) => plan(Step::MigrationFailed, keep, run_job),
        Migration::Retry => {
            let remove = MigrationJob::Remove(wanted.clone());
            plan(Step::Migrating, keep, remove)
        }
        Migration::Job(JobState::Complete) => {
            plan(step_of_workload(&wanted, observed), run, run_job)
        }
        Migration::Disabled => plan(step_of_workload(&wanted, observed), run, MigrationJob::Keep),
    }
}

/// Whether running `wanted` would be a rollout.
fn is_another(wanted: &Image, status: &PostServiceStatus, observed: &Observed) -> bool {
    let present = match &observed.running {
        Some(running) => running.digest.as_ref().map(Digest::as_str),
        None => status
            .image
            .last_good
            .as_ref()
            .map(|good| good.digest.as_str()),
    };
    present.is_some_and(|digest| digest != wanted.digest.as_str())
}

fn step_of_workload(wanted: &Image, observed: &Observed) -> Step {
    match &observed.running {
        Some(running) if running.complete && running.digest.as_ref() == Some(&wanted.digest) => {
            Step::Idle
        }
        _ => Step::RollingOut,
    }
}

/// A database outage takes nothing from a service that runs.
fn step_without_database(wanted: &Image, observed: &Observed) -> Step {
    match step_of_workload(wanted, observed) {
        Step::Idle => Step::Idle,
        _ => Step::Bootstrapping,
    }
}

/// What runs stays; a Deployment that somebody deleted comes back with the image that was last good.
fn keep_or_restore(spec: &Validated, status: &PostServiceStatus, observed: &Observed) -> Workload {
    if observed.running.is_some() || !observed.secrets_ready {
        return Workload::Keep;
    }
    let good = status.image.last_good.as_ref();
    good.and_then(|good| from_status(spec, good))
        .map_or(Workload::Keep, Workload::Run)
}

/// The live Deployment, as the state machine sees it. `settled`: the last report found everything
/// asked for running, so that a change that the Deployment's controller has not seen yet can only be
/// one of the number of pods.
pub fn running(deployment: &Deployment, authority: Authority, settled: bool) -> Running {
    let image = deployment
        .spec
        .as_ref()
        .and_then(|spec| spec.template.spec.as_ref())
        .and_then(|pod| pod.containers.first())
        .and_then(|container| container.image.as_deref());
    let digest = image
        .and_then(|image| image.rsplit_once('@'))
        .and_then(|(_, d)| Digest::parse(d));
    Running {
        digest,
        complete: is_complete(deployment, authority, settled),
        pods: pods(deployment),
    }
}

fn pods(deployment: &Deployment) -> i32 {
    let status = deployment.status.as_ref();
    status.and_then(|status| status.replicas).unwrap_or(0)
}

/// Every pod of the Deployment runs its present template (the rule of `kubectl rollout status`), and
/// as many are available as the spec asks for; those that an autoscaler adds may still be starting.
fn is_complete(deployment: &Deployment, authority: Authority, settled: bool) -> bool {
    let (Some(spec), Some(status)) = (&deployment.spec, &deployment.status) else {
        return false;
    };
    let fewest = authority.fewest(spec.replicas.unwrap_or(replicas::API_DEFAULT));
    let updated = status.updated_replicas.unwrap_or(0);
    let observed = status.observed_generation >= deployment.metadata.generation;
    (observed || settled)
        && updated >= fewest
        && status.replicas.unwrap_or(0) <= updated
        && status.available_replicas.unwrap_or(0) >= fewest
}

/// The Deployment controller's word that a rollout stands still (`Progressing=False`).
pub fn deadline_message(deployment: &Deployment) -> Option<String> {
    deployment
        .status
        .as_ref()?
        .conditions
        .as_ref()?
        .iter()
        .find_map(|condition| {
            (condition.type_ == "Progressing" && condition.status == "False")
                .then(|| condition.message.clone().unwrap_or_default())
        })
}

#[cfg(test)]
mod tests;
