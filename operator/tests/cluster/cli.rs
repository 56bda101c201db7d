//! The commands for people and pipelines, as they are run.

use k8s_openapi::api::rbac::v1::{Role, RoleBinding};
use kube::Api;
use kube::api::{DeleteParams, PostParams};
use post_operator::api::RETRY_ANNOTATION;
use serde_json::json;

use crate::cli_kit::{NAME, Stage, owners};
use crate::cli_relay::Relay;

/// Opens a stage, or returns.
macro_rules! stage {
    ($name:literal) => {{
        let Some(stage) = Stage::open($name).await else {
            return;
        };
        stage
    }};
}

const SERVES: &[(&str, &str, &str)] = &[("Ready", "True", "UpToDate")];
const BAKES: &[(&str, &str, &str)] = &[
    ("Ready", "False", "Progressing"),
    ("Reconciling", "True", "Baking"),
];
const ROLLED_BACK: &[(&str, &str, &str)] = &[
    ("Ready", "False", "RolledBack"),
    ("Reconciling", "True", "RollingBack"),
];

fn deploy(tag: &str) -> [&str; 4] {
    ["deploy", NAME, "--tag", tag]
}

#[tokio::test]
async fn a_deployed_tag_is_owned_by_deploy_and_waited_for() {
    let stage = stage!("deploy");
    stage.deployed("1").await;
    stage.report("1", SERVES).await;

    let mut running = stage.start(&[&deploy("2")[..], &["-o", "json"]].concat());
    let service = stage.asked_for("2").await;
    assert_eq!(owners(&service), ["post-operator-deploy"]);
    // What was said of the tag before is no answer.
    running.says("see generation 3").await;
    stage.report("2", BAKES).await;
    running.says("the words of Baking; 2 of 3 pods serve").await;
    stage.report("2", SERVES).await;
    let said = running.end().await.exits(0);

    let verdict = said.json();
    assert_eq!(verdict["verdict"], "Ready", "{verdict}");
    assert_eq!(verdict["reason"], "UpToDate");
    assert_eq!(verdict["tag"], "2");
    assert_eq!(verdict["generation"], 3);
    assert_eq!(verdict["image"]["tag"], "2");
    let lines: Vec<_> = said
        .err
        .lines()
        .map(|line| line.split_once(' ').unwrap().1)
        .collect();
    let mut once = lines.clone();
    once.dedup();
    assert_eq!(lines, once, "nothing is repeated");

    // Asked once more, it is there already, and nothing is written.
    let said = stage.run(&deploy("2")).await.exits(0);
    assert!(said.out.contains("ready with tag 2"), "{said:?}");
    assert_eq!(said.err, "", "nothing is waited for");
    let service = stage.asked_for("2").await;
    assert_eq!(service.metadata.generation, Some(3));
    stage.close().await;
}

#[tokio::test]
async fn a_rollout_that_is_undone_fails_while_pods_are_still_coming_back() {
    let stage = stage!("undone");
    stage.deployed("1").await;
    let mut running = stage.start(&deploy("2"));
    running.says("generation 3").await;
    stage.report("1", ROLLED_BACK).await;
    let said = running.end().await.exits(1);
    assert!(
        said.out.contains("RolledBack: the words of RolledBack"),
        "{said:?}"
    );
    assert!(said.out.contains("What to do: "), "{said:?}");
    assert!(said.out.contains("post-operator retry api"), "{said:?}");
    stage.close().await;
}

#[tokio::test]
async fn another_tag_supersedes_and_a_time_out_decides_nothing() {
    let stage = stage!("undecided");
    stage.deployed("1").await;
    let mut running = stage.start(&[&deploy("2")[..], &["-o", "json"]].concat());
    running.says("generation 3").await;
    stage.patch(json!({"image": {"tag": "3"}})).await;
    let verdict = running.end().await.exits(2).json();
    assert_eq!(verdict["verdict"], "Superseded", "{verdict}");

    // Git brings it later.
    let mut running = stage.start(&["wait", NAME, "--tag", "4"]);
    running.says("spec.image.tag is 3 and not 4").await;
    stage.patch(json!({"image": {"tag": "4"}})).await;
    stage.report("4", SERVES).await;
    running.end().await.exits(0);

    stage.report("1", BAKES).await;
    let said = stage.run(&["wait", NAME, "--timeout", "1s"]).await.exits(2);
    assert!(said.out.contains("at last: Baking"), "{said:?}");
    assert!(said.out.contains("goes on in the cluster"), "{said:?}");
    stage.close().await;
}

#[tokio::test]
async fn ctrl_c_ends_the_waiting_and_not_the_rollout() {
    let stage = stage!("interrupt");
    stage.apply("1", "test").await;
    let mut running = stage.start(&["wait", NAME]);
    running.says("waiting up to 31m").await;
    running.says("generation 1").await;
    running.interrupt();
    let said = running.end().await.exits(130);
    assert!(said.out.contains("goes on in the cluster"), "{said:?}");
    assert!(said.out.contains("post-operator status api"), "{said:?}");
    stage.close().await;
}

