//! Which Services there are: the `PostService`'s own, or one of older manifests and what it lacks.

use k8s_openapi::api::core::v1::Service;

use super::adopted_service::{Adopted, moved, ports};
use super::service::{self, is_balanced, port};
use super::{COMPONENT, Wanted};
use crate::controller::validate::Validated;

/// Which Services there are.
#[derive(Clone, Debug, Default)]
pub struct Front {
    /// The old Service that `spec.adopt` names, or else one that was taken over earlier.
    pub adopted: Option<Adopted>,
    /// Others that were taken over earlier.
    pub earlier: Vec<Adopted>,
    /// One with the name of the `PostService` was made, not taken over.
    pub has_own: bool,
    /// `<name>-nlb` was made, and stays the network load balancer.
    pub has_second: bool,
    /// Something that `spec.adopt` names cannot be taken over: nothing is changed.
    pub blocked: bool,
}

impl Front {
    /// Name of the second Service, the network load balancer beside an old Service that is none.
    pub fn second_name(spec: &Validated) -> String {
        format!("{}-nlb", spec.id.name)
    }

    fn is_split(&self, spec: &Validated) -> bool {
        let beside = |adopted: &Adopted| !self.has_own && !adopted.former.is_balancer(spec);
        is_balanced(spec) && (self.has_second || self.adopted.as_ref().is_some_and(beside))
    }

    /// The old Service, unless there is one with the name of the `PostService` beside it.
    fn only_adopted(&self) -> Option<&Adopted> {
        self.adopted.as_ref().filter(|_| !self.has_own)
    }

    /// Name of the Service that is the network load balancer.
    pub fn balancer_name(&self, spec: &Validated) -> String {
        match self.only_adopted() {
            _ if self.is_split(spec) => Self::second_name(spec),
            Some(adopted) => adopted.name.clone(),
            None => spec.id.name.clone(),
        }
    }

    /// Name and port of the Service for clients in the cluster.
    pub fn cluster(&self, spec: &Validated) -> (String, i32) {
        let Some(adopted) = self.only_adopted() else {
            return (spec.id.name.clone(), port(spec));
        };
        let former = &adopted.former.ports;
        let first = former.first().map(|first| first.port);
        let port = match (ports(former, port(spec)).lacks_ours, first) {
            (true, Some(first)) => first,
            _ => port(spec),
        };
        (adopted.name.clone(), port)
    }

    /// The spec's port, where the Service that is the load balancer could not be given it.
    pub fn missing_port(&self, spec: &Validated) -> Option<i32> {
        let adopted = self.only_adopted().filter(|_| !self.is_split(spec))?;
        let wanted = port(spec);
        ports(&adopted.former.ports, wanted)
            .lacks_ours
            .then_some(wanted)
    }

    /// Every Service.
    pub(super) fn services(&self, spec: &Validated) -> Wanted<Service> {
        if self.blocked {
            return Wanted::untouched();
        }
        let mut services = Vec::new();
        if self.only_adopted().is_none() {
            services.push(if self.is_split(spec) {
                service::internal(spec)
            } else {
                service::build(spec)
            });
        }
        let adopted = self.adopted.iter().chain(&self.earlier);
        let moved_ones = adopted.filter(|adopted| adopted.moved);
        services.extend(moved_ones.map(|adopted| moved(spec, adopted)));
        if self.is_split(spec) {
            services.push(second(spec));
        }
        Wanted::only(services)
    }
}

/// The network load balancer beside an old Service that is none. Monitoring finds the pods through
/// the other one, by its labels: through both, each would be scraped twice.
fn second(spec: &Validated) -> Service {
    let mut second = service::balancer(spec, &Front::second_name(spec));
    let labels = second.metadata.labels.get_or_insert_default();
    labels.insert(COMPONENT.into(), "load-balancer".into());
    second
}

#[cfg(test)]
mod tests {
    use kube::ResourceExt as _;
    use serde_json::json;

    use super::*;
    use crate::build::adopted_service::Former;
    use crate::controller::validate;

    fn spec(load_balancer: &serde_json::Value) -> Validated {
        let object = json!({
            "apiVersion": "platform.hhottdogg.shop/v1alpha1", "kind": "PostService",
            "metadata": {"name": "board", "namespace": "ns", "uid": "u"},
            "spec": {"image": {"repository": "123456789012.dkr.ecr.eu-west-1.amazonaws.com/p",
                "tag": "2"}, "service": {"loadBalancer": load_balancer}},
        });
        validate::spec(&serde_json::from_value(object).unwrap()).unwrap()
    }

    fn adopted(name: &str, type_: &str, class: Option<&str>, moved: bool) -> Adopted {
        let ports = json!([{"name": "web", "port": 80, "targetPort": 8082}]);
        let former = Former {
            type_: type_.into(),
            load_balancer_class: class.map(Into::into),
            ports: serde_json::from_value(ports).unwrap(),
            ..Former::default()
        };
        Adopted {
            name: name.into(),
            former,
            moved,
        }
    }

    #[test]
    fn beside_an_old_service_the_load_balancer_is_a_second_one_and_nothing_is_made_twice() {
        let class = Some("service.k8s.aws/nlb");
        let second = Front {
            has_second: true,
            ..Front::default()
        };
        let own = Front {
            has_own: true,
            ..Front::default()
        };
        let with = |front: &Front, adopted| Front {
            adopted: Some(adopted),
            ..front.clone()
        };
        let none = Front::default();
        // Front, load balancer wanted, Services and the types that are set, the load balancer's name.
        let cases = [
            (none.clone(), true, "board LoadBalancer", "board"),
            (none.clone(), false, "board ClusterIP", "board"),
            (
                with(&none, adopted("board", "NodePort", None, false)),
                true,
                "board-nlb LoadBalancer",
                "board-nlb",
            ),
            (
                with(&second, adopted("board", "NodePort", None, true)),
                true,
                "board -, board-nlb LoadBalancer",
                "board-nlb",
            ),
            (
                with(&second, adopted("old", "LoadBalancer", None, true)),
                true,
                "old -, board-nlb LoadBalancer",
                "board-nlb",
            ),
            (
                with(&second, adopted("old", "NodePort", None, true)),
                false,
                "old -",
                "old",
            ),
            (
                with(&none, adopted("old", "LoadBalancer", class, false)),
                true,
                "",
                "old",
            ),
            (
                with(&none, adopted("old", "LoadBalancer", class, true)),
                true,
                "old LoadBalancer",
                "old",
            ),
            // An old Service that somebody deleted takes the load balancer not with it.
            (
                second.clone(),
                true,
                "board ClusterIP, board-nlb LoadBalancer",
                "board-nlb",
            ),
            // Adopted by a PostService that served before.
            (
                with(&own, adopted("old", "NodePort", None, true)),
                true,
                "board LoadBalancer, old -",
                "board",
            ),
        ];
        for (front, enabled, expected, balancer) in cases {
            let spec = spec(&json!({"enabled": enabled}));
            let found: Vec<_> = front
                .services(&spec)
                .objects
                .iter()
                .map(|service| {
                    let type_ = service.spec.as_ref().unwrap().type_.as_deref();
                    format!("{} {}", service.name_any(), type_.unwrap_or("-"))
                })
                .collect();
            assert_eq!(found.join(", "), expected, "{front:?}");
            assert_eq!(front.balancer_name(&spec), balancer, "{front:?}");
        }
    }
}
