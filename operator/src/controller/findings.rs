//! From what a pass found to conditions. Pure.

mod rollout;

use k8s_openapi::api::apps::v1::Deployment;

use super::report::Pass;
use super::retention;
use super::secrets::{Credentials, SecretFault};
use super::{load_balancer, observe};
use crate::adoption;
use crate::api::RETRY_ANNOTATION;
use crate::api::conditions::{ConditionType, Finding, Truth};
use crate::api::v1alpha1::AdoptionStep;
use crate::build::service;
use crate::database::DatabaseFacts;
use crate::database::budget::Budget;
use crate::registry::RegistryError;
use crate::rollout::pods::Trouble;
use crate::rollout::{JobState, Migration, Step};

/// Every condition, from what the pass found. Pure; nothing of an earlier pass goes in.
pub fn all(pass: &Pass<'_>) -> Vec<Finding> {
    let mut findings = vec![
        available(pass.inputs.deployment.as_deref()),
        load_balancer::finding(
            service::exposure(pass.spec),
            &pass.inputs.load_balancer,
            pass.previous,
            pass.now,
        ),
    ];
    if pass.plan.step == Step::Stopped {
        // Nothing else was looked at.
        findings.extend(stopped(pass));
        return findings;
    }
    findings.push(secrets(pass.credentials));
    findings.extend(image(pass));
    findings.extend(retention::finding(
        &pass.retention,
        &pass.previous.conditions,
    ));
    findings.extend(database_finding(pass));
    findings.extend(migrations(pass));
    findings.extend(pass.adoption.map(|plan| adoption(pass, plan)));
    findings.extend(overall(pass));
    findings
}

fn stopped(pass: &Pass<'_>) -> Vec<Finding> {
    let finding = Finding::new;
    match pass
        .observed
        .running
        .as_ref()
        .map_or(0, |running| running.pods)
    {
        0 => vec![finding(
            ConditionType::Ready,
            Truth::True,
            "Stopped",
            "spec.stopped is true: no pods run, and the database is left alone".to_owned(),
        )],
        pods => {
            let message = format!("spec.stopped is true: {pods} pod(s) are still ending");
            vec![
                finding(
                    ConditionType::Ready,
                    Truth::False,
                    "Progressing",
                    message.clone(),
                ),
                finding(ConditionType::Reconciling, Truth::True, "Stopping", message),
            ]
        }
    }
}

fn overall(pass: &Pass<'_>) -> Vec<Finding> {
    let trouble = trouble(pass);
    let ready =
        |truth, reason, message: &str| Finding::new(ConditionType::Ready, truth, reason, message);
    let progressing = |reason: &'static str, message: &str| {
        vec![
            ready(Truth::False, "Progressing", message),
            Finding::new(ConditionType::Reconciling, Truth::True, reason, message),
        ]
    };
    let stuck = |reason: &'static str, message: &str| {
        vec![
            ready(Truth::False, "Degraded", message),
            Finding::new(ConditionType::Stalled, Truth::True, reason, message),
        ]
    };
    if let Some(adoption) = pass.adoption.filter(|adoption| adoption.is_blocked()) {
        return stuck("ObjectConflict", &adoption.status.message);
    }
    match (pass.plan.step, trouble) {
        (Step::Stopped, _) => stopped(pass),
        (Step::Idle, None) if let Some(adoption) = under_way(pass) => {
            let message = &adoption.status.message;
            match adoption.status.step {
                AdoptionStep::FinishFailed => stuck("MigrationFailed", message),
                _ if adoption.needs_help => stuck("ObjectConflict", message),
                _ => progressing("Adopting", message),
            }
        }
        (Step::Idle, None) => vec![ready(
            Truth::True,
            "UpToDate",
            "everything asked for is running",
        )],
        (Step::Held, _) => vec![ready(
            Truth::False,
            "Held",
            "spec.rollout.hold is true: another image is wanted and waits",
        )],
        (Step::MigrationFailed, trouble) => stuck(
            "MigrationFailed",
            &trouble.unwrap_or_else(|| "the migration failed".into()),
        ),
        (Step::Resolving, None) => {
            progressing("Bootstrapping", "asking the registry for the image")
        }
        (Step::Idle | Step::Resolving | Step::Bootstrapping, Some(trouble)) => {
            vec![ready(Truth::False, "Degraded", &trouble)]
        }
        (Step::Bootstrapping, None) => progressing("Bootstrapping", "connecting to the database"),
        (Step::Migrating, _) => {
            let mut pods = pass.inputs.migrating.iter().filter(|pod| !pod.ending);
            let trouble = pods.find_map(|pod| pod.trouble.as_ref());
            let words = trouble.map_or("the migration Job is running".into(), Trouble::to_string);
            progressing("Migrating", &words)
        }
        (Step::Baking | Step::RollingOut | Step::RollingBack | Step::RolledBack, _) => {
            rollout::overall(pass)
        }
    }
}

