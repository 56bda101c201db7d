//! Many changes of one spec in a row: after each, the objects are those of a fresh install.

use std::collections::BTreeMap;

use futures::StreamExt as _;
use serde_json::{Value, json};

use crate::search::QUIET;
use crate::snapshot;
use crate::stage::{Case, PATIENCE, Stage, TAGS};
use crate::world::merge;

/// Longest wait for the walker to arrive.
const SOON: std::time::Duration = std::time::Duration::from_secs(20);
/// Fresh installs that are made at once.
const LANES: usize = 6;

/// Every field that may change, or group of fields that depend on each other, with values. A spec
/// is at most one value of each; none is the default.
#[expect(clippy::too_many_lines, reason = "a table")]
fn fields() -> Vec<(&'static str, Vec<Value>)> {
    let lb = |settings: Value| json!({"service": {"loadBalancer": settings}});
    vec![
        (
            "scaling",
            vec![
                json!({"autoscaling": {"minReplicas": 2, "maxReplicas": 5}}),
                json!({"autoscaling": {"targetCPUUtilization": 50}}),
                json!({"autoscaling": {"enabled": false}, "replicas": 3}),
                json!({"autoscaling": {"enabled": false}, "replicas": 0}),
                json!({"autoscaling": {"enabled": false}}),
            ],
        ),
        (
            "load balancer",
            vec![
                lb(json!({"enabled": false})),
                lb(json!({"crossZone": false, "deregistrationDelaySeconds": 60})),
                lb(
                    json!({"preserveClientIP": true, "sourceRanges": ["10.0.0.0/8", "192.168.0.0/16"]}),
                ),
                lb(
                    json!({"healthCheck": {"path": "/livez", "intervalSeconds": 20, "unhealthyThreshold": 2}}),
                ),
                lb(
                    json!({"tls": {"certificateArn": "arn:aws:acm:eu-west-1:123456789012:certificate/a"}}),
                ),
                lb(
                    json!({"attributes": {"deletion_protection.enabled": "true"}, "tags": {"team": "board"}}),
                ),
                lb(
                    json!({"targetGroupAttributes": {"proxy_protocol_v2.enabled": "false"}, "subnets": ["subnet-a"]}),
                ),
                lb(json!({"annotations": {"example.com/a": "b"}})),
            ],
        ),
        (
            "port",
            vec![
                json!({"service": {"port": 8080}}),
                json!({"service": {"port": 81}}),
            ],
        ),
        (
            "drain",
            vec![
                json!({"rollout": {"drainDelay": "200s"}}),
                json!({"rollout": {"drainDelay": "3m"}}),
            ],
        ),
        (
            "rollout",
            vec![
                json!({"rollout": {"maxSurge": "50%"}}),
                json!({"rollout": {"maxSurge": "1", "progressDeadline": "5m"}}),
            ],
        ),
        (
            "migrations",
            vec![
                json!({"database": {"migrations": {"enabled": false}}}),
                json!({"database": {"migrations": {"timeout": "5m"}}}),
            ],
        ),
        (
            "pool",
            vec![
                json!({"database": {"poolSize": 4}}),
                json!({"database": {"poolSize": 20}}),
            ],
        ),
        (
            "auth",
            vec![
                json!({"auth": {"cognito": {"region": "eu-west-1", "userPoolId": "eu-west-1_a", "clientId": "c"}}}),
                json!({"auth": {"deactivation": "Disable"}}),
                json!({"auth": {"secretRef": {"keys": {"cognito-client-id": "cognito-region"}}}}),
            ],
        ),
        (
            "pages",
            vec![
                json!({"api": {"defaultPageSize": 20}}),
                json!({"api": {"maxPageSize": 100}}),
            ],
        ),
        (
            "api",
            vec![
                json!({"api": {"corsAllowedOrigins": ["https://a.example"]}}),
                json!({"api": {"rateLimit": {"readsPerMinute": 0, "writesPerMinute": 10}}}),
                json!({"api": {"trustedProxies": ["10.0.0.0/8"]}}),
                json!({"api": {"anonymousLikes": true}}),
            ],
        ),
        (
            "media",
            vec![
                json!({"media": {"bucket": "images", "prefix": "board", "publicBaseUrl": "https://i.example"}}),
                json!({"media": {"bucket": "images"}}),
            ],
        ),
        (
            "comments",
            vec![json!({"comments": {"url": "http://comments.example"}})],
        ),
        (
            "resources",
            // Each names every key: an absent one keeps the value that the schema gave it before.
            vec![
                resources("250m", "64Mi", "1", "1Gi"),
                resources("250m", "128Mi", "700m", "2Gi"),
                resources("500m", "64Mi", "700m", "1Gi"),
            ],
        ),
        (
            "disruption budget",
            vec![json!({"podDisruptionBudget": {"enabled": false}})],
        ),
        (
            "network policy",
            vec![
                json!({"networkPolicy": {"enabled": false}}),
                json!({"networkPolicy": {"allowFrom": ["10.0.0.0/8"]}}),
            ],
        ),
        (
            "service account",
            vec![
                json!({"serviceAccount": {"name": "other"}}),
                json!({"serviceAccount": {"annotations": {"eks.amazonaws.com/role-arn": "arn:aws:iam::1:role/a"}}}),
            ],
        ),
        (
            "environment",
            vec![
                json!({"pod": {"env": [{"name": "A", "value": "1"}, {"name": "B", "value": "2"}]}}),
                json!({"pod": {"env": [{"name": "B", "value": "3"}]}}),
            ],
        ),
        (
            "pod",
            vec![
                json!({"pod": {"labels": {"team": "board"}, "annotations": {"a": "b"}}}),
                json!({"pod": {"nodeSelector": {"disk": "ssd"}, "priorityClassName": "high"}}),
                json!({"pod": {"tolerations": [{"key": "spot", "operator": "Exists"}]}}),
                json!({"pod": {"topologySpread": "None"}}),
            ],
        ),
        (
            "pull secrets",
            vec![json!({"image": {"pullSecrets": ["registry"]}})],
        ),
    ]
}

