//! Pods come and go, and no request fails.

use std::time::Duration;

use dev::kit::until;
use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::autoscaling::v2::HorizontalPodAutoscaler;
use k8s_openapi::api::core::v1::Pod;
use kube::ResourceExt as _;
use kube::api::{Api, DeleteParams, Patch, PatchParams};
use serde_json::{Value, json};

use crate::board::{Board, EXAMPLE, PATIENCE, example_tag};
use crate::load::{Load, Rate, Seen};
use crate::text;

/// The autoscaler looks every 15 s, at metrics that are as old.
const SCALING: Duration = Duration::from_mins(3);

fn assert_none_failed(seen: &Seen) {
    assert!(
        seen.failures.is_empty(),
        "{} of {} requests failed: {:#?}",
        seen.failures.len(),
        seen.requests,
        &seen.failures[..seen.failures.len().min(20)]
    );
    assert!(seen.requests > 100, "only {} requests", seen.requests);
}

async fn patch_spec(board: &Board, spec: Value) {
    let patch = Patch::Merge(json!({"spec": spec}));
    board
        .kit
        .post_services(&board.namespace)
        .patch(EXAMPLE, &PatchParams::default(), &patch)
        .await
        .unwrap();
}

#[tokio::test]
async fn deleted_restarted_and_changed_pods_are_replaced_without_a_failed_request() {
    let Some(board) = Board::open("replace").await else {
        return;
    };
    board.make_ready().await;
    board.posts().await;
    let token = board.kit.token_of("replace").await.unwrap();
    let load = Load::start(&board.url().await, &token, Rate::STEADY);

    let before = board.uids().await;
    let pods: Api<Pod> = Api::namespaced(board.kit.client.clone(), &board.namespace);
    let pod = board.serving_pods().await.remove(0);
    pods.delete(&pod.name_any(), &DeleteParams::default())
        .await
        .unwrap();
    board.replaced(&before).await;

    let before = board.uids().await;
    let deployments: Api<Deployment> = Api::namespaced(board.kit.client.clone(), &board.namespace);
    deployments.restart(EXAMPLE).await.unwrap();
    board.replaced(&before).await;

    let before = board.uids().await;
    patch_spec(&board, json!({"pod": {"annotations": {"changed": "yes"}}})).await;
    board.replaced(&before).await;
    board.condition("Ready", "True", "UpToDate").await;

    let seen = load.stop().await;
    println!(
        "drain: {} requests while a pod was deleted, restarted and changed, {} failed",
        seen.requests,
        seen.failures.len()
    );
    assert_none_failed(&seen);
    board.close().await;
}

/// Waits until so many pods are wanted and serve.
async fn scaled(board: &Board, pods: i32) {
    let deployments: Api<Deployment> = Api::namespaced(board.kit.client.clone(), &board.namespace);
    until(&format!("{pods} pods serve"), SCALING, async || {
        let live = deployments.get(EXAMPLE).await.map_err(text)?;
        let wanted = live.spec.and_then(|spec| spec.replicas);
        let ready = live.status.and_then(|status| status.ready_replicas);
        if (wanted, ready) == (Some(pods), Some(pods)) {
            Ok(())
        } else {
            Err(format!("wanted {wanted:?}, ready {ready:?}"))
        }
    })
    .await
    .unwrap();
}

#[tokio::test]
async fn the_autoscaler_follows_the_load_up_and_down_without_a_failed_request() {
    let Some(board) = Board::open("scale").await else {
        return;
    };
    board.create_secrets().await;
    board.apply(&example_tag(&board.kit).await).await;
    board.condition("Ready", "True", "UpToDate").await;
    board.posts().await;
    // Of the autoscaler's fields this one is not the operator's: it stays.
    let scalers: Api<HorizontalPodAutoscaler> =
        Api::namespaced(board.kit.client.clone(), &board.namespace);
    let at_once = json!({"spec": {"behavior": {"scaleDown": {"stabilizationWindowSeconds": 0}}}});
    scalers
        .patch(EXAMPLE, &PatchParams::default(), &Patch::Merge(at_once))
        .await
        .unwrap();
    let token = board.kit.token_of("scale").await.unwrap();
    let url = board.url().await;

    let heavy = Load::start(&url, &token, Rate::HEAVY);
    scaled(&board, 3).await;
    board.condition("Ready", "True", "UpToDate").await;
    let mut seen = heavy.stop().await;

    let rare = Rate {
        clients: 1,
        rest: Duration::from_millis(500),
    };
    let light = Load::start(&url, &token, rare);
    scaled(&board, 1).await;
    let later = light.stop().await;
    seen.requests += later.requests;
    seen.failures.extend(later.failures);
    println!(
        "autoscaler: 1 → 3 → 1 pods, {} requests, {} failed",
        seen.requests,
        seen.failures.len()
    );
    assert_none_failed(&seen);
    let kept = scalers.get(EXAMPLE).await.unwrap().spec.unwrap().behavior;
    let window = kept
        .unwrap()
        .scale_down
        .unwrap()
        .stabilization_window_seconds;
    assert_eq!(window, Some(0), "a field of somebody else");

    // Stopped and started again: no pod, then minReplicas, and the same database.
    patch_spec(&board, json!({"stopped": true})).await;
    board.condition("Ready", "True", "Stopped").await;
    until("no pod is left", PATIENCE, async || {
        match board.serving_pods().await.len() {
            0 => Ok(()),
            left => Err(format!("{left} left")),
        }
    })
    .await
    .unwrap();
    assert!(scalers.get_opt(EXAMPLE).await.unwrap().is_none());
    patch_spec(&board, json!({"stopped": false})).await;
    board.condition("Ready", "True", "UpToDate").await;
    scaled(&board, 1).await;
    assert!(board.posts().await["meta"]["total"].as_i64().unwrap() > 0);
    board.close().await;
}
