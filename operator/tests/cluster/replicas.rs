//! Who says how many pods there are, and that no hand-over between them loses one.

use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use futures::StreamExt as _;
use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::autoscaling::v2::HorizontalPodAutoscaler;
use k8s_openapi::api::batch::v1::Job;
use k8s_openapi::api::core::v1::Secret;
use kube::api::{Api, ListParams, Patch, PatchParams};
use kube_runtime::{WatchStreamExt as _, watcher};
use post_operator::api::v1alpha1::PostService;
use serde_json::{Value, json};

use crate::open::running as world;
use crate::world::{PATIENCE, World};

const NAME: &str = "post-service";

/// Every number of pods that the Deployment ever asked for, repetitions left out.
#[derive(Clone, Default)]
struct Numbers(Arc<Mutex<Vec<i32>>>);

impl Numbers {
    fn record(world: &World) -> Self {
        let numbers = Self::default();
        let (into, api) = (numbers.clone(), world.api::<Deployment>());
        tokio::spawn(async move {
            let mut deployments = watcher(api, watcher::Config::default())
                .applied_objects()
                .boxed();
            while let Some(Ok(deployment)) = deployments.next().await {
                let number = deployment.spec.unwrap().replicas.unwrap();
                let mut numbers = into.0.lock().unwrap();
                if numbers.last() != Some(&number) {
                    numbers.push(number);
                }
            }
        });
        numbers
    }

