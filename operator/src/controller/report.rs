//! What a pass found, as status and conditions. Pure.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};
use k8s_openapi::jiff::Timestamp;

use super::fetch::Inputs;
use super::findings;
use super::retention;
use super::rollouts::Sight;
use super::secrets::{Credentials, SecretFault};
use super::validate::Validated;
use crate::adoption;
use crate::api::conditions::{ConditionType, Finding, Truth};
use crate::api::v1alpha1::{
    DatabaseStatus, Endpoint, ImageStatus, MigrationState, MigrationStatus, PostServiceStatus,
};
use crate::build::{self, Front};
use crate::rollout::machine::{Candidate, Memory, Seen};
use crate::rollout::{JobState, Migration, Observed, Plan};

/// Everything a pass found out, for [`status`].
pub struct Pass<'a> {
    /// The spec.
    pub spec: &'a Validated,
    /// What was read.
    pub inputs: &'a Inputs,
    /// The Secrets' content.
    pub credentials: &'a Result<Credentials, SecretFault>,
    /// What the planner saw.
    pub observed: &'a Observed,
    /// What the planner decided.
    pub plan: &'a Plan,
    /// What there is of rollouts.
    pub sight: &'a Sight,
    /// What the state machine remembers.
    pub memory: &'a Memory,
    /// What it saw.
    pub seen: &'a Seen,
    /// The migration Job of what shall run.
    pub job: Option<String>,
    /// The last report.
    pub previous: &'a PostServiceStatus,
    /// Time of the pass.
    pub now: Timestamp,
    /// Where the taking over of older objects stands.
    pub adoption: Option<&'a adoption::Plan>,
    /// Which Services there are.
    pub front: &'a Front,
    /// Whether the registry keeps what runs.
    pub retention: Vec<(retention::Needed, retention::Answer)>,
}

/// The status after a pass that went through. Pure.
pub fn status(pass: &Pass<'_>) -> PostServiceStatus {
    let (previous, now) = (pass.previous, pass.now);
    let deployment = pass.inputs.deployment.as_deref();
    let pods = deployment.and_then(|deployment| deployment.status.as_ref());
    PostServiceStatus {
        observed_generation: pass.spec.id.generation,
        phase: Some(pass.plan.step.as_str().to_owned()),
        image: images(pass),
        migration: migration(pass).or_else(|| previous.migration.clone()),
        adoption: pass.adoption.map(|adoption| adoption.status.clone()),
        database: database(pass, previous.database.as_ref()).or_else(|| previous.database.clone()),
        replicas: Some(pods.and_then(|pods| pods.replicas).unwrap_or(0)),
        ready_replicas: Some(pods.and_then(|pods| pods.ready_replicas).unwrap_or(0)),
        drain_delay: Some(format!("{}s", pass.spec.drain_delay.as_secs())),
        endpoints: endpoints(pass),
        conditions: conditions(
            findings::all(pass),
            pass.spec.id.generation,
            &previous.conditions,
            now,
        ),
        ..previous.clone()
    }
}

/// The status of an object that cannot be reconciled: what was known stays, `Stalled` says why.
pub fn stalled(
    generation: Option<i64>,
    previous: PostServiceStatus,
    reason: &'static str,
    message: &str,
    now: Timestamp,
) -> PostServiceStatus {
    let findings = vec![
        Finding::new(ConditionType::Ready, Truth::False, "Degraded", message),
        Finding::new(ConditionType::Stalled, Truth::True, reason, message),
    ];
    let conditions = with_others(findings, &previous, generation, now);
    PostServiceStatus {
        observed_generation: generation,
        phase: Some("Stalled".into()),
        conditions,
        ..previous
    }
}

/// The status of a suspended object: nothing but the conditions changes.
pub fn suspended(
    generation: Option<i64>,
    previous: PostServiceStatus,
    now: Timestamp,
) -> PostServiceStatus {
    let ready = Finding::new(
        ConditionType::Ready,
        Truth::False,
        "Suspended",
        "spec.suspend is true: nothing is changed until it is false",
    );
    PostServiceStatus {
        observed_generation: generation,
        phase: Some("Suspended".into()),
        conditions: with_others(vec![ready], &previous, generation, now),
        ..previous
    }
}

