//! The template of the serving pods, from nothing but [`PodInputs`], an image and secret values: a
//! change of anything else of the spec replaces no pod.

use std::collections::BTreeMap;
use std::time::Duration;

use k8s_openapi::api::core::v1::{
    Container, ContainerPort, HTTPGetAction, Lifecycle, LifecycleHandler, PodSpec, PodTemplateSpec,
    Probe, ResourceRequirements, SleepAction, TopologySpreadConstraint,
};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{LabelSelector, ObjectMeta};
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;
use serde::{Deserialize, Serialize};

use super::{
    APPLICATION, HTTP_PORT, METRICS_PORT, Settings, database_tls, environment, labels, pod,
    selector,
};
use crate::api::v1alpha1::{
    Api, Cognito, Comments, Deactivation, Media, Pod, PostServiceSpec, TlsMode, TopologySpread,
};
use crate::database::vault::ACCOUNT_ANNOTATION;
use crate::registry::Digest;
use crate::rollout::pods::REVISION;

const ZONE: &str = "topology.kubernetes.io/zone";
/// Time after SIGTERM within which a pod has ended, beyond the drain delay.
const SHUTDOWN_TIME: Duration = Duration::from_secs(30);

/// Everything of the spec that the serving pods depend on. Part of a rollout's identity, and stored
/// with it: a field that is added must have a default that means what was the case before.
#[derive(Serialize, Deserialize, Clone, Debug, Default, PartialEq)]
#[serde(rename_all = "camelCase", default)]
pub struct PodInputs {
    /// `image.repository`.
    pub repository: String,
    /// `image.pullSecrets`.
    pub pull_secrets: Vec<String>,
    /// Effective name of the service account.
    pub service_account: String,
    /// Effective `rollout.drainDelay`.
    pub drain_seconds: u64,
    /// `database.poolSize`.
    pub pool_size: i32,
    /// `database.tls.mode`.
    pub tls_mode: TlsMode,
    /// Whether `database.tls.caSecretRef` is set.
    pub has_ca: bool,
    /// `auth.cognito`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cognito: Option<Cognito>,
    /// `auth.deactivation`.
    pub deactivation: Deactivation,
    /// `api`.
    pub api: Api,
    /// `media`.
    pub media: Media,
    /// `comments`.
    pub comments: Comments,
    /// `resources`, parsed.
    pub resources: ResourceRequirements,
    /// `pod`.
    pub pod: Pod,
}

impl PodInputs {
    /// Those of `raw`, the spec of the `PostService` of this `name`.
    pub fn of(
        name: &str,
        raw: &PostServiceSpec,
        drain_delay: Duration,
        resources: ResourceRequirements,
    ) -> Self {
        let account = &raw.service_account.name;
        Self {
            repository: raw.image.repository.clone(),
            pull_secrets: raw.image.pull_secrets.clone(),
            service_account: if account.is_empty() { name } else { account }.to_owned(),
            drain_seconds: drain_delay.as_secs(),
            pool_size: raw.database.pool_size,
            tls_mode: raw.database.tls.mode,
            has_ca: raw.database.tls.ca_secret_ref.is_some(),
            cognito: raw.auth.cognito.clone(),
            deactivation: raw.auth.deactivation,
            api: raw.api.clone(),
            media: raw.media.clone(),
            comments: raw.comments.clone(),
            resources,
            pod: raw.pod.clone(),
        }
    }
}

/// Secret values, as pods find them.
#[derive(Clone, Debug, Default)]
pub struct EnvSource<'a> {
    /// Name of the Secret.
    pub secret: &'a str,
    /// Its keys.
    pub keys: Vec<&'a str>,
    /// The database's account, where the operator makes it.
    pub account: Option<&'a str>,
}

/// The template of revision `id` of the `PostService` of this `name`.
pub fn render(
    name: &str,
    id: &str,
    inputs: &PodInputs,
    digest: &Digest,
    env: &EnvSource<'_>,
    settings: &Settings,
) -> PodTemplateSpec {
    PodTemplateSpec {
        metadata: Some(metadata(name, id, inputs, env)),
        spec: Some(serving_pod(name, inputs, digest, env, settings)),
    }
}

