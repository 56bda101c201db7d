//! What `spec.service.loadBalancer` may not ask for together. Pure.
//!
//! The rules are those of the AWS Load Balancer Controller v3 (its documentation, "Service
//! annotations") and of EKS Auto Mode, which knows a part of them (Amazon EKS user guide, "Use
//! Service Annotations to configure Network Load Balancers").

use super::validate::Invalid;
use crate::api::v1alpha1::{LoadBalancer, LoadBalancerTls, Scheme, rules};

/// Both prefixes are read by the controller.
const PREFIXES: [&str; 2] = ["service.beta.kubernetes.io/", "service.kubernetes.io/"];
/// Annotations that a field sets, or that would win over one, and what to use instead. The first
/// that matches counts; a key with a port after it (`….8082`) wins over the one without.
const FIELDS: [(&str, &str); 23] = [
    ("load-balancer-source-ranges", "sourceRanges"),
    ("aws-load-balancer-type", "class"),
    (
        "aws-load-balancer-nlb-target-type",
        "nothing: targets are pod addresses",
    ),
    ("aws-load-balancer-internal", "scheme"),
    ("aws-load-balancer-scheme", "scheme"),
    (
        "aws-load-balancer-access-log-enabled",
        "attributes (access_logs.s3.enabled)",
    ),
    (
        "aws-load-balancer-access-log-s3-bucket-name",
        "attributes (access_logs.s3.bucket)",
    ),
    (
        "aws-load-balancer-access-log-s3-bucket-prefix",
        "attributes (access_logs.s3.prefix)",
    ),
    (
        "aws-load-balancer-cross-zone-load-balancing-enabled",
        "crossZone",
    ),
    ("aws-load-balancer-attributes", "attributes"),
    (
        "aws-load-balancer-target-group-attributes",
        "targetGroupAttributes",
    ),
    (
        "aws-load-balancer-proxy-protocol",
        "nothing: the pods do not speak the proxy protocol",
    ),
    (
        "aws-load-balancer-proxy-protocol-per-target-group",
        "nothing: the pods do not speak the proxy protocol",
    ),
    ("aws-load-balancer-healthcheck-protocol", "healthCheck"),
    ("aws-load-balancer-healthcheck-port", "healthCheck"),
    ("aws-load-balancer-healthcheck-path", "healthCheck.path"),
    (
        "aws-load-balancer-healthcheck-interval",
        "healthCheck.intervalSeconds",
    ),
    (
        "aws-load-balancer-healthcheck-timeout",
        "healthCheck.timeoutSeconds",
    ),
    (
        "aws-load-balancer-healthcheck-healthy-threshold",
        "healthCheck.healthyThreshold",
    ),
    (
        "aws-load-balancer-healthcheck-unhealthy-threshold",
        "healthCheck.unhealthyThreshold",
    ),
    ("aws-load-balancer-subnets", "subnets"),
    ("aws-load-balancer-additional-resource-tags", "tags"),
    (
        "aws-load-balancer-backend-protocol",
        "nothing: the pods speak plain HTTP",
    ),
];
const TLS: [&str; 3] = [
    "aws-load-balancer-ssl-cert",
    "aws-load-balancer-ssl-ports",
    "aws-load-balancer-ssl-negotiation-policy",
];
const SECURITY_GROUPS: &str = "aws-load-balancer-security-groups";
const NO_SECURITY_GROUP: &str = "aws-load-balancer-disable-nlb-sg";
const ADDRESS_TYPE: &str = "aws-load-balancer-ip-address-type";
const AUTO_MODE: &str = "eks.amazonaws.com/nlb";

/// Refuses what contradicts itself, and what the controller would ignore without a word.
pub fn check(load_balancer: &LoadBalancer) -> Result<(), Invalid> {
    annotations(load_balancer)?;
    separators(load_balancer)?;
    source_ranges(load_balancer)?;
    target_group(load_balancer)
}

fn annotations(load_balancer: &LoadBalancer) -> Result<(), Invalid> {
    for key in load_balancer.annotations.keys() {
        let Some(name) = suffix(key) else {
            continue;
        };
        let plain = name.split('.').next().unwrap_or(name);
        let typed = FIELDS.iter().find(|(taken, _)| *taken == plain);
        let mend = match typed {
            Some((_, field)) => *field,
            None if TLS.contains(&plain) => "tls",
            None => continue,
        };
        return Err(Invalid {
            field: "service.loadBalancer.annotations",
            fault: format!("{key} would contradict the typed fields: use {mend}"),
        });
    }
    Ok(())
}

