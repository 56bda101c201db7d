//! The custom resource on a real API server: defaults and refusals.

use crate::world::{Environment, World, merge};
use kube::api::{Patch, PatchParams};
use post_operator::api::v1alpha1::{PostService, PostServiceSpec};
use serde_json::{Value, json};

fn object(patch: Value) -> Value {
    let mut spec = json!({"image": {
        "repository": "123456789012.dkr.ecr.ap-northeast-2.amazonaws.com/post-service"}});
    merge(&mut spec, patch);
    json!({
        "apiVersion": "platform.hhottdogg.shop/v1alpha1", "kind": "PostService",
        "metadata": {"name": "refused"}, "spec": spec,
    })
}

#[tokio::test]
async fn the_examples_are_accepted_and_defaulted_as_the_types_say() {
    let Some(environment) = Environment::find() else {
        return;
    };
    let world = World::open(environment, "examples").await;
    for entry in
        std::fs::read_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/../crds/examples")).unwrap()
    {
        let text = std::fs::read_to_string(entry.unwrap().path()).unwrap();
        let mut example: PostService = serde_yaml::from_str(&text).unwrap();
        example.metadata.namespace = None;
        let raw: Value = serde_yaml::from_str(&text).unwrap();
        let mut body = raw.clone();
        body["metadata"]
            .as_object_mut()
            .unwrap()
            .remove("namespace");
        let name = body["metadata"]["name"].as_str().unwrap().to_owned();
        let stored = world
            .api::<PostService>()
            .patch(
                &name,
                &PatchParams::apply("test").force(),
                &Patch::Apply(body),
            )
            .await
            .unwrap();
        let typed: PostServiceSpec = serde_json::from_value(raw["spec"].clone()).unwrap();
        assert_eq!(stored.spec, typed, "defaults of schema and types differ");
    }
    world.close().await;
}

#[tokio::test]
async fn the_schema_refuses_what_cannot_work_and_says_why() {
    let Some(environment) = Environment::find() else {
        return;
    };
    let world = World::open(environment, "refusals").await;
    let refusals = [
        (json!({}), "exactly one of tag, digest and policy"),
        (json!({"image": {"tag": "latest"}}), "tag latest is refused"),
        (
            json!({"image": {"tag": "1", "digest": format!("sha256:{}", "0".repeat(64))}}),
            "exactly one of",
        ),
        (
            json!({"image": {"policy": {}}}),
            "exactly one of newestPushed and semver",
        ),
        (
            json!({"image": {"tag": "1"}, "replicas": 2}),
            "replicas is only allowed with",
        ),
        (
            json!({"image": {"tag": "1"}, "resources": {"requests": {"memory": "64Mi"}}}),
            "resources.requests.cpu is required",
        ),
        (
            json!({"image": {"tag": "1"}, "rollout": {"drainDelay": "2m"}}),
            "rollout.drainDelay must be at least",
        ),
        (
            json!({"image": {"tag": "1"}, "autoscaling": {"minReplicas": 5}}),
            "minReplicas must not exceed maxReplicas",
        ),
        (
            json!({"image": {"tag": "1"}, "api": {"defaultPageSize": 60}}),
            "defaultPageSize must not exceed",
        ),
        (
            json!({"image": {"tag": "1"}, "service": {"loadBalancer": {"scheme": "internet-facing"}}}),
            "internet-facing needs tls.certificateArn",
        ),
        (
            json!({"image": {"tag": "1"}, "service": {"loadBalancer": {"healthCheck": {"intervalSeconds": 5}}}}),
            "intervalSeconds must be at least timeoutSeconds",
        ),
        (
            json!({"image": {"tag": "1"}, "database": {"bootstrap": {"adminSecretRef": {"name": "a"}}}}),
            "connection and bootstrap belong together",
        ),
        (
            json!({"image": {"tag": "1"}, "adopt": {"deployment": "old"}}),
            "adopt.service is required with adopt.deployment",
        ),
        (
            json!({"image": {"tag": "1"}, "adopt": {"service": "old", "horizontalPodAutoscaler": "old"}}),
            "adopt.deployment is required with",
        ),
    ];
    for (patch, message) in refusals {
        let body = object(patch.clone());
        let error = world
            .api::<PostService>()
            .patch(
                "refused",
                &PatchParams::apply("test").dry_run(),
                &Patch::Apply(body),
            )
            .await
            .expect_err(message);
        assert!(error.to_string().contains(message), "{patch}: {error}");
    }
    world.close().await;
}

#[tokio::test]
async fn what_the_cloud_cannot_change_is_immutable() {
    let Some(environment) = Environment::find() else {
        return;
    };
    let world = World::open(environment, "immutable").await;
    let api = world.api::<PostService>();
    let parameters = PatchParams::apply("test");
    let mut body = object(json!({"image": {"tag": "1"}}));
    api.patch("refused", &parameters, &Patch::Apply(&body))
        .await
        .unwrap();
    body["spec"]["service"] =
        json!({"loadBalancer": {"scheme": "internet-facing", "allowPlaintext": true}});
    let error = api
        .patch("refused", &parameters, &Patch::Apply(&body))
        .await
        .unwrap_err();
    assert!(error.to_string().contains("scheme is immutable"), "{error}");
    world.close().await;
}