fn metadata(name: &str, id: &str, inputs: &PodInputs, env: &EnvSource<'_>) -> ObjectMeta {
    let mut pod_labels = inputs.pod.labels.clone();
    pod_labels.extend(labels(name));
    pod_labels.insert(REVISION.into(), id.to_owned());
    let mut annotations: BTreeMap<_, _> = inputs.pod.annotations.clone();
    if let Some(account) = env.account {
        annotations.insert(ACCOUNT_ANNOTATION.into(), account.to_owned());
    }
    ObjectMeta {
        labels: Some(pod_labels),
        annotations: (!annotations.is_empty()).then_some(annotations),
        ..ObjectMeta::default()
    }
}

fn serving_pod(
    name: &str,
    inputs: &PodInputs,
    digest: &Digest,
    env: &EnvSource<'_>,
    settings: &Settings,
) -> PodSpec {
    let serving = serving_container(inputs, digest, env, settings);
    let grace = Duration::from_secs(inputs.drain_seconds) + SHUTDOWN_TIME;
    let pod = PodSpec {
        termination_grace_period_seconds: i64::try_from(grace.as_secs()).ok(),
        topology_spread_constraints: spread(name, inputs),
        ..pod::spec(inputs, serving)
    };
    if inputs.has_ca {
        database_tls::mounted(pod, env.secret, database_tls::CA)
    } else {
        pod
    }
}

fn serving_container(
    inputs: &PodInputs,
    digest: &Digest,
    env: &EnvSource<'_>,
    settings: &Settings,
) -> Container {
    let port = |name: &str, container_port| ContainerPort {
        name: Some(name.into()),
        container_port,
        protocol: Some("TCP".into()),
        ..ContainerPort::default()
    };
    Container {
        args: Some(vec!["serve".into()]),
        ports: Some(vec![port("http", HTTP_PORT), port("metrics", METRICS_PORT)]),
        env: Some(environment::serve(inputs, env, settings)),
        resources: Some(inputs.resources.clone()),
        startup_probe: Some(probe("/livez", 1, 60)),
        liveness_probe: Some(probe("/livez", 10, 3)),
        readiness_probe: Some(probe("/readyz", 2, 2)),
        lifecycle: Some(Lifecycle {
            pre_stop: Some(drain(inputs)),
            ..Lifecycle::default()
        }),
        ..pod::container(inputs, APPLICATION, digest)
    }
}

/// The drain: the pod leaves the endpoints at once and serves on for
/// `drainDelay`; only then comes SIGTERM. The kubelet itself sleeps; the image needs no shell.
fn drain(inputs: &PodInputs) -> LifecycleHandler {
    LifecycleHandler {
        sleep: Some(SleepAction {
            seconds: i64::try_from(inputs.drain_seconds).unwrap_or(i64::MAX),
        }),
        ..LifecycleHandler::default()
    }
}

fn probe(path: &str, period: i32, failures: i32) -> Probe {
    Probe {
        http_get: Some(HTTPGetAction {
            path: Some(path.into()),
            port: IntOrString::String("http".into()),
            ..HTTPGetAction::default()
        }),
        period_seconds: Some(period),
        timeout_seconds: Some(3),
        failure_threshold: Some(failures),
        ..Probe::default()
    }
}

fn spread(name: &str, inputs: &PodInputs) -> Option<Vec<TopologySpreadConstraint>> {
    match inputs.pod.topology_spread {
        TopologySpread::None => None,
        TopologySpread::Zone => Some(vec![TopologySpreadConstraint {
            max_skew: 1,
            topology_key: ZONE.into(),
            when_unsatisfiable: "ScheduleAnyway".into(),
            label_selector: Some(LabelSelector {
                match_labels: Some(selector(name)),
                match_expressions: None,
            }),
            ..TopologySpreadConstraint::default()
        }]),
    }
}
