use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::Adopt;

/// What the operator saw and did.
#[derive(JsonSchema, Serialize, Deserialize, Clone, Debug, PartialEq, Default)]
#[serde(rename_all = "camelCase", default)]
pub struct PostServiceStatus {
    /// Generation of the spec that this status speaks of.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,
    /// One word for people; programs read the conditions.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub phase: Option<String>,
    /// Images wanted, running and last known to be good.
    pub image: ImageStatus,
    /// The rollout in progress, and what the Deployment runs.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rollout: Option<RolloutStatus>,
    /// Rollouts that failed and are not tried again by themselves.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 16))]
    pub quarantine: Vec<QuarantineEntry>,
    /// Images pushed until then, and failed, that `quarantine` had no room for: a policy does not
    /// select one of them.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub quarantine_watermark: Option<Time>,
    /// The last rollouts, newest first.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 5))]
    pub history: Vec<HistoryEntry>,
    /// The last migration Job.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub migration: Option<MigrationStatus>,
    /// The database in use.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub database: Option<DatabaseStatus>,
    /// Taking over what `spec.adopt` names.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub adoption: Option<AdoptionStatus>,
    /// Pods that exist.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub replicas: Option<i32>,
    /// Pods that serve.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ready_replicas: Option<i32>,
    /// Effective drain delay, a Go duration.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub drain_delay: Option<String>,
    /// Where the API is reached.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 8))]
    pub endpoints: Vec<Endpoint>,
    /// Conditions, recomputed at each pass from what was observed.
    #[schemars(extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["type"]))]
    #[schemars(length(max = 16))]
    pub conditions: Vec<Condition>,
}

/// Images wanted, running and last known to be good.
#[derive(JsonSchema, Serialize, Deserialize, Clone, Debug, PartialEq, Default)]
#[serde(rename_all = "camelCase", default)]
pub struct ImageStatus {
    /// What the spec resolves to.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub desired: Option<ImageRef>,
    /// What the Deployment runs.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub current: Option<ImageRef>,
    /// What last completed a rollout.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last_good: Option<ImageRef>,
}

/// A resolved image.
#[derive(JsonSchema, Serialize, Deserialize, Clone, Debug, PartialEq, Eq, Default)]
#[serde(rename_all = "camelCase", default)]
pub struct ImageRef {
    /// Repository with its registry host.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub repository: Option<String>,
    /// The tag by which it was found.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tag: Option<String>,
    /// Its digest.
    pub digest: String,
    /// When it was pushed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pushed_at: Option<Time>,
}

/// The memory of the rollout's state machine (`operator/src/rollout/machine.rs`); `current`,
/// `lastGood` and `pending` are names of `ControllerRevisions`.
#[derive(JsonSchema, Serialize, Deserialize, Clone, Debug, PartialEq, Eq, Default)]
#[serde(rename_all = "camelCase", default)]
pub struct RolloutStatus {
    /// Identity of the rollout: hash of digest, pod template inputs and secret values.
    pub id: String,
    /// Step of the state machine.
    pub step: RolloutStep,
    /// When it began.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub started_at: Option<Time>,
    /// When it last came nearer to its end.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last_progress_at: Option<Time>,
    /// Since when its clocks stand still, because of trouble that is not the new pods'.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub paused_at: Option<Time>,
    /// Revision that the Deployment is told to run.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub current: Option<String>,
    /// Revision to return to.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last_good: Option<String>,
    /// Revision on its way.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pending: Option<String>,
}

/// Step of a rollout; `operator/src/rollout/machine.rs` holds the table of transitions.
#[derive(JsonSchema, Serialize, Deserialize, Clone, Copy, Debug, PartialEq, Eq, Hash, Default)]
pub enum RolloutStep {
    /// No rollout is under way.
    #[default]
    Idle,
    /// The pending revision's migration has not succeeded.
    Migrating,
    /// Its first pod runs alone beside all old ones.
    Baking,
    /// Its pods take the places of the old ones.
    RollingOut,
    /// The pods of the last good revision come back.
    RollingBack,
}

/// A rollout that failed and is not tried again by itself.
#[derive(JsonSchema, Serialize, Deserialize, Clone, Debug, PartialEq, Eq, Default)]
#[serde(rename_all = "camelCase", default)]
pub struct QuarantineEntry {
    /// The rollout's identity.
    pub id: String,
    /// Its image.
    pub digest: String,
    /// When that image was pushed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pushed_at: Option<Time>,
    /// What is not tried again.
    pub cause: QuarantineCause,
    /// Why it failed: pod, reason, exit code and last words.
    #[schemars(length(max = 2048))]
    pub reason: String,
    /// When.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub at: Option<Time>,
    /// Generation of the spec that asked for it: another one may try again.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub generation: Option<i64>,
    /// Value of the retry annotation then: another one may try again.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub retry: Option<String>,
}

