//! Rollouts: what shall run, what becomes of it, and how far it is. Pure; the state machine is in
//! [`machine`], the verdict on new pods in [`trial`].

pub mod machine;
pub mod pods;
pub mod quarantine;
pub mod replicas;
pub mod trial;

use std::sync::Arc;

use k8s_openapi::api::apps::v1::{Deployment, DeploymentCondition};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use k8s_openapi::jiff::Timestamp;

use crate::api::v1alpha1::{ImageRef, PostServiceStatus, RolloutStep};
use crate::build::{self, Revision};
use crate::controller::validate::{Selector, Validated};
use crate::database::{DatabaseError, DatabaseFacts};
use crate::registry::{Digest, RegistryError, RegistryImage};
use machine::Memory;
use replicas::Authority;

/// What a pass knows of the outside, beside the spec.
#[derive(Clone, Debug)]
pub struct Observed {
    /// The registry's latest answer; `None`: not yet asked.
    pub image: Option<Result<RegistryImage, RegistryError>>,
    /// Whether the Secrets hold what is needed.
    pub secrets_ready: bool,
    /// The database's latest answer; `None`: not yet asked.
    pub database: Option<Result<DatabaseFacts, DatabaseError>>,
    /// The live Deployment; `None`: there is none.
    pub running: Option<Running>,
    /// The migration Job of what shall run.
    pub migration: Migration,
}

impl Observed {
    /// Whether pods could start and serve.
    pub fn is_ready(&self) -> bool {
        self.secrets_ready && matches!(self.database, Some(Ok(_)))
    }

    /// Whether the schema fits what shall run.
    pub fn is_migrated(&self) -> bool {
        matches!(
            self.migration,
            Migration::Disabled | Migration::Job(JobState::Complete)
        )
    }
}

/// The live Deployment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Running {
    /// Id of the revision that it is told to run; `None`: an older version of the operator made it.
    pub revision: Option<String>,
    /// Every pod runs the template, and as many are available as the spec asks for.
    pub complete: bool,
    /// Pods that exist.
    pub pods: i32,
    /// Pods that serve.
    pub available: i32,
    /// When its controller last came nearer to what it is told.
    pub progress_at: Option<Timestamp>,
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

/// What is known of an image's migration.
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

/// Where a `PostService` stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// The wanted image is unknown.
    Resolving,
    /// Secrets or database are not ready.
    Bootstrapping,
    /// The Job of what shall run has not succeeded.
    Migrating,
    /// The Job of what shall run failed; old pods serve on.
    MigrationFailed,
    /// Another revision is wanted, but rollouts are held.
    Held,
    /// The first new pod runs alone beside all old ones.
    Baking,
    /// The Deployment replaces its pods, or brings back what it lost.
    RollingOut,
    /// The pods of the last good revision come back.
    RollingBack,
    /// They are back; what the spec asks for is in quarantine.
    RolledBack,
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
            Self::Baking => "Baking",
            Self::RollingOut => "RollingOut",
            Self::RollingBack => "RollingBack",
            Self::RolledBack => "RolledBack",
            Self::Idle => "Idle",
            Self::Stopped => "Stopped",
        }
    }
}

/// What the Deployment shall be.
#[derive(Clone, Debug, PartialEq)]
pub enum Workload {
    /// Run this revision.
    Run {
        /// Which.
        revision: Arc<Revision>,
        /// One pod of it, beside all others.
        baking: bool,
    },
    /// Leave whatever is there.
    Keep,
}

/// What the migration Jobs shall be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum MigrationJob {
    /// A Job of this image, which alone is needed.
    Run(Digest),
    /// Remove this image's failed Job, so that the next pass makes it anew.
    Remove(Digest),
    /// Leave whatever is there.
    Keep,
}

/// What this pass shall bring about.
#[derive(Clone, Debug, PartialEq)]
pub struct Plan {
    /// Where the rollout stands.
    pub step: Step,
    /// The Deployment.
    pub workload: Workload,
    /// The migration Jobs.
    pub migration: MigrationJob,
}

impl Plan {
    /// Whether pods may be started: they would run what is wanted, or what is held.
    pub fn starts_pods(&self) -> bool {
        self.step == Step::Held || matches!(self.workload, Workload::Run { .. })
    }
}

/// The image that the spec asks for: as the registry says, or as it said when `status` was written
/// and the registry does not answer now.
pub fn wanted_image(
    spec: &Validated,
    status: &PostServiceStatus,
    observed: Option<&Result<RegistryImage, RegistryError>>,
) -> Option<ImageRef> {
    let repository = Some(spec.spec.image.repository.clone());
    match (&spec.selector, observed) {
        (Selector::Digest(digest), _) => Some(ImageRef {
            repository,
            digest: digest.to_string(),
            ..ImageRef::default()
        }),
        (_, Some(Ok(image))) => Some(ImageRef {
            repository,
            tag: image.tag.clone(),
            digest: image.digest.to_string(),
            pushed_at: image.pushed_at.map(Time),
        }),
        (selector, None | Some(Err(RegistryError::Unavailable { .. }))) => {
            let known = status.image.desired.clone();
            known.filter(|known| {
                let tag = known.tag.as_deref();
                known.repository == repository && tag.is_some_and(|tag| selector.admits(tag))
            })
        }
        (_, Some(Err(_))) => None,
    }
}