#[tokio::test]
async fn an_api_server_that_goes_and_comes_back_is_waited_for() {
    let stage = stage!("relay");
    stage.apply("1", "test").await;
    let mut relay = Relay::start(stage.server()).await;
    let way = stage.kubeconfig_by("relay", |_| format!("https://{}", relay.address));
    let mut running = stage.start_as(&way, &["wait", NAME, "--tag", "1"]);
    running.says("generation 1").await;
    relay.cut().await;
    running.says("does not answer").await;
    stage.report("1", SERVES).await;
    let _relay = relay.mend().await;
    running.end().await.exits(0);
    stage.close().await;
}

#[tokio::test]
async fn a_deleted_object_is_not_waited_for() {
    let stage = stage!("deleted");
    stage.apply("1", "test").await;
    let mut running = stage.start(&["wait", NAME]);
    running.says("generation 1").await;
    stage
        .services
        .delete(NAME, &DeleteParams::default())
        .await
        .unwrap();
    let said = running.end().await.exits(1);
    assert!(said.out.contains("Deleted"), "{said:?}");
    stage.close().await;
}

#[tokio::test]
async fn a_tag_of_somebody_else_is_left_alone_unless_it_is_taken_by_force() {
    let stage = stage!("owned");
    stage.apply("1", "argocd-controller").await;
    let said = stage.run(&deploy("2")).await.exits(1);
    for part in ["Argo CD", "argocd-controller", "in Git", "--force"] {
        assert!(said.err.contains(part), "{said:?}");
    }
    assert_eq!(said.err.lines().count(), 1, "{said:?}");
    let verdict = stage
        .run(&[&deploy("2")[..], &["-o", "json"]].concat())
        .await;
    assert_eq!(verdict.exits(1).json()["reason"], "TagOwned");
    stage.asked_for("1").await;

    let forced = [&deploy("2")[..], &["--force", "--timeout", "0s"]].concat();
    stage.run(&forced).await.exits(2);
    let service = stage.asked_for("2").await;
    assert_eq!(owners(&service), ["post-operator-deploy"]);

    let digest = format!("sha256:{}", "0".repeat(64));
    stage
        .patch(json!({"image": {"tag": null, "digest": digest}}))
        .await;
    let said = stage.run(&deploy("3")).await.exits(1);
    assert!(said.err.contains("spec.image.digest"), "{said:?}");
    stage.close().await;
}

/// The rights of the chart's deployers, and no others; `dev/tests/chart.rs` has its policy, too.
async fn grant_deployers(stage: &Stage) {
    let group = "test:deployers";
    let role: Role = serde_json::from_value(json!({
        "metadata": {"name": "deployers"},
        "rules": [{"apiGroups": ["platform.hhottdogg.shop"], "resources": ["postservices"],
            "verbs": ["get", "list", "watch", "patch"]}],
    }))
    .unwrap();
    let binding: RoleBinding = serde_json::from_value(json!({
        "metadata": {"name": "deployers"},
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": "deployers"},
        "subjects": [{"kind": "Group", "apiGroup": "rbac.authorization.k8s.io", "name": group}],
    }))
    .unwrap();
    let (client, namespace) = (stage.client.clone(), &stage.namespace);
    let parameters = PostParams::default();
    Api::namespaced(client.clone(), namespace)
        .create(&parameters, &role)
        .await
        .unwrap();
    Api::namespaced(client, namespace)
        .create(&parameters, &binding)
        .await
        .unwrap();
}

#[tokio::test]
async fn the_deployers_rights_are_enough_for_everything_but_events() {
    let stage = stage!("rights");
    grant_deployers(&stage).await;
    stage.deployed("1").await;
    let deployer = stage.kubeconfig_of("pipeline", "test:deployers");
    stage.until_allowed(&deployer).await;

    let timed = [&deploy("2")[..], &["--timeout", "0s"]].concat();
    stage.run_as(&deployer, &timed).await.exits(2);
    stage.asked_for("2").await;
    stage.report("2", SERVES).await;
    stage.run_as(&deployer, &deploy("2")).await.exits(0);
    stage.run_as(&deployer, &["wait", NAME]).await.exits(0);
    stage.run_as(&deployer, &["retry", NAME]).await.exits(0);
    stage.run_as(&deployer, &["history", NAME]).await.exits(0);
    let said = stage.run_as(&deployer, &["status", NAME]).await.exits(0);
    assert!(said.out.contains("you may not list events"), "{said:?}");
    let said = stage.run(&["status", NAME]).await.exits(0);
    assert!(!said.out.contains("you may not"), "{said:?}");
    stage.close().await;
}

