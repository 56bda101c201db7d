//! The Service and the annotations by which the AWS Load Balancer Controller makes its NLB
//! (its documentation, "Network Load Balancer" → "Service annotations").

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::{Service, ServicePort, ServiceSpec};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;

use super::{metadata, selector};
use crate::api::v1alpha1::{LoadBalancer, Scheme};
use crate::controller::validate::Validated;

const PREFIX: &str = "service.beta.kubernetes.io/aws-load-balancer-";
const TLS_POLICY: &str = "ELBSecurityPolicy-TLS13-1-2-2021-06";
const HTTPS: i32 = 443;

/// How clients outside the cluster come to the pods.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Exposure<'a> {
    /// Not at all.
    Cluster,
    /// By a load balancer of the Service's own.
    LoadBalancer(&'a LoadBalancer),
    /// By a target group, of this ARN, that is owned elsewhere.
    TargetGroup(&'a str),
}

/// What the spec asks for.
pub fn exposure(spec: &Validated) -> Exposure<'_> {
    match &spec.spec.service.load_balancer {
        off if !off.enabled => Exposure::Cluster,
        bound if !bound.target_group_arn.is_empty() => {
            Exposure::TargetGroup(&bound.target_group_arn)
        }
        own => Exposure::LoadBalancer(own),
    }
}

/// Annotations that the AWS Load Balancer Controller documents as deprecated; where they are, they
/// win over those that replaced them.
pub const DEPRECATED: [&str; 5] = [
    "service.beta.kubernetes.io/aws-load-balancer-internal",
    "service.beta.kubernetes.io/aws-load-balancer-access-log-enabled",
    "service.beta.kubernetes.io/aws-load-balancer-access-log-s3-bucket-name",
    "service.beta.kubernetes.io/aws-load-balancer-access-log-s3-bucket-prefix",
    "service.beta.kubernetes.io/aws-load-balancer-cross-zone-load-balancing-enabled",
];

/// The only Service.
pub(super) fn build(spec: &Validated) -> Service {
    if is_balanced(spec) {
        balancer(spec, &spec.id.name)
    } else {
        internal(spec)
    }
}

/// Whether the spec asks for a load balancer of a Service.
pub fn is_balanced(spec: &Validated) -> bool {
    matches!(exposure(spec), Exposure::LoadBalancer(_))
}

/// A Service for clients in the cluster alone.
pub(super) fn internal(spec: &Validated) -> Service {
    named(spec, &spec.id.name, false)
}

/// A Service that is the network load balancer.
pub(super) fn balancer(spec: &Validated, name: &str) -> Service {
    named(spec, name, true)
}

fn named(spec: &Validated, name: &str, enabled: bool) -> Service {
    let load_balancer = &spec.spec.service.load_balancer;
    let ranges = &load_balancer.source_ranges;
    Service {
        metadata: ObjectMeta {
            annotations: enabled.then(|| annotations(load_balancer)),
            ..metadata(spec, name)
        },
        spec: Some(ServiceSpec {
            type_: Some(if enabled { "LoadBalancer" } else { "ClusterIP" }.into()),
            load_balancer_class: enabled.then(|| load_balancer.class.clone()),
            load_balancer_source_ranges: (enabled && !ranges.is_empty()).then(|| ranges.clone()),
            selector: Some(selector(&spec.id.name)),
            ports: Some(vec![ServicePort {
                name: Some("http".into()),
                port: port(spec),
                protocol: Some("TCP".into()),
                target_port: Some(IntOrString::String("http".into())),
                ..ServicePort::default()
            }]),
            ..ServiceSpec::default()
        }),
        status: None,
    }
}

/// The Service without its load balancer. The class of a load balancer cannot be changed, but it goes
/// with the type `LoadBalancer` (Kubernetes documentation, "Specifying class of load balancer
/// implementation"): then another may come.
pub fn without_load_balancer(service: &Service) -> Service {
    let mut service = service.clone();
    if let Some(spec) = &mut service.spec {
        spec.type_ = Some("ClusterIP".into());
        spec.load_balancer_class = None;
        spec.load_balancer_source_ranges = None;
    }
    service
}