/// Lists and maps are joined by `,` and `=` into one annotation each: a separator within a value
/// would set further keys, past every other rule.
fn separators(load_balancer: &LoadBalancer) -> Result<(), Invalid> {
    let maps = [
        ("service.loadBalancer.attributes", &load_balancer.attributes),
        (
            "service.loadBalancer.targetGroupAttributes",
            &load_balancer.target_group_attributes,
        ),
        ("service.loadBalancer.tags", &load_balancer.tags),
    ];
    for (field, map) in maps {
        let broken = map
            .iter()
            .find(|(key, value)| key.contains([',', '=']) || value.contains(','));
        if let Some((key, _)) = broken {
            let fault = format!("{key}: {}", rules::SEPARATOR);
            return Err(Invalid { field, fault });
        }
    }
    if load_balancer
        .subnets
        .iter()
        .any(|subnet| subnet.contains(','))
    {
        return Err(Invalid {
            field: "service.loadBalancer.subnets",
            fault: rules::SUBNET_COMMA.into(),
        });
    }
    Ok(())
}

fn suffix(key: &str) -> Option<&str> {
    PREFIXES.iter().find_map(|prefix| key.strip_prefix(prefix))
}

fn annotation<'a>(load_balancer: &'a LoadBalancer, name: &str) -> Option<&'a str> {
    PREFIXES.iter().find_map(|prefix| {
        let found = load_balancer.annotations.get(&format!("{prefix}{name}"));
        found.map(String::as_str)
    })
}

fn source_ranges(load_balancer: &LoadBalancer) -> Result<(), Invalid> {
    let ranges = &load_balancer.source_ranges;
    let preserves = load_balancer
        .preserve_client_ip
        .unwrap_or(load_balancer.scheme == Scheme::InternetFacing);
    let v6 = ranges.iter().any(|range| range.contains(':'));
    let dualstack = annotation(load_balancer, ADDRESS_TYPE) == Some("dualstack");
    let reasons = [
        (!load_balancer.enabled, rules::RANGES_DISABLED),
        (
            !load_balancer.target_group_arn.is_empty(),
            rules::RANGES_ELSEWHERE,
        ),
        (
            annotation(load_balancer, SECURITY_GROUPS).is_some()
                || annotation(load_balancer, NO_SECURITY_GROUP) == Some("true"),
            rules::RANGES_GROUPS,
        ),
        (!preserves, rules::RANGES_PRESERVE),
        (v6 && !dualstack, rules::RANGES_V6),
    ];
    let fault = reasons.into_iter().find(|(broken, _)| *broken);
    match fault {
        Some((_, fault)) if !ranges.is_empty() => Err(Invalid {
            field: "service.loadBalancer.sourceRanges",
            fault: fault.into(),
        }),
        _ => Ok(()),
    }
}

/// Fields that only a load balancer of the Service's own has, beside the ARN of a target group that
/// is owned elsewhere.
fn target_group(load_balancer: &LoadBalancer) -> Result<(), Invalid> {
    if load_balancer.target_group_arn.is_empty() {
        return Ok(());
    }
    let default = LoadBalancer::default();
    let faults = [
        (!load_balancer.enabled, "enabled"),
        (load_balancer.class == AUTO_MODE, "class"),
        (load_balancer.scheme != default.scheme, "scheme"),
        (load_balancer.allow_plaintext, "allowPlaintext"),
        (load_balancer.cross_zone != default.cross_zone, "crossZone"),
        (
            load_balancer.preserve_client_ip.is_some(),
            "preserveClientIP",
        ),
        (
            load_balancer.health_check != default.health_check,
            "healthCheck",
        ),
        (load_balancer.tls != LoadBalancerTls::default(), "tls"),
        (!load_balancer.subnets.is_empty(), "subnets"),
        (!load_balancer.attributes.is_empty(), "attributes"),
        (
            !load_balancer.target_group_attributes.is_empty(),
            "targetGroupAttributes",
        ),
        (!load_balancer.tags.is_empty(), "tags"),
        (!load_balancer.annotations.is_empty(), "annotations"),
    ];
    match faults.into_iter().find(|(set, _)| *set) {
        None => Ok(()),
        Some((_, "enabled")) => Err(refused(rules::GROUP_DISABLED.to_owned())),
        Some((_, "class")) => Err(refused(rules::GROUP_CLASS.to_owned())),
        Some((_, field)) => Err(refused(rules::owned_elsewhere(field))),
    }
}

