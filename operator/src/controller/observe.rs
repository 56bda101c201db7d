//! The latest answers of registry and database, and where the wanted image's migration stands.

use kube::ResourceExt as _;
use kube_runtime::reflector::ObjectRef;

use super::Context;
use super::fetch;
use super::secrets::{Credentials, SecretFault};
use super::validate::Validated;
use crate::api::v1alpha1::{MigrationState, PostServiceStatus};
use crate::build::{self, migration_job};
use crate::database::{DatabaseError, DatabaseFacts};
use crate::rollout::{self, Migration, Observed};

/// The latest answers of registry and database, and where the wanted image's migration stands.
pub(super) fn observe(
    spec: &Validated,
    status: &PostServiceStatus,
    inputs: &fetch::Inputs,
    credentials: &Result<Credentials, SecretFault>,
    building: Option<&build::Credentials>,
    ctx: &Context,
) -> (Observed, Option<String>) {
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
        ctx.databases.ask(spec, found, after, &who, pace)
    });
    let wanted = rollout::wanted(spec, status, image.as_ref());
    let job = wanted
        .zip(building)
        .map(|(image, credentials)| build::migration_job_name(spec, &image, credentials));
    let is_lost = schema_is_lost(status, credentials, database.as_ref());
    let observed = Observed {
        image,
        secrets_ready: credentials.is_ok(),
        database,
        running: inputs.running.clone(),
        migration: migration(spec, status, inputs, job.as_deref(), building, is_lost),
    };
    (observed, job)
}

fn migration(
    spec: &Validated,
    status: &PostServiceStatus,
    inputs: &fetch::Inputs,
    job: Option<&str>,
    building: Option<&build::Credentials>,
    is_lost: bool,
) -> Migration {
    if !spec.spec.database.migrations.enabled {
        return Migration::Disabled;
    }
    let (Some(name), Some(credentials)) = (job, building) else {
        return Migration::Pending;
    };
    let live = inputs.jobs.iter().find(|job| job.name_any() == name);
    match live.map(|job| (job, migration_job::state(job))) {
        Some((job, rollout::JobState::Failed))
            if migration_job::is_outdated(spec, credentials, job) =>
        {
            Migration::Retry
        }
        Some((_, rollout::JobState::Complete)) if is_lost => Migration::Retry,
        Some((_, state)) => Migration::Job(state),
        None if remembers_success(status, name) && !is_lost => {
            Migration::Job(rollout::JobState::Complete)
        }
        None => Migration::Pending,
    }
}

/// Whether the database had a schema and has none now: another, empty one answers at its address,
/// and what was migrated before is not migrated there.
fn schema_is_lost(
    status: &PostServiceStatus,
    credentials: &Result<Credentials, SecretFault>,
    answer: Option<&Result<DatabaseFacts, DatabaseError>>,
) -> bool {
    let (Ok(credentials), Some(Ok(facts))) = (credentials, answer) else {
        return false;
    };
    let known = status.database.as_ref();
    facts.schema_version.is_none()
        && known.is_some_and(|known| {
            known.name == credentials.place.name && known.schema_version.is_some()
        })
}

/// A Job that somebody removed after its success need not run again.
fn remembers_success(status: &PostServiceStatus, job: &str) -> bool {
    status
        .migration
        .as_ref()
        .is_some_and(|known| known.job == job && known.state == MigrationState::Complete)
}
