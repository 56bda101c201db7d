//! `platform.hhottdogg.shop/v1alpha1`, kind `PostService`.
//!
//! Defaults stand in the `Default` implementations, from which the CRD's schema takes them. Rules
//! that a schema can express (CEL) are written beside the fields they guard; `controller::validate`
//! applies the same rules again, since a stored object may be older than the schema.

mod database;
mod http;
mod image;
mod load_balancer;
mod rollout;
pub mod rules;
mod status;
mod workload;

pub use database::{
    Bootstrap, Connection, Database, Migrations, Rotation, SecretKeyRef, SecretRef, Tls, TlsMode,
};
pub use http::{Api, Auth, AuthSecretRef, Cognito, Comments, Deactivation, Media, RateLimit};
pub use image::{Image, NewestPushed, Policy, Semver};
pub use load_balancer::{
    HealthCheck, LoadBalancer, LoadBalancerTls, Scheme, Service, TARGET_GROUP_BINDING_PATTERN,
};
pub use rollout::{Bake, Rollout, TemplateUpdates};
pub use status::{
    AdoptionStatus, AdoptionStep, DatabaseStatus, Endpoint, HistoryEntry, ImageRef, ImageStatus,
    MigrationState, MigrationStatus, PostServiceStatus, QuarantineCause, QuarantineEntry,
    RolloutResult, RolloutStatus, RolloutStep,
};
pub use workload::{
    Adopt, Autoscaling, EnvVar, Monitoring, NetworkPolicy, Pod, PodDisruptionBudget, Resources,
    ServiceAccount, ServiceMonitorMode, TopologySpread,
};

use kube::CustomResource;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use rules::rule_at;

/// What a platform engineer asks of a Post Service.
#[expect(
    clippy::duplicated_attributes,
    reason = "each printcolumn has a type and a priority"
)]
#[derive(CustomResource, JsonSchema, Serialize, Deserialize, Clone, Debug, PartialEq)]
#[kube(
    group = "platform.hhottdogg.shop",
    version = "v1alpha1",
    kind = "PostService",
    plural = "postservices",
    shortname = "postsvc",
    category = "all",
    namespaced,
    status = "PostServiceStatus",
    derive = "PartialEq",
    doc = "A community board's REST API with its database schema, load balancer, scaling and image rollouts.",
    printcolumn(
        name = "Ready",
        type_ = "string",
        json_path = ".status.conditions[?(@.type==\"Ready\")].status"
    ),
    printcolumn(
        name = "Reason",
        type_ = "string",
        json_path = ".status.conditions[?(@.type==\"Ready\")].reason"
    ),
    printcolumn(
        name = "Tag",
        type_ = "string",
        json_path = ".status.image.current.tag"
    ),
    printcolumn(name = "Pods", type_ = "integer", json_path = ".status.readyReplicas"),
    printcolumn(name = "Phase", type_ = "string", json_path = ".status.phase"),
    printcolumn(
        name = "Age",
        type_ = "date",
        json_path = ".metadata.creationTimestamp"
    ),
    printcolumn(
        name = "Digest",
        type_ = "string",
        json_path = ".status.image.current.digest",
        priority = "1"
    ),
    printcolumn(
        name = "Schema",
        type_ = "string",
        json_path = ".status.database.schemaVersion",
        priority = "1"
    ),
    printcolumn(
        name = "Endpoint",
        type_ = "string",
        json_path = ".status.endpoints[0].url",
        priority = "1"
    ),
    printcolumn(
        name = "Message",
        type_ = "string",
        json_path = ".status.conditions[?(@.type==\"Ready\")].message",
        priority = "1"
    )
)]
#[serde(rename_all = "camelCase")]
#[schemars(extend("x-kubernetes-validations" = [
    rule_at(
        ".replicas",
        "!has(self.replicas) || !self.autoscaling.enabled",
        rules::REPLICAS_WITH_AUTOSCALING
    ),
    rule_at(
        ".resources.requests.cpu",
        "!self.autoscaling.enabled || 'cpu' in self.resources.requests",
        rules::CPU_REQUEST
    ),
    rule_at(
        ".rollout.drainDelay",
        "!has(self.rollout.drainDelay) || !self.service.loadBalancer.enabled || !self.rollout.drainDelay.matches('^([0-9]+(ms|s|m|h))+$') || duration(self.rollout.drainDelay).getSeconds() >= self.service.loadBalancer.deregistrationDelaySeconds + 10",
        rules::DRAIN_TOO_SHORT
    )
]))]
pub struct PostServiceSpec {
    /// Write nothing but status.
    #[serde(default)]
    pub suspend: bool,
    /// Run no pods and remove the autoscaler; the database stays untouched.
    #[serde(default)]
    pub stopped: bool,
    /// When pod-template changes of a newer operator version take effect.
    #[serde(default)]
    pub template_updates: TemplateUpdates,
    /// The image to run.
    pub image: Image,
    /// How a new image is rolled out.
    #[serde(default)]
    pub rollout: Rollout,
    /// The MySQL database.
    #[serde(default)]
    pub database: Database,
    /// Amazon Cognito, whose tokens the API accepts.
    #[serde(default)]
    pub auth: Auth,
    /// The REST API's behaviour.
    #[serde(default)]
    pub api: Api,
    /// Where images of posts are stored; absent: uploads answer 503.
    #[serde(default)]
    pub media: Media,
    /// The comment service, asked for comment counts.
    #[serde(default)]
    pub comments: Comments,
    /// Horizontal scaling by CPU.
    #[serde(default)]
    pub autoscaling: Autoscaling,
    /// A fixed number of pods; absent without autoscaling: the operator leaves the number alone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0, max = 1000))]
    pub replicas: Option<i32>,
    /// The Kubernetes Service and its load balancer.
    #[serde(default)]
    pub service: Service,
    /// Objects of older, hand-written manifests to take over.
    #[serde(default)]
    pub adopt: Adopt,
    /// Requests and limits of the container.
    #[serde(default)]
    pub resources: Resources,
    /// Protection against voluntary disruptions.
    #[serde(default)]
    pub pod_disruption_budget: PodDisruptionBudget,
    /// Network access of the pods.
    #[serde(default)]
    pub network_policy: NetworkPolicy,
    /// Scraping of metrics by the Prometheus operator.
    #[serde(default)]
    pub monitoring: Monitoring,
    /// The pods' service account, to which Pod Identity and IRSA bind.
    #[serde(default)]
    pub service_account: ServiceAccount,
    /// Additions to the pods.
    #[serde(default)]
    pub pod: Pod,
}
