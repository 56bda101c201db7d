//! From the raw spec to one that cannot be wrong any more. Pure.

use std::collections::BTreeMap;
use std::time::Duration;

use k8s_openapi::api::core::v1::ResourceRequirements;
use k8s_openapi::apimachinery::pkg::api::resource::Quantity;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::OwnerReference;
use kube::{Resource as _, ResourceExt as _};

use super::secrets::AuthKeys;
use super::{exposure, selector};
use crate::api::v1alpha1::{Adopt, PostService, PostServiceSpec, Scheme, rules};
use crate::api::{RETRY_ANNOTATION, ROTATE_ANNOTATION};
use crate::build::{self, PodInputs, environment};

pub use super::selector::Selector;

/// Passwords change no more often: a rollout takes minutes.
const SHORTEST_ROTATION: Duration = Duration::from_hours(1);

/// A field of the spec that cannot be used as it is.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("spec.{field}: {fault}")]
pub struct Invalid {
    /// Path below `spec`.
    pub field: &'static str,
    /// What is wrong, and the mend.
    pub fault: String,
}

/// Which object is reconciled.
#[derive(Clone, Debug)]
pub struct Identity {
    /// Name of the `PostService` and of most of its children.
    pub name: String,
    /// Its namespace.
    pub namespace: String,
    /// Name of its Deployment and autoscaler: its own, unless an object of older manifests that is
    /// being taken over has it (`controller::adopt`). A Deployment's selector cannot be changed, so
    /// that the old one cannot become the new one.
    pub workload: String,
    /// Its uid.
    pub uid: String,
    /// Generation of the spec.
    pub generation: Option<i64>,
    /// Makes a child belong to it.
    pub owner: OwnerReference,
}

/// A spec that builders and planner can rely on.
#[derive(Clone, Debug)]
pub struct Validated {
    /// Which object this is.
    pub id: Identity,
    /// How the image is found.
    pub selector: Selector,
    /// Value of the retry annotation: asks for a fresh look and another try.
    pub retry: Option<String>,
    /// Value of the rotate annotation: another one asks for new database passwords.
    pub rotate: Option<String>,
    /// Time between changes of the database's passwords.
    pub rotation_interval: Option<Duration>,
    /// How often the registry is asked.
    pub scan_interval: Duration,
    /// How long a deleted pod goes on serving.
    pub drain_delay: Duration,
    /// How long the first new pod runs alone, and how long adopted objects are a way back.
    pub bake: Duration,
    /// Highest share of answers with status 5xx during the bake, 0 to 1.
    pub max_error_rate: f64,
    /// Time without progress after which a rollout has failed.
    pub progress_deadline: Duration,
    /// Time after which the migration Job has failed.
    pub migration_timeout: Duration,
    /// What the serving pods depend on.
    pub pod: PodInputs,
    /// Effective names of the keys in the auth Secret.
    pub auth_keys: AuthKeys,
    /// The rest of the spec, whose rules have been checked.
    pub spec: PostServiceSpec,
}

/// Checks every rule of the schema again (the stored object may be older than the schema) and
/// parses what is text.
pub fn spec(service: &PostService) -> Result<Validated, Invalid> {
    let raw = &service.spec;
    check_adoption(&raw.adopt)?;
    check_cross_field_rules(raw)?;
    exposure::check(&raw.service.load_balancer)?;
    let deregistration = Duration::from_secs(
        u64::try_from(raw.service.load_balancer.deregistration_delay_seconds).unwrap_or(0),
    );
    let drain_delay = drain_delay(raw, deregistration)?;
    Ok(Validated {
        id: identity(service)?,
        selector: selector::parse(&raw.image)?,
        retry: service.annotations().get(RETRY_ANNOTATION).cloned(),
        rotate: service.annotations().get(ROTATE_ANNOTATION).cloned(),
        rotation_interval: rotation_interval(raw)?,
        scan_interval: duration("image.scanInterval", &raw.image.scan_interval)?
            .max(Duration::from_secs(10)),
        drain_delay,
        bake: duration("rollout.bake.duration", &raw.rollout.bake.duration)?,
        progress_deadline: duration("rollout.progressDeadline", &raw.rollout.progress_deadline)?,
        migration_timeout: duration(
            "database.migrations.timeout",
            &raw.database.migrations.timeout,
        )?,
        max_error_rate: share(
            "rollout.bake.maxErrorRate",
            &raw.rollout.bake.max_error_rate,
        )?,
        pod: PodInputs::of(&service.name_any(), raw, drain_delay, resources(raw)?),
        auth_keys: AuthKeys::of(raw),
        spec: raw.clone(),
    })
}

