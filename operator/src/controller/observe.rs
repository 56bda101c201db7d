//! The latest answers of registry and database, and where a migration stands.

use kube::ResourceExt as _;
use kube_runtime::reflector::ObjectRef;

use super::Context;
use super::fetch;
use super::secrets::{Credentials, SecretFault};
use super::validate::Validated;
use crate::api::v1alpha1::{MigrationState, PostServiceStatus};
use crate::build::{self, migration_job};
use crate::database::{DatabaseError, DatabaseFacts};
use crate::rollout::pods::Trouble;
use crate::rollout::trial::Evidence;
use crate::rollout::{JobState, Migration, Observed};

/// The latest answers of registry and database. Where migration of what shall run stands is not
/// known yet.
pub(super) fn observe(
    spec: &Validated,
    status: &PostServiceStatus,
    inputs: &fetch::Inputs,
    credentials: &Result<Credentials, SecretFault>,
    kept_accounts: Vec<String>,
    ctx: &Context,
) -> Observed {
    let who = ObjectRef::new(&spec.id.name).within(&spec.id.namespace);
    let image = (!spec.spec.stopped)
        .then(|| {
            let pace = ctx.settings.pace;
            ctx.images.ask(spec, status, &who, pace)
        })
        .flatten();
    let after = migration_job::last_ended(&inputs.jobs);
    let database = credentials.as_ref().ok().and_then(|found| {
        let pace = ctx.settings.pace;
        ctx.databases
            .ask(spec, found, after, kept_accounts, &who, pace)
    });
    Observed {
        image,
        secrets_ready: credentials.is_ok(),
        database,
        running: inputs.running.clone(),
        migration: Migration::Pending,
    }
}

/// Where the migration of an image stands.
pub(super) fn migration(
    spec: &Validated,
    status: &PostServiceStatus,
    inputs: &fetch::Inputs,
    job: Option<&str>,
    building: Option<&build::Credentials>,
    database: Option<&Result<DatabaseFacts, DatabaseError>>,
) -> Migration {
    if !spec.spec.database.migrations.enabled {
        return Migration::Disabled;
    }
    let (Some(name), Some(credentials)) = (job, building) else {
        return Migration::Pending;
    };
    let is_lost = schema_is_lost(status, credentials, database);
    let live = inputs.jobs.iter().find(|job| job.name_any() == name);
    match live.map(|job| (job, migration_job::state(job))) {
        Some((job, JobState::Failed)) if migration_job::is_outdated(spec, credentials, job) => {
            Migration::Retry
        }
        Some((_, JobState::Complete)) if is_lost => Migration::Retry,
        // The Job would wait for its time limit. Should its pod start after all, it goes on.
        Some((_, JobState::Running)) if stuck(inputs, name).is_some() => {
            Migration::Job(JobState::Failed)
        }
        Some((_, state)) => Migration::Job(state),
        None if remembers_success(status, name) && !is_lost => Migration::Job(JobState::Complete),
        None => Migration::Pending,
    }
}

/// Why the pod of this migration Job does not start, and will not as it is: its image, its container.
pub(super) fn stuck<'a>(inputs: &'a fetch::Inputs, job: &str) -> Option<&'a Evidence> {
    let pods = inputs.migrating.iter().filter(|pod| !pod.ending);
    let mut pods = pods.filter(|pod| pod.name.starts_with(job));
    pods.find_map(|pod| match &pod.trouble {
        Some(Trouble::Fatal(evidence)) => Some(evidence),
        _ => None,
    })
}

/// Whether the database had a schema and has none now: another, empty one answers at its address,
/// and what was migrated before is not migrated there.
fn schema_is_lost(
    status: &PostServiceStatus,
    credentials: &build::Credentials,
    answer: Option<&Result<DatabaseFacts, DatabaseError>>,
) -> bool {
    let Some(Ok(facts)) = answer else {
        return false;
    };
    let known = status.database.as_ref();
    facts.schema_version.is_none()
        && known.is_some_and(|known| {
            known.name == credentials.database_name && known.schema_version.is_some()
        })
}

/// A Job that somebody removed after its success need not run again.
fn remembers_success(status: &PostServiceStatus, job: &str) -> bool {
    status
        .migration
        .as_ref()
        .is_some_and(|known| known.job == job && known.state == MigrationState::Complete)
}
