//! One file per child object: pure functions from a validated spec and a plan to typed values.

pub mod adopted_service;
mod autoscaler;
mod database_tls;
mod deployment;
mod disruption_budget;
pub mod environment;
mod front;
pub mod migration_job;
mod network_policy;
pub mod own_secrets;
mod pod;
pub mod revision;
pub mod service;
mod service_account;
mod service_monitor;
mod target_group_binding;
mod template;

use std::collections::BTreeMap;
use std::time::Duration;

use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::autoscaling::v2::HorizontalPodAutoscaler;
use k8s_openapi::api::batch::v1::Job;
use k8s_openapi::api::core::v1::{Pod, Service, ServiceAccount};
use k8s_openapi::api::networking::v1::NetworkPolicy;
use k8s_openapi::api::policy::v1::PodDisruptionBudget;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use secrecy::SecretString;

use crate::api::v1alpha1::SecretKeyRef;
use crate::controller::validate::Validated;
use crate::foreign::{ServiceMonitor, TargetGroupBinding};
use crate::rollout::replicas::{Autoscaler, Scaling};
use crate::rollout::{MigrationJob, Plan, Step, Workload};

pub use database_tls::CA;
pub use deployment::revision as deployed_revision;
pub use front::Front;
pub use migration_job::name as migration_job_name;
pub use revision::Revision;
pub use template::{EnvSource, PodInputs};

/// Value of [`MANAGED_BY`] and name of the main field manager.
pub const MANAGER: &str = "post-operator";
/// Label by which children are watched.
pub const MANAGED_BY: &str = "app.kubernetes.io/managed-by";
const NAME: &str = "app.kubernetes.io/name";
/// Label with the name of the `PostService`.
pub const INSTANCE: &str = "app.kubernetes.io/instance";
const COMPONENT: &str = "app.kubernetes.io/component";
/// Value of [`COMPONENT`] of migrating pods.
const MIGRATION: &str = "migration";
/// Annotation that changes with the Secrets' values: a failed migration is tried again when those
/// change.
const FINGERPRINT: &str = "platform.hhottdogg.shop/secrets-fingerprint";
/// Name of the application in labels, and of its container.
const APPLICATION: &str = "post-service";
/// Port of the REST API in the pod.
pub const HTTP_PORT: i32 = 8082;
/// Port of the metrics in the pod.
pub const METRICS_PORT: i32 = 9090;

/// What shall become of the objects of one kind that belong to a `PostService`.
#[derive(Clone, Debug)]
pub struct Wanted<K> {
    /// These shall be there, like this.
    pub objects: Vec<K>,
    /// What shall become of others.
    pub others: Others,
}

/// What shall become of objects that nobody asks for any more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Others {
    /// They go: a feature was turned off, or a name has changed.
    Remove,
    /// They stay: it is not known what is wanted, or they are still in use.
    Keep,
}

impl<K> Wanted<K> {
    /// Exactly these.
    pub fn only(objects: impl IntoIterator<Item = K>) -> Self {
        Self {
            objects: objects.into_iter().collect(),
            others: Others::Remove,
        }
    }

    /// These, and whatever else is there.
    pub fn also(objects: impl IntoIterator<Item = K>) -> Self {
        Self {
            objects: objects.into_iter().collect(),
            others: Others::Keep,
        }
    }

    /// Whatever is there.
    pub fn untouched() -> Self {
        Self::also([])
    }
}

/// What shall become of the migration Jobs, whose templates are immutable.
#[derive(Clone, Debug)]
pub enum MigrationChild {
    /// This one shall be there; once made it is not touched.
    Create(Box<Job>),
    /// The one of this name shall be gone.
    Remove(String),
    /// Whatever is there stays.
    Keep,
}

/// The children, in the order in which they are applied.
#[derive(Clone, Debug)]
pub struct Objects {
    /// Identity of the pods.
    pub service_accounts: Wanted<ServiceAccount>,
    /// Network access; before the pods, so that none runs without.
    pub network_policies: Wanted<NetworkPolicy>,
    /// Services; before the pods, so that the load balancer is there when they are ready.
    pub services: Wanted<Service>,
    /// Bindings to target groups that are owned elsewhere.
    pub target_group_bindings: Wanted<TargetGroupBinding>,
    /// Migration Job; before the pods of its image.
    pub migration: MigrationChild,
    /// Deployment.
    pub deployments: Wanted<Deployment>,
    /// Protection of the Deployment's pods against drains.
    pub disruption_budgets: Wanted<PodDisruptionBudget>,
    /// Autoscaler; after the Deployment that it scales, and gone before anybody else scales it.
    pub autoscalers: Wanted<HorizontalPodAutoscaler>,
    /// The Deployment's number of pods.
    pub scaling: Scaling,
    /// Scraping of the pods.
    pub service_monitors: Wanted<ServiceMonitor>,
}

/// Builds every child. `credentials` is the fingerprint of the Secrets' values, where they are known.
pub fn objects(
    spec: &Validated,
    plan: &Plan,
    scaling: Scaling,
    credentials: Option<&Credentials>,
    settings: &Settings,
    front: &Front,
) -> Objects {
    let identity = service_account::build(spec);
    Objects {
        service_accounts: if plan.step == Step::Idle {
            Wanted::only([identity])
        } else {
            // Pods of the former template may still use, or start with, one of a former name.
            Wanted::also([identity])
        },
        network_policies: network_policies(spec, credentials, settings),
        services: front.services(spec),
        target_group_bindings: Wanted::only(target_group_binding::build(spec, front)),
        migration: migration(spec, plan, credentials),
        deployments: match &plan.workload {
            Workload::Run { revision, baking } => {
                Wanted::also([deployment::build(spec, revision, *baking)])
            }
            Workload::Keep => Wanted::untouched(),
        },
        disruption_budgets: Wanted::only(disruption_budget::build(spec)),
        autoscalers: match scaling.autoscaler {
            Autoscaler::Apply => Wanted::only([autoscaler::build(spec)]),
            Autoscaler::Keep => Wanted::untouched(),
            Autoscaler::Remove => Wanted::only([]),
        },
        scaling,
        service_monitors: Wanted::only(service_monitor::build(spec)),
    }
}