fn identity(service: &PostService) -> Result<Identity, Invalid> {
    let missing = || Invalid {
        field: "",
        fault: "the object has no uid or namespace".into(),
    };
    Ok(Identity {
        name: service.name_any(),
        workload: service.name_any(),
        namespace: service.namespace().ok_or_else(missing)?,
        uid: service.uid().ok_or_else(missing)?,
        generation: service.metadata.generation,
        owner: service.controller_owner_ref(&()).ok_or_else(missing)?,
    })
}

fn check_adoption(adopt: &Adopt) -> Result<(), Invalid> {
    let invalid = |field, fault: &str| {
        let fault = fault.to_owned();
        Err(Invalid { field, fault })
    };
    match (
        &adopt.service,
        &adopt.deployment,
        &adopt.horizontal_pod_autoscaler,
    ) {
        (None, Some(_), _) => invalid("adopt.service", rules::ADOPT_SERVICE),
        (_, None, Some(_)) => invalid("adopt.deployment", rules::ADOPT_DEPLOYMENT),
        _ => Ok(()),
    }
}

fn check_cross_field_rules(raw: &PostServiceSpec) -> Result<(), Invalid> {
    let load_balancer = &raw.service.load_balancer;
    let exposed_plaintext = load_balancer.scheme == Scheme::InternetFacing
        && load_balancer.tls.certificate_arn.is_none()
        && !load_balancer.allow_plaintext;
    let health = &load_balancer.health_check;
    let unknown_key = raw
        .auth
        .secret_ref
        .keys
        .keys()
        .find(|key| !AuthKeys::known(key));
    let taken = build::service::taken_key(load_balancer);
    let too_much = raw.resources.requests.iter().find(|(name, request)| {
        let limit = raw.resources.limits.get(*name);
        let limit = limit.and_then(|limit| quantity_value(limit));
        limit.is_some_and(|limit| quantity_value(request) > Some(limit))
    });
    let reserved = raw
        .pod
        .env
        .iter()
        .find(|variable| environment::is_reserved(&variable.name));
    let database = &raw.database;
    let broken_rules = [
        (
            database.connection.is_some() != database.bootstrap.is_some(),
            "database",
            rules::CONNECTION_AND_BOOTSTRAP.to_owned(),
        ),
        (
            raw.autoscaling.min_replicas > raw.autoscaling.max_replicas,
            "autoscaling.minReplicas",
            rules::MIN_ABOVE_MAX.to_owned(),
        ),
        (
            raw.autoscaling.enabled && raw.replicas.is_some(),
            "replicas",
            rules::REPLICAS_WITH_AUTOSCALING.into(),
        ),
        (
            raw.autoscaling.enabled && !raw.resources.requests.contains_key("cpu"),
            "resources.requests.cpu",
            rules::CPU_REQUEST.into(),
        ),
        (
            raw.api.default_page_size > raw.api.max_page_size,
            "api.defaultPageSize",
            rules::PAGE_ABOVE_MAX.into(),
        ),
        (
            exposed_plaintext,
            "service.loadBalancer.scheme",
            rules::EXPOSED_PLAINTEXT.into(),
        ),
        (
            health.interval_seconds < health.timeout_seconds,
            "service.loadBalancer.healthCheck.intervalSeconds",
            rules::INTERVAL_BELOW_TIMEOUT.into(),
        ),
        (
            too_much.is_some(),
            "resources.requests",
            format!(
                "{}: {}",
                too_much.map_or("", |(name, _)| name),
                rules::REQUEST_ABOVE_LIMIT
            ),
        ),
        (
            taken.is_some(),
            "service.loadBalancer",
            format!("{} {}", taken.unwrap_or_default(), rules::TAKEN_KEY),
        ),
        (
            unknown_key.is_some(),
            "auth.secretRef.keys",
            format!(
                "{}: {}",
                unknown_key.map_or("", String::as_str),
                rules::UNKNOWN_KEY
            ),
        ),
        (
            reserved.is_some(),
            "pod.env",
            format!(
                "{} is set by the operator: use the spec's field for it",
                reserved.map_or("", |variable| &variable.name)
            ),
        ),
    ];
    broken_rules
        .into_iter()
        .find(|(broken, _, _)| *broken)
        .map_or(Ok(()), |(_, field, fault)| Err(Invalid { field, fault }))
}

