//! The custom resource on a real API server: defaults and refusals.

mod refusals;

use crate::world::{Environment, World, merge};
use kube::CustomResourceExt as _;
use kube::api::{Patch, PatchParams};
use post_operator::api::v1alpha1::{PostService, PostServiceSpec, rules};
use post_operator::controller::validate;
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

/// With tag `1`, unless the patch has `null` there.
fn tagged(patch: Value) -> Value {
    let mut body = object(json!({"image": {"tag": "1"}}));
    merge(&mut body["spec"], patch);
    let image = body["spec"]["image"].as_object_mut().unwrap();
    image.retain(|_, value| !value.is_null());
    body
}

#[tokio::test]
async fn the_schema_and_the_operator_refuse_the_same_and_say_the_same() {
    let Some(environment) = Environment::find() else {
        return;
    };
    let world = World::open(environment, "refusals").await;
    for (patch, field, message) in refusals::all() {
        let mut body = tagged(patch.clone());
        let by_schema = refused(&world, &body).await;
        let place = format!("spec.{field}: Invalid value");
        assert!(by_schema.contains(&place), "{patch}: {by_schema}");
        assert!(by_schema.contains(&message), "{patch}: {by_schema}");
        body["metadata"] = json!({"name": "refused", "namespace": "n", "uid": "u"});
        let service: PostService = serde_json::from_value(body).unwrap();
        let by_operator = validate::spec(&service).unwrap_err();
        assert_eq!(by_operator.field, field, "{patch}: {by_operator}");
        let by_operator = by_operator.to_string();
        assert!(by_operator.contains(&message), "{patch}: {by_operator}");
    }
    world.close().await;
}

/// What the API server says; an entry of a map is a field like any other.
async fn refused(world: &World, body: &Value) -> String {
    let parameters = PatchParams::apply("test").dry_run();
    let api = world.api::<PostService>();
    let answer = api.patch("refused", &parameters, &Patch::Apply(body)).await;
    let error = answer.expect_err(&body.to_string());
    error.to_string().replace('[', ".").replace(']', "")
}

#[tokio::test]
async fn what_only_the_schema_knows_is_refused_by_it() {
    let Some(environment) = Environment::find() else {
        return;
    };
    let world = World::open(environment, "patterns").await;
    let long = "x".repeat(1025);
    for (patch, message) in [
        (
            json!({"image": {"repository": "No/Capitals"}}),
            "spec.image.repository",
        ),
        (json!({"image": {"tag": "a b"}}), "spec.image.tag"),
        (
            json!({"api": {"corsAllowedOrigins": ["*"]}}),
            "spec.api.corsAllowedOrigins.0",
        ),
        (json!({"comments": {"url": "ftp://a"}}), "spec.comments.url"),
        (
            json!({"monitoring": {"interval": "x"}}),
            rules::DURATION_FORM,
        ),
        (
            json!({"pod": {"env": [{"name": "1A"}]}}),
            "spec.pod.env.0.name",
        ),
        (
            json!({"pod": {"tolerations": [{"value": long}]}}),
            "spec.pod.tolerations.0.value",
        ),
        (
            json!({"service": {"loadBalancer": {"attributes": {"a": long}}}}),
            "spec.service.loadBalancer.attributes.a",
        ),
    ] {
        let body = tagged(patch.clone());
        let said = refused(&world, &body).await;
        assert!(said.contains(message), "{patch}: {said}");
    }
    world.close().await;
}

/// Paths of a schema whose size has no bound.
fn unbounded(path: &str, schema: &Value, found: &mut Vec<String>) {
    let is = |type_: &str| schema["type"] == type_;
    let open_text = is("string") && schema["maxLength"].is_null() && schema["enum"].is_null();
    let open_list = is("array") && schema["maxItems"].is_null();
    let map = &schema["additionalProperties"];
    let open_map = !map.is_null() && schema["maxProperties"].is_null();
    let shapeless = is("object") && map.is_null() && schema["properties"].is_null();
    if open_text || open_list || open_map || shapeless {
        found.push(path.to_owned());
    }
    for (name, property) in schema["properties"].as_object().into_iter().flatten() {
        unbounded(&format!("{path}.{name}"), property, found);
    }
    for inner in [map, &schema["items"]] {
        if inner.is_object() {
            unbounded(&format!("{path}[]"), inner, found);
        }
    }
}

#[test]
fn every_list_map_and_text_of_the_spec_has_a_bound() {
    let crd = serde_json::to_value(PostService::crd()).unwrap();
    let schema = &crd["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"]["spec"];
    let mut found = Vec::new();
    unbounded("spec", schema, &mut found);
    assert_eq!(found, Vec::<String>::new());
}

#[tokio::test]
async fn what_the_cloud_cannot_change_is_immutable() {
    let Some(environment) = Environment::find() else {
        return;
    };
    let world = World::open(environment, "immutable").await;
    let api = world.api::<PostService>();
    let parameters = PatchParams::apply("test");
    let body = object(json!({"image": {"tag": "1"}, "database": {
        "connection": {"host": "db.example", "name": "board"},
        "bootstrap": {"adminSecretRef": {"name": "admin"}},
    }}));
    api.patch("refused", &parameters, &Patch::Apply(&body))
        .await
        .unwrap();
    let exposed = json!({"scheme": "internet-facing", "allowPlaintext": true});
    for (pointer, value, message) in [
        (
            "/database/connection/name",
            json!("other"),
            "database.connection.name is immutable",
        ),
        (
            "/service/loadBalancer",
            exposed,
            "service.loadBalancer.scheme is immutable",
        ),
    ] {
        let mut changed = body.clone();
        changed["spec"]["service"] = json!({"loadBalancer": {}});
        *changed["spec"].pointer_mut(pointer).unwrap() = value;
        let changed = Patch::Apply(&changed);
        let answer = api.patch("refused", &parameters, &changed);
        let error = answer.await.expect_err(message).to_string();
        assert!(error.contains(message), "{error}");
    }
    world.close().await;
}
