//! Rollouts as the API server sees them: the tests play the Deployment's controller and the kubelet.

use std::time::Duration;

use k8s_openapi::api::apps::v1::{ControllerRevision, Deployment};
use k8s_openapi::api::core::v1::Pod;
use k8s_openapi::jiff::Timestamp;
use kube::api::{ListParams, Patch, PatchParams, PostParams};
use post_operator::api::RETRY_ANNOTATION;
use post_operator::api::v1alpha1::{PostService, PostServiceStatus, RolloutStep};
use serde_json::{Value, json};

use crate::open::idle;
use crate::world::World;

/// A world whose operator looks often, with a service that runs image `1`.
macro_rules! serving {
    ($name:literal) => {{
        let mut world = idle!($name);
        world.pace.poll = Duration::from_millis(500);
        world.pace.poll_in_trouble = Duration::from_millis(200);
        world.start_operator();
        let digest = world.make_ready("1").await;
        (world, digest)
    }};
}

/// Applies image `2` with these settings of the rollout, and migrates; returns its digest.
async fn begin(world: &World, rollout: Value) -> String {
    let digest = world.push_image("2").await;
    world.create_service("2", json!({"rollout": rollout})).await;
    let job = world.migration_job(&digest).await;
    world.end_job(&job, "Complete").await;
    world.deployment_running(&digest).await;
    digest
}

/// One new pod at most, which never counts as available.
fn is_baking(deployment: &Deployment) -> bool {
    let spec = deployment.spec.as_ref().unwrap();
    let strategy = json!(spec.strategy);
    let alone = strategy["rollingUpdate"] == json!({"maxSurge": 1, "maxUnavailable": 0});
    alone && spec.min_ready_seconds > Some(1_000_000)
}

/// Plays the kubelet: a pod of the present template, with this status.
async fn play_pod(world: &World, status: Value) {
    let live = world.api::<Deployment>().get("post-service").await.unwrap();
    let template = live.spec.unwrap().template;
    let mut pod: Pod = serde_json::from_value(json!(template)).unwrap();
    pod.metadata.name = Some("new".into());
    pod.spec.as_mut().unwrap().service_account_name = None;
    let pods = world.api::<Pod>();
    pods.create(&PostParams::default(), &pod).await.unwrap();
    let patch = Patch::Merge(json!({"status": status}));
    pods.patch_status("new", &PatchParams::default(), &patch)
        .await
        .unwrap();
}

fn serves() -> Value {
    let now = Timestamp::now().to_string();
    json!({"phase": "Running", "conditions": [
        {"type": "Ready", "status": "True", "lastTransitionTime": now},
        {"type": "ContainersReady", "status": "True", "lastTransitionTime": now}]})
}

fn crashes() -> Value {
    let end = json!({"exitCode": 3, "reason": "Error", "message": "no luck"});
    let state = json!({"waiting": {"reason": "CrashLoopBackOff"}});
    json!({"phase": "Running", "containerStatuses": [{"name": "post-service", "ready": false,
        "restartCount": 1, "image": "i", "imageID": "i", "state": state,
        "lastState": {"terminated": end}}]})
}

async fn status(world: &World, what: &str, wanted: impl Fn(&PostServiceStatus) -> bool) {
    world
        .wait::<PostService, _>("post-service", what, |service| {
            wanted(service.status.as_ref()?).then_some(())
        })
        .await;
}

fn is_at(status: &PostServiceStatus, step: RolloutStep) -> bool {
    status
        .rollout
        .as_ref()
        .is_some_and(|rollout| rollout.step == step)
}

async fn revisions(world: &World) -> usize {
    let all = world.api::<ControllerRevision>();
    all.list(&ListParams::default()).await.unwrap().items.len()
}