fn drain_delay(raw: &PostServiceSpec, deregistration: Duration) -> Result<Duration, Invalid> {
    let load_balanced = raw.service.load_balancer.enabled;
    let Some(text) = &raw.rollout.drain_delay else {
        return Ok(if load_balanced {
            deregistration + Duration::from_secs(15)
        } else {
            Duration::from_secs(5)
        });
    };
    let delay = duration("rollout.drainDelay", text)?;
    if load_balanced && delay < deregistration + Duration::from_secs(10) {
        return Err(Invalid {
            field: "rollout.drainDelay",
            fault: rules::DRAIN_TOO_SHORT.into(),
        });
    }
    Ok(delay)
}

fn rotation_interval(raw: &PostServiceSpec) -> Result<Option<Duration>, Invalid> {
    const FIELD: &str = "database.bootstrap.rotation.interval";
    let bootstrap = raw.database.bootstrap.as_ref();
    let Some(rotation) = bootstrap.and_then(|bootstrap| bootstrap.rotation.as_ref()) else {
        return Ok(None);
    };
    let interval = duration(FIELD, &rotation.interval)?;
    if interval < SHORTEST_ROTATION {
        return Err(Invalid {
            field: FIELD,
            fault: rules::ROTATION_TOO_SHORT.into(),
        });
    }
    Ok(Some(interval))
}

fn duration(field: &'static str, text: &str) -> Result<Duration, Invalid> {
    // Go has more forms; these are the schema's.
    let plain = text
        .chars()
        .all(|c| c.is_ascii_digit() || "hms".contains(c));
    text.parse::<kube::core::Duration>()
        .ok()
        .filter(|_| plain && text.ends_with(['h', 'm', 's']))
        .map(Duration::from)
        .ok_or_else(|| Invalid {
            field,
            fault: format!("{text:?} {}", rules::DURATION_FORM),
        })
}

fn share(field: &'static str, text: &str) -> Result<f64, Invalid> {
    let percent = text
        .strip_suffix('%')
        .and_then(|number| number.parse().ok());
    percent
        .filter(|percent: &f64| (0.0..=100.0).contains(percent))
        .map(|percent| percent / 100.0)
        .ok_or_else(|| Invalid {
            field,
            fault: format!("{text:?} is not a share from 0% to 100%"),
        })
}

fn resources(raw: &PostServiceSpec) -> Result<ResourceRequirements, Invalid> {
    let parse = |field: &'static str, quantities: &BTreeMap<String, String>| {
        quantities
            .iter()
            .map(|(name, text)| {
                quantity_value(text)
                    .is_some()
                    .then(|| (name.clone(), Quantity(text.clone())))
                    .ok_or_else(|| Invalid {
                        field,
                        fault: format!("{name}: {text:?} {}", rules::QUANTITY_FORM),
                    })
            })
            .collect::<Result<BTreeMap<_, _>, _>>()
    };
    Ok(ResourceRequirements {
        requests: Some(parse("resources.requests", &raw.resources.requests)?),
        limits: Some(parse("resources.limits", &raw.resources.limits)?),
        claims: None,
    })
}

