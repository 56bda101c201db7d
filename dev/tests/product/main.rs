//! The whole product with real pods: `cargo dev test e2e`.
#![expect(clippy::unwrap_used, reason = "how a test fails")]

mod adoption;
mod board;
mod load;
mod scaling;

use std::time::Duration;

use board::{Board, EXAMPLE, PATIENCE, create_post, example_tag, get};
use dev::kit::{Kit, until};
use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::autoscaling::v2::HorizontalPodAutoscaler;
use k8s_openapi::api::core::v1::{Pod, Service};
use kube::ResourceExt as _;
use kube::api::{Api, DeleteParams};

#[tokio::test]
async fn the_example_serves_posts_on_the_printed_address() {
    let Some(kit) = Kit::connect().await.unwrap() else {
        return;
    };
    let ready = kit
        .condition(EXAMPLE, EXAMPLE, "Ready")
        .await
        .unwrap()
        .unwrap();
    assert_eq!(
        (ready.status.as_str(), ready.reason.as_str()),
        ("True", "UpToDate")
    );

    let status = kit.status().await;
    let (url, token) = (status.api_url.unwrap(), status.token.unwrap());
    let title = format!("첫글 {:x}", std::process::id());
    create_post(&url, &token, &title).await;
    let list = get(&format!("{url}/api/v1/posts")).await;
    assert_eq!(list["data"][0]["title"], title);
    assert!(list["meta"]["total"].as_u64().unwrap() >= 1);

    let columns = kit
        .kubectl(&["get", "postsvc", "-A", "--no-headers"])
        .await
        .unwrap();
    let example = columns
        .lines()
        .find(|line| line.starts_with(EXAMPLE))
        .unwrap();
    let tag = example_tag(&kit).await;
    assert!(
        example.contains("True") && example.contains(&tag),
        "{example}"
    );
}

#[tokio::test]
async fn one_yaml_and_two_secrets_become_pods_of_a_digest_on_a_migrated_database() {
    let Some(board) = Board::open("path").await else {
        return;
    };
    board.create_secrets().await;
    let begun = std::time::Instant::now();
    board.apply(&example_tag(&board.kit).await).await;
    board.condition("Ready", "True", "UpToDate").await;
    println!(
        "YAML applied → Ready: {:.1} s",
        begun.elapsed().as_secs_f64()
    );
    board.condition("LoadBalancerReady", "True", "Ready").await;

    for pod in board.serving_pods().await {
        let image = pod.spec.unwrap().containers[0].image.clone().unwrap();
        assert!(image.contains("/post-service@sha256:"), "{image}");
    }
    let mut database = board.database_connection().await;
    let migrations: i64 = sqlx::query_scalar("SELECT COUNT(*) FROM _sqlx_migrations WHERE success")
        .fetch_one(&mut database)
        .await
        .unwrap();
    assert!(migrations > 0);
    board.create_post("둘째 글").await;
    assert_eq!(board.posts().await["meta"]["total"], 1);
    board.close().await;
}

#[tokio::test]
async fn a_wrong_tag_is_named_and_the_old_pods_keep_answering() {
    let Some(board) = Board::open("tag").await else {
        return;
    };
    board.make_ready().await;
    let before = board.uids().await;
    board.apply("9.9.9-none").await;
    let message = board
        .condition("ImageResolved", "False", "TagNotFound")
        .await;
    assert!(message.contains("9.9.9-none"), "{message}");
    assert_eq!(board.posts().await["success"], true);
    assert_eq!(board.uids().await, before, "no pod was replaced");
    board.close().await;
}

#[tokio::test]
async fn another_tag_replaces_the_pods_behind_its_migration() {
    let Some(board) = Board::open("next").await else {
        return;
    };
    board.make_ready().await;
    let before = board.uids().await;
    let image = board.kit.push_service("e2e-next").await.unwrap();
    board.apply(&image.tag).await;
    until("pods of the new digest serve", PATIENCE, async || {
        let pods = board.serving_pods().await;
        let images: Vec<_> = pods
            .iter()
            .map(|pod| {
                pod.spec.as_ref().unwrap().containers[0]
                    .image
                    .clone()
                    .unwrap()
            })
            .collect();
        let replaced = images.iter().all(|found| found.ends_with(&image.digest));
        if replaced && !images.is_empty() {
            Ok(())
        } else {
            Err(format!("{images:?}"))
        }
    })
    .await
    .unwrap();
    board.condition("Ready", "True", "UpToDate").await;
    assert!(board.uids().await.iter().all(|uid| !before.contains(uid)));
    let jobs = board
        .kit
        .kubectl(&["-n", &board.namespace, "get", "jobs", "-o", "name"])
        .await;
    assert_eq!(
        jobs.unwrap().lines().count(),
        2,
        "one migration for each digest"
    );
    board.close().await;
}

