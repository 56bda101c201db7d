//! The Service of older manifests after it was taken over.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::{Service, ServicePort, ServiceSpec};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;
use kube::ResourceExt as _;
use serde::{Deserialize, Serialize};

use super::service::{annotations, is_balanced, port};
use super::{HTTP_PORT, METRICS_PORT, metadata, selector};
use crate::api::v1alpha1::Scheme;
use crate::controller::validate::Validated;

/// On a Service that was taken over: what it was before, as JSON.
pub const FORMER: &str = "platform.hhottdogg.shop/adopted-from";
const HTTP: &str = "http";
const TCP: &str = "TCP";
const LOAD_BALANCER: &str = "LoadBalancer";

/// What a Service was before it was taken over. Kept in an annotation of it: from it alone follows
/// what the Service shall be, and how to move it back.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Former {
    /// The labels of the old pods.
    pub selector: BTreeMap<String, String>,
    /// Its ports.
    pub ports: Vec<ServicePort>,
    /// Its type.
    #[serde(rename = "type")]
    pub type_: String,
    /// Its load balancer's class.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub load_balancer_class: Option<String>,
}

impl Former {
    /// As the annotation says, or else as the Service is now.
    pub fn of(service: &Service) -> Self {
        let noted = service.annotations().get(FORMER);
        noted
            .and_then(|text| serde_json::from_str(text).ok())
            .unwrap_or_else(|| Self::now(service))
    }

    /// As the Service is now.
    pub fn now(service: &Service) -> Self {
        let spec = service.spec.clone().unwrap_or_default();
        Self {
            selector: spec.selector.unwrap_or_default(),
            ports: spec.ports.unwrap_or_default(),
            type_: spec.type_.unwrap_or_else(|| "ClusterIP".into()),
            load_balancer_class: spec.load_balancer_class,
        }
    }

    /// Whether the Service itself is the network load balancer that the spec asks for. A class
    /// cannot be given to a Service that is a load balancer already (Kubernetes documentation,
    /// "Specifying class of load balancer implementation").
    pub fn is_balancer(&self, spec: &Validated) -> bool {
        let wanted = &spec.spec.service.load_balancer;
        is_balanced(spec)
            && self.type_ == LOAD_BALANCER
            && self.load_balancer_class.as_deref() == Some(&wanted.class)
    }
}

/// The Service named in `spec.adopt`, or one that was taken over earlier.
#[derive(Clone, Debug)]
pub struct Adopted {
    /// Its name.
    pub name: String,
    /// What it was before.
    pub former: Former,
    /// It leads to the new pods.
    pub moved: bool,
}

/// The scheme of an old network load balancer that is not the spec's, in words. The controller would
/// replace the load balancer, and with it its address.
pub fn scheme_conflict(spec: &Validated, service: &Service) -> Option<&'static str> {
    if !Former::of(service).is_balancer(spec) {
        return None;
    }
    let annotations = service.annotations();
    let is_public = annotations
        .get("service.beta.kubernetes.io/aws-load-balancer-scheme")
        .map(|scheme| scheme == "internet-facing")
        .or_else(|| {
            let deprecated =
                annotations.get("service.beta.kubernetes.io/aws-load-balancer-internal");
            deprecated.map(|internal| internal == "false")
        })
        .unwrap_or(false);
    match (is_public, spec.spec.service.load_balancer.scheme) {
        (true, Scheme::Internal) => Some("internet-facing"),
        (false, Scheme::InternetFacing) => Some("internal"),
        _ => None,
    }
}

