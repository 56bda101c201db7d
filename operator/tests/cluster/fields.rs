//! Every field of the spec has its effect in the cluster.

mod table;

use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, BTreeSet};
use std::io::Write as _;
use std::time::{Duration, Instant};

use k8s_openapi::api::batch::v1::Job;
use kube::CustomResourceExt as _;
use kube::api::{Api, DynamicObject, ListParams, Patch, PatchParams};
use kube::core::{ApiResource, GroupVersionKind};
use post_operator::api::v1alpha1::PostService;
use serde_json::{Value, json};

use crate::foreign_kinds::ForeignKinds;
use crate::world::{Environment, PATIENCE, World, merge};
use table::{Expected, Row};

/// Fields whose effect is seen by a test of its own, and the file
/// that speaks of it (what `kit/world.rs` says is used by those of `database.rs`).
const ELSEWHERE: [(&str, &str); 23] = [
    ("rollout.hold", "fields.rs"),
    ("image.scanInterval", "fields.rs"),
    ("stopped", "replicas.rs"),
    ("replicas", "replicas.rs"),
    ("autoscaling.enabled", "replicas.rs"),
    ("database.connection.host", "../kit/world.rs"),
    ("database.connection.port", "../kit/world.rs"),
    ("database.connection.name", "../kit/world.rs"),
    ("database.bootstrap.adminSecretRef.name", "database.rs"),
    ("database.bootstrap.rotation.interval", "rotation.rs"),
    ("database.tls.mode", "database_tls.rs"),
    ("database.tls.caSecretRef.name", "database_tls.rs"),
    ("database.tls.caSecretRef.key", "database_tls.rs"),
    ("adopt.deployment", "adopt.rs"),
    ("adopt.service", "adopt.rs"),
    ("adopt.horizontalPodAutoscaler", "adopt.rs"),
    ("rollout.bake.duration", "rollouts.rs"),
    ("rollout.rollback", "rollouts.rs"),
    ("templateUpdates", "rollouts.rs"),
    ("image.policy.newestPushed.pattern", "images.rs"),
    ("image.policy.semver.range", "images.rs"),
    (
        "rollout.bake.maxErrorRate",
        "../../../dev/tests/rollout/main.rs",
    ),
    (
        "rollout.bake.minRequests",
        "../../../dev/tests/rollout/main.rs",
    ),
];

/// Leaves of a schema, by path; lists of objects go on as `list[]`.
fn leaves(path: &str, schema: &Value, found: &mut BTreeMap<String, Value>) {
    if let Some(properties) = schema["properties"].as_object() {
        for (name, property) in properties {
            let path = if path.is_empty() {
                name.clone()
            } else {
                format!("{path}.{name}")
            };
            leaves(&path, property, found);
        }
    } else if schema["items"]["properties"].is_object() {
        leaves(&format!("{path}[]"), &schema["items"], found);
    } else {
        found.insert(path.to_owned(), schema.clone());
    }
}

fn spec_schema() -> Value {
    let crd = serde_json::to_value(PostService::crd()).unwrap();
    crd["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"]["spec"].clone()
}

/// The leaves that a value at `path` sets.
fn set_by(
    path: &str,
    value: &Value,
    schema: &BTreeMap<String, Value>,
    found: &mut BTreeSet<String>,
) {
    if schema.contains_key(path) {
        found.insert(path.to_owned());
        return;
    }
    match value {
        Value::Object(entries) => {
            for (name, value) in entries {
                set_by(&format!("{path}.{name}"), value, schema, found);
            }
        }
        Value::Array(items) => {
            for item in items {
                set_by(&format!("{path}[]"), item, schema, found);
            }
        }
        _ => panic!("{path} is not in the schema"),
    }
}

#[test]
fn every_field_of_the_schema_is_seen_by_a_test() {
    let mut schema = BTreeMap::new();
    leaves("", &spec_schema(), &mut schema);
    let mut seen = BTreeSet::new();
    for row in table::rows("r", "d") {
        set_by(row.field, &row.value, &schema, &mut seen);
    }
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/cluster");
    for (field, file) in ELSEWHERE {
        assert!(schema.contains_key(field), "{field} is not in the schema");
        assert!(
            seen.insert(field.to_owned()),
            "{field} is in the table, too"
        );
        let text = std::fs::read_to_string(format!("{folder}/{file}")).unwrap();
        let name = field.rsplit('.').next().unwrap();
        assert!(text.contains(name), "{file} does not speak of {field}");
    }
    let unseen: Vec<_> = schema
        .keys()
        .filter(|field| !seen.contains(*field))
        .collect();
    assert_eq!(unseen, Vec::<&String>::new());
    // Not `println!`, which the test harness keeps from a test that passes.
    let _ = writeln!(
        std::io::stderr(),
        "fields covered {} of {} in the schema ({} seen by other tests)",
        seen.len(),
        schema.len(),
        ELSEWHERE.len(),
    );
}