/// An adoption that has not come to its end.
fn under_way<'a>(pass: &Pass<'a>) -> Option<&'a adoption::Plan> {
    let is_over = |plan: &&adoption::Plan| plan.status.step == AdoptionStep::Complete;
    pass.adoption.filter(|plan| !is_over(plan))
}

fn adoption(pass: &Pass<'_>, plan: &adoption::Plan) -> Finding {
    let (truth, reason) = match plan.status.step {
        AdoptionStep::Complete if plan.needs_help => (Truth::False, "OldObjectsReturned"),
        AdoptionStep::Complete => (Truth::True, "Complete"),
        step => (Truth::False, step.as_str()),
    };
    let mut message = plan.status.message.clone();
    if let Some(port) = pass.front.missing_port(pass.spec) {
        let note = format!(
            ". Port {port} is not added to the Service: its only port has no name, and giving it one \
             would refuse connections for a moment. Give it one at a quiet time, or set service.port"
        );
        message.push_str(&note);
    }
    Finding::new(ConditionType::AdoptionComplete, truth, reason, message)
}

/// The first thing that is wrong, as a sentence.
fn trouble(pass: &Pass<'_>) -> Option<String> {
    if let Err(fault) = pass.credentials {
        return Some(fault.to_string());
    }
    if let Some(Err(error)) = &pass.observed.image
        && !(pass.plan.step == Step::Idle && is_transient(error))
    {
        return Some(error.to_string());
    }
    if pass.plan.step == Step::MigrationFailed {
        return Some(migration_failure(pass));
    }
    match &pass.observed.database {
        Some(Err(error)) => Some(error.to_string()),
        _ => None,
    }
}

fn is_transient(error: &RegistryError) -> bool {
    matches!(error, RegistryError::Unavailable { .. })
}

fn available(deployment: Option<&Deployment>) -> Finding {
    let pods = deployment
        .and_then(|deployment| deployment.status.as_ref())
        .and_then(|status| status.available_replicas)
        .unwrap_or(0);
    if pods > 0 {
        let message = format!("{pods} pod(s) serve");
        Finding::new(ConditionType::Available, Truth::True, "PodsServe", message)
    } else {
        Finding::new(
            ConditionType::Available,
            Truth::False,
            "NoPods",
            "no pod serves",
        )
    }
}

fn secrets(credentials: &Result<Credentials, SecretFault>) -> Finding {
    match credentials {
        Ok(_) => Finding::new(
            ConditionType::SecretsReady,
            Truth::True,
            "Found",
            "every referenced key has a value",
        ),
        Err(fault) => Finding::new(
            ConditionType::SecretsReady,
            Truth::False,
            fault.reason(),
            fault.to_string(),
        ),
    }
}

