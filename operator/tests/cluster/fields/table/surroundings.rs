//! The part of the table that is about what is around the container.

use serde_json::{Value, json};

use super::Expected::{self, Gone, Holds, Is};
use super::{BALANCED, BOUND, PLAIN, PUBLIC, Row, row, variable};

pub fn rows() -> Vec<Row> {
    [
        service(),
        load_balancer(),
        health_check(),
        scaling(),
        neighbours(),
        pod(),
    ]
    .concat()
}

fn service() -> Vec<Row> {
    let arn =
        "arn:aws:elasticloadbalancing:eu-west-1:123456789012:targetgroup/board/0123456789abcdef";
    let class = "eks.amazonaws.com/nlb";
    let ranges = json!(["10.1.0.0/16"]);
    vec![
        row(
            PLAIN,
            "service.port",
            json!(8080),
            ("Service", "/spec/ports/0/port"),
            Is(json!(8080)),
        ),
        row(
            PLAIN,
            "service.loadBalancer.enabled",
            json!(false),
            ("Service", "/spec/type"),
            Is(json!("ClusterIP")),
        ),
        row(
            PUBLIC,
            "service.loadBalancer.class",
            json!(class),
            ("Service", "/spec/loadBalancerClass"),
            Is(json!(class)),
        ),
        row(
            BALANCED,
            "service.loadBalancer.sourceRanges",
            ranges.clone(),
            ("Service", "/spec/loadBalancerSourceRanges"),
            Is(ranges),
        ),
        row(
            BOUND,
            "service.loadBalancer.targetGroupARN",
            json!(arn),
            ("TargetGroupBinding", "/spec/targetGroupARN"),
            Is(json!(arn)),
        ),
        row(
            BOUND,
            "service.loadBalancer.targetGroupARN",
            json!(arn),
            ("Service", "/spec/type"),
            Is(json!("ClusterIP")),
        ),
    ]
}

/// An annotation that the AWS Load Balancer Controller reads.
fn annotation(
    service: &'static str,
    field: &'static str,
    value: Value,
    name: &str,
    expected: Expected,
) -> Row {
    let pointer =
        format!("/metadata/annotations/service.beta.kubernetes.io~1aws-load-balancer-{name}");
    row(service, field, value, ("Service", &pointer), expected)
}

fn load_balancer() -> Vec<Row> {
    let balanced = |field, value, name, expected: &str| {
        annotation(BALANCED, field, value, name, Is(json!(expected)))
    };
    let holds = |field, value, name, part: &str| {
        annotation(BALANCED, field, value, name, Holds(part.to_owned()))
    };
    let public =
        |field, value| annotation(PUBLIC, field, value, "scheme", Is(json!("internet-facing")));
    let certificate = "arn:aws:acm:eu-west-1:123456789012:certificate/a";
    let groups = "target-group-attributes";
    let own = ("Service", "/metadata/annotations/example.com~1owner");
    vec![
        public("service.loadBalancer.scheme", json!("internet-facing")),
        public("service.loadBalancer.allowPlaintext", json!(true)),
        holds(
            "service.loadBalancer.crossZone",
            json!(false),
            "attributes",
            "load_balancing.cross_zone.enabled=false",
        ),
        holds(
            "service.loadBalancer.preserveClientIP",
            json!(true),
            groups,
            "preserve_client_ip.enabled=true",
        ),
        holds(
            "service.loadBalancer.deregistrationDelaySeconds",
            json!(60),
            groups,
            "deregistration_delay.timeout_seconds=60",
        ),
        balanced(
            "service.loadBalancer.tls.certificateArn",
            json!(certificate),
            "ssl-cert",
            certificate,
        ),
        balanced(
            "service.loadBalancer.tls.policy",
            json!("ELBSecurityPolicy-2016-08"),
            "ssl-negotiation-policy",
            "ELBSecurityPolicy-2016-08",
        ),
        balanced(
            "service.loadBalancer.subnets",
            json!(["subnet-1", "subnet-2"]),
            "subnets",
            "subnet-1,subnet-2",
        ),
        holds(
            "service.loadBalancer.attributes",
            json!({"deletion_protection.enabled": "true"}),
            "attributes",
            "deletion_protection.enabled=true",
        ),
        holds(
            "service.loadBalancer.targetGroupAttributes",
            json!({"stickiness.enabled": "true"}),
            groups,
            "stickiness.enabled=true",
        ),
        balanced(
            "service.loadBalancer.tags",
            json!({"team": "board"}),
            "additional-resource-tags",
            "team=board",
        ),
        row(
            BALANCED,
            "service.loadBalancer.annotations",
            json!({"example.com/owner": "board"}),
            own,
            Is(json!("board")),
        ),
    ]
}

fn health_check() -> Vec<Row> {
    let balanced = |field, value, name, expected: &str| {
        annotation(BALANCED, field, value, name, Is(json!(expected)))
    };
    vec![
        balanced(
            "service.loadBalancer.healthCheck.path",
            json!("/livez"),
            "healthcheck-path",
            "/livez",
        ),
        balanced(
            "service.loadBalancer.healthCheck.intervalSeconds",
            json!(20),
            "healthcheck-interval",
            "20",
        ),
        balanced(
            "service.loadBalancer.healthCheck.timeoutSeconds",
            json!(7),
            "healthcheck-timeout",
            "7",
        ),
        balanced(
            "service.loadBalancer.healthCheck.healthyThreshold",
            json!(4),
            "healthcheck-healthy-threshold",
            "4",
        ),
        balanced(
            "service.loadBalancer.healthCheck.unhealthyThreshold",
            json!(5),
            "healthcheck-unhealthy-threshold",
            "5",
        ),
    ]
}

