//! The Job that brings the schema up to an image's version before its pods start.

use std::sync::Arc;

use k8s_openapi::api::batch::v1::{
    Job, JobSpec, PodFailurePolicy, PodFailurePolicyOnExitCodesRequirement,
    PodFailurePolicyOnPodConditionsPattern, PodFailurePolicyRule,
};
use k8s_openapi::api::core::v1::{Container, PodSpec, PodTemplateSpec};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::ResourceExt as _;
use sha2::{Digest as _, Sha256};

use super::{
    COMPONENT, Credentials, FINGERPRINT, MIGRATION, database_tls, environment, labels, metadata,
    pod, truncated,
};
use crate::api::RETRY_ANNOTATION;
use crate::controller::validate::Validated;
use crate::registry::Digest;
use crate::rollout::JobState;

const CONTAINER: &str = "migrate";
/// `EX_TEMPFAIL` of sysexits.h: `post-service migrate` could not connect.
const CANNOT_CONNECT: i32 = 75;
/// Generation of the spec for which the Job was made.
const GENERATION_ANNOTATION: &str = "platform.hhottdogg.shop/generation";

/// Name of the Job for an image and a database: one success per (digest, server, database).
pub fn name(spec: &Validated, digest: &Digest, credentials: &Credentials) -> String {
    let mut hash = Sha256::new();
    hash.update(digest.as_str());
    hash.update([0]);
    hash.update(&credentials.database);
    format!(
        "{}-migrate-{}",
        truncated(&spec.id.name),
        hex::encode(&hash.finalize()[..5])
    )
}

pub(super) fn build(spec: &Validated, digest: &Digest, credentials: &Credentials) -> Job {
    let mut job_metadata = metadata(spec, &name(spec, digest, credentials));
    job_metadata.annotations = Some(
        [
            (
                GENERATION_ANNOTATION.into(),
                spec.id.generation.unwrap_or_default().to_string(),
            ),
            (
                RETRY_ANNOTATION.into(),
                spec.retry.clone().unwrap_or_default(),
            ),
            (FINGERPRINT.into(), credentials.fingerprint.clone()),
        ]
        .into(),
    );
    let mut pod_labels = labels(&spec.id.name);
    pod_labels.insert(COMPONENT.into(), MIGRATION.into());
    Job {
        metadata: job_metadata,
        spec: Some(JobSpec {
            active_deadline_seconds: Some(
                i64::try_from(spec.migration_timeout.as_secs()).unwrap_or(i64::MAX),
            ),
            backoff_limit: Some(2),
            pod_failure_policy: Some(failure_policy()),
            template: PodTemplateSpec {
                metadata: Some(ObjectMeta {
                    labels: Some(pod_labels),
                    ..ObjectMeta::default()
                }),
                spec: Some(migrating_pod(spec, digest, credentials)),
            },
            ..JobSpec::default()
        }),
        status: None,
    }
}

/// Name of the Job that ends an adoption: one for each database.
pub fn finish_name(spec: &Validated, credentials: &Credentials) -> String {
    let hash = Sha256::digest(&credentials.database);
    format!(
        "{}-finish-{}",
        truncated(&spec.id.name),
        hex::encode(&hash[..5])
    )
}

/// The Job that ends an adoption, once no writer of the old service is left.
pub fn finish(spec: &Validated, digest: &Digest, credentials: &Credentials) -> Job {
    let mut job = build(spec, digest, credentials);
    job.metadata.name = Some(finish_name(spec, credentials));
    let pod = job.spec.as_mut().and_then(|job| job.template.spec.as_mut());
    for container in pod.into_iter().flat_map(|pod| &mut pod.containers) {
        container.args = Some(vec!["migrate".into(), "--finish".into()]);
    }
    job
}

/// Whether `job` ends an adoption.
pub fn is_finish(spec_name: &str, job: &Job) -> bool {
    job.name_any()
        .starts_with(&format!("{}-finish-", truncated(spec_name)))
}

/// No connection and drained nodes do not count; any other failure is final.
fn failure_policy() -> PodFailurePolicy {
    let exit_codes = |operator: &str, values: Vec<i32>| PodFailurePolicyOnExitCodesRequirement {
        container_name: Some(CONTAINER.into()),
        operator: operator.into(),
        values,
    };
    PodFailurePolicy {
        rules: vec![
            PodFailurePolicyRule {
                action: "Ignore".into(),
                on_pod_conditions: Some(vec![PodFailurePolicyOnPodConditionsPattern {
                    type_: "DisruptionTarget".into(),
                    status: "True".into(),
                }]),
                on_exit_codes: None,
            },
            PodFailurePolicyRule {
                action: "Ignore".into(),
                on_exit_codes: Some(exit_codes("In", vec![CANNOT_CONNECT])),
                on_pod_conditions: None,
            },
            PodFailurePolicyRule {
                action: "FailJob".into(),
                on_exit_codes: Some(exit_codes("NotIn", vec![0, CANNOT_CONNECT])),
                on_pod_conditions: None,
            },
        ],
    }
}

fn migrating_pod(spec: &Validated, digest: &Digest, credentials: &Credentials) -> PodSpec {
    let inputs = &spec.pod;
    let container = Container {
        args: Some(vec!["migrate".into()]),
        env: Some(environment::migrate(inputs, &credentials.migrator_url)),
        resources: Some(inputs.resources.clone()),
        ..pod::container(inputs, CONTAINER, digest)
    };
    let pod = PodSpec {
        restart_policy: Some("Never".into()),
        ..pod::spec(inputs, container)
    };
    match &spec.spec.database.tls.ca_secret_ref {
        Some(reference) => database_tls::mounted(pod, &reference.name, &reference.key),
        None => pod,
    }
}

/// Where a Job stands, by its conditions.
pub fn state(job: &Job) -> JobState {
    let conditions = job
        .status
        .iter()
        .flat_map(|status| status.conditions.iter().flatten());
    let mut state = JobState::Running;
    for condition in conditions.filter(|condition| condition.status == "True") {
        match condition.type_.as_str() {
            "Complete" | "SuccessCriteriaMet" => state = JobState::Complete,
            "Failed" | "FailureTarget" => state = JobState::Failed,
            _ => {}
        }
    }
    state
}

/// The uid of the Job that succeeded last.
pub fn last_ended(jobs: &[Arc<Job>]) -> Option<String> {
    let ended = |job: &&Arc<Job>| state(job) == JobState::Complete;
    let last = jobs
        .iter()
        .filter(ended)
        .max_by_key(|job| job.creation_timestamp().map(|time| time.0));
    last.and_then(|job| job.uid())
}

/// Whether spec, retry token or Secrets have changed since the Job was made: a failed one may be
/// tried again.
pub fn is_outdated(spec: &Validated, credentials: &Credentials, job: &Job) -> bool {
    let annotation = |key: &str| job.annotations().get(key).map_or("", String::as_str);
    annotation(GENERATION_ANNOTATION) != spec.id.generation.unwrap_or_default().to_string()
        || annotation(RETRY_ANNOTATION) != spec.retry.as_deref().unwrap_or_default()
        || annotation(FINGERPRINT) != credentials.fingerprint
}
