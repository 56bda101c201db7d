//! Rules of the spec that the schema expresses in CEL, and their messages. `controller::validate`
//! applies the same rules with the same messages.

use schemars::Schema;
use serde_json::{Value, json};

/// `image`: the ways of naming an image exclude each other.
pub const ONE_IMAGE: &str = "set exactly one of tag, digest and policy";
/// `image.tag`: a moving tag is not a version.
pub const TAG_LATEST: &str = "tag latest is refused: use policy.newestPushed with pattern ^latest$";
/// `image.digest`.
pub const DIGEST_FORM: &str = "digest must be sha256: and 64 hexadecimal digits";
/// `image.policy` of a registry that is not Amazon ECR.
pub const POLICY_ELSEWHERE: &str = "a policy needs the push times and the complete listing of a repository in Amazon ECR: give tag or digest";
/// `image.policy`: the rules exclude each other.
pub const ONE_POLICY: &str = "set exactly one of newestPushed and semver";
/// `image.policy.semver.range`.
pub const RANGE_FORM: &str =
    "is not a range of versions: write comparators with spaces between them, e.g. >=1.0.0 <2.0.0";
/// Every duration.
pub const DURATION_FORM: &str = "is not a duration: write e.g. 90s, 5m or 1h30m";
/// `resources`: every quantity.
pub const QUANTITY_FORM: &str = "is not a quantity: write e.g. 250m or 64Mi";
/// `resources.requests`.
pub const REQUEST_ABOVE_LIMIT: &str =
    "a request must not exceed its limit: raise resources.limits too";
/// `resources.requests.cpu`.
pub const CPU_REQUEST: &str =
    "is required while autoscaling.enabled is true: utilisation is a share of it";
/// `autoscaling.minReplicas`.
pub const MIN_ABOVE_MAX: &str = "must not exceed maxReplicas";
/// `replicas`.
pub const REPLICAS_WITH_AUTOSCALING: &str = "is only allowed with autoscaling.enabled: false";
/// `api.defaultPageSize`.
pub const PAGE_ABOVE_MAX: &str = "must not exceed maxPageSize";
/// `rollout.drainDelay`.
pub const DRAIN_TOO_SHORT: &str =
    "must be at least service.loadBalancer.deregistrationDelaySeconds + 10s";
/// `database`.
pub const CONNECTION_AND_BOOTSTRAP: &str =
    "connection and bootstrap belong together: set both, or neither and use urlSecretRef";
/// `database.bootstrap.rotation.interval`.
pub const ROTATION_TOO_SHORT: &str = "must be at least 1h: each change replaces every pod";
/// `auth.secretRef.keys`.
pub const UNKNOWN_KEY: &str = "only cognito-user-pool-id, cognito-region, cognito-client-id and secret-key may have other names";
/// `adopt.service`.
pub const ADOPT_SERVICE: &str =
    "is required with adopt.deployment: it moves before the old pods end";
/// `adopt.deployment`.
pub const ADOPT_DEPLOYMENT: &str = "is required with adopt.horizontalPodAutoscaler";
/// `service.loadBalancer.scheme`.
pub const EXPOSED_PLAINTEXT: &str =
    "internet-facing needs tls.certificateArn, or allowPlaintext: true";
/// `service.loadBalancer.healthCheck.intervalSeconds`.
pub const INTERVAL_BELOW_TIMEOUT: &str = "must be at least timeoutSeconds";
/// `service.loadBalancer`, after a key of one of its maps.
pub const TAKEN_KEY: &str = "is set by a field of its own: use that";
/// Maps of `service.loadBalancer` that become one annotation each.
pub const SEPARATOR: &str = "a comma, or = in a key, cannot be passed on: remove it";
/// `service.loadBalancer.subnets`.
pub const SUBNET_COMMA: &str = "a comma cannot be passed on: write one subnet an item";
/// `service.loadBalancer.sourceRanges` without a load balancer.
pub const RANGES_DISABLED: &str = "need a load balancer: set enabled: true, or remove them";
/// `service.loadBalancer.sourceRanges` with a target group.
pub const RANGES_ELSEWHERE: &str =
    "have no effect on a target group that is owned elsewhere: remove them";