fn scaling() -> Vec<Row> {
    let target = "/spec/metrics/0/resource/target/averageUtilization";
    let container = "/spec/template/spec/containers/0/resources";
    let autoscaler = "HorizontalPodAutoscaler";
    let requests = json!({"cpu": "300m", "memory": "70Mi"});
    let limits = json!({"cpu": "900m", "memory": "2Gi"});
    vec![
        row(
            BALANCED,
            "autoscaling.minReplicas",
            json!(2),
            (autoscaler, "/spec/minReplicas"),
            Is(json!(2)),
        ),
        row(
            BALANCED,
            "autoscaling.maxReplicas",
            json!(9),
            (autoscaler, "/spec/maxReplicas"),
            Is(json!(9)),
        ),
        row(
            BALANCED,
            "autoscaling.targetCPUUtilization",
            json!(55),
            (autoscaler, target),
            Is(json!(55)),
        ),
        row(
            BALANCED,
            "resources.requests",
            requests.clone(),
            ("Deployment", &format!("{container}/requests")),
            Is(requests),
        ),
        row(
            BALANCED,
            "resources.limits",
            limits.clone(),
            ("Deployment", &format!("{container}/limits")),
            Is(limits.clone()),
        ),
        row(
            BALANCED,
            "resources.limits",
            limits.clone(),
            ("Job", &format!("{container}/limits")),
            Is(limits),
        ),
    ]
}

fn neighbours() -> Vec<Row> {
    let from = ("NetworkPolicy", "/spec/ingress/0/from");
    let interval = ("ServiceMonitor", "/spec/endpoints/0/interval");
    let label = ("ServiceMonitor", "/metadata/labels/release");
    let role = "arn:aws:iam::123456789012:role/board";
    let annotations = json!({"eks.amazonaws.com/role-arn": role});
    let role_annotation = (
        "ServiceAccount",
        "/metadata/annotations/eks.amazonaws.com~1role-arn",
    );
    vec![
        row(
            PLAIN,
            "podDisruptionBudget.enabled",
            json!(false),
            ("PodDisruptionBudget", ""),
            Gone,
        ),
        row(
            PLAIN,
            "networkPolicy.enabled",
            json!(false),
            ("NetworkPolicy", ""),
            Gone,
        ),
        row(
            BALANCED,
            "networkPolicy.allowFrom",
            json!(["10.2.0.0/16"]),
            from,
            Is(json!([{"ipBlock": {"cidr": "10.2.0.0/16"}}])),
        ),
        row(
            PLAIN,
            "monitoring.serviceMonitor",
            json!("Disabled"),
            ("ServiceMonitor", ""),
            Gone,
        ),
        row(
            BOUND,
            "monitoring.interval",
            json!("45s"),
            interval,
            Is(json!("45s")),
        ),
        row(
            BOUND,
            "monitoring.labels",
            json!({"release": "monitoring"}),
            label,
            Is(json!("monitoring")),
        ),
        row(
            BALANCED,
            "serviceAccount.name",
            json!("identity"),
            ("ServiceAccount", "/metadata/name"),
            Is(json!("identity")),
        ),
        row(
            BALANCED,
            "serviceAccount.name",
            json!("identity"),
            ("Deployment", "/spec/template/spec/serviceAccountName"),
            Is(json!("identity")),
        ),
        row(
            BALANCED,
            "serviceAccount.annotations",
            annotations,
            role_annotation,
            Is(json!(role)),
        ),
    ]
}

fn pod() -> Vec<Row> {
    let at = |pointer: &str| format!("/spec/template{pointer}");
    let of_pod = |field, value: Value, pointer: &str, expected: Value| {
        row(
            BALANCED,
            field,
            value,
            ("Deployment", &at(pointer)),
            Is(expected),
        )
    };
    let tolerations = json!([
        {"key": "dedicated", "operator": "Equal", "value": "board", "effect": "NoExecute", "tolerationSeconds": 30}
    ]);
    let zones = "/spec/topologySpreadConstraints";
    vec![
        variable(
            BALANCED,
            "pod.env",
            json!([{"name": "RUST_LOG", "value": "debug"}]),
            "RUST_LOG",
            "debug",
        ),
        of_pod(
            "pod.labels",
            json!({"team": "board"}),
            "/metadata/labels/team",
            json!("board"),
        ),
        of_pod(
            "pod.annotations",
            json!({"example.com/a": "b"}),
            "/metadata/annotations/example.com~1a",
            json!("b"),
        ),
        of_pod(
            "pod.nodeSelector",
            json!({"disk": "ssd"}),
            "/spec/nodeSelector",
            json!({"disk": "ssd"}),
        ),
        of_pod(
            "pod.tolerations",
            tolerations.clone(),
            "/spec/tolerations",
            tolerations,
        ),
        row(
            PLAIN,
            "pod.topologySpread",
            json!("None"),
            ("Deployment", &at(zones)),
            Is(Value::Null),
        ),
        of_pod(
            "pod.priorityClassName",
            json!("urgent"),
            "/spec/priorityClassName",
            json!("urgent"),
        ),
    ]
}