#[tokio::test]
async fn whoever_may_not_is_told_which_right_and_which_group() {
    let stage = stage!("forbidden");
    stage.apply("1", "test").await;
    let nobody = stage.kubeconfig_of("nobody", "test:nobody");
    for words in [&deploy("2")[..], &["status", NAME]] {
        let said = stage.run_as(&nobody, words).await.exits(1);
        for part in [
            "\"nobody\" may not get postservices",
            "post-service:deployers",
        ] {
            assert!(said.err.contains(part), "{said:?}");
        }
    }
    stage.close().await;
}

#[tokio::test]
async fn what_is_not_there_is_named() {
    let stage = stage!("missing");
    let said = stage.run(&["status", "other"]).await.exits(1);
    assert!(said.err.contains("nor any other"), "{said:?}");
    stage.apply("1", "test").await;
    let said = stage.run(&["wait", "other", "-o", "json"]).await.exits(1);
    let verdict = said.json();
    assert_eq!(verdict["reason"], "NotFound", "{verdict}");
    let message = verdict["message"].as_str().unwrap();
    assert!(message.ends_with("there are: api"), "{message}");

    let dead = stage.kubeconfig_by("dead", |_| "https://127.0.0.1:1".to_owned());
    let said = stage.run_as(&dead, &["status", NAME]).await.exits(1);
    assert!(
        said.err.contains("https://127.0.0.1:1 does not answer"),
        "{said:?}"
    );
    // Every path below it is unknown, as that of a kind that is not installed.
    let bare = stage.kubeconfig_by("bare", |server| format!("{server}/nothing"));
    let said = stage.run_as(&bare, &["status", NAME]).await.exits(1);
    assert!(said.err.contains("knows no PostServices"), "{said:?}");
    assert!(said.err.contains("helm install"), "{said:?}");
    let said = stage
        .run(&["status", NAME, "--context", "nowhere"])
        .await
        .exits(1);
    assert!(
        said.err.contains("no context \"nowhere\"; it has: "),
        "{said:?}"
    );
    stage.run(&["deploy", NAME]).await.exits(64);
    stage.close().await;
}

#[tokio::test]
async fn credentials_that_cannot_be_had_are_explained_by_their_plugin() {
    let stage = stage!("plugin");
    let plugin = stage.kubeconfig("plugin", |kubeconfig| {
        for each in &mut kubeconfig.auth_infos {
            each.auth_info = serde_json::from_value(json!({"exec": {
                "apiVersion": "client.authentication.k8s.io/v1", "interactiveMode": "Never",
                "command": "sh", "args": ["-c", "echo the session is over >&2; exit 255"],
            }}))
            .unwrap();
        }
    });
    let said = stage.run_as(&plugin, &["status", NAME]).await.exits(1);
    assert!(said.err.contains("failed: the session is over"), "{said:?}");
    assert!(said.err.contains("Log in again"), "{said:?}");
    stage.close().await;
}

#[tokio::test]
async fn a_retry_is_not_answered_by_the_failure_that_it_is_about() {
    let stage = stage!("retry");
    stage.deployed("2").await;
    stage.report("1", ROLLED_BACK).await;
    let mut running = stage.start(&["retry", NAME, "--wait"]);
    stage
        .until("a token", |service| {
            let annotations = service.metadata.annotations.as_ref();
            annotations.is_some_and(|all| all.contains_key(RETRY_ANNOTATION))
        })
        .await;
    running.says("waiting for the operator to take it up").await;
    stage.report("2", BAKES).await;
    running.says("Baking").await;
    stage.report("2", SERVES).await;
    running.end().await.exits(0);
    stage.close().await;
}

#[tokio::test]
async fn status_and_history_show_what_the_operator_wrote() {
    let stage = stage!("screens");
    stage.apply("2", "test").await;
    stage.report("1", ROLLED_BACK).await;
    let digest = format!("sha256:{}", "b".repeat(64));
    stage
        .write_status(json!({
            "history": [{"id": "one", "tag": "2", "digest": digest, "result": "RolledBack"}],
            "quarantine": [{"id": "one", "digest": digest, "reason": "exit code 3"}],
        }))
        .await;
    let said = stage.run(&["history", NAME]).await.exits(0);
    for part in ["rolled back", "bbbbbbbbbbbb", "exit code 3"] {
        assert!(said.out.contains(part), "{said:?}");
    }
    let history = stage
        .run(&["history", NAME, "-o", "json"])
        .await
        .exits(0)
        .json();
    assert_eq!(history["quarantine"][0]["reason"], "exit code 3");
    let status = stage
        .run(&["status", NAME, "-o", "json"])
        .await
        .exits(0)
        .json();
    assert_eq!(status["reason"], "RolledBack", "{status}");
    assert_eq!(status["ready"], false);
    assert_eq!(status["image"]["current"]["tag"], "1");
    let said = stage.run(&["status", NAME]).await.exits(0);
    for part in [
        "NOT READY, RolledBack",
        "asked for: tag 2",
        "2 of 3 pods serve",
        "What to do",
    ] {
        assert!(said.out.contains(part), "{said:?}");
    }
    stage.close().await;
}
