//! The chart as it is installed: what deployers may do, and that the operator answers.
#![expect(clippy::unwrap_used, reason = "how a test fails")]

use dev::install::{OPERATOR_NAMESPACE, RELEASE};
use dev::kit::Kit;
use kube::api::{Api, DeleteParams};
use serde_json::{Value, json};

const DEPLOYER: [&str; 4] = ["--as", "pipeline", "--as-group", "post-service:deployers"];

/// A `PostService` of which nothing is made, to be attacked.
struct Target {
    kit: Kit,
    namespace: String,
}

impl Target {
    async fn open(name: &str) -> Option<Self> {
        let kit = Kit::connect().await.unwrap()?;
        let namespace = format!("e2e-{name}-{:x}", std::process::id());
        let objects = [
            json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": namespace}}),
            Self::object(&namespace, "target"),
        ];
        for object in objects {
            kit.apply(&object.to_string()).await.unwrap();
        }
        Some(Self { kit, namespace })
    }

    fn object(namespace: &str, name: &str) -> Value {
        json!({
            "apiVersion": "platform.hhottdogg.shop/v1alpha1", "kind": "PostService",
            "metadata": {"name": name, "namespace": namespace,
                "labels": {"team": "community"}, "annotations": {"example.com/keep": "this"}},
            "spec": {"suspend": true, "image": {"repository":
                "123456789012.dkr.ecr.ap-northeast-2.amazonaws.com/post-service", "tag": "1"}},
        })
    }

    /// What kubectl says when a deployer asks for it.
    async fn as_deployer(&self, args: &[&str]) -> Result<String, String> {
        let mut all = vec!["--namespace", &self.namespace];
        all.extend(DEPLOYER);
        all.extend(args);
        self.kit
            .kubectl(&all)
            .await
            .map_err(|error| format!("{error:#}"))
    }

    async fn patch(&self, patch: &Value) -> Result<String, String> {
        let patch = patch.to_string();
        self.as_deployer(&[
            "patch",
            "postservice",
            "target",
            "--type=merge",
            "-p",
            &patch,
        ])
        .await
    }

    /// Server-side apply of `object` by a deployer.
    async fn apply(&self, object: &Value, manager: &str) -> Result<String, String> {
        let file = std::env::temp_dir().join(format!("{}-{manager}.json", self.namespace));
        std::fs::write(&file, object.to_string()).unwrap();
        let path = file.display().to_string();
        let manager = format!("--field-manager={manager}");
        let answer = self
            .as_deployer(&[
                "apply",
                "--server-side",
                "--force-conflicts",
                &manager,
                "-f",
                &path,
            ])
            .await;
        std::fs::remove_file(&file).unwrap();
        answer
    }

    /// Runs a command of the operator's program about the target, as a deployer.
    async fn post_operator(&self, args: &[&str]) -> Result<String, String> {
        let view = ["config", "view", "--raw", "--output=json"];
        let mut kubeconfig: Value =
            serde_json::from_str(&self.kit.kubectl(&view).await.unwrap()).unwrap();
        for user in kubeconfig["users"].as_array_mut().unwrap() {
            user["user"]["as"] = json!("pipeline");
            user["user"]["as-groups"] = json!(["post-service:deployers"]);
        }
        let file = std::env::temp_dir().join(format!("{}-deployer.json", self.namespace));
        std::fs::write(&file, kubeconfig.to_string()).unwrap();
        let all = [args, &["--namespace", &self.namespace]].concat();
        let answer = self.kit.post_operator(&file, &all).await;
        std::fs::remove_file(&file).unwrap();
        answer.map_err(|error| format!("{error:#}"))
    }

    /// Everything that somebody decided, without what the API server and the operator keep.
    async fn decided(&self) -> Value {
        let mut object = self
            .kit
            .post_services(&self.namespace)
            .get("target")
            .await
            .unwrap();
        object.metadata.managed_fields = None;
        object.metadata.resource_version = None;
        object.metadata.generation = None;
        object.data["status"] = Value::Null;
        serde_json::to_value(object).unwrap()
    }

    async fn close(self) {
        let namespaces: Api<k8s_openapi::api::core::v1::Namespace> =
            Api::all(self.kit.client.clone());
        namespaces
            .delete(&self.namespace, &DeleteParams::default())
            .await
            .unwrap();
    }
}