/// What a failed rollout takes the blame for.
#[derive(JsonSchema, Serialize, Deserialize, Clone, Copy, Debug, PartialEq, Eq, Hash, Default)]
pub enum QuarantineCause {
    /// The image was new: it is not tried with other Secrets either.
    #[default]
    Image,
    /// The image is the last good one: settings or Secrets were new.
    Configuration,
}

/// A rollout of the past.
#[derive(JsonSchema, Serialize, Deserialize, Clone, Debug, PartialEq, Eq, Default)]
#[serde(rename_all = "camelCase", default)]
pub struct HistoryEntry {
    /// The rollout's identity.
    pub id: String,
    /// Tag of its image.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tag: Option<String>,
    /// Digest of its image.
    pub digest: String,
    /// How it ended.
    pub result: RolloutResult,
    /// When it ended.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub at: Option<Time>,
}

/// How a rollout ended.
#[derive(JsonSchema, Serialize, Deserialize, Clone, Copy, Debug, PartialEq, Eq, Hash, Default)]
pub enum RolloutResult {
    /// Its pods serve.
    #[default]
    Succeeded,
    /// It failed, and the last good revision came back.
    RolledBack,
    /// Something else was wanted before it ended.
    Superseded,
}

/// The migration Job of the wanted image.
#[derive(JsonSchema, Serialize, Deserialize, Clone, Debug, PartialEq, Default)]
#[serde(rename_all = "camelCase", default)]
pub struct MigrationStatus {
    /// Name of the Job.
    pub job: String,
    /// Image that migrates.
    pub digest: String,
    /// Database that is migrated.
    pub database: String,
    /// Where the Job stands.
    pub state: MigrationState,
    /// Why it failed: the last lines of the Job's pod.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 4096))]
    pub message: Option<String>,
}

/// Where a migration Job stands.
#[derive(JsonSchema, Serialize, Deserialize, Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum MigrationState {
    /// Not ended.
    #[default]
    Running,
    /// Ended well.
    Complete,
    /// Ended badly.
    Failed,
}

/// The database in use.
#[derive(JsonSchema, Serialize, Deserialize, Clone, Debug, PartialEq, Default)]
#[serde(rename_all = "camelCase", default)]
pub struct DatabaseStatus {
    /// Its name.
    pub name: String,
    /// The account that the service uses.
    pub user: String,
    /// Version of the last migration applied.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub schema_version: Option<String>,
    /// Hash of the credentials in use.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub credential_revision: Option<String>,
    /// When the password was last changed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rotated_at: Option<Time>,
}

/// Taking over the objects of older manifests.
#[derive(JsonSchema, Serialize, Deserialize, Clone, Debug, PartialEq, Eq, Default)]
#[serde(rename_all = "camelCase", default)]
pub struct AdoptionStatus {
    /// Step of the state machine.
    pub step: AdoptionStep,
    /// When it began.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub since: Option<Time>,
    /// What happens, or what to do.
    #[schemars(length(max = 4096))]
    pub message: String,
    /// What `spec.adopt` named: other names are another adoption.
    pub objects: Adopt,
}

/// Step of an adoption; `operator/src/adoption` holds the table of transitions.
#[derive(JsonSchema, Serialize, Deserialize, Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum AdoptionStep {
    /// Something that is named cannot be taken over.
    Blocked,
    /// The old pods serve; new ones are brought about beside them.
    #[default]
    Preparing,
    /// The old Service is moved to the new pods.
    Switching,
    /// Open connections to the old pods come to rest.
    Draining,
    /// The old Deployment is scaled to zero.
    Retiring,
    /// `post-service migrate --finish` runs.
    Finishing,
    /// `post-service migrate --finish` failed.
    FinishFailed,
    /// The old objects are kept as a way back.
    Baking,
    /// The old objects are deleted.
    Removing,
    /// Nothing is left to do.
    Complete,
}

impl AdoptionStep {
    /// The word in `.status.adoption.step`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Blocked => "Blocked",
            Self::Preparing => "Preparing",
            Self::Switching => "Switching",
            Self::Draining => "Draining",
            Self::Retiring => "Retiring",
            Self::Finishing => "Finishing",
            Self::FinishFailed => "FinishFailed",
            Self::Baking => "Baking",
            Self::Removing => "Removing",
            Self::Complete => "Complete",
        }
    }
}

/// An address of the API.
#[derive(JsonSchema, Serialize, Deserialize, Clone, Debug, PartialEq, Default)]
#[serde(rename_all = "camelCase", default)]
pub struct Endpoint {
    /// `cluster` or `loadBalancer`.
    pub scope: String,
    /// Base URL.
    pub url: String,
}