#[test]
fn no_value_in_the_table_is_the_default() {
    let minimal = json!({"metadata": {}, "spec": {"image": {"repository": "r"}}});
    let minimal: PostService = serde_json::from_value(minimal).unwrap();
    let defaults = serde_json::to_value(minimal.spec).unwrap();
    for row in table::rows("repository", "d") {
        let pointer = format!("/{}", row.field.replace('.', "/"));
        assert_ne!(
            defaults.pointer(&pointer),
            Some(&row.value),
            "{}",
            row.field
        );
    }
}

/// The patch that sets `field`.
fn patch(field: &str, value: &Value) -> Value {
    field
        .rsplit('.')
        .fold(value.clone(), |inner, name| json!({name: inner}))
}

/// Creates every `PostService` of the table.
async fn create_all(world: &World, rows: &[Row]) {
    let mut specs: BTreeMap<&str, Value> = BTreeMap::new();
    for row in rows {
        let spec = specs
            .entry(row.service)
            .or_insert_with(|| json!({"image": {"repository": world.repository}}));
        merge(spec, patch(row.field, &row.value));
    }
    for (name, mut spec) in specs {
        if spec["image"]["digest"].is_null() {
            spec["image"]["tag"] = json!(name);
        }
        let object = json!({
            "apiVersion": "platform.hhottdogg.shop/v1alpha1", "kind": "PostService",
            "metadata": {"name": name}, "spec": spec,
        });
        world
            .api::<PostService>()
            .patch(name, &PatchParams::apply("test"), &Patch::Apply(object))
            .await
            .unwrap();
    }
}

/// The variables of the serving container, with the values that they have.
async fn environment(world: &World, service: &str) -> Vec<Value> {
    let mut found = Vec::new();
    for deployment in Box::pin(objects(world, service, "Deployment")).await {
        let variables = &deployment["spec"]["template"]["spec"]["containers"][0]["env"];
        let mut values = serde_json::Map::new();
        for (name, variable) in variables.as_object().unwrap() {
            let reference = &variable["valueFrom"]["secretKeyRef"];
            let value = match (reference["name"].as_str(), reference["key"].as_str()) {
                (Some(secret), Some(key)) => json!(world.secret_value(secret, key).await),
                _ => variable["value"].clone(),
            };
            values.insert(name.clone(), value);
        }
        found.push(Value::Object(values));
    }
    found
}

/// The objects of `kind` of a `PostService`.
async fn objects(world: &World, service: &str, kind: &str) -> Vec<Value> {
    if kind == "Environment" {
        return environment(world, service).await;
    }
    let (group, version) = match kind {
        "PostService" => ("platform.hhottdogg.shop", "v1alpha1"),
        "Deployment" => ("apps", "v1"),
        "Job" => ("batch", "v1"),
        "HorizontalPodAutoscaler" => ("autoscaling", "v2"),
        "PodDisruptionBudget" => ("policy", "v1"),
        "NetworkPolicy" => ("networking.k8s.io", "v1"),
        "ServiceMonitor" => ("monitoring.coreos.com", "v1"),
        "TargetGroupBinding" => ("elbv2.k8s.aws", "v1beta1"),
        "Service" | "ServiceAccount" => ("", "v1"),
        _ => panic!("{kind} is not a kind of the table"),
    };
    let resource = ApiResource::from_gvk(&GroupVersionKind::gvk(group, version, kind));
    let api: Api<DynamicObject> =
        Api::namespaced_with(world.client.clone(), &world.namespace, &resource);
    let which = if kind == "PostService" {
        ListParams::default().fields(&format!("metadata.name={service}"))
    } else {
        ListParams::default().labels(&format!("app.kubernetes.io/instance={service}"))
    };
    let found = api.list(&which).await.unwrap().items;
    found
        .into_iter()
        .map(|object| by_name(serde_json::to_value(object).unwrap()))
        .collect()
}

/// Lists of variables and conditions become maps: their order says nothing.
fn by_name(value: Value) -> Value {
    match value {
        Value::Object(entries) => entries
            .into_iter()
            .map(|(name, value)| {
                let key = match name.as_str() {
                    "env" => Some("name"),
                    "conditions" => Some("type"),
                    _ => None,
                };
                let value = match (key, value) {
                    (Some(key), Value::Array(items)) => items
                        .into_iter()
                        .map(|item| (item[key].as_str().unwrap().to_owned(), item))
                        .collect(),
                    (_, value) => by_name(value),
                };
                (name, value)
            })
            .collect(),
        Value::Array(items) => items.into_iter().map(by_name).collect(),
        value => value,
    }
}