fn refused(fault: String) -> Invalid {
    Invalid {
        field: "service.loadBalancer.targetGroupARN",
        fault,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn fault(patch: Value) -> Option<String> {
        let load_balancer: LoadBalancer = serde_json::from_value(patch).unwrap();
        check(&load_balancer).err().map(|fault| fault.to_string())
    }

    #[test]
    fn an_annotation_that_contradicts_a_field_is_refused_under_either_prefix_and_for_one_port_too()
    {
        for prefix in PREFIXES {
            for (name, mend) in [
                ("aws-load-balancer-scheme", "scheme"),
                ("aws-load-balancer-internal", "scheme"),
                (
                    "aws-load-balancer-cross-zone-load-balancing-enabled",
                    "crossZone",
                ),
                (
                    "aws-load-balancer-access-log-enabled",
                    "access_logs.s3.enabled",
                ),
                (
                    "aws-load-balancer-target-group-attributes.80",
                    "targetGroupAttributes",
                ),
                ("aws-load-balancer-ssl-ports", "tls"),
                ("load-balancer-source-ranges", "sourceRanges"),
            ] {
                let annotations = json!({"annotations": {format!("{prefix}{name}"): "x"}});
                let fault = fault(annotations).expect(name);
                assert!(fault.contains(name) && fault.contains(mend), "{fault}");
            }
        }
    }

    #[test]
    fn an_annotation_without_a_field_of_its_own_is_free() {
        let free = json!({"annotations": {
            "service.beta.kubernetes.io/aws-load-balancer-listener-attributes.TCP-80": "tcp.idle_timeout.seconds=400",
            "service.beta.kubernetes.io/aws-load-balancer-name": "board",
            "example.com/owner": "community",
        }});
        assert_eq!(fault(free), None);
    }

    #[test]
    fn no_value_smuggles_another_key_past_the_typed_fields() {
        for patch in [
            json!({"attributes": {"a": "b,load_balancing.cross_zone.enabled=false"}}),
            json!({"targetGroupAttributes": {"preserve_client_ip.enabled=true,a": "b"}}),
            json!({"tags": {"a": "b,c=d"}}),
            json!({"subnets": ["subnet-1,subnet-2"]}),
        ] {
            assert!(fault(patch.clone()).is_some(), "{patch}");
        }
        assert_eq!(fault(json!({"tags": {"a": "b=c"}})), None);
    }

    #[test]
    fn source_ranges_are_refused_where_the_controller_ignores_them() {
        let ranges = json!(["10.0.0.0/8"]);
        let groups =
            json!({"service.beta.kubernetes.io/aws-load-balancer-security-groups": "sg-1"});
        assert!(
            fault(json!({"sourceRanges": ranges}))
                .unwrap()
                .contains("preserveClientIP")
        );
        assert_eq!(
            fault(json!({"sourceRanges": ranges, "preserveClientIP": true})),
            None
        );
        assert_eq!(
            fault(json!({"sourceRanges": ranges, "scheme": "internet-facing"})),
            None
        );
        let own = json!({"sourceRanges": ranges, "preserveClientIP": true, "annotations": groups});
        assert!(fault(own).unwrap().contains("security groups"));
        let v6 = json!({"sourceRanges": ["fd00::/8"], "preserveClientIP": true});
        assert!(fault(v6).unwrap().contains("dualstack"));
        let off = json!({"sourceRanges": ranges, "enabled": false});
        assert!(fault(off).unwrap().contains("enabled"));
    }

    #[test]
    fn a_target_group_owned_elsewhere_takes_no_setting_of_a_load_balancer() {
        let arn = "arn:aws:elasticloadbalancing:eu-west-1:1:targetgroup/a/b";
        assert_eq!(fault(json!({"targetGroupARN": arn})), None);
        for setting in [
            json!({"enabled": false}),
            json!({"class": "eks.amazonaws.com/nlb"}),
            json!({"crossZone": false}),
            json!({"tls": {"certificateArn": "arn:aws:acm:x"}}),
            json!({"healthCheck": {"path": "/x"}}),
            json!({"sourceRanges": ["10.0.0.0/8"]}),
            json!({"tags": {"a": "b"}}),
        ] {
            let mut patch = setting.clone();
            patch["targetGroupARN"] = json!(arn);
            assert!(fault(patch).is_some(), "{setting}");
        }
    }
}