/// The old Service, leading to the new pods: it keeps its type, class and ports.
pub fn moved(spec: &Validated, adopted: &Adopted) -> Service {
    let former = &adopted.former;
    let load_balancer = &spec.spec.service.load_balancer;
    let is_balancer = former.is_balancer(spec);
    let ranges = &load_balancer.source_ranges;
    let mut notes = if is_balancer {
        annotations(load_balancer)
    } else {
        BTreeMap::new()
    };
    notes.insert(
        FORMER.into(),
        serde_json::to_string(former).unwrap_or_default(),
    );
    let ports = ports(&former.ports, port(spec)).apply;
    Service {
        metadata: ObjectMeta {
            annotations: Some(notes),
            ..metadata(spec, &adopted.name)
        },
        spec: Some(ServiceSpec {
            type_: is_balancer.then(|| LOAD_BALANCER.into()),
            load_balancer_class: is_balancer.then(|| load_balancer.class.clone()),
            load_balancer_source_ranges: (is_balancer && !ranges.is_empty())
                .then(|| ranges.clone()),
            selector: Some(selector(&spec.id.name)),
            ports: (!ports.is_empty()).then_some(ports),
            ..ServiceSpec::default()
        }),
        status: None,
    }
}

/// The old Service, leading to the old pods again: of the operator's fields only these remain.
pub fn moved_back(spec: &Validated, adopted: &Adopted) -> Service {
    let former = &adopted.former;
    let ports: Vec<_> = former
        .ports
        .iter()
        .filter(|port| must_lead_elsewhere(port))
        .map(|port| with_target(port, port.target_port.clone()))
        .collect();
    Service {
        metadata: ObjectMeta {
            name: Some(adopted.name.clone()),
            namespace: Some(spec.id.namespace.clone()),
            ..ObjectMeta::default()
        },
        spec: Some(ServiceSpec {
            selector: Some(former.selector.clone()),
            ports: (!ports.is_empty()).then_some(ports),
            ..ServiceSpec::default()
        }),
        status: None,
    }
}

/// The ports that the operator sets on an old Service.
#[derive(Debug, Default, PartialEq)]
pub struct Ports {
    /// To apply; the others are left alone.
    pub apply: Vec<ServicePort>,
    /// The spec's port is not among them, since an only port without a name would need one. A
    /// renamed port refuses connections until its endpoints are renamed too (kube-proxy matches
    /// them by name): an outage that nobody asked for.
    pub lacks_ours: bool,
}

/// Which ports of `former` must be changed for the new pods, and which is added: the one of number
/// `wanted`, unless that number is served already. Server-side apply matches ports by number and
/// protocol; all of several must have names, and no two the same.
pub fn ports(former: &[ServicePort], wanted: i32) -> Ports {
    let mut apply: Vec<_> = former
        .iter()
        .filter(|port| must_lead_elsewhere(port))
        .map(|port| with_target(port, Some(IntOrString::Int(HTTP_PORT))))
        .collect();
    if former
        .iter()
        .any(|port| port.port == wanted && is_tcp(port))
    {
        return Ports {
            apply,
            lacks_ours: false,
        };
    }
    if former.iter().any(|port| port.name.is_none()) {
        return Ports {
            apply,
            lacks_ours: true,
        };
    }
    let is_taken = |name: &str| former.iter().any(|port| port.name.as_deref() == Some(name));
    let name = if is_taken(HTTP) {
        format!("{HTTP}-{wanted}")
    } else {
        HTTP.into()
    };
    apply.push(ServicePort {
        name: Some(name),
        port: wanted,
        protocol: Some(TCP.into()),
        target_port: Some(IntOrString::Int(HTTP_PORT)),
        ..ServicePort::default()
    });
    Ports {
        apply,
        lacks_ours: false,
    }
}

fn with_target(port: &ServicePort, target_port: Option<IntOrString>) -> ServicePort {
    ServicePort {
        name: port.name.clone(),
        port: port.port,
        protocol: Some(TCP.into()),
        target_port,
        ..ServicePort::default()
    }
}

/// Whether the new pods do not listen where the port leads.
fn must_lead_elsewhere(port: &ServicePort) -> bool {
    let leads_to_us = match &port.target_port {
        None => [HTTP_PORT, METRICS_PORT].contains(&port.port),
        Some(IntOrString::Int(number)) => [HTTP_PORT, METRICS_PORT].contains(number),
        Some(IntOrString::String(name)) => [HTTP, "metrics"].contains(&name.as_str()),
    };
    is_tcp(port) && !leads_to_us
}