/// What is wrong with a row, if anything.
fn fault(row: &Row, objects: &[Value]) -> Option<String> {
    let place = format!(
        "{} {} {}: {}",
        row.service, row.field, row.kind, row.pointer
    );
    let (expected, object) = match (&row.expected, objects) {
        (Expected::Gone, []) => return None,
        (Expected::Gone, _) => return Some(format!("{place}: is there")),
        (expected, [object]) => (expected, object),
        (_, others) => return Some(format!("{place}: {} objects", others.len())),
    };
    let found = object.pointer(&row.pointer).cloned().unwrap_or_default();
    let holds = match expected {
        Expected::Is(value) => *value == found,
        Expected::Holds(part) => match &found {
            Value::String(text) => text.contains(part),
            other => other.to_string().contains(part),
        },
        Expected::Gone => false,
    };
    (!holds).then(|| format!("{place}: {found}, not {expected:?}"))
}

async fn faults(world: &World, rows: &[Row]) -> Vec<String> {
    let mut found: BTreeMap<(&str, &str), Vec<Value>> = BTreeMap::new();
    let mut faults = Vec::new();
    for row in rows {
        let objects = match found.entry((row.service, row.kind)) {
            Entry::Occupied(entry) => entry.into_mut(),
            Entry::Vacant(entry) => entry.insert(objects(world, row.service, row.kind).await),
        };
        faults.extend(fault(row, objects));
    }
    faults
}

/// Plays the Job controller for every Job.
async fn end_jobs(world: &World) {
    for job in world
        .api::<Job>()
        .list(&ListParams::default())
        .await
        .unwrap()
        .items
    {
        if job
            .status
            .as_ref()
            .is_none_or(|status| status.conditions.is_none())
        {
            world.end_job(&job, "Complete").await;
        }
    }
}

/// The Secrets that the table names.
async fn create_secrets(world: &World) {
    world.create_secrets().await;
    let auth = [
        ("cognito-user-pool-id", "pool"),
        ("cognito-region", "eu-west-1"),
        ("client", "app"),
        ("secret-key", "0123456789abcdef"),
    ];
    world.create_secret("board-auth", &auth).await;
    let url = world.database_url();
    let other = url.replace("@127.0.0.1:", "@localhost:");
    let replica = url.replace("@127.0.0.1:", "@127.0.0.2:");
    world
        .create_secret("other-db", &[("url", &other), ("read-url", &replica)])
        .await;
    let absent = url.replace(&world.database, &format!("{}_absent", world.database));
    world
        .create_secret("absent-db", &[("database-url", &absent)])
        .await;
}

#[tokio::test]
async fn every_field_has_its_effect_in_the_cluster() {
    let Some(environment) = Environment::find() else {
        return;
    };
    let mut world = World::open(environment, "fields").await;
    let kinds = ForeignKinds::turn(&world.client).await;
    kinds.install().await;
    create_secrets(&world).await;
    let mut digest = String::new();
    for service in [
        table::BALANCED,
        table::BOUND,
        table::PUBLIC,
        table::ABSENT,
        table::PLAIN,
    ] {
        digest = world.push_image(service).await;
    }
    let rows = table::rows(&world.repository, &digest);
    create_all(&world, &rows).await;
    world.start_operator();
    let begun = Instant::now();
    loop {
        end_jobs(&world).await;
        let faults = faults(&world, &rows).await;
        if faults.is_empty() {
            break;
        }
        assert!(begun.elapsed() < PATIENCE, "{}", faults.join("\n"));
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    world.close().await;
    kinds.remove().await;
}

#[tokio::test]
async fn hold_keeps_the_version_that_runs_until_it_is_lifted() {
    let Some(environment) = Environment::find() else {
        return;
    };
    let mut world = World::open(environment, "hold").await;
    world.start_operator();
    let running = world.make_ready("1").await;
    let next = world.push_image("2").await;
    let held = json!({"image": {"tag": "2"}, "rollout": {"hold": true}});
    world.create_service("2", held).await;
    world.condition("Ready", "False", "Held").await;
    world.deployment_running(&running).await;
    world.create_service("2", json!({})).await;
    let job = world.migration_job(&next).await;
    world.end_job(&job, "Complete").await;
    world.deployment_running(&next).await;
    world.close().await;
}

/// The shortest interval that the operator keeps is 10 seconds.
#[tokio::test]
async fn a_tag_that_moved_is_seen_after_scan_interval() {
    let Some(environment) = Environment::find() else {
        return;
    };
    let mut world = World::open(environment, "scan").await;
    world.start_operator();
    world.push_image("1").await;
    world.create_secrets().await;
    world
        .create_service("1", json!({"image": {"scanInterval": "10s"}}))
        .await;
    let desired = |service: &PostService| {
        let image = service.status.as_ref()?.image.desired.as_ref()?;
        Some(image.digest.clone())
    };
    let first = world.wait("post-service", "an image", desired).await;
    world.move_tag("1").await;
    let another = |service: &PostService| desired(service).filter(|digest| *digest != first);
    world.wait("post-service", "another image", another).await;
    world.close().await;
}
