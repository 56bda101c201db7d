use std::collections::BTreeSet;

use k8s_openapi::api::core::v1::EnvVar;
use k8s_openapi::api::networking::v1::{
    IPBlock, NetworkPolicy, NetworkPolicyEgressRule, NetworkPolicyIngressRule, NetworkPolicyPeer,
    NetworkPolicyPort, NetworkPolicySpec,
};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{LabelSelector, LabelSelectorRequirement};
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;
use url::Url;

use super::{
    Credentials, HTTP_PORT, METRICS_PORT, NAME, Settings, environment, instance, metadata,
};
use crate::controller::validate::Validated;

const DNS: u16 = 53;
const HTTPS: u16 = 443;
/// The agent from which pods get their AWS credentials (Amazon EKS user guide, "EKS Pod Identity
/// restrictions").
const POD_IDENTITY: [&str; 2] = ["169.254.170.23/32", "fd00:ec2::23/128"];
/// Who may read metrics, by the recommended name label: this operator, and the usual collectors.
const SCRAPERS: [&str; 6] = [
    "post-operator",
    "prometheus",
    "alloy",
    "grafana-agent",
    "opentelemetry-collector",
    "vmagent",
];

/// Who may talk to the pods, serving and migrating ones, and to whom they may talk.
pub(super) fn build(
    spec: &Validated,
    credentials: &Credentials,
    settings: &Settings,
) -> NetworkPolicy {
    NetworkPolicy {
        metadata: metadata(spec, &spec.id.name),
        spec: Some(NetworkPolicySpec {
            pod_selector: Some(LabelSelector {
                match_labels: Some(instance(&spec.id.name)),
                match_expressions: None,
            }),
            policy_types: Some(vec!["Ingress".into(), "Egress".into()]),
            ingress: Some(vec![clients(spec), scrapers()]),
            egress: Some(vec![
                NetworkPolicyEgressRule {
                    ports: Some(vec![udp(DNS), tcp(DNS)]),
                    to: None,
                },
                NetworkPolicyEgressRule {
                    ports: Some(outside(spec, credentials, settings)),
                    to: None,
                },
                NetworkPolicyEgressRule {
                    ports: Some(vec![tcp(80)]),
                    to: Some(POD_IDENTITY.map(network).to_vec()),
                },
            ]),
        }),
    }
}

/// Clients come with their own addresses or with the load balancer's: without a list, anybody.
fn clients(spec: &Validated) -> NetworkPolicyIngressRule {
    let networks = &spec.spec.network_policy.allow_from;
    let from = networks
        .iter()
        .map(|cidr| network(cidr))
        .collect::<Vec<_>>();
    NetworkPolicyIngressRule {
        ports: Some(vec![tcp(HTTP_PORT)]),
        from: (!from.is_empty()).then_some(from),
    }
}

fn scrapers() -> NetworkPolicyIngressRule {
    let names = LabelSelectorRequirement {
        key: NAME.into(),
        operator: "In".into(),
        values: Some(SCRAPERS.map(str::to_owned).to_vec()),
    };
    NetworkPolicyIngressRule {
        ports: Some(vec![tcp(METRICS_PORT)]),
        from: Some(vec![NetworkPolicyPeer {
            namespace_selector: Some(LabelSelector::default()),
            pod_selector: Some(LabelSelector {
                match_labels: None,
                match_expressions: Some(vec![names]),
            }),
            ip_block: None,
        }]),
    }
}

/// Ports of the database, of AWS, and of every address that the environment names.
fn outside(
    spec: &Validated,
    credentials: &Credentials,
    settings: &Settings,
) -> Vec<NetworkPolicyPort> {
    let environment = environment::plain(&spec.pod, settings);
    let named = environment.iter().filter_map(address_port);
    let mut ports = BTreeSet::from([HTTPS]);
    ports.extend(&credentials.database_ports);
    ports.extend(named);
    ports.into_iter().map(tcp).collect()
}

/// The port of a variable that holds a URL, such as `COMMENT_SERVICE_URL` and
/// `OTEL_EXPORTER_OTLP_ENDPOINT`.
fn address_port(variable: &EnvVar) -> Option<u16> {
    let holds_address = ["_URL", "_ENDPOINT"]
        .iter()
        .any(|suffix| variable.name.ends_with(suffix));
    let value = variable.value.as_ref().filter(|_| holds_address)?;
    Url::parse(value).ok()?.port_or_known_default()
}

fn network(cidr: &str) -> NetworkPolicyPeer {
    NetworkPolicyPeer {
        ip_block: Some(IPBlock {
            cidr: cidr.to_owned(),
            except: None,
        }),
        ..NetworkPolicyPeer::default()
    }
}

fn tcp(port: impl Into<i32>) -> NetworkPolicyPort {
    on("TCP", port.into())
}

fn udp(port: impl Into<i32>) -> NetworkPolicyPort {
    on("UDP", port.into())
}

fn on(protocol: &str, port: i32) -> NetworkPolicyPort {
    NetworkPolicyPort {
        port: Some(IntOrString::Int(port)),
        protocol: Some(protocol.into()),
        end_port: None,
    }
}