#[tokio::test]
async fn a_missing_secret_is_named_with_its_key_and_found_when_it_comes() {
    let Some(board) = Board::open("secret").await else {
        return;
    };
    board.create_database_secret().await;
    board.apply(&example_tag(&board.kit).await).await;
    let message = board.condition("SecretsReady", "False", "Missing").await;
    assert!(
        message.contains("post-secrets") && message.contains("cognito-user-pool-id"),
        "{message}"
    );
    board.create_auth_secret().await;
    board.condition("Ready", "True", "UpToDate").await;
    board.close().await;
}

#[tokio::test]
async fn a_deleted_deployment_comes_back() {
    let Some(board) = Board::open("back").await else {
        return;
    };
    board.make_ready().await;
    let deployments: Api<Deployment> = Api::namespaced(board.kit.client.clone(), &board.namespace);
    let uid = deployments.get(EXAMPLE).await.unwrap().uid();
    deployments
        .delete(EXAMPLE, &DeleteParams::background())
        .await
        .unwrap();
    until("another Deployment serves", PATIENCE, async || {
        let found = deployments
            .get_opt(EXAMPLE)
            .await
            .map_err(|error| error.to_string())?;
        let found = found.filter(|found| found.uid() != uid).ok_or("none")?;
        let available = found.status.and_then(|status| status.available_replicas);
        if available >= Some(1) {
            Ok(())
        } else {
            Err(format!("{available:?} available"))
        }
    })
    .await
    .unwrap();
    assert_eq!(board.posts().await["success"], true);
    board.close().await;
}

#[tokio::test]
async fn a_deleted_post_service_takes_its_objects_and_leaves_the_database() {
    let Some(board) = Board::open("gone").await else {
        return;
    };
    board.make_ready().await;
    board.create_post("bleibt").await;
    board
        .kit
        .post_services(&board.namespace)
        .delete(EXAMPLE, &DeleteParams::default())
        .await
        .unwrap();
    let client = &board.kit.client;
    let deployments: Api<Deployment> = Api::namespaced(client.clone(), &board.namespace);
    let services: Api<Service> = Api::namespaced(client.clone(), &board.namespace);
    let scalers: Api<HorizontalPodAutoscaler> = Api::namespaced(client.clone(), &board.namespace);
    until("its objects are gone", PATIENCE, async || {
        let left = [
            deployments.get_opt(EXAMPLE).await.map_err(text)?.is_some(),
            services.get_opt(EXAMPLE).await.map_err(text)?.is_some(),
            scalers.get_opt(EXAMPLE).await.map_err(text)?.is_some(),
        ];
        if left.contains(&true) {
            Err(format!("left: {left:?}"))
        } else {
            Ok(())
        }
    })
    .await
    .unwrap();
    let mut database = board.database_connection().await;
    let title: String = sqlx::query_scalar("SELECT title FROM posts")
        .fetch_one(&mut database)
        .await
        .unwrap();
    assert_eq!(title, "bleibt");
    board.close().await;
}

#[tokio::test]
async fn a_deleted_pod_serves_on_while_it_drains() {
    let Some(board) = Board::open("drain").await else {
        return;
    };
    board.make_ready().await;
    let pods: Api<Pod> = Api::namespaced(board.kit.client.clone(), &board.namespace);
    let pod = board.serving_pods().await.remove(0);
    let address = pod.status.clone().unwrap().pod_ip.unwrap();
    pods.delete(&pod.name_any(), &DeleteParams::default())
        .await
        .unwrap();
    until(
        "the pod is marked deleted",
        Duration::from_secs(10),
        async || {
            let found = pods.get(&pod.name_any()).await.map_err(text)?;
            found
                .metadata
                .deletion_timestamp
                .map(|_| ())
                .ok_or_else(|| "not yet".to_owned())
        },
    )
    .await
    .unwrap();
    for path in ["/health", "/readyz", "/api/v1/posts"] {
        let answer = reqwest::get(format!("http://{address}:8082{path}"))
            .await
            .unwrap();
        assert_eq!(answer.status(), 200, "{path} of the draining pod");
    }
    board.condition("Ready", "True", "UpToDate").await;
    board.close().await;
}

fn text(error: impl std::fmt::Display) -> String {
    error.to_string()
}