/// `service.loadBalancer.sourceRanges` with security groups.
pub const RANGES_GROUPS: &str =
    "are ignored with security groups of your own: write them into those";
/// `service.loadBalancer.sourceRanges` without client addresses.
pub const RANGES_PRESERVE: &str =
    "are ignored unless client addresses are preserved: set preserveClientIP: true";
/// `service.loadBalancer.sourceRanges` of IPv6.
pub const RANGES_V6: &str = "with IPv6 networks need the annotation service.beta.kubernetes.io/aws-load-balancer-ip-address-type: dualstack";
/// `service.loadBalancer.targetGroupARN` without its controller.
pub const GROUP_DISABLED: &str = "needs enabled: true";
/// `service.loadBalancer.targetGroupARN` with EKS Auto Mode.
pub const GROUP_CLASS: &str = "needs the AWS Load Balancer Controller, class eks.amazonaws.com/nlb has another kind of binding: remove class";

/// `service.loadBalancer.targetGroupARN` beside a field of a load balancer's own.
pub fn owned_elsewhere(field: &str) -> String {
    format!("the target group is owned elsewhere, and so is {field}: remove {field}")
}

/// A validation rule of the schema, for `x-kubernetes-validations` (Kubernetes documentation, "CEL
/// in Kubernetes").
pub(super) fn rule(cel: &str, message: &str) -> Value {
    json!({"rule": cel, "message": message})
}

/// The same, reported at a field below the one that carries the rule.
pub(super) fn rule_at(path: &str, cel: &str, message: &str) -> Value {
    json!({"rule": cel, "message": message, "fieldPath": path})
}

/// A duration as Kubernetes writes it.
pub(super) fn duration() -> Value {
    rule("self.matches('^([0-9]+(ms|s|m|h))+$')", DURATION_FORM)
}

/// A policy selects from ECR only: the test is that of `registry::Address`.
pub(super) fn policy_elsewhere() -> Value {
    rule_at(
        ".policy",
        "!has(self.policy) || self.repository.matches('^[0-9]{12}[.]dkr[.]ecr(-fips)?[.][a-z0-9-]+[.]amazonaws[.]com([.]cn)?/')",
        POLICY_ELSEWHERE,
    )
}

/// A range of versions, as `registry::policy::Range` reads it.
pub(super) fn range() -> Value {
    rule(
        "self.matches('^ *((>=|<=|>|<|=|~|\\\\^)? *([0-9]+|[xX*])([.]([0-9]+|[xX*])){0,2}(-[0-9A-Za-z.-]+)?([ ,]+|$))+$')",
        RANGE_FORM,
    )
}

/// Values of a map: texts of limited length.
pub(super) fn texts(longest: u16) -> Value {
    json!({"type": "string", "maxLength": longest})
}

/// Limits the texts of a list of tolerations to what the API server accepts in a pod (a qualified
/// name, and a label's value).
pub(super) fn bound_tolerations(schema: &mut Schema) {
    for (field, longest) in [
        ("key", 317),
        ("value", 63),
        ("operator", 16),
        ("effect", 32),
    ] {
        let path = format!("/items/properties/{field}");
        if let Some(Value::Object(text)) = schema.pointer_mut(&path) {
            text.insert("maxLength".into(), longest.into());
        }
    }
}

