//! What users and their tools read of a `PostService`: conditions and Events.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use std::time::Instant;

use futures::StreamExt as _;
use k8s_openapi::api::events::v1::Event;
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::CustomResourceExt as _;
use kube::api::{Api, DynamicObject, ListParams, Patch, PatchParams};
use kube::core::ApiResource;
use kube_runtime::{WatchStreamExt as _, watcher};
use post_operator::api::v1alpha1::PostService;
use serde_json::{Value, json};

use crate::world::{Environment, PATIENCE, World};

/// Every version of the `PostService` that a watch shows, as JSON.
fn record(world: &World) -> Arc<Mutex<Vec<Value>>> {
    let seen = Arc::new(Mutex::new(Vec::new()));
    let (into, api) = (seen.clone(), world.api::<PostService>());
    tokio::spawn(async move {
        let mut objects = watcher(api, watcher::Config::default())
            .applied_objects()
            .boxed();
        while let Some(Ok(object)) = objects.next().await {
            into.lock()
                .unwrap()
                .push(serde_json::to_value(object).unwrap());
        }
    });
    seen
}

fn condition<'a>(object: &'a Value, type_: &str) -> Option<&'a Value> {
    let conditions = object["status"]["conditions"].as_array()?;
    conditions.iter().find(|c| c["type"] == type_)
}

/// What kstatus makes of it (cli-utils, "kstatus": Status computation), with the rules for the
/// conditions that it calls standard.
fn kstatus(object: &Value) -> &'static str {
    let holds = |type_: &str| condition(object, type_).map(|c| c["status"] == "True");
    if object["status"]["observedGeneration"] != object["metadata"]["generation"] {
        return "InProgress";
    }
    match (holds("Reconciling"), holds("Stalled"), holds("Ready")) {
        (Some(true), _, _) => "InProgress",
        (_, Some(true), _) => "Failed",
        (_, _, Some(true)) => "Current",
        _ => "InProgress",
    }
}

fn assert_consistent(object: &Value) {
    let Some(conditions) = object["status"]["conditions"].as_array() else {
        return;
    };
    for passing in ["Reconciling", "Stalled"] {
        let found = condition(object, passing);
        assert!(
            found.is_none_or(|c| c["status"] == "True"),
            "{passing} is there and not true: {object:#}"
        );
    }
    let reconciling = condition(object, "Reconciling").is_some();
    let stalled = condition(object, "Stalled").is_some();
    assert!(
        !(reconciling && stalled),
        "reconciling and stalled: {object:#}"
    );
    let ready = condition(object, "Ready").expect("Ready is always there");
    if ready["status"] == "True" {
        assert_eq!(kstatus_of_observed(object), "Current", "{object:#}");
    }
    let observed = &object["status"]["observedGeneration"];
    for found in conditions {
        assert!(
            found["observedGeneration"].as_i64() <= observed.as_i64(),
            "{found} is newer than the status"
        );
        assert_ne!(found["reason"], "", "{found}");
        assert_ne!(found["message"], "", "{found}");
    }
    assert_eq!(ready["observedGeneration"], *observed, "{object:#}");
}

/// As [`kstatus`], as if the spec had not changed since.
fn kstatus_of_observed(object: &Value) -> &'static str {
    let mut object = object.clone();
    object["metadata"]["generation"] = object["status"]["observedGeneration"].clone();
    kstatus(&object)
}

#[tokio::test]
async fn every_status_that_is_ever_seen_is_consistent_for_kstatus() {
    let Some(environment) = Environment::find() else {
        return;
    };
    let mut world = World::open(environment, "kstatus").await;
    let seen = record(&world);
    world.start_operator();
    world.make_ready("1").await;
    // Broken, mended, migrating again, held, suspended.
    world
        .create_service("9", json!({"api": {"defaultPageSize": 20}}))
        .await;
    world
        .condition("ImageResolved", "False", "TagNotFound")
        .await;
    world.create_service("1", json!({"suspend": true})).await;
    world.condition("Ready", "False", "Suspended").await;
    world.create_service("1", json!({"suspend": false})).await;
    world.finish_rollout().await;
    world.condition("Ready", "True", "UpToDate").await;
    world.stop_operator().await;

    let seen = seen.lock().unwrap().clone();
    seen.iter().for_each(assert_consistent);
    let judged: Vec<_> = seen.iter().map(kstatus).collect();
    assert_eq!(judged.first(), Some(&"InProgress"), "{judged:?}");
    assert_eq!(judged.last(), Some(&"Current"), "{judged:?}");
    world.close().await;
}