#[tokio::test]
async fn deployers_change_the_tag_and_ask_for_another_try() {
    let Some(target) = Target::open("deploy").await else {
        return;
    };
    let retry = "platform.hhottdogg.shop/retry";
    target
        .patch(&json!({"spec": {"image": {"tag": "2"}}}))
        .await
        .unwrap();
    for token in [json!("1"), json!("2"), Value::Null] {
        target
            .patch(&json!({"metadata": {"annotations": {retry: token}}}))
            .await
            .unwrap();
    }
    let applied = json!({
        "apiVersion": "platform.hhottdogg.shop/v1alpha1", "kind": "PostService",
        "metadata": {"name": "target"}, "spec": {"image": {"tag": "3"}},
    });
    target.apply(&applied, "pipeline").await.unwrap();
    assert_eq!(target.decided().await["spec"]["image"]["tag"], "3");
    target.as_deployer(&["get", "postservices"]).await.unwrap();
    target.close().await;
}

#[tokio::test]
async fn deployers_change_nothing_else_whichever_way_they_try() {
    let Some(target) = Target::open("attack").await else {
        return;
    };
    let before = target.decided().await;
    let digest = format!("sha256:{}", "0".repeat(64));
    let owner = json!({"apiVersion": "v1", "kind": "ConfigMap", "name": "x", "uid": "1"});
    let attacks = [
        json!({"spec": {"suspend": false}}),
        json!({"spec": {"image": {"tag": "2"}, "api": {"maxPageSize": 60}}}),
        json!({"spec": {"image": {"repository": "example.com/evil"}}}),
        json!({"spec": {"image": {"tag": null, "digest": digest}}}),
        json!({"spec": {"image": {"scanInterval": "1m"}}}),
        json!({"spec": {"pod": {"env": [{"name": "RUST_LOG", "value": "trace"}]}}}),
        json!({"spec": {"database": {"urlSecretRef": {"name": "other"}}}}),
        json!({"metadata": {"labels": {"team": "other"}}}),
        json!({"metadata": {"labels": null}}),
        json!({"metadata": {"annotations": {"example.com/other": "1"}}}),
        json!({"metadata": {"annotations": {"example.com/keep": null}}}),
        json!({"metadata": {"finalizers": ["example.com/stuck"]}}),
        json!({"metadata": {"ownerReferences": [owner]}}),
        json!({"metadata": {"managedFields": [{}]}}),
    ];
    for attack in attacks {
        let refusal = target.patch(&attack).await.unwrap_err();
        assert!(
            refusal.contains("members of post-service:deployers"),
            "{attack}: {refusal}"
        );
    }
    // Ignored, since the status is a part of its own, which they may not write.
    target
        .patch(&json!({"status": {"phase": "Evil"}}))
        .await
        .unwrap();
    let status = [
        "patch",
        "postservice",
        "target",
        "--subresource=status",
        "--type=merge",
        "-p",
    ];
    let evil = r#"{"status":{"phase":"Evil"}}"#;
    let other = Target::object(&target.namespace, "other");
    let mut stolen = Target::object(&target.namespace, "target");
    stolen["metadata"]["labels"] = json!({"team": "other"});
    let refusals = [
        target.as_deployer(&[&status[..], &[evil]].concat()).await,
        target
            .as_deployer(&["delete", "postservice", "target"])
            .await,
        target
            .as_deployer(&["delete", "postservices", "--all"])
            .await,
        target.as_deployer(&["get", "secrets"]).await,
        target.apply(&other, "pipeline").await,
        target.apply(&stolen, "pipeline").await,
    ];
    for refusal in refusals {
        let refusal = refusal.unwrap_err();
        let said = refusal.contains("forbidden") || refusal.contains("members of");
        assert!(said, "{refusal}");
    }
    assert_eq!(target.decided().await, before);
    target.close().await;
}

#[tokio::test]
async fn deployers_need_no_more_for_the_program_s_commands() {
    let Some(target) = Target::open("program").await else {
        return;
    };
    let owned = target
        .post_operator(&["deploy", "target", "--tag", "2"])
        .await;
    assert!(owned.unwrap_err().contains("--force takes it over"));
    // Suspended, it has failed at once: nothing would come by itself.
    let forced = [
        "deploy",
        "target",
        "--tag",
        "2",
        "--force",
        "--timeout",
        "1m",
    ];
    target.post_operator(&forced).await.unwrap_err();
    assert_eq!(target.decided().await["spec"]["image"]["tag"], "2");
    for command in ["status", "history", "retry"] {
        target.post_operator(&[command, "target"]).await.unwrap();
    }
    target.close().await;
}

#[tokio::test]
async fn helm_test_passes() {
    let Some(kit) = Kit::connect().await.unwrap() else {
        return;
    };
    let answer = kit
        .helm(&["test", RELEASE, "--namespace", OPERATOR_NAMESPACE])
        .await
        .unwrap();
    assert!(answer.contains("Succeeded"), "{answer}");
}
