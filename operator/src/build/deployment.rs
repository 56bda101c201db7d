use std::collections::BTreeMap;

use k8s_openapi::api::apps::v1::{
    Deployment, DeploymentSpec, DeploymentStrategy, RollingUpdateDeployment,
};
use k8s_openapi::api::core::v1::{
    Container, ContainerPort, HTTPGetAction, Lifecycle, LifecycleHandler, PodSpec, PodTemplateSpec,
    Probe, SleepAction, TopologySpreadConstraint,
};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{LabelSelector, ObjectMeta};
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;

use super::{
    APPLICATION, Credentials, FINGERPRINT, HTTP_PORT, METRICS_PORT, Settings, container,
    environment, labels, metadata, pod, selector,
};
use crate::api::v1alpha1::TopologySpread;
use crate::controller::validate::Validated;
use crate::database::vault::ACCOUNT_ANNOTATION;
use crate::rollout::Image;

const ZONE: &str = "topology.kubernetes.io/zone";

/// Never carries `replicas`: the autoscaler owns them.
pub(super) fn build(
    spec: &Validated,
    image: &Image,
    credentials: &Credentials,
    settings: &Settings,
) -> Deployment {
    Deployment {
        metadata: metadata(spec, &spec.id.workload),
        spec: Some(DeploymentSpec {
            selector: LabelSelector {
                match_labels: Some(selector(&spec.id.name)),
                match_expressions: None,
            },
            progress_deadline_seconds: Some(seconds(spec.progress_deadline)),
            revision_history_limit: Some(3),
            strategy: Some(strategy(spec)),
            template: PodTemplateSpec {
                metadata: Some(pod_metadata(spec, credentials)),
                spec: Some(serving_pod(spec, image, credentials, settings)),
            },
            ..DeploymentSpec::default()
        }),
        status: None,
    }
}

/// New pods come first; no old one goes before they are available.
fn strategy(spec: &Validated) -> DeploymentStrategy {
    let surge = &spec.spec.rollout.max_surge;
    let max_surge = surge
        .parse()
        .map_or_else(|_| IntOrString::String(surge.clone()), IntOrString::Int);
    DeploymentStrategy {
        type_: Some("RollingUpdate".into()),
        rolling_update: Some(RollingUpdateDeployment {
            max_surge: Some(max_surge),
            max_unavailable: Some(IntOrString::Int(0)),
        }),
    }
}

fn pod_metadata(spec: &Validated, credentials: &Credentials) -> ObjectMeta {
    let mut pod_labels = spec.spec.pod.labels.clone();
    pod_labels.extend(labels(spec));
    let mut annotations: BTreeMap<_, _> = spec.spec.pod.annotations.clone();
    annotations.insert(FINGERPRINT.into(), credentials.fingerprint.clone());
    if let Some(account) = &credentials.account {
        annotations.insert(ACCOUNT_ANNOTATION.into(), account.clone());
    }
    ObjectMeta {
        labels: Some(pod_labels),
        annotations: Some(annotations),
        ..ObjectMeta::default()
    }
}

fn serving_pod(
    spec: &Validated,
    image: &Image,
    credentials: &Credentials,
    settings: &Settings,
) -> PodSpec {
    PodSpec {
        termination_grace_period_seconds: Some(i64::from(seconds(spec.grace_period))),
        topology_spread_constraints: spread(spec),
        ..pod(spec, serving_container(spec, image, credentials, settings))
    }
}

fn serving_container(
    spec: &Validated,
    image: &Image,
    credentials: &Credentials,
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
        env: Some(environment::serve(spec, &credentials.sources, settings)),
        resources: Some(spec.resources.clone()),
        startup_probe: Some(probe("/livez", 1, 60)),
        liveness_probe: Some(probe("/livez", 10, 3)),
        readiness_probe: Some(probe("/readyz", 2, 2)),
        lifecycle: Some(Lifecycle {
            pre_stop: Some(drain(spec)),
            ..Lifecycle::default()
        }),
        ..container(spec, APPLICATION, image)
    }
}

/// The drain: the pod leaves the endpoints at once and serves on for
/// `drainDelay`; only then comes SIGTERM. The kubelet itself sleeps; the image needs no shell.
fn drain(spec: &Validated) -> LifecycleHandler {
    LifecycleHandler {
        sleep: Some(SleepAction {
            seconds: i64::from(seconds(spec.drain_delay)),
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

fn spread(spec: &Validated) -> Option<Vec<TopologySpreadConstraint>> {
    match spec.spec.pod.topology_spread {
        TopologySpread::None => None,
        TopologySpread::Zone => Some(vec![TopologySpreadConstraint {
            max_skew: 1,
            topology_key: ZONE.into(),
            when_unsatisfiable: "ScheduleAnyway".into(),
            label_selector: Some(LabelSelector {
                match_labels: Some(selector(&spec.id.name)),
                match_expressions: None,
            }),
            ..TopologySpreadConstraint::default()
        }]),
    }
}

fn seconds(duration: std::time::Duration) -> i32 {
    i32::try_from(duration.as_secs()).unwrap_or(i32::MAX)
}