#[tokio::test]
async fn each_transition_is_one_event_and_a_repetition_only_counts() {
    let Some(environment) = Environment::find() else {
        return;
    };
    let mut world = World::open(environment, "events").await;
    world.start_operator();
    world.make_ready("1").await;
    for _ in 0..3 {
        world.create_service("9", json!({})).await;
        world
            .condition("ImageResolved", "False", "TagNotFound")
            .await;
        world.create_service("1", json!({})).await;
        world.condition("ImageResolved", "True", "Resolved").await;
        world.condition("Ready", "True", "UpToDate").await;
    }
    world.stop_operator().await;

    let events = world.api::<Event>().list(&ListParams::default()).await;
    let mut objects = HashMap::<_, Vec<Event>>::new();
    for event in events.unwrap().items {
        let key = (event.action.clone(), event.reason.clone());
        objects.entry(key).or_default().push(event);
    }
    for (key, events) in &objects {
        assert_eq!(events.len(), 1, "{key:?} is written more than once");
    }
    let key = (
        Some("ImageResolvedFalse".to_owned()),
        Some("TagNotFound".to_owned()),
    );
    let wrong = &objects[&key][0];
    let waited_for =
        |(action, _): &(Option<String>, _)| action.as_deref() == Some("LoadBalancerReadyFalse");
    assert!(
        !objects.keys().any(waited_for),
        "that there is no load balancer yet is no transition"
    );
    assert_eq!(wrong.type_.as_deref(), Some("Warning"));
    assert_eq!(wrong.series.as_ref().map(|series| series.count), Some(3));
    world.close().await;
}

/// Stores what the schema of this version refuses, as an older schema might have let it in.
async fn store_undecodable(world: &World, name: &str) {
    let crds = Api::<CustomResourceDefinition>::all(world.client.clone());
    let mut lax = serde_json::to_value(PostService::crd()).unwrap();
    let schema = "/spec/versions/0/schema/openAPIV3Schema/properties/spec/properties/image/properties/scanInterval";
    *lax.pointer_mut(schema).unwrap() =
        json!({"x-kubernetes-int-or-string": true, "default": "5m"});
    let object = json!({
        "apiVersion": "platform.hhottdogg.shop/v1alpha1", "kind": "PostService",
        "metadata": {"name": name},
        "spec": {"image": {"repository": world.repository, "tag": "1", "scanInterval": 5}},
    });
    let any: Api<DynamicObject> = Api::namespaced_with(
        world.client.clone(),
        &world.namespace,
        &ApiResource::erase::<PostService>(&()),
    );
    let begun = Instant::now();
    // Other tests put the strict schema back at any time; the API server needs a moment for each.
    loop {
        let parameters = PatchParams::apply("test").force();
        crds.patch(PostService::crd_name(), &parameters, &Patch::Apply(&lax))
            .await
            .unwrap();
        let stored = any.patch(name, &parameters, &Patch::Apply(&object)).await;
        match stored {
            Ok(_) => break,
            Err(error) => assert!(begun.elapsed() < PATIENCE, "never stored: {error}"),
        }
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    }
    crds.patch(
        PostService::crd_name(),
        &PatchParams::apply("test").force(),
        &Patch::Apply(PostService::crd()),
    )
    .await
    .unwrap();
}

#[tokio::test]
async fn an_object_that_cannot_be_decoded_stalls_itself_only_and_names_the_path() {
    let Some(environment) = Environment::find() else {
        return;
    };
    let mut world = World::open(environment, "undecodable").await;
    store_undecodable(&world, "odd").await;
    world.start_operator();
    let any: Api<DynamicObject> = Api::namespaced_with(
        world.client.clone(),
        &world.namespace,
        &ApiResource::erase::<PostService>(&()),
    );
    let begun = Instant::now();
    let stalled = loop {
        let object = serde_json::to_value(any.get("odd").await.unwrap()).unwrap();
        if let Some(found) = condition(&object, "Stalled") {
            break found.clone();
        }
        assert!(begun.elapsed() < PATIENCE, "never stalled: {object:#}");
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    };
    assert_eq!(stalled["reason"], "InvalidSpec");
    let message = stalled["message"].as_str().unwrap();
    assert!(message.contains("spec.image.scanInterval"), "{message}");

    world.make_ready("1").await;
    // Mended, it is reconciled like any other.
    let patch = json!({"spec": {"image": {"scanInterval": "5m"}}});
    any.patch("odd", &PatchParams::default(), &Patch::Merge(patch))
        .await
        .unwrap();
    world
        .wait::<PostService, _>("odd", "an image", |service| {
            service.status.as_ref()?.image.desired.clone()
        })
        .await;
    world.close().await;
}
