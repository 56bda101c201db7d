use kube::core::ObjectMeta;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::LabelSelector;

use super::{metadata, selector};
use crate::api::v1alpha1::ServiceMonitorMode;
use crate::controller::validate::Validated;
use crate::foreign::{Endpoint, ServiceMonitor, ServiceMonitorSpec};

/// Scrapes the pods' metrics port. It is found through the Service but is no port of it: the load
/// balancer would forward it to the world.
pub(super) fn build(spec: &Validated) -> Option<ServiceMonitor> {
    let monitoring = &spec.spec.monitoring;
    if monitoring.service_monitor == ServiceMonitorMode::Disabled {
        return None;
    }
    let own = metadata(spec, &spec.id.name);
    let mut labels = monitoring.labels.clone();
    labels.extend(own.labels.clone().unwrap_or_default());
    Some(ServiceMonitor {
        metadata: ObjectMeta {
            labels: Some(labels),
            ..own
        },
        spec: ServiceMonitorSpec {
            selector: LabelSelector {
                match_labels: Some(selector(&spec.id.name)),
                match_expressions: None,
            },
            endpoints: vec![Endpoint {
                target_port: Some("metrics".into()),
                path: Some("/metrics".into()),
                interval: Some(monitoring.interval.clone()),
            }],
        },
    })
}