fn network_policies(
    spec: &Validated,
    credentials: Option<&Credentials>,
    settings: &Settings,
) -> Wanted<NetworkPolicy> {
    match credentials {
        _ if !spec.spec.network_policy.enabled => Wanted::only([]),
        Some(credentials) => Wanted::only([network_policy::build(spec, credentials, settings)]),
        // Without the URL the database's port is unknown; a policy without it would cut pods off.
        None => Wanted::untouched(),
    }
}

fn migration(spec: &Validated, plan: &Plan, credentials: Option<&Credentials>) -> MigrationChild {
    match (&plan.migration, credentials) {
        (MigrationJob::Run(digest), Some(credentials)) => {
            MigrationChild::Create(Box::new(migration_job::build(spec, digest, credentials)))
        }
        (MigrationJob::Remove(digest), Some(credentials)) => {
            MigrationChild::Remove(migration_job_name(spec, digest, credentials))
        }
        _ => MigrationChild::Keep,
    }
}

/// What builders need of the Secrets.
#[derive(Clone, Debug)]
pub struct Credentials {
    /// Hash of the values in use.
    pub fingerprint: String,
    /// `host:port/name` of the database, for the identity of a migration.
    pub database: String,
    /// Its name alone.
    pub database_name: String,
    /// Ports on which pods reach database servers.
    pub database_ports: Vec<u16>,
    /// Every secret value that serving pods read, by the name of the variable, and [`CA`].
    pub env: BTreeMap<String, SecretString>,
    /// Where migrations find the URL.
    pub migrator_url: SecretKeyRef,
    /// The service's account, where the operator makes it.
    pub account: Option<String>,
}

/// The operator's own settings.
#[derive(Clone, Debug, Default)]
pub struct Settings {
    /// Environment of every pod, such as `COGNITO_JWKS_URL`.
    pub service_env: BTreeMap<String, String>,
    /// How often things are looked at.
    pub pace: Pace,
}

/// How often things are looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pace {
    /// Secrets are polled and the database is looked at this often.
    pub poll: Duration,
    /// The same while something is missing, fails or is on its way.
    pub poll_in_trouble: Duration,
    /// It is asked this often whether the registry keeps what runs; more often where it does not.
    pub retention: Duration,
    /// Values of Secrets must have been the same for this long before pods are replaced for them:
    /// several that change together cause one rollout.
    pub settle: Duration,
}

impl Default for Pace {
    fn default() -> Self {
        Self {
            poll: Duration::from_secs(30),
            poll_in_trouble: Duration::from_secs(5),
            retention: Duration::from_hours(6),
            settle: Duration::from_secs(10),
        }
    }
}

fn metadata(spec: &Validated, name: &str) -> ObjectMeta {
    ObjectMeta {
        name: Some(name.to_owned()),
        namespace: Some(spec.id.namespace.clone()),
        labels: Some(labels(&spec.id.name)),
        owner_references: Some(vec![spec.id.owner.clone()]),
        ..ObjectMeta::default()
    }
}

/// The recommended labels (Kubernetes documentation, "Recommended Labels").
fn labels(name: &str) -> BTreeMap<String, String> {
    let mut labels = selector(name);
    labels.insert(MANAGED_BY.into(), MANAGER.into());
    labels
}

/// Labels that select the serving pods; immutable in a Deployment.
fn selector(name: &str) -> BTreeMap<String, String> {
    let mut labels = instance(name);
    labels.insert(COMPONENT.into(), "api".into());
    labels
}

/// Labels of every pod of a `PostService`, serving or migrating.
fn instance(name: &str) -> BTreeMap<String, String> {
    BTreeMap::from([
        (NAME.into(), APPLICATION.into()),
        (INSTANCE.into(), name.into()),
    ])
}

/// Room for a suffix in the 63 characters of a label.
fn truncated(name: &str) -> &str {
    name.get(..44).unwrap_or(name)
}

/// A label selector of every pod of a `PostService`, serving or migrating.
pub fn pods_selector(name: &str) -> String {
    instance(name)
        .iter()
        .map(|(key, value)| format!("{key}={value}"))
        .collect::<Vec<_>>()
        .join(",")
}

/// Whether a pod is one of a migration Job's.
pub fn is_migrating(pod: &Pod) -> bool {
    let labels = pod.metadata.labels.as_ref();
    labels
        .and_then(|labels| labels.get(COMPONENT))
        .map(String::as_str)
        == Some(MIGRATION)
}

/// Whether a pod is one of this `PostService`'s.
pub fn is_ours(name: &str, pod: &Pod) -> bool {
    let labels = pod.metadata.labels.iter().flatten();
    let of_ours = [(NAME, APPLICATION), (INSTANCE, name), (MANAGED_BY, MANAGER)];
    let found: BTreeMap<_, _> = labels
        .map(|(key, value)| (key.as_str(), value.as_str()))
        .collect();
    of_ours
        .iter()
        .all(|(key, value)| found.get(key) == Some(value))
}
