//! Rollouts of good and bad images with real pods under load: `cargo dev test rollout`.
#![expect(clippy::unwrap_used, reason = "how a test fails")]

#[path = "../product/board.rs"]
#[expect(dead_code, reason = "shared with the tests of the whole product")]
mod board;
#[path = "../product/load.rs"]
#[expect(dead_code, reason = "shared with the tests of the whole product")]
mod load;

use std::io::Write as _;
use std::time::{Duration, Instant};

use board::{Board, EXAMPLE, PATIENCE, is_api};
use dev::images::Fault;
use dev::kit::until;
use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::core::v1::Pod;
use kube::{Api, ResourceExt};
use load::{Load, Rate, Seen};
use serde_json::{Value, json};

/// A verdict comes this soon after a pod has shown what it is good for: five seconds between two
/// looks, and as much for a busy machine.
const SOON: Duration = Duration::from_secs(15);

/// Longest time until no request reaches a pod that has died: kubelet, control plane and kube-proxy
/// tell one another; on an idle machine it takes a second.
const MOMENT: Duration = Duration::from_secs(3);

/// A serving board with its clients.
struct Scene {
    board: Board,
    load: Load,
    suffix: String,
}

impl Scene {
    async fn open(name: &str, bake: Value) -> Option<Self> {
        let mut board = Board::open(name).await?;
        board.bake = bake;
        board.make_ready().await;
        // A node port needs a moment after its Service.
        board.posts().await;
        let token = board.kit.token_of("rollout").await.unwrap();
        let load = Load::start(&board.url().await, &token, Rate::STEADY);
        let suffix = format!("{name}-{:x}", std::process::id());
        Some(Self {
            board,
            load,
            suffix,
        })
    }

    /// Applies an image that goes wrong in this way; gives the verdict and the time until it.
    async fn fail(&self, fault: Fault) -> (String, Duration) {
        let kit = &self.board.kit;
        let tag = format!("{}-{}", fault.name(), self.suffix);
        let image = kit.push_faulty_service(fault, &tag).await.unwrap();
        let begun = Instant::now();
        self.board.apply(&image.tag).await;
        let verdict = self.board.condition("Ready", "False", "RolledBack").await;
        (verdict, begun.elapsed())
    }

    /// Waits until all is as before the bad image came, and stops the clients.
    async fn end(self, name: &str, took: Duration) -> Seen {
        self.board.condition("Stalled", "True", "RolledBack").await;
        let digest = status(&self.board).await["image"]["lastGood"]["digest"].clone();
        until("only good pods are left", PATIENCE, async || {
            let pods = self.board.kit.pods(&self.board.namespace).await;
            let pods = pods.map_err(|error| error.to_string())?;
            let bad: Vec<_> = pods
                .iter()
                .filter(|pod| is_api(pod) && !runs(pod, digest.as_str().unwrap()))
                .map(ResourceExt::name_any)
                .collect();
            bad.is_empty().then_some(()).ok_or(format!("{bad:?}"))
        })
        .await
        .unwrap();
        let seen = self.load.stop().await;
        report(name, &seen, took, "RolledBack");
        self.board.close().await;
        seen
    }
}

/// Only what was in flight on one pod, and what came to its address before the node had forgotten it:
/// how many that are says more of the machine than of the product, but not how long they come.
fn assert_one_moment(failures: &[String]) {
    let times = failures.iter().map(|failure| {
        let (seconds, _) = failure.split_once(' ').unwrap();
        seconds.parse::<f64>().unwrap()
    });
    let (first, last) = times.fold((f64::MAX, f64::MIN), |(first, last), at| {
        (first.min(at), last.max(at))
    });
    assert!(last - first < MOMENT.as_secs_f64(), "{failures:#?}");
}

/// Not `println!`, which the test harness keeps from a test that passes.
fn report(name: &str, seen: &Seen, took: Duration, end: &str) {
    let (requests, failed) = (seen.requests, seen.failures.len());
    let took = took.as_secs_f64();
    let _ = writeln!(
        std::io::stderr(),
        "rollout {name:<28} requests {requests:>5}  failed {failed:>3}  verdict {took:>5.1} s  {end}"
    );
}

async fn status(board: &Board) -> Value {
    let service = board.kit.post_services(&board.namespace).get(EXAMPLE).await;
    service.unwrap().data["status"].take()
}

fn runs(pod: &Pod, digest: &str) -> bool {
    let image = pod
        .spec
        .as_ref()
        .and_then(|pod| pod.containers[0].image.clone());
    image.is_some_and(|image| image.ends_with(digest))
}

