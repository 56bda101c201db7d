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
//! | RollingOut    | the Deployment has not replaced its pods      | Idle                            |
//! | Idle          | everything asked for runs                     | any of the above                |
//!
//! Baking and rolling back take their places between Migrating and Idle.

use k8s_openapi::api::apps::v1::Deployment;

use crate::api::v1alpha1::{ImageRef, PostServiceStatus};
use crate::controller::validate::{Selector, Validated};
use crate::database::{DatabaseError, DatabaseFacts};
use crate::registry::{Digest, RegistryError, RegistryImage};

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
    /// Every pod runs the template and is available.
    pub complete: bool,
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
    /// Remove the failed Job, so that the next pass makes it anew.
    Remove,
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

/// The image that the spec asks for: as the registry says, or as it said when `status` was written
/// and the registry does not answer now.
pub fn wanted(
    spec: &Validated,
    status: &PostServiceStatus,
    observed: Option<&Result<RegistryImage, RegistryError>>,
) -> Option<Image> {
    match (&spec.selector, observed) {
        (Selector::Digest(digest), _) => Some(Image {
            digest: digest.clone(),
            reference: ImageRef {
                digest: digest.to_string(),
                ..ImageRef::default()
            },
        }),
        (Selector::Tag(tag), Some(Ok(image))) => Some(Image {
            digest: image.digest.clone(),
            reference: ImageRef {
                tag: Some(tag.clone()),
                digest: image.digest.to_string(),
                pushed_at: image
                    .pushed_at
                    .map(k8s_openapi::apimachinery::pkg::apis::meta::v1::Time),
            },
        }),
        (Selector::Tag(tag), None | Some(Err(RegistryError::Unavailable { .. }))) => status
            .image
            .desired
            .as_ref()
            .filter(|known| known.tag.as_ref() == Some(tag))
            .and_then(from_status),
        (Selector::Tag(_), Some(Err(_))) => None,
    }
}

fn from_status(reference: &ImageRef) -> Option<Image> {
    Digest::parse(&reference.digest).map(|digest| Image {
        digest,
        reference: reference.clone(),
    })
}

/// What to do next. Total and without memory: the same arguments give the same plan.
pub fn next(spec: &Validated, status: &PostServiceStatus, observed: &Observed) -> Plan {
    let Some(wanted) = wanted(spec, status, observed.image.as_ref()) else {
        return Plan {
            step: Step::Resolving,
            wanted: None,
            workload: Workload::Keep,
            migration: MigrationJob::Keep,
        };
    };
    let plan = |step, workload, migration| Plan {
        step,
        wanted: Some(wanted.clone()),
        workload,
        migration,
    };
    let running_digest = observed
        .running
        .as_ref()
        .and_then(|running| running.digest.as_ref());
    if spec.spec.rollout.hold && running_digest.is_some_and(|digest| *digest != wanted.digest) {
        return plan(Step::Held, Workload::Keep, MigrationJob::Keep);
    }
    let database_ready = matches!(observed.database, Some(Ok(_)));
    if !observed.secrets_ready || !database_ready {
        return plan(
            step_without_database(&wanted, observed),
            workload_without_database(status, observed),
            MigrationJob::Keep,
        );
    }
    match observed.migration {
        Migration::Pending | Migration::Job(JobState::Running) => plan(
            Step::Migrating,
            Workload::Keep,
            MigrationJob::Run(wanted.clone()),
        ),
        Migration::Job(JobState::Failed) => plan(
            Step::MigrationFailed,
            Workload::Keep,
            MigrationJob::Run(wanted.clone()),
        ),
        Migration::Retry => plan(Step::Migrating, Workload::Keep, MigrationJob::Remove),
        Migration::Job(JobState::Complete) => {
            let (workload, migration) = (
                Workload::Run(wanted.clone()),
                MigrationJob::Run(wanted.clone()),
            );
            plan(step_of_workload(&wanted, observed), workload, migration)
        }
        Migration::Disabled => plan(
            step_of_workload(&wanted, observed),
            Workload::Run(wanted.clone()),
            MigrationJob::Keep,
        ),
    }
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

/// Without the database nothing new is rolled out; a Deployment that somebody deleted comes back.
fn workload_without_database(status: &PostServiceStatus, observed: &Observed) -> Workload {
    if observed.running.is_some() || !observed.secrets_ready {
        return Workload::Keep;
    }
    status
        .image
        .last_good
        .as_ref()
        .and_then(from_status)
        .map_or(Workload::Keep, Workload::Run)
}

/// The live Deployment, as the state machine sees it.
pub fn running(deployment: &Deployment) -> Running {
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
        complete: is_complete(deployment),
    }
}

/// Every pod of the Deployment runs its present template and is available (the rule of
/// `kubectl rollout status`).
pub fn is_complete(deployment: &Deployment) -> bool {
    let (Some(spec), Some(status)) = (&deployment.spec, &deployment.status) else {
        return false;
    };
    let wanted = spec.replicas.unwrap_or(1);
    status.observed_generation >= deployment.metadata.generation
        && status.updated_replicas.unwrap_or(0) >= wanted
        && status.replicas.unwrap_or(0) <= status.updated_replicas.unwrap_or(0)
        && status.available_replicas.unwrap_or(0) >= status.updated_replicas.unwrap_or(0)
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