#[tokio::test]
async fn a_new_image_bakes_alone_and_then_takes_the_others_places() {
    let (world, first) = serving!("bake");
    let second = begin(&world, json!({"bake": {"duration": "1s"}})).await;
    assert!(is_baking(&world.deployment_running(&second).await));
    assert_eq!(revisions(&world).await, 2, "the good one is kept");
    play_pod(&world, serves()).await;
    world
        .wait::<Deployment, _>("post-service", "the rest", |live| {
            (!is_baking(live)).then_some(())
        })
        .await;
    let before = world.service().await.status.unwrap().image.last_good;
    assert_eq!(before.unwrap().digest, first, "not before all pods serve");
    world.finish_rollout().await;
    status(&world, "success", |status| {
        let good = status.image.last_good.as_ref();
        good.is_some_and(|good| good.digest == second) && is_at(status, RolloutStep::Idle)
    })
    .await;
    world.condition("Ready", "True", "UpToDate").await;
    world.close().await;
}

#[tokio::test]
async fn a_crashing_image_is_undone_and_tried_again_only_when_somebody_asks() {
    let (mut world, first) = serving!("crash");
    let second = begin(&world, json!({"bake": {"duration": "1m"}})).await;
    play_pod(&world, crashes()).await;
    let verdict = world.condition("Ready", "False", "RolledBack").await;
    for part in ["pod new", "CrashLoopBackOff", "exit code 3", "no luck"] {
        assert!(verdict.contains(part), "{part}: {verdict}");
    }
    let back = world.deployment_running(&first).await;
    assert!(!is_baking(&back));
    world.delete::<Pod>("new").await;
    world.finish_rollout().await;
    world.condition("Stalled", "True", "RolledBack").await;

    world.stop_operator().await;
    world.start_operator();
    // Other secret values are a rollout of their own: of the good image.
    let other = json!({"cognito-client-id": "other"});
    world.patch_secret("post-secrets", other).await;
    let before = env_secret(&back);
    let next = world
        .wait::<Deployment, _>("post-service", "other secret values", |live| {
            (env_secret(live) != before).then(|| live.clone())
        })
        .await;
    assert!(json!(next).to_string().contains(&first));

    let token = json!({"metadata": {"annotations": {RETRY_ANNOTATION: "again"}}});
    world.change(token).await;
    world.deployment_running(&second).await;
    world.close().await;
}

#[tokio::test]
async fn without_rollback_a_failed_image_stays_and_is_named() {
    let (world, _) = serving!("stay");
    let second = begin(
        &world,
        json!({"rollback": false, "bake": {"duration": "1m"}}),
    )
    .await;
    play_pod(&world, crashes()).await;
    let said = world.condition("Stalled", "True", "RolloutFailed").await;
    assert!(said.contains("exit code 3"), "{said}");
    let live = world.deployment_running(&second).await;
    assert!(is_baking(&live), "it goes no further");
    world.close().await;
}

/// A setting of the operator's own stands for a version of it that makes another template.
#[tokio::test]
async fn another_version_s_template_waits_for_the_next_rollout_unless_asked_for_at_once() {
    let (mut world, digest) = serving!("version");
    let before = world.deployment_running(&digest).await;
    world.stop_operator().await;
    world.keys = "http://other.example/jwks".into();
    world.start_operator();
    let poke = json!({"autoscaling": {"maxReplicas": 4}});
    world.create_service("1", poke).await;
    let generation = world.service().await.metadata.generation;
    status(&world, "another pass", |status| {
        status.observed_generation == generation && is_at(status, RolloutStep::Idle)
    })
    .await;
    let deferred = world.deployment_running(&digest).await;
    assert_eq!(deferred.metadata.generation, before.metadata.generation);

    world
        .create_service("1", json!({"templateUpdates": "Immediate"}))
        .await;
    world
        .wait::<Deployment, _>("post-service", "the new template", |live| {
            json!(live)
                .to_string()
                .contains("other.example")
                .then_some(())
        })
        .await;
    world.finish_rollout().await;
    world.condition("Ready", "True", "UpToDate").await;
    world.close().await;
}