/// Whether `wanted` has a load balancer of another class than `live`.
pub fn changes_class(live: &Service, wanted: &Service) -> bool {
    let class = |service: &Service| {
        let spec = service.spec.as_ref()?;
        (spec.type_.as_deref() == Some("LoadBalancer")).then(|| spec.load_balancer_class.clone())
    };
    class(live)
        .zip(class(wanted))
        .is_some_and(|(live, wanted)| live != wanted)
}

/// Port of the Service: 443 with a certificate, else as the spec says.
pub fn port(spec: &Validated) -> i32 {
    match exposure(spec) {
        Exposure::LoadBalancer(own) if own.tls.certificate_arn.is_some() => HTTPS,
        _ => spec.spec.service.port,
    }
}

pub(super) fn annotations(load_balancer: &LoadBalancer) -> BTreeMap<String, String> {
    let health = &load_balancer.health_check;
    let scheme = match load_balancer.scheme {
        Scheme::Internal => "internal",
        Scheme::InternetFacing => "internet-facing",
    };
    let mut annotations = load_balancer.annotations.clone();
    let mut set = |name: &str, value: String| annotations.insert(format!("{PREFIX}{name}"), value);
    set("nlb-target-type", "ip".into());
    set("scheme", scheme.into());
    set("healthcheck-protocol", "http".into());
    set("healthcheck-port", "traffic-port".into());
    set("healthcheck-path", health.path.clone());
    set("healthcheck-interval", health.interval_seconds.to_string());
    set("healthcheck-timeout", health.timeout_seconds.to_string());
    set(
        "healthcheck-healthy-threshold",
        health.healthy_threshold.to_string(),
    );
    set(
        "healthcheck-unhealthy-threshold",
        health.unhealthy_threshold.to_string(),
    );
    set("attributes", joined(attributes(load_balancer)));
    set(
        "target-group-attributes",
        joined(target_group_attributes(load_balancer)),
    );
    if !load_balancer.subnets.is_empty() {
        set("subnets", load_balancer.subnets.join(","));
    }
    if !load_balancer.tags.is_empty() {
        set(
            "additional-resource-tags",
            joined(load_balancer.tags.clone()),
        );
    }
    if let Some(certificate) = &load_balancer.tls.certificate_arn {
        let policy = load_balancer.tls.policy.as_deref().unwrap_or(TLS_POLICY);
        set("ssl-cert", certificate.clone());
        set("ssl-ports", HTTPS.to_string());
        set("ssl-negotiation-policy", policy.into());
    }
    annotations
}

/// A key of the free maps that a typed field sets, if there is one.
pub fn taken_key(load_balancer: &LoadBalancer) -> Option<String> {
    let plain = LoadBalancer {
        attributes: BTreeMap::new(),
        target_group_attributes: BTreeMap::new(),
        annotations: BTreeMap::new(),
        ..load_balancer.clone()
    };
    let taken = |free: &BTreeMap<String, String>, typed: BTreeMap<String, String>| {
        free.keys().find(|key| typed.contains_key(*key)).cloned()
    };
    taken(&load_balancer.attributes, attributes(&plain)).or_else(|| {
        let typed = target_group_attributes(&plain);
        taken(&load_balancer.target_group_attributes, typed)
    })
}

fn attributes(load_balancer: &LoadBalancer) -> BTreeMap<String, String> {
    let mut attributes = load_balancer.attributes.clone();
    attributes.insert(
        "load_balancing.cross_zone.enabled".into(),
        load_balancer.cross_zone.to_string(),
    );
    attributes
}

/// Unhealthy targets keep their connections: a draining pod goes on answering on them.
fn target_group_attributes(load_balancer: &LoadBalancer) -> BTreeMap<String, String> {
    let preserve = load_balancer
        .preserve_client_ip
        .unwrap_or(load_balancer.scheme == Scheme::InternetFacing);
    let mut attributes = load_balancer.target_group_attributes.clone();
    attributes.extend([
        (
            "deregistration_delay.timeout_seconds".into(),
            load_balancer.deregistration_delay_seconds.to_string(),
        ),
        ("preserve_client_ip.enabled".into(), preserve.to_string()),
        (
            "target_health_state.unhealthy.connection_termination.enabled".into(),
            "false".into(),
        ),
    ]);
    attributes
}

fn joined(pairs: BTreeMap<String, String>) -> String {
    pairs
        .into_iter()
        .map(|(key, value)| format!("{key}={value}"))
        .collect::<Vec<_>>()
        .join(",")
}