fn resources(cpu: &str, memory: &str, most_cpu: &str, most_memory: &str) -> Value {
    json!({"resources": {
        "requests": {"cpu": cpu, "memory": memory},
        "limits": {"cpu": most_cpu, "memory": most_memory},
    }})
}

/// What happens on the way to a spec, to its history and not to its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Detour {
    None,
    Stopped,
    Suspended,
    Held,
}

/// A spec to come to.
#[derive(Clone, Debug)]
struct Step {
    tag: &'static str,
    spec: Value,
    detour: Detour,
    /// For reports.
    chosen: BTreeMap<&'static str, usize>,
}

/// A walk of so many steps; the same seed gives the same.
fn walk(seed: u64, steps: usize) -> Vec<Step> {
    let fields = fields();
    let mut random = fastrand::Rng::with_seed(seed);
    let mut chosen = BTreeMap::new();
    let mut tag = TAGS[0];
    (0..steps)
        .map(|_| {
            for _ in 0..random.usize(1..4) {
                let (name, values) = &fields[random.usize(..fields.len())];
                match random.usize(..=values.len()) {
                    n if n == values.len() => drop(chosen.remove(name)),
                    n => drop(chosen.insert(*name, n)),
                }
            }
            if random.u8(..4) == 0 {
                tag = TAGS[random.usize(..TAGS.len())];
            }
            let detour = match random.u8(..20) {
                0 => Detour::Stopped,
                1 => Detour::Suspended,
                2 => Detour::Held,
                _ => Detour::None,
            };
            let mut spec = json!({});
            for (name, values) in &fields {
                if let Some(n) = chosen.get(name) {
                    merge(&mut spec, values[*n].clone());
                }
            }
            Step {
                tag,
                spec,
                detour,
                chosen: chosen.clone(),
            }
        })
        .collect()
}

/// Takes one `PostService` along the walk and compares each stop with a fresh install; gives what
/// differs.
pub async fn compare(stage: &'static Stage, seed: u64, steps: usize) -> Vec<String> {
    let walker = stage.case().await;
    let fresh = futures::stream::iter(walk(seed, steps).into_iter().enumerate())
        .map(|(number, step)| {
            tokio::spawn(async move {
                let expected = install(stage, &step).await;
                (number, step, expected)
            })
        })
        .buffered(LANES);
    let mut fresh = std::pin::pin!(fresh);
    let mut divergences = Vec::new();
    while let Some(installed) = fresh.next().await {
        let (number, step, expected) = installed.unwrap();
        if let Some(difference) = go(&walker, &step, &expected).await {
            let Step {
                tag,
                chosen,
                detour,
                ..
            } = &step;
            let step = format!("seed {seed}, step {number}: tag {tag}, {chosen:?}, {detour:?}");
            eprintln!("{step}:\n{difference}");
            divergences.push(format!("{step}:\n{difference}\n{}", walker.log()));
        }
    }
    walker.close().await;
    divergences
}

/// What a fresh install of the step's spec comes to.
async fn install(stage: &'static Stage, step: &Step) -> String {
    let case = stage.case().await;
    case.apply(step.tag, &step.spec).await;
    case.settle(QUIET).await;
    let end = snapshot::of_spec(&case.namespace(), &case.world.namespace);
    case.close().await;
    end
}

/// Changes the walker's spec to the step's; gives what differs in the end.
async fn go(walker: &Case, step: &Step, expected: &str) -> Option<String> {
    let on_the_way = match step.detour {
        Detour::None => None,
        Detour::Stopped => Some(json!({"stopped": true})),
        Detour::Suspended => Some(json!({"suspend": true})),
        Detour::Held => Some(json!({"rollout": {"hold": true}})),
    };
    if let Some(patch) = on_the_way {
        let mut spec = step.spec.clone();
        merge(&mut spec, patch);
        walker.apply(step.tag, &spec).await;
        walker.observed(PATIENCE).await;
    }
    walker.apply(step.tag, &step.spec).await;
    let name = &walker.world.namespace;
    let came = walker
        .cluster()
        .wait(name, SOON, |namespace| {
            snapshot::of_spec(namespace, name) == expected
        })
        .await;
    (!came).then(|| {
        let found = snapshot::of_spec(&walker.namespace(), name);
        snapshot::difference(expected, &found)
    })
}

#[test]
fn a_walk_visits_every_field_and_is_the_same_again() {
    let steps = walk(7, 300);
    for (name, _) in fields() {
        assert!(
            steps.iter().any(|step| step.chosen.contains_key(name)),
            "{name}"
        );
    }
    let again = walk(7, 300);
    assert!(
        steps
            .iter()
            .zip(&again)
            .all(|(a, b)| a.spec == b.spec && a.tag == b.tag)
    );
}