    /// What was seen since the last call, once the number is `last`.
    async fn until(&self, last: i32) -> Vec<i32> {
        let begun = Instant::now();
        loop {
            {
                let mut numbers = self.0.lock().unwrap();
                if numbers.last() == Some(&last) {
                    return std::mem::replace(&mut *numbers, vec![last]);
                }
                assert!(
                    begun.elapsed() < PATIENCE,
                    "never {last} pods, but {numbers:?}"
                );
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }
}

fn auto(min: i32) -> Value {
    json!({"autoscaling": {"enabled": true, "minReplicas": min, "maxReplicas": 5}})
}

fn fixed(replicas: i32) -> Value {
    json!({"autoscaling": {"enabled": false, "minReplicas": 2}, "replicas": replicas})
}

fn nobody() -> Value {
    json!({"autoscaling": {"enabled": false, "minReplicas": 2}})
}

fn stopped(mut spec: Value) -> Value {
    spec["stopped"] = json!(true);
    spec
}

/// Plays the autoscaler's controller, or somebody with `kubectl scale`.
async fn scale(world: &World, manager: &str, replicas: i32) {
    let parameters = PatchParams {
        field_manager: Some(manager.into()),
        ..PatchParams::default()
    };
    let patch = Patch::Merge(json!({"spec": {"replicas": replicas}}));
    world
        .api::<Deployment>()
        .patch_scale(NAME, &parameters, &patch)
        .await
        .unwrap();
}

/// The managers that own `spec.replicas`.
async fn owners(world: &World) -> Vec<String> {
    let deployment = world.api::<Deployment>().get(NAME).await.unwrap();
    let entries = deployment.metadata.managed_fields.unwrap();
    let owns = |fields: &Value| fields.pointer("/f:spec/f:replicas").is_some();
    entries
        .into_iter()
        .filter(|entry| entry.fields_v1.as_ref().is_some_and(|f| owns(&f.0)))
        .filter_map(|entry| entry.manager)
        .collect()
}

async fn has_autoscaler(world: &World) -> bool {
    let autoscalers = world.api::<HorizontalPodAutoscaler>();
    autoscalers.get_opt(NAME).await.unwrap().is_some()
}

/// From nothing to Ready with `spec`.
async fn make_ready(world: &World, spec: Value) {
    let digest = world.push_image("1").await;
    world.create_secrets().await;
    world.create_service("1", spec).await;
    let job = world.migration_job(&digest).await;
    world.end_job(&job, "Complete").await;
    world.deployment_running(&digest).await;
    ready(world, "UpToDate").await;
}

/// Plays the Deployment's controller until the `PostService` is Ready for `reason` and reports the
/// present generation.
async fn ready(world: &World, reason: &str) {
    let begun = Instant::now();
    loop {
        if world
            .api::<Deployment>()
            .get_opt(NAME)
            .await
            .unwrap()
            .is_some()
        {
            world.finish_rollout().await;
        }
        let service = world.service().await;
        let status = service.status.clone().unwrap_or_default();
        let done = status.conditions.iter().any(|c| {
            c.type_ == "Ready"
                && c.status == "True"
                && c.reason == reason
                && c.observed_generation == service.metadata.generation
        });
        if done {
            return;
        }
        assert!(begun.elapsed() < PATIENCE, "not {reason}: {status:#?}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

#[tokio::test]
async fn no_handover_of_the_number_of_pods_loses_one() {
    let world = world!("handover");
    let numbers = Numbers::record(&world);
    make_ready(&world, auto(2)).await;
    assert_eq!(numbers.until(2).await, [2], "begins with minReplicas");
    scale(&world, "kube-controller-manager", 4).await;
    assert_eq!(numbers.until(4).await, [2, 4]);

    // From → to, and what is seen in between.
    let table: [(&str, Value, i32, &[i32]); 10] = [
        ("autoscaler → fixed", fixed(3), 3, &[4, 3]),
        ("fixed → fixed", fixed(4), 4, &[3, 4]),
        ("fixed → autoscaler", auto(2), 4, &[4]),
        ("autoscaler → stopped", stopped(auto(2)), 0, &[4, 0]),
        ("stopped → autoscaler", auto(3), 3, &[0, 3]),
        ("autoscaler → nobody", nobody(), 3, &[3]),
        ("nobody → stopped", stopped(nobody()), 0, &[3, 0]),
        ("stopped → nobody", nobody(), 3, &[0, 3]),
        ("nobody → stopped, fixed", stopped(fixed(5)), 0, &[3, 0]),
        ("stopped → fixed", fixed(5), 5, &[0, 5]),
    ];
    for (transition, spec, last, seen) in table {
        let is_stopped = spec["stopped"] == true;
        let autoscaled = spec["autoscaling"]["enabled"] == true && !is_stopped;
        world.create_service("1", spec).await;
        assert_eq!(numbers.until(last).await, seen, "{transition}");
        ready(&world, if is_stopped { "Stopped" } else { "UpToDate" }).await;
        assert_eq!(has_autoscaler(&world).await, autoscaled, "{transition}");
        assert_eq!(numbers.until(last).await, [last], "{transition}, later");
        let owners = owners(&world).await;
        assert!(
            !owners.contains(&"post-operator".to_owned()),
            "{transition}: {owners:?}"
        );
    }
    world.close().await;
}

#[tokio::test]
async fn an_autoscaler_that_scales_becomes_the_only_owner_of_the_number() {
    let world = world!("owner");
    make_ready(&world, fixed(2)).await;
    assert_eq!(owners(&world).await, ["post-operator-replicas"]);
    world.create_service("1", auto(2)).await;
    ready(&world, "UpToDate").await;
    scale(&world, "kube-controller-manager", 5).await;
    assert_eq!(owners(&world).await, ["kube-controller-manager"]);
    ready(&world, "UpToDate").await;
    assert_eq!(owners(&world).await, ["kube-controller-manager"]);
    world.close().await;
}

#[tokio::test]
async fn a_number_set_by_hand_is_put_back_only_where_the_spec_says_one() {
    let world = world!("byhand");
    let numbers = Numbers::record(&world);
    make_ready(&world, fixed(3)).await;
    scale(&world, "kubectl", 1).await;
    let seen = numbers.until(3).await;
    assert!(seen.ends_with(&[1, 3]) || seen == [3], "{seen:?}");
    ready(&world, "UpToDate").await;
    assert_eq!(numbers.until(3).await.last(), Some(&3));

    world.create_service("1", nobody()).await;
    ready(&world, "UpToDate").await;
    scale(&world, "keda", 7).await;
    // Something that the operator must do in a later pass, so that one has come.
    let mut spec = nobody();
    spec["service"] = json!({"port": 81});
    world.create_service("1", spec).await;
    ready(&world, "UpToDate").await;
    assert_eq!(numbers.until(7).await.last(), Some(&7));
    assert_eq!(owners(&world).await, ["keda"]);
    world.close().await;
}

#[tokio::test]
async fn scaling_up_does_not_make_a_finished_rollout_unready() {
    let world = world!("scaleup");
    make_ready(&world, auto(1)).await;
    let before = world.service().await;
    scale(&world, "kube-controller-manager", 3).await;
    // One of three pods is there: the autoscaler's business.
    let deployments = world.api::<Deployment>();
    let live = deployments.get(NAME).await.unwrap();
    let status = json!({"status": {
        "observedGeneration": live.metadata.generation, "replicas": 3, "updatedReplicas": 3,
        "readyReplicas": 1, "availableReplicas": 1,
    }});
    deployments
        .patch_status(NAME, &PatchParams::default(), &Patch::Merge(status))
        .await
        .unwrap();
    let reported = |service: &PostService| {
        (service.status.as_ref()?.replicas == Some(3)).then(|| service.clone())
    };
    let after = world.wait(NAME, "three pods reported", reported).await;
    let ready_of = |service: &PostService| {
        let conditions = &service.status.as_ref().unwrap().conditions;
        conditions.iter().find(|c| c.type_ == "Ready").cloned()
    };
    assert_eq!(ready_of(&before), ready_of(&after));
    world.close().await;
}

#[tokio::test]
async fn a_deleted_deployment_comes_back_with_as_many_pods() {
    let world = world!("again");
    make_ready(&world, auto(1)).await;
    scale(&world, "kube-controller-manager", 4).await;
    ready(&world, "UpToDate").await;
    let reported =
        |service: &PostService| (service.status.as_ref()?.replicas == Some(4)).then_some(());
    world.wait(NAME, "four pods reported", reported).await;
    let numbers = Numbers::record(&world);
    numbers.until(4).await;
    world.delete::<Deployment>(NAME).await;
    let back = |deployment: &Deployment| deployment.spec.as_ref()?.replicas;
    assert_eq!(world.wait(NAME, "a Deployment", back).await, 4);
    ready(&world, "UpToDate").await;
    assert_eq!(numbers.until(4).await, [4]);
    world.close().await;
}

#[tokio::test]
async fn a_stopped_service_needs_no_secret_database_or_image_and_makes_no_pod() {
    let world = world!("stopped");
    world.create_service("nowhere", stopped(auto(1))).await;
    ready(&world, "Stopped").await;
    assert!(
        world
            .api::<Secret>()
            .list(&ListParams::default())
            .await
            .unwrap()
            .items
            .is_empty()
    );
    for (kind, left) in [
        ("Deployment", count::<Deployment>(&world).await),
        ("Job", count::<Job>(&world).await),
        (
            "HorizontalPodAutoscaler",
            count::<HorizontalPodAutoscaler>(&world).await,
        ),
    ] {
        assert_eq!(left, 0, "{kind}");
    }
    assert!(!world.database_exists().await);
    let status = world.service().await.status.unwrap();
    assert_eq!(status.phase.as_deref(), Some("Stopped"));
    let types: Vec<_> = status.conditions.iter().map(|c| c.type_.as_str()).collect();
    for absent in [
        "SecretsReady",
        "DatabaseReady",
        "ImageResolved",
        "Reconciling",
        "Stalled",
    ] {
        assert!(!types.contains(&absent), "{absent} was not looked at");
    }
    world.close().await;
}

#[tokio::test]
async fn a_fixed_number_of_none_starts_no_pod() {
    let world = world!("none");
    let numbers = Numbers::record(&world);
    make_ready(&world, fixed(0)).await;
    assert_eq!(numbers.until(0).await, [0], "no pod in between");
    world.create_service("1", fixed(2)).await;
    assert_eq!(numbers.until(2).await, [0, 2]);
    world.close().await;
}

async fn count<K>(world: &World) -> usize
where
    K: kube::Resource<DynamicType = (), Scope = kube::core::NamespaceResourceScope>
        + Clone
        + std::fmt::Debug
        + serde::de::DeserializeOwned,
{
    let api: Api<K> = world.api();
    api.list(&ListParams::default()).await.unwrap().items.len()
}

#[tokio::test]
async fn a_stopped_service_is_ready_only_when_its_last_pod_is_gone() {
    let world = world!("stopping");
    make_ready(&world, auto(1)).await;
    world.create_service("1", stopped(auto(1))).await;
    let message = world.condition("Reconciling", "True", "Stopping").await;
    assert!(message.contains("1 pod"), "{message}");
    world.condition("Ready", "False", "Progressing").await;
    ready(&world, "Stopped").await;
    world.close().await;
}