#[tokio::test]
async fn what_was_superseded_leaves_neither_revision_nor_deployment() {
    let (world, _) = serving!("superseded");
    begin(&world, json!({"bake": {"duration": "1m"}})).await;
    let third = world.push_image("3").await;
    world.create_service("3", json!({})).await;
    let job = world.migration_job(&third).await;
    world.end_job(&job, "Complete").await;
    world.deployment_running(&third).await;
    world.finish_rollout().await;
    world.condition("Ready", "True", "UpToDate").await;
    world
        .wait::<ControllerRevision, _>(&revision(&world).await, "the only one", |_| Some(()))
        .await;
    for _ in 0..100 {
        if revisions(&world).await == 1 {
            break;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    assert_eq!(revisions(&world).await, 1);
    world.close().await;
}

/// Name of the Secret that the pods read.
fn env_secret(deployment: &Deployment) -> String {
    let pod = json!(deployment.spec.as_ref().unwrap().template.spec);
    let variable = &pod["containers"][0]["env"][0]["valueFrom"]["secretKeyRef"]["name"];
    variable.as_str().unwrap().to_owned()
}

async fn revision(world: &World) -> String {
    let status = world.service().await.status.unwrap();
    status.rollout.unwrap().current.unwrap()
}

/// A version without revisions made the Deployment: nothing says so but the hash of its Secrets.
#[tokio::test]
async fn a_deployment_of_a_version_without_revisions_is_taken_over_as_it_is() {
    let (mut world, digest) = serving!("older");
    let name = revision(&world).await;
    let kept = world.api::<ControllerRevision>().get(&name).await.unwrap();
    let fingerprint = kept.data.unwrap().0["fingerprint"].clone();
    world.stop_operator().await;
    make_older(&world, fingerprint).await;
    world.delete::<ControllerRevision>(&name).await;
    let before = world.deployment_running(&digest).await;
    world.finish_rollout().await;

    world.start_operator();
    status(&world, "a revision", |status| {
        let rollout = status.rollout.as_ref();
        rollout.is_some_and(|rollout| rollout.last_good.is_some())
            && is_at(status, RolloutStep::Idle)
    })
    .await;
    world
        .wait::<Deployment, _>("post-service", "its revision", |live| {
            let annotations = live.metadata.annotations.as_ref()?;
            annotations
                .get("platform.hhottdogg.shop/revision")
                .map(drop)
        })
        .await;
    let after = world.deployment_running(&digest).await;
    assert_eq!(json!(after.spec), json!(before.spec));
    // A Deployment's annotation makes another generation of it, too.
    world.finish_rollout().await;
    world.condition("Ready", "True", "UpToDate").await;
    assert_eq!(revisions(&world).await, 1);
    world.close().await;
}

async fn make_older(world: &World, fingerprint: Value) {
    let deployments = world.api::<Deployment>();
    let mut live = json!(deployments.get("post-service").await.unwrap());
    let annotations = json!({"platform.hhottdogg.shop/secrets-fingerprint": fingerprint});
    live["spec"]["template"]["metadata"]["annotations"] = annotations;
    let labels = &mut live["spec"]["template"]["metadata"]["labels"];
    labels
        .as_object_mut()
        .unwrap()
        .remove("controller-revision-hash");
    let object = json!({
        "apiVersion": "apps/v1", "kind": "Deployment",
        "metadata": {"name": "post-service", "labels": live["metadata"]["labels"],
            "ownerReferences": live["metadata"]["ownerReferences"]},
        "spec": live["spec"],
    });
    deployments
        .patch(
            "post-service",
            &PatchParams::apply("post-operator").force(),
            &Patch::Apply(object),
        )
        .await
        .unwrap();
    let nothing = Patch::Merge(json!({"status": {"rollout": null}}));
    world
        .api::<PostService>()
        .patch_status("post-service", &PatchParams::default(), &nothing)
        .await
        .unwrap();
}
