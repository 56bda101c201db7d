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
pub mod service;
mod service_account;
mod service_monitor;
mod target_group_binding;

use std::collections::BTreeMap;
use std::time::Duration;

use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::autoscaling::v2::HorizontalPodAutoscaler;
use k8s_openapi::api::batch::v1::Job;
use k8s_openapi::api::core::v1::{
    Capabilities, Container, LocalObjectReference, Pod, PodSecurityContext, PodSpec,
    SeccompProfile, SecurityContext, Service, ServiceAccount,
};
use k8s_openapi::api::networking::v1::NetworkPolicy;
use k8s_openapi::api::policy::v1::PodDisruptionBudget;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;

use crate::controller::secrets::Sources;
use crate::controller::validate::Validated;
use crate::foreign::{ServiceMonitor, TargetGroupBinding};
use crate::rollout::replicas::{Autoscaler, Scaling};
use crate::rollout::{MigrationJob, Plan, Step, Workload};

pub use front::Front;
pub use migration_job::name as migration_job_name;

/// Value of [`MANAGED_BY`] and name of the main field manager.
pub const MANAGER: &str = "post-operator";
/// Label by which children are watched.
pub const MANAGED_BY: &str = "app.kubernetes.io/managed-by";
const NAME: &str = "app.kubernetes.io/name";
/// Label with the name of the `PostService`.
pub const INSTANCE: &str = "app.kubernetes.io/instance";
const COMPONENT: &str = "app.kubernetes.io/component";
/// Annotation that changes with the Secrets' values: pods are replaced, and a failed migration is
/// tried again, when those change.
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
        deployments: match (&plan.workload, credentials) {
            (Workload::Run(image), Some(credentials)) => {
                Wanted::also([deployment::build(spec, image, credentials, settings)])
            }
            (Workload::Keep | Workload::Run(_), _) => Wanted::untouched(),
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
        (MigrationJob::Run(image), Some(credentials)) => {
            MigrationChild::Create(Box::new(migration_job::build(spec, image, credentials)))
        }
        (MigrationJob::Remove(image), Some(credentials)) => {
            MigrationChild::Remove(migration_job_name(spec, image, credentials))
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
    /// Ports on which pods reach database servers.
    pub database_ports: Vec<u16>,
    /// Where pods find the values.
    pub sources: Sources,
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

/// The fingerprint of the Secrets' values that a Deployment's pods were made for.
pub fn fingerprint(deployment: &Deployment) -> Option<&str> {
    let template = &deployment.spec.as_ref()?.template;
    let annotations = template.metadata.as_ref()?.annotations.as_ref()?;
    annotations.get(FINGERPRINT).map(String::as_str)
}

fn metadata(spec: &Validated, name: &str) -> ObjectMeta {
    ObjectMeta {
        name: Some(name.to_owned()),
        namespace: Some(spec.id.namespace.clone()),
        labels: Some(labels(spec)),
        owner_references: Some(vec![spec.id.owner.clone()]),
        ..ObjectMeta::default()
    }
}

/// The recommended labels (Kubernetes documentation, "Recommended Labels").
fn labels(spec: &Validated) -> BTreeMap<String, String> {
    let mut labels = selector(&spec.id.name);
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

/// Name of the pods' service account.
fn service_account_name(spec: &Validated) -> &str {
    let name = &spec.spec.service_account.name;
    if name.is_empty() { &spec.id.name } else { name }
}

/// What every pod has in common: identity, security, and where it may run.
fn pod(spec: &Validated, container: Container) -> PodSpec {
    let placement = &spec.spec.pod;
    let pull_secrets = spec.spec.image.pull_secrets.iter();
    let pull_secrets: Vec<_> = pull_secrets
        .map(|name| LocalObjectReference { name: name.clone() })
        .collect();
    let priority = &placement.priority_class_name;
    database_tls::mounted(
        spec,
        PodSpec {
            service_account_name: Some(service_account_name(spec).to_owned()),
            automount_service_account_token: Some(false),
            enable_service_links: Some(false),
            security_context: Some(pod_security()),
            image_pull_secrets: (!pull_secrets.is_empty()).then_some(pull_secrets),
            node_selector: (!placement.node_selector.is_empty())
                .then(|| placement.node_selector.clone()),
            tolerations: (!placement.tolerations.is_empty()).then(|| placement.tolerations.clone()),
            priority_class_name: (!priority.is_empty()).then(|| priority.clone()),
            containers: vec![container],
            ..PodSpec::default()
        },
    )
}

/// Pod level of the `restricted` Pod Security Standard.
fn pod_security() -> PodSecurityContext {
    PodSecurityContext {
        run_as_non_root: Some(true),
        run_as_user: Some(65532),
        run_as_group: Some(65532),
        fs_group: Some(65532),
        seccomp_profile: Some(SeccompProfile {
            type_: "RuntimeDefault".into(),
            localhost_profile: None,
        }),
        ..PodSecurityContext::default()
    }
}

/// A container of the service's image, restricted (Pod Security Standards) and without a writable
/// root file system.
fn container(spec: &Validated, name: &str, image: &crate::rollout::Image) -> Container {
    Container {
        name: name.into(),
        image: Some(format!("{}@{}", spec.spec.image.repository, image.digest)),
        image_pull_policy: Some("IfNotPresent".into()),
        security_context: Some(SecurityContext {
            allow_privilege_escalation: Some(false),
            read_only_root_filesystem: Some(true),
            capabilities: Some(Capabilities {
                drop: Some(vec!["ALL".into()]),
                add: None,
            }),
            ..SecurityContext::default()
        }),
        termination_message_policy: Some("FallbackToLogsOnError".into()),
        ..Container::default()
    }
}