/// Rules of `service.loadBalancer`.
pub(super) fn load_balancer() -> Vec<Value> {
    let mut rules = vec![rule_at(
        ".scheme",
        "self.scheme != 'internet-facing' || has(self.tls.certificateArn) || self.allowPlaintext",
        EXPOSED_PLAINTEXT,
    )];
    let taken = [
        ("attributes", "load_balancing.cross_zone.enabled"),
        (
            "targetGroupAttributes",
            "deregistration_delay.timeout_seconds",
        ),
        ("targetGroupAttributes", "preserve_client_ip.enabled"),
        (
            "targetGroupAttributes",
            "target_health_state.unhealthy.connection_termination.enabled",
        ),
    ];
    rules.extend(taken.map(|(map, key)| {
        rule(
            &format!("!('{key}' in self.{map})"),
            &format!("{key} {TAKEN_KEY}"),
        )
    }));
    // The length of a map's key has no bound, which makes looking into it too dear for CEL.
    rules.extend(["attributes", "targetGroupAttributes", "tags"].map(|map| {
        let cel = format!("self.{map}.all(key, !self.{map}[key].contains(','))");
        rule_at(&format!(".{map}"), &cel, SEPARATOR)
    }));
    rules.push(rule_at(
        ".subnets",
        "self.subnets.all(subnet, !subnet.contains(','))",
        SUBNET_COMMA,
    ));
    rules.extend(source_ranges());
    rules.extend(target_group());
    rules
}

fn source_ranges() -> Vec<Value> {
    let annotation = |name: &str, test: &str| {
        let either = ["service.beta.kubernetes.io", "service.kubernetes.io"].map(|prefix| {
            let key = format!("'{prefix}/aws-load-balancer-{name}'");
            match test {
                "" => format!("{key} in self.annotations"),
                test => {
                    format!("({key} in self.annotations && self.annotations[{key}] == '{test}')")
                }
            }
        });
        either.join(" || ")
    };
    let groups = annotation("security-groups", "");
    let no_group = annotation("disable-nlb-sg", "true");
    let dualstack = annotation("ip-address-type", "dualstack");
    let demands = [
        ("self.enabled".to_owned(), RANGES_DISABLED),
        ("self.targetGroupARN == ''".to_owned(), RANGES_ELSEWHERE),
        (format!("!({groups} || {no_group})"), RANGES_GROUPS),
        (
            "(has(self.preserveClientIP) ? self.preserveClientIP : self.scheme == 'internet-facing')"
                .to_owned(),
            RANGES_PRESERVE,
        ),
        (
            format!("self.sourceRanges.all(range, !range.contains(':')) || {dualstack}"),
            RANGES_V6,
        ),
    ];
    let rules = demands.map(|(demand, message)| {
        let cel = format!("self.sourceRanges.size() == 0 || {demand}");
        rule_at(".sourceRanges", &cel, message)
    });
    rules.into()
}

fn target_group() -> Vec<Value> {
    let elsewhere = [
        ("scheme", "self.scheme == 'internal'"),
        ("allowPlaintext", "!self.allowPlaintext"),
        ("crossZone", "self.crossZone"),
        ("preserveClientIP", "!has(self.preserveClientIP)"),
        (
            "healthCheck",
            "(self.healthCheck.path == '/health' && self.healthCheck.intervalSeconds == 10 && self.healthCheck.timeoutSeconds == 6 && self.healthCheck.healthyThreshold == 2 && self.healthCheck.unhealthyThreshold == 3)",
        ),
        (
            "tls",
            "(!has(self.tls.certificateArn) && !has(self.tls.policy))",
        ),
        ("subnets", "self.subnets.size() == 0"),
        ("attributes", "self.attributes.size() == 0"),
        (
            "targetGroupAttributes",
            "self.targetGroupAttributes.size() == 0",
        ),
        ("tags", "self.tags.size() == 0"),
        ("annotations", "self.annotations.size() == 0"),
    ];
    let mut demands = vec![
        ("self.enabled", GROUP_DISABLED.to_owned()),
        ("self.class != 'eks.amazonaws.com/nlb'", GROUP_CLASS.into()),
    ];
    demands.extend(elsewhere.map(|(field, demand)| (demand, owned_elsewhere(field))));
    let rules = demands.into_iter().map(|(demand, message)| {
        let cel = format!("self.targetGroupARN == '' || {demand}");
        rule_at(".targetGroupARN", &cel, &message)
    });
    rules.collect()
}