/// What is known of what shall run.
#[derive(Clone, Debug)]
pub struct Aim {
    /// The image that the spec asks for; `None`: unknown.
    pub image: Option<ImageRef>,
    /// The revision that the spec asks for; `None`: unknown.
    pub wanted: Option<Arc<Revision>>,
    /// What shall run: see [`machine::target`].
    pub target: Option<machine::Candidate>,
    /// The revision that the Deployment is told to run.
    pub current: Option<Arc<Revision>>,
    /// Changed values of Secrets must still stay as they are for a while.
    pub unsettled: bool,
}

/// What to do, now that `memory` is written down. Total: the same arguments give the same plan.
pub fn plan(spec: &Validated, memory: &Memory, aim: &Aim, observed: &Observed) -> Plan {
    let step = step(spec, memory, aim, observed);
    let workload = match (&aim.current, step) {
        (_, Step::Stopped) | (None, _) => Workload::Keep,
        (Some(revision), _) => Workload::Run {
            revision: revision.clone(),
            baking: memory.step == RolloutStep::Baking,
        },
    };
    Plan {
        step,
        workload,
        migration: migration_job(step, aim, observed),
    }
}

fn step(spec: &Validated, memory: &Memory, aim: &Aim, observed: &Observed) -> Step {
    if spec.spec.stopped {
        return Step::Stopped;
    }
    match memory.step {
        RolloutStep::Baking => Step::Baking,
        RolloutStep::RollingOut => Step::RollingOut,
        RolloutStep::RollingBack => Step::RollingBack,
        RolloutStep::Migrating if !observed.is_ready() => Step::Bootstrapping,
        RolloutStep::Migrating => migrating(observed),
        RolloutStep::Idle => at_rest(spec, memory, aim, observed),
    }
}

fn migrating(observed: &Observed) -> Step {
    match observed.migration {
        Migration::Job(JobState::Failed) => Step::MigrationFailed,
        _ => Step::Migrating,
    }
}

/// No rollout is under way: why one does not begin, or whether what runs is all that is asked for.
fn at_rest(spec: &Validated, memory: &Memory, aim: &Aim, observed: &Observed) -> Step {
    let current = memory.current.as_ref().map(|current| &current.id);
    let complete = observed.running.as_ref().is_some_and(|live| live.complete);
    let Some(target) = &aim.target else {
        return match (&aim.image, complete) {
            (None, _) => Step::Resolving,
            (Some(_), false) => Step::Bootstrapping,
            // What is wanted is in quarantine, and nothing is known to be good.
            (Some(_), true) if aim.wanted.is_some() => Step::RolledBack,
            (Some(_), true) => Step::Idle,
        };
    };
    if Some(&target.id) == current {
        let lost_schema = observed.is_ready() && !observed.is_migrated();
        let asked_for = aim
            .wanted
            .as_ref()
            .is_none_or(|wanted| wanted.id == target.id);
        return match (lost_schema, complete, asked_for) {
            (true, _, _) => migrating(observed),
            (false, false, _) => Step::RollingOut,
            (false, true, true) => Step::Idle,
            (false, true, false) => Step::RolledBack,
        };
    }
    if spec.spec.rollout.hold && current.is_some() {
        Step::Held
    } else if aim.unsettled {
        Step::RollingOut
    } else {
        Step::Bootstrapping
    }
}

fn migration_job(step: Step, aim: &Aim, observed: &Observed) -> MigrationJob {
    let Some(target) = &aim.target else {
        return MigrationJob::Keep;
    };
    let waits = matches!(step, Step::Stopped | Step::Held) || !observed.is_ready();
    match observed.migration {
        _ if waits || aim.unsettled => MigrationJob::Keep,
        Migration::Disabled => MigrationJob::Keep,
        Migration::Retry => MigrationJob::Remove(target.digest.clone()),
        Migration::Pending | Migration::Job(_) => MigrationJob::Run(target.digest.clone()),
    }
}

/// The live Deployment, as the state machine sees it. `settled`: the last report found everything
/// asked for running, so that a change that the Deployment's controller has not seen yet can only be
/// one of the number of pods.
pub fn running(deployment: &Deployment, authority: Authority, settled: bool) -> Running {
    let status = deployment.status.as_ref();
    let progressing = condition(deployment, "Progressing");
    Running {
        revision: build::deployed_revision(deployment).map(str::to_owned),
        complete: is_complete(deployment, authority, settled),
        pods: status.and_then(|status| status.replicas).unwrap_or(0),
        available: status
            .and_then(|status| status.available_replicas)
            .unwrap_or(0),
        progress_at: progressing
            .and_then(|progressing| progressing.last_update_time.as_ref())
            .map(|time| time.0),
    }
}

fn condition<'a>(deployment: &'a Deployment, type_: &str) -> Option<&'a DeploymentCondition> {
    let status = deployment.status.as_ref()?;
    let mut conditions = status.conditions.iter().flatten();
    conditions.find(|condition| condition.type_ == type_)
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

/// The Deployment controller's word that it comes no nearer to what it is told
/// (`Progressing=False`).
pub fn deadline_message(deployment: &Deployment) -> Option<String> {
    let progressing = condition(deployment, "Progressing").filter(|c| c.status == "False")?;
    Some(progressing.message.clone().unwrap_or_default())
}

#[cfg(test)]
mod tests;