fn image(pass: &Pass<'_>) -> Option<Finding> {
    let finding = |truth, reason, message: String| {
        Some(Finding::new(
            ConditionType::ImageResolved,
            truth,
            reason,
            message,
        ))
    };
    match (&pass.observed.image, &pass.sight.aim.image) {
        (Some(Err(error)), _) => {
            let truth = if is_transient(error) {
                Truth::Unknown
            } else {
                Truth::False
            };
            finding(truth, image_reason(error), error.to_string())
        }
        (_, Some(wanted)) => finding(
            Truth::True,
            "Resolved",
            format!("{}@{}", pass.spec.spec.image.repository, wanted.digest),
        ),
        (_, None) => None,
    }
}

fn image_reason(error: &RegistryError) -> &'static str {
    match error {
        RegistryError::TagNotFound { .. }
        | RegistryError::Archived { .. }
        | RegistryError::RepositoryNotFound { .. } => "TagNotFound",
        RegistryError::NoMatchingTag { .. } => "NoMatchingTag",
        RegistryError::AccessDenied { .. } | RegistryError::NotPublic { .. } => "AccessDenied",
        RegistryError::Unavailable { .. } | RegistryError::Unsupported { .. } => {
            "RegistryUnavailable"
        }
    }
}

fn database_finding(pass: &Pass<'_>) -> Option<Finding> {
    let finding = |truth, reason, message: String| {
        Some(Finding::new(
            ConditionType::DatabaseReady,
            truth,
            reason,
            message,
        ))
    };
    let facts = match pass.observed.database.as_ref()? {
        Ok(facts) => facts,
        Err(error) => return finding(Truth::False, error.reason(), error.to_string()),
    };
    let name = &pass.credentials.as_ref().ok()?.place.name;
    let ready = format!("database {name} accepts the service's account");
    if let Some(error) = &facts.warning {
        return finding(
            Truth::True,
            error.reason(),
            format!("{ready}, but: {error}"),
        );
    }
    match budget(pass, facts).warning() {
        Some(warning) => finding(
            Truth::True,
            "ConnectionBudget",
            format!("{ready}; {warning}"),
        ),
        None => finding(Truth::True, "Ready", ready),
    }
}

/// Connections at the worst moment of a rollout.
fn budget(pass: &Pass<'_>, facts: &DatabaseFacts) -> Budget {
    let spec = &pass.spec.spec;
    let pods = if spec.autoscaling.enabled {
        spec.autoscaling.max_replicas
    } else {
        spec.replicas.unwrap_or(1)
    };
    Budget::new(
        pods.unsigned_abs().into(),
        &spec.rollout.max_surge,
        spec.database.pool_size.unsigned_abs().into(),
        facts.connections.unwrap_or(u64::MAX),
    )
}

fn migrations(pass: &Pass<'_>) -> Option<Finding> {
    let finding = |truth, reason, message: String| {
        Some(Finding::new(
            ConditionType::MigrationsComplete,
            truth,
            reason,
            message,
        ))
    };
    match &pass.observed.migration {
        Migration::Job(JobState::Complete) => finding(
            Truth::True,
            "Complete",
            "the schema fits what shall run".into(),
        ),
        Migration::Disabled => finding(
            Truth::True,
            "Complete",
            "database.migrations.enabled is false".into(),
        ),
        Migration::Job(JobState::Failed) => {
            finding(Truth::False, "Failed", migration_failure(pass))
        }
        Migration::Job(JobState::Running) | Migration::Retry => finding(
            Truth::False,
            "Running",
            format!("Job {} is running", pass.job.as_deref().unwrap_or_default()),
        ),
        Migration::Pending => None,
    }
}

/// Why the migration failed, and what to do.
pub fn migration_failure(pass: &Pass<'_>) -> String {
    let job = pass.job.as_deref().unwrap_or_default();
    let stuck = observe::stuck(pass.inputs, job).map(ToString::to_string);
    let words = pass.inputs.migration_failure.clone().or(stuck);
    let words = words.unwrap_or_else(|| "its pod left no message".to_owned());
    format!(
        "migration Job {job} failed: {words}. Mend the cause, then set annotation {RETRY_ANNOTATION} to a new value"
    )
}