fn is_tcp(port: &ServicePort) -> bool {
    port.protocol.as_deref().is_none_or(|name| name == TCP)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::controller::validate;

    fn parse(ports: serde_json::Value) -> Vec<ServicePort> {
        serde_json::from_value(ports).unwrap()
    }

    fn spec(load_balancer: &serde_json::Value) -> Validated {
        let object = json!({
            "apiVersion": "platform.hhottdogg.shop/v1alpha1", "kind": "PostService",
            "metadata": {"name": "board", "namespace": "ns", "uid": "u"},
            "spec": {"image": {"repository": "123456789012.dkr.ecr.eu-west-1.amazonaws.com/p",
                "tag": "2"}, "service": {"loadBalancer": load_balancer}},
        });
        validate::spec(&serde_json::from_value(object).unwrap()).unwrap()
    }

    #[test]
    fn another_scheme_than_the_old_load_balancer_has_is_a_conflict() {
        let service = |annotation: &str, value: &str| -> Service {
            serde_json::from_value(json!({
                "metadata": {"annotations": {
                    format!("service.beta.kubernetes.io/aws-load-balancer-{annotation}"): value}},
                "spec": {"type": "LoadBalancer", "loadBalancerClass": "service.k8s.aws/nlb"},
            }))
            .unwrap()
        };
        let internal = spec(&json!({}));
        let public = spec(&json!({"scheme": "internet-facing", "allowPlaintext": true}));
        let of_public = service("scheme", "internet-facing");
        assert_eq!(
            scheme_conflict(&internal, &of_public),
            Some("internet-facing")
        );
        assert_eq!(scheme_conflict(&public, &of_public), None);
        assert_eq!(
            scheme_conflict(&public, &service("internal", "true")),
            Some("internal")
        );
        assert_eq!(scheme_conflict(&internal, &service("name", "x")), None);
    }

    #[test]
    fn a_number_that_is_served_already_needs_no_port() {
        for former in [
            json!([{"port": 80, "targetPort": 8082}]),
            json!([{"name": "web", "port": 80, "protocol": "TCP", "targetPort": "http"}]),
        ] {
            assert_eq!(ports(&parse(former), 80), Ports::default());
        }
    }

    #[test]
    fn our_port_is_added_by_a_name_of_its_own() {
        for (name, expected) in [("web", "http"), ("http", "http-80")] {
            let former = parse(json!([{"name": name, "port": 8082, "targetPort": 8082}]));
            let added = ports(&former, 80);
            let names: Vec<_> = added.apply.iter().map(|port| port.name.clone()).collect();
            assert_eq!(names, [Some(expected.to_owned())]);
            assert!(!added.lacks_ours);
        }
    }

    #[test]
    fn a_port_without_a_name_is_never_renamed() {
        let former = parse(json!([{"port": 8082, "targetPort": 8082, "nodePort": 30082}]));
        let found = ports(&former, 80);
        assert!(found.lacks_ours && found.apply.is_empty());
    }

    #[test]
    fn a_port_that_led_to_where_the_new_pods_do_not_listen_leads_to_their_api() {
        let former = parse(json!([
            {"name": "web", "port": 80, "targetPort": "gunicorn"},
            {"name": "alt", "port": 5000},
            {"name": "dns", "port": 53, "protocol": "UDP"},
            {"name": "metrics", "port": 9000, "targetPort": 9090},
        ]));
        let targets: Vec<_> = ports(&former, 80)
            .apply
            .into_iter()
            .map(|port| (port.port, port.target_port))
            .collect();
        let api = Some(IntOrString::Int(8082));
        assert_eq!(targets, [(80, api.clone()), (5000, api)]);
    }
}