/// Rolls that many good images out, one after the other.
async fn roll_out(name: &str, times: usize) {
    let Some(scene) = Scene::open(name, json!({"duration": "1s"})).await else {
        return;
    };
    let begun = Instant::now();
    for time in 0..times {
        let tag = format!("good-{time}-{}", scene.suffix);
        let image = scene.board.kit.push_service(&tag).await.unwrap();
        scene.board.apply(&image.tag).await;
        until(&format!("{tag} serves"), PATIENCE, async || {
            let status = status(&scene.board).await;
            let ready = status["image"]["lastGood"]["digest"] == image.digest.as_str()
                && status["rollout"]["step"] == "Idle";
            ready.then_some(()).ok_or_else(|| status.to_string())
        })
        .await
        .unwrap();
    }
    let seen = scene.load.stop().await;
    let label = format!("{times} good images in a row");
    report(&label, &seen, begun.elapsed(), "UpToDate");
    assert!(seen.requests > 100, "{} requests", seen.requests);
    assert_eq!(seen.failures, Vec::<String>::new());
    scene.board.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn three_good_images_in_a_row_cost_no_request() {
    roll_out("good", 3).await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "minutes: `cargo dev test rollout --full`"]
async fn twenty_good_images_in_a_row_cost_no_request() {
    roll_out("twenty", 20).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_image_that_exits_is_undone_in_seconds_and_its_secrets_are_not_repeated() {
    let Some(scene) = Scene::open("exits", json!({"duration": "20s"})).await else {
        return;
    };
    let (verdict, took) = scene.fail(Fault::Exits).await;
    for part in ["exit code 3", "cannot start with ***", "exits-"] {
        assert!(verdict.contains(part), "{part}: {verdict}");
    }
    assert!(!verdict.contains("mysql"), "{verdict}");
    let begun = Instant::now();
    let entries = status(&scene.board).await["quarantine"].clone();
    assert_eq!(entries.as_array().map(Vec::len), Some(1), "{entries}");
    let seen = scene.end("exits", took).await;
    assert_eq!(seen.failures, Vec::<String>::new());
    assert!(begun.elapsed() < PATIENCE);
}

#[tokio::test(flavor = "multi_thread")]
async fn images_that_hang_or_are_never_ready_are_undone_at_the_deadline() {
    for fault in [Fault::Hangs, Fault::Unready] {
        let Some(scene) = Scene::open(fault.name(), json!({"duration": "1s"})).await else {
            return;
        };
        let (verdict, took) = scene.fail(fault).await;
        assert!(verdict.contains("not ready within 30 s"), "{verdict}");
        let seen = scene.end(fault.name(), took).await;
        assert_eq!(seen.failures, Vec::<String>::new());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_image_that_dies_after_it_was_ready_costs_only_what_was_in_flight() {
    let Some(scene) = Scene::open("dies", json!({"duration": "30s"})).await else {
        return;
    };
    let (verdict, took) = scene.fail(Fault::Dies).await;
    assert!(verdict.contains("exit code 7"), "{verdict}");
    assert!(verdict.contains("out of luck"), "{verdict}");
    let seen = scene.end("dies", took).await;
    assert_one_moment(&seen.failures);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_image_that_answers_500_is_undone_during_its_bake() {
    let bake = json!({"duration": "1m", "minRequests": 20, "maxErrorRate": "10%"});
    let Some(scene) = Scene::open("errors", bake).await else {
        return;
    };
    let (verdict, took) = scene.fail(Fault::Errors).await;
    assert!(verdict.contains("had status 5xx"), "{verdict}");
    let seen = scene.end("errors", took).await;
    let others: Vec<_> = seen
        .failures
        .iter()
        .filter(|failure| !failure.contains("500: "))
        .cloned()
        .collect();
    assert_one_moment(&others);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_missing_image_migrates_nothing_and_replaces_nothing() {
    let Some(scene) = Scene::open("missing", json!({"duration": "1s"})).await else {
        return;
    };
    let digest = format!("sha256:{}", "0".repeat(64));
    let begun = Instant::now();
    scene.board.apply_image(json!({"digest": digest})).await;
    let verdict = scene
        .board
        .condition("Stalled", "True", "MigrationFailed")
        .await;
    let took = begun.elapsed();
    assert!(took < SOON, "{took:?}");
    assert!(verdict.contains("not found"), "{verdict}");
    let seen = scene.load.stop().await;
    report("missing", &seen, took, "MigrationFailed");
    assert_eq!(seen.failures, Vec::<String>::new());
    scene.board.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_image_of_another_architecture_migrates_nothing_and_replaces_nothing() {
    let Some(scene) = Scene::open("foreign", json!({"duration": "1s"})).await else {
        return;
    };
    let tag = format!("foreign-{}", scene.suffix);
    let kit = &scene.board.kit;
    let image = kit.push_faulty_service(Fault::Foreign, &tag).await.unwrap();
    let begun = Instant::now();
    scene.board.apply(&image.tag).await;
    let verdict = scene
        .board
        .condition("Stalled", "True", "MigrationFailed")
        .await;
    let took = begun.elapsed();
    assert!(verdict.contains("exec format error"), "{verdict}");
    let seen = scene.load.stop().await;
    report("foreign", &seen, took, "MigrationFailed");
    assert_eq!(seen.failures, Vec::<String>::new());
    scene.board.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_comes_back_runs_on_the_newer_schema() {
    let Some(scene) = Scene::open("newer", json!({"duration": "1s"})).await else {
        return;
    };
    let (verdict, took) = scene.fail(Fault::Newer).await;
    assert!(verdict.contains("exit code 3"), "{verdict}");
    let mut database = scene.board.database_connection().await;
    let column = sqlx::query("SELECT pinned FROM posts LIMIT 1");
    column.fetch_all(&mut database).await.unwrap();
    // A pod that starts now meets the newer schema, and so does the migration of the next image.
    let before = scene.board.uids().await;
    let deployments: Api<Deployment> =
        Api::namespaced(scene.board.kit.client.clone(), &scene.board.namespace);
    deployments.restart(EXAMPLE).await.unwrap();
    scene.board.replaced(&before).await;
    let good = format!("good-{}", scene.suffix);
    let good = scene.board.kit.push_service(&good).await.unwrap();
    scene.board.apply(&good.tag).await;
    scene.board.condition("Ready", "True", "UpToDate").await;
    let seen = scene.load.stop().await;
    report("newer schema", &seen, took, "RolledBack, UpToDate");
    assert_eq!(seen.failures, Vec::<String>::new());
    scene.board.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_good_image_supersedes_a_bad_one_on_its_way() {
    let Some(scene) = Scene::open("super", json!({"duration": "1s"})).await else {
        return;
    };
    let kit = &scene.board.kit;
    let tag = format!("unready-{}", scene.suffix);
    let bad = kit.push_faulty_service(Fault::Unready, &tag).await.unwrap();
    scene.board.apply(&bad.tag).await;
    until("the bad image bakes", PATIENCE, async || {
        let status = status(&scene.board).await;
        let baking = status["rollout"]["step"] == "Baking";
        baking.then_some(()).ok_or_else(|| status.to_string())
    })
    .await
    .unwrap();
    let good = kit
        .push_service(&format!("good-{}", scene.suffix))
        .await
        .unwrap();
    let begun = Instant::now();
    scene.board.apply(&good.tag).await;
    until("the good image serves", PATIENCE, async || {
        let status = status(&scene.board).await;
        let serves = status["image"]["lastGood"]["digest"] == good.digest.as_str();
        serves.then_some(()).ok_or_else(|| status.to_string())
    })
    .await
    .unwrap();
    let took = begun.elapsed();
    let results: Vec<_> = status(&scene.board).await["history"]
        .as_array()
        .unwrap()
        .iter()
        .map(|entry| entry["result"].as_str().unwrap().to_owned())
        .collect();
    assert_eq!(results, ["Succeeded", "Superseded", "Succeeded"]);
    let seen = scene.load.stop().await;
    report("superseded", &seen, took, "UpToDate");
    assert_eq!(seen.failures, Vec::<String>::new());
    scene.board.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn deploy_ends_with_the_verdict_while_the_api_goes_on_answering() {
    let Some(scene) = Scene::open("deploy", json!({"duration": "5s"})).await else {
        return;
    };
    let kit = &scene.board.kit;
    let deploy = async |tag: &str| {
        let namespace = &scene.board.namespace;
        let arguments = ["deploy", EXAMPLE, "-n", namespace, "--tag", tag, "--force"];
        kit.post_operator(&kit.kubeconfig(), &arguments).await
    };
    let (good, bad) = (
        format!("good-{}", scene.suffix),
        format!("bad-{}", scene.suffix),
    );
    kit.push_service(&good).await.unwrap();
    kit.push_faulty_service(Fault::Exits, &bad).await.unwrap();
    deploy(&good).await.unwrap();
    let begun = Instant::now();
    let failed = format!("{:#}", deploy(&bad).await.unwrap_err());
    let took = begun.elapsed();
    assert!(failed.contains("exit status: 1"), "{failed}");
    let verdict = scene.board.condition("Ready", "False", "RolledBack").await;
    assert!(verdict.contains("exit code 3"), "{verdict}");
    let seen = scene.load.stop().await;
    report("deploy, good and bad", &seen, took, "exit 0, exit 1");
    assert_eq!(seen.failures, Vec::<String>::new());
    scene.board.close().await;
}
