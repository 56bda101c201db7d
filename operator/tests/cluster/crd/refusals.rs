//! What schema and operator both refuse.

use post_operator::api::v1alpha1::rules;
use serde_json::{Value, json};

const ARN: &str =
    "arn:aws:elasticloadbalancing:eu-west-1:123456789012:targetgroup/board/0123456789abcdef";

/// A patch of a spec with tag `1`, the field at fault, and what is said of it.
pub type Refusal = (Value, &'static str, String);

fn refusal(patch: Value, field: &'static str, message: &str) -> Refusal {
    (patch, field, message.to_owned())
}

pub fn all() -> Vec<Refusal> {
    [of_workload(), of_scaling(), of_load_balancer()].concat()
}

fn of_workload() -> Vec<Refusal> {
    let digest = format!("sha256:{}", "0".repeat(64));
    let connection = json!({"host": "db.example"});
    let rotating = json!({"adminSecretRef": {"name": "a"}, "rotation": {"interval": "5m"}});
    let keys = json!({"secretRef": {"keys": {"password": "x"}}});
    vec![
        refusal(json!({"image": {"tag": null}}), "image", rules::ONE_IMAGE),
        refusal(
            json!({"image": {"digest": digest}}),
            "image",
            rules::ONE_IMAGE,
        ),
        refusal(
            json!({"image": {"tag": "latest"}}),
            "image.tag",
            rules::TAG_LATEST,
        ),
        refusal(
            json!({"image": {"tag": null, "digest": "sha256:00"}}),
            "image.digest",
            rules::DIGEST_FORM,
        ),
        refusal(
            json!({"image": {"tag": null, "policy": {}}}),
            "image.policy",
            rules::ONE_POLICY,
        ),
        refusal(
            json!({"image": {"tag": null, "policy": {"semver": {"range": "newest"}}}}),
            "image.policy.semver.range",
            rules::RANGE_FORM,
        ),
        refusal(
            json!({"image": {"tag": null, "policy": {"semver": {"range": ">=1.0.0 || 2"}}}}),
            "image.policy.semver.range",
            rules::RANGE_FORM,
        ),
        refusal(
            json!({"image": {"repository": "docker.io/board/post", "tag": null,
                "policy": {"newestPushed": {"pattern": "^latest$"}}}}),
            "image.policy",
            rules::POLICY_ELSEWHERE,
        ),
        refusal(
            json!({"rollout": {"progressDeadline": "1.5h"}}),
            "rollout.progressDeadline",
            rules::DURATION_FORM,
        ),
        refusal(
            json!({"rollout": {"bake": {"duration": "-2m"}}}),
            "rollout.bake.duration",
            rules::DURATION_FORM,
        ),
        refusal(
            json!({"rollout": {"drainDelay": "long"}}),
            "rollout.drainDelay",
            rules::DURATION_FORM,
        ),
        refusal(
            json!({"database": {"migrations": {"timeout": ""}}}),
            "database.migrations.timeout",
            rules::DURATION_FORM,
        ),
        refusal(
            json!({"rollout": {"drainDelay": "2m"}}),
            "rollout.drainDelay",
            rules::DRAIN_TOO_SHORT,
        ),
        refusal(
            json!({"database": {"bootstrap": {"adminSecretRef": {"name": "a"}}}}),
            "database",
            rules::CONNECTION_AND_BOOTSTRAP,
        ),
        refusal(
            json!({"database": {"connection": connection}}),
            "database",
            rules::CONNECTION_AND_BOOTSTRAP,
        ),
        refusal(
            json!({"database": {"connection": connection, "bootstrap": rotating}}),
            "database.bootstrap.rotation.interval",
            rules::ROTATION_TOO_SHORT,
        ),
        refusal(
            json!({"auth": keys}),
            "auth.secretRef.keys",
            rules::UNKNOWN_KEY,
        ),
    ]
}

fn of_scaling() -> Vec<Refusal> {
    let old = json!({"service": "old", "horizontalPodAutoscaler": "old"});
    vec![
        refusal(
            json!({"api": {"defaultPageSize": 60}}),
            "api.defaultPageSize",
            rules::PAGE_ABOVE_MAX,
        ),
        refusal(
            json!({"replicas": 2}),
            "replicas",
            rules::REPLICAS_WITH_AUTOSCALING,
        ),
        refusal(
            json!({"autoscaling": {"minReplicas": 5}}),
            "autoscaling.minReplicas",
            rules::MIN_ABOVE_MAX,
        ),
        refusal(
            json!({"resources": {"requests": {"memory": "64Mi"}}}),
            "resources.requests.cpu",
            rules::CPU_REQUEST,
        ),
        refusal(
            json!({"resources": {"requests": {"cpu": "1"}}}),
            "resources.requests",
            rules::REQUEST_ABOVE_LIMIT,
        ),
        refusal(
            json!({"resources": {"requests": {"cpu": "few"}}}),
            "resources.requests",
            rules::QUANTITY_FORM,
        ),
        refusal(
            json!({"resources": {"limits": {"cpu": "much"}}}),
            "resources.limits",
            rules::QUANTITY_FORM,
        ),
        refusal(
            json!({"adopt": {"deployment": "old"}}),
            "adopt.service",
            rules::ADOPT_SERVICE,
        ),
        refusal(
            json!({"adopt": old}),
            "adopt.deployment",
            rules::ADOPT_DEPLOYMENT,
        ),
    ]
}

fn of_load_balancer() -> Vec<Refusal> {
    const FIELD: &str = "service.loadBalancer";
    const RANGES: &str = "service.loadBalancer.sourceRanges";
    let ranges = json!(["10.0.0.0/8"]);
    let groups = json!({"service.beta.kubernetes.io/aws-load-balancer-security-groups": "sg-1"});
    let no_group = json!({"service.kubernetes.io/aws-load-balancer-disable-nlb-sg": "true"});
    let taken = |key: &str| format!("{key} {}", rules::TAKEN_KEY);
    let cross_zone = "load_balancing.cross_zone.enabled";
    let mut refusals = vec![
        refusal(
            json!({"scheme": "internet-facing"}),
            "service.loadBalancer.scheme",
            rules::EXPOSED_PLAINTEXT,
        ),
        refusal(
            json!({"healthCheck": {"intervalSeconds": 5}}),
            "service.loadBalancer.healthCheck.intervalSeconds",
            rules::INTERVAL_BELOW_TIMEOUT,
        ),
        refusal(
            json!({"attributes": {cross_zone: "false"}}),
            FIELD,
            &taken(cross_zone),
        ),
        refusal(
            json!({"attributes": {"a": "b,c=d"}}),
            "service.loadBalancer.attributes",
            rules::SEPARATOR,
        ),
        refusal(
            json!({"targetGroupAttributes": {"a": "b,c=d"}}),
            "service.loadBalancer.targetGroupAttributes",
            rules::SEPARATOR,
        ),
        refusal(
            json!({"tags": {"a": "b,c=d"}}),
            "service.loadBalancer.tags",
            rules::SEPARATOR,
        ),
        refusal(
            json!({"subnets": ["subnet-1,subnet-2"]}),
            "service.loadBalancer.subnets",
            rules::SUBNET_COMMA,
        ),
        refusal(
            json!({"sourceRanges": ranges, "enabled": false}),
            RANGES,
            rules::RANGES_DISABLED,
        ),
        refusal(
            json!({"sourceRanges": ranges, "targetGroupARN": ARN}),
            RANGES,
            rules::RANGES_ELSEWHERE,
        ),
        refusal(
            json!({"sourceRanges": ranges, "preserveClientIP": true, "annotations": groups}),
            RANGES,
            rules::RANGES_GROUPS,
        ),
        refusal(
            json!({"sourceRanges": ranges, "preserveClientIP": true, "annotations": no_group}),
            RANGES,
            rules::RANGES_GROUPS,
        ),
        refusal(
            json!({"sourceRanges": ranges}),
            RANGES,
            rules::RANGES_PRESERVE,
        ),
        refusal(
            json!({"sourceRanges": ["fd00::/8"], "preserveClientIP": true}),
            RANGES,
            rules::RANGES_V6,
        ),
    ];
    for key in [
        "deregistration_delay.timeout_seconds",
        "preserve_client_ip.enabled",
        "target_health_state.unhealthy.connection_termination.enabled",
    ] {
        refusals.push(refusal(
            json!({"targetGroupAttributes": {key: "1"}}),
            FIELD,
            &taken(key),
        ));
    }
    refusals.extend(of_target_group());
    refusals
        .into_iter()
        .map(|(patch, field, message)| {
            (json!({"service": {"loadBalancer": patch}}), field, message)
        })
        .collect()
}

fn of_target_group() -> Vec<Refusal> {
    let faults = [
        (json!({"enabled": false}), rules::GROUP_DISABLED.to_owned()),
        (
            json!({"class": "eks.amazonaws.com/nlb"}),
            rules::GROUP_CLASS.to_owned(),
        ),
        (
            json!({"scheme": "internet-facing", "allowPlaintext": true}),
            rules::owned_elsewhere("scheme"),
        ),
        (
            json!({"allowPlaintext": true}),
            rules::owned_elsewhere("allowPlaintext"),
        ),
        (
            json!({"crossZone": false}),
            rules::owned_elsewhere("crossZone"),
        ),
        (
            json!({"preserveClientIP": false}),
            rules::owned_elsewhere("preserveClientIP"),
        ),
        (
            json!({"healthCheck": {"unhealthyThreshold": 4}}),
            rules::owned_elsewhere("healthCheck"),
        ),
        (
            json!({"tls": {"policy": "x"}}),
            rules::owned_elsewhere("tls"),
        ),
        (
            json!({"subnets": ["subnet-1"]}),
            rules::owned_elsewhere("subnets"),
        ),
        (
            json!({"attributes": {"a": "b"}}),
            rules::owned_elsewhere("attributes"),
        ),
        (
            json!({"targetGroupAttributes": {"a": "b"}}),
            rules::owned_elsewhere("targetGroupAttributes"),
        ),
        (json!({"tags": {"a": "b"}}), rules::owned_elsewhere("tags")),
        (
            json!({"annotations": {"a": "b"}}),
            rules::owned_elsewhere("annotations"),
        ),
    ];
    let faults = faults.into_iter().map(|(mut patch, message)| {
        patch["targetGroupARN"] = json!(ARN);
        (patch, "service.loadBalancer.targetGroupARN", message)
    });
    faults.collect()
}