/// `findings`, and the last pass's conditions that they do not replace. `Reconciling` and `Stalled`
/// exist only while true.
fn with_others(
    findings: Vec<Finding>,
    previous: &PostServiceStatus,
    generation: Option<i64>,
    now: Timestamp,
) -> Vec<Condition> {
    let passing = [ConditionType::Reconciling, ConditionType::Stalled].map(ConditionType::as_str);
    let mut all = conditions(findings, generation, &previous.conditions, now);
    let others = previous.conditions.iter().filter(|old| {
        !passing.contains(&old.type_.as_str()) && !all.iter().any(|new| new.type_ == old.type_)
    });
    let others: Vec<_> = others.cloned().collect();
    all.extend(others);
    all
}

fn endpoints(pass: &Pass<'_>) -> Vec<Endpoint> {
    let id = &pass.spec.id;
    let port = build::service::port(pass.spec);
    let (service, cluster_port) = pass.front.cluster(pass.spec);
    let tls = &pass.spec.spec.service.load_balancer.tls;
    let scheme = if tls.certificate_arn.is_some() {
        "https"
    } else {
        "http"
    };
    let cluster = Endpoint {
        scope: "cluster".into(),
        url: format!("http://{service}.{}.svc:{cluster_port}", id.namespace),
    };
    let outside = pass
        .inputs
        .load_balancer
        .address
        .as_ref()
        .map(|address| Endpoint {
            scope: "loadBalancer".into(),
            url: if (scheme, port) == ("http", 80) || (scheme, port) == ("https", 443) {
                format!("{scheme}://{address}")
            } else {
                format!("{scheme}://{address}:{port}")
            },
        });
    outside.into_iter().chain([cluster]).collect()
}

fn images(pass: &Pass<'_>) -> ImageStatus {
    let of = |candidate: &Option<Candidate>| {
        let revision = pass.sight.find(&candidate.as_ref()?.id)?;
        Some(revision.content.image.clone())
    };
    let desired = pass.sight.aim.image.clone();
    ImageStatus {
        desired: desired.or_else(|| pass.previous.image.desired.clone()),
        current: of(&pass.memory.current),
        last_good: of(&pass.memory.good),
    }
}

fn migration(pass: &Pass<'_>) -> Option<MigrationStatus> {
    let state = match pass.observed.migration {
        Migration::Job(state) => state,
        Migration::Retry => JobState::Running,
        Migration::Disabled | Migration::Pending => return None,
    };
    let credentials = pass.credentials.as_ref().ok()?;
    Some(MigrationStatus {
        job: pass.job.clone()?,
        digest: pass.seen.target.as_ref()?.digest.to_string(),
        database: credentials.place.name.clone(),
        state: match state {
            JobState::Running => MigrationState::Running,
            JobState::Complete => MigrationState::Complete,
            JobState::Failed => MigrationState::Failed,
        },
        message: (state == JobState::Failed).then(|| findings::migration_failure(pass)),
    })
}

fn database(pass: &Pass<'_>, previous: Option<&DatabaseStatus>) -> Option<DatabaseStatus> {
    let credentials = pass.credentials.as_ref().ok()?;
    let facts = pass.observed.database.as_ref()?.as_ref().ok()?;
    let name = credentials.place.name.clone();
    let previous = previous.filter(|previous| previous.name == name);
    let known = previous.and_then(|previous| previous.schema_version.clone());
    Some(DatabaseStatus {
        name,
        user: credentials.account.as_ref()?.user.clone(),
        // A version that was seen stays until another one is: that it is gone is how a pass knows
        // that an empty database took the place of a migrated one.
        schema_version: facts
            .schema_version
            .map(|version| version.to_string())
            .or(known),
        credential_revision: Some(credentials.fingerprint.clone()),
        rotated_at: credentials.rotated_at.map(Time),
    })
}

fn conditions(
    findings: Vec<Finding>,
    generation: Option<i64>,
    previous: &[Condition],
    now: Timestamp,
) -> Vec<Condition> {
    findings
        .into_iter()
        .map(|finding| finding.into_condition(generation, previous, now))
        .collect()
}