/// The value of a Kubernetes quantity, a decimal number with a suffix (`Quantity` of apimachinery).
pub fn quantity_value(text: &str) -> Option<f64> {
    const SUFFIXES: [(&str, f64); 16] = [
        ("", 1.0),
        ("n", 1e-9),
        ("u", 1e-6),
        ("m", 1e-3),
        ("k", 1e3),
        ("M", 1e6),
        ("G", 1e9),
        ("T", 1e12),
        ("P", 1e15),
        ("E", 1e18),
        ("Ki", 1_024.0),
        ("Mi", 1_048_576.0),
        ("Gi", 1_073_741_824.0),
        ("Ti", 1_099_511_627_776.0),
        ("Pi", 1_125_899_906_842_624.0),
        ("Ei", 1_152_921_504_606_846_976.0),
    ];
    let digits = text.trim_end_matches(|c: char| c.is_ascii_alphabetic());
    let decimal = digits.chars().all(|c| c.is_ascii_digit() || c == '.');
    let number: f64 = decimal.then(|| digits.parse().ok()).flatten()?;
    let suffix = &text[digits.len()..];
    let factor = SUFFIXES.iter().find(|(known, _)| *known == suffix)?.1;
    Some(number * factor)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn service(patch: &serde_json::Value) -> PostService {
        let mut object = json!({
            "apiVersion": "platform.hhottdogg.shop/v1alpha1", "kind": "PostService",
            "metadata": {"name": "post-service", "namespace": "ns", "uid": "u", "generation": 1},
            "spec": {"image": {
                "repository": "123456789012.dkr.ecr.eu-west-1.amazonaws.com/p", "tag": "1"}},
        });
        merge(&mut object["spec"], patch);
        serde_json::from_value(object).unwrap()
    }

    fn merge(into: &mut serde_json::Value, patch: &serde_json::Value) {
        match (into, patch) {
            (serde_json::Value::Object(into), serde_json::Value::Object(patch)) => {
                for (key, value) in patch {
                    merge(into.entry(key.clone()).or_insert(json!({})), value);
                }
            }
            (into, patch) => *into = patch.clone(),
        }
    }

    #[test]
    fn the_minimal_spec_drains_as_long_as_the_load_balancer_needs() {
        let valid = spec(&service(&json!({}))).unwrap();
        assert_eq!(valid.drain_delay, Duration::from_secs(135));
    }

    #[test]
    fn each_refusal_names_the_field() {
        let cases = [
            (json!({"image": {"tag": "latest"}}), "image.tag"),
            (json!({"image": {"digest": "sha256:00"}}), "image"),
            (
                json!({"image": {"tag": null, "policy": {}}}),
                "image.policy",
            ),
            (
                json!({"image": {"repository": "docker.io/p", "tag": null,
                    "policy": {"newestPushed": {"pattern": "^latest$"}}}}),
                "image.policy",
            ),
            (
                json!({"image": {"tag": null, "policy": {"newestPushed": {"pattern": "a)(b"}}}}),
                "image.policy.newestPushed.pattern",
            ),
            (
                json!({"image": {"tag": null, "policy": {"semver": {"range": "newest"}}}}),
                "image.policy.semver.range",
            ),
            (
                json!({"autoscaling": {"minReplicas": 4}}),
                "autoscaling.minReplicas",
            ),
            (
                json!({"api": {"defaultPageSize": 51}}),
                "api.defaultPageSize",
            ),
            (
                json!({"rollout": {"drainDelay": "2m"}}),
                "rollout.drainDelay",
            ),
            (
                json!({"rollout": {"progressDeadline": "soon"}}),
                "rollout.progressDeadline",
            ),
            (
                json!({"resources": {"limits": {"cpu": "much"}}}),
                "resources.limits",
            ),
            (
                json!({"pod": {"env": [{"name": "DATABASE_URL", "value": "x"}]}}),
                "pod.env",
            ),
            (
                json!({"service": {"loadBalancer": {"scheme": "internet-facing"}}}),
                "service.loadBalancer.scheme",
            ),
            (json!({"adopt": {"deployment": "old"}}), "adopt.service"),
            (
                json!({"adopt": {"service": "old", "horizontalPodAutoscaler": "old"}}),
                "adopt.deployment",
            ),
            (
                json!({"database": {"connection": {"host": "db", "name": "p", "port": 1}}}),
                "database",
            ),
            (
                json!({"database": {"connection": {"host": "db", "name": "p", "port": 1},
                    "bootstrap": {"adminSecretRef": {"name": "a"}, "rotation": {"interval": "5m"}}}}),
                "database.bootstrap.rotation.interval",
            ),
            (
                json!({"resources": {"requests": {"cpu": "1"}}}),
                "resources.requests",
            ),
            (
                json!({"service": {"loadBalancer": {"targetGroupAttributes":
                    {"preserve_client_ip.enabled": "true"}}}}),
                "service.loadBalancer",
            ),
        ];
        for (patch, field) in cases {
            let fault = spec(&service(&patch)).expect_err(field);
            assert_eq!(fault.field, field, "{fault}");
        }
    }
}
