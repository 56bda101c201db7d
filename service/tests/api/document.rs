//! The OpenAPI document: complete, and the same as the file that is committed.

use post_service::http;
use reqwest::Method;
use serde_json::{Map, Value};
use std::collections::HashSet;

const FILE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/openapi.json");

fn document() -> Value {
    serde_json::to_value(http::openapi()).expect("JSON")
}

fn object(value: &Value) -> &Map<String, Value> {
    value.as_object().expect("an object")
}

/// Every operation with its name, e.g. `get /api/v1/posts`.
fn operations(document: &Value) -> Vec<(String, &Value)> {
    let paths = object(&document["paths"]).iter();
    let operations = paths.flat_map(|(path, item)| {
        let methods = ["get", "put", "post", "delete", "patch"];
        let found = methods
            .into_iter()
            .filter(|method| item[method].is_object());
        found.map(move |method| (format!("{method} {path}"), &item[method]))
    });
    operations.collect()
}

fn text<'a>(value: &'a Value, what: &str) -> &'a str {
    let text = value.as_str().unwrap_or_default();
    assert!(!text.is_empty(), "{what} says nothing");
    text
}

#[test]
fn the_committed_document_is_what_the_program_prints() {
    let committed = std::fs::read_to_string(FILE).unwrap_or_default();
    let printed = http::openapi().to_pretty_json().expect("JSON");
    assert!(
        committed.trim_end() == printed,
        "service/openapi.json is out of date: \
         cargo run -p post-service -- openapi > service/openapi.json"
    );
}

#[test]
fn every_operation_has_a_summary_a_known_tag_and_an_id_of_its_own() {
    let document = document();
    let known = document["tags"].as_array().expect("tags").iter();
    let known: HashSet<_> = known.map(|tag| tag["name"].clone()).collect();
    let mut ids = HashSet::new();
    for (name, operation) in operations(&document) {
        text(&operation["summary"], &name);
        let id = text(&operation["operationId"], &name);
        let plain = |c: char| c.is_ascii_lowercase() || c == '_';
        assert!(id.chars().all(plain) && ids.insert(id), "{name}: {id}");
        let tags = operation["tags"].as_array().expect("tags");
        assert!(
            !tags.is_empty() && tags.iter().all(|tag| known.contains(tag)),
            "{name}: {tags:?}"
        );
    }
    assert!(ids.len() >= 10);
}

#[test]
fn every_status_is_described_and_has_a_schema_unless_it_has_no_body() {
    for (name, operation) in operations(&document()) {
        for (status, response) in object(&operation["responses"]) {
            let name = format!("{name}: {status}");
            text(&response["description"], &name);
            assert!(response["headers"]["X-Request-Id"].is_object(), "{name}");
            let content = response["content"].as_object().cloned().unwrap_or_default();
            let bodiless = ["204", "304"].contains(&status.as_str());
            assert_eq!(content.is_empty(), bodiless, "{name}");
            for (kind, content) in content {
                assert!(content["schema"].is_object(), "{name}: {kind}");
                let problem = kind == "application/problem+json";
                assert!(
                    !problem
                        || content["example"]["status"] == status.parse::<u16>().expect("a status")
                );
            }
        }
    }
}

#[test]
fn every_operation_documents_what_the_layers_around_it_answer() {
    for (name, operation) in operations(&document()) {
        let responses = object(&operation["responses"]);
        let has = |status: &str| responses.contains_key(status);
        let probe = ["health", "livez", "readyz"]
            .iter()
            .any(|probe| name.ends_with(probe));
        assert!(has("500"), "{name}");
        assert!(probe || has("429") && has("503"), "{name}");
        let body = !operation["requestBody"].is_null();
        assert!(
            !body || ["400", "408", "413", "415"].into_iter().all(has),
            "{name}"
        );
        let secured = !operation["security"].is_null();
        assert_eq!(secured, has("401"), "{name}");
        for status in responses
            .keys()
            .filter(|status| *status >= &"400".to_owned())
        {
            let content = &responses[status]["content"];
            if content["application/json"].is_object() {
                assert!(
                    content["application/problem+json"].is_object(),
                    "{name}: {status}"
                );
            }
        }
        for status in ["429", "503"].into_iter().filter(|status| has(status)) {
            let headers = &responses[status]["headers"];
            assert!(headers["Retry-After"].is_object(), "{name}: {status}");
        }
    }
}

#[test]
fn every_parameter_is_described() {
    for (name, operation) in operations(&document()) {
        for parameter in operation["parameters"].as_array().into_iter().flatten() {
            let name = format!("{name}: {}", parameter["name"]);
            text(&parameter["description"], &name);
            assert!(parameter["schema"].is_object(), "{name}");
        }
    }
}

#[test]
fn every_property_shows_what_it_may_be() {
    let document = document();
    let shows = |property: &Value| {
        [
            "example", "examples", "enum", "$ref", "items", "oneOf", "anyOf", "allOf",
        ]
        .iter()
        .any(|key| property.get(key).is_some())
            || property["type"].to_string().contains("\"object\"")
    };
    let mut seen = 0;
    for (name, schema) in object(&document["components"]["schemas"]) {
        for (property, value) in schema["properties"].as_object().into_iter().flatten() {
            assert!(shows(value), "{name}.{property}: {value}");
            seen += 1;
        }
    }
    assert!(seen > 30);
}

#[test]
fn every_reference_leads_somewhere() {
    fn references<'a>(value: &'a Value, found: &mut Vec<&'a str>) {
        match value {
            Value::Object(object) => {
                found.extend(object.get("$ref").and_then(Value::as_str));
                object.values().for_each(|value| references(value, found));
            }
            Value::Array(values) => values.iter().for_each(|value| references(value, found)),
            _ => {}
        }
    }
    let document = document();
    let mut found = Vec::new();
    references(&document, &mut found);
    assert!(found.len() > 20);
    for reference in found {
        let pointer = reference.strip_prefix('#').expect("a local reference");
        assert!(document.pointer(pointer).is_some(), "{reference}");
    }
}

#[tokio::test]
async fn a_method_that_a_path_does_not_take_is_told_which_ones_it_takes() {
    use crate::kit::{Answer, Service, database::Database};
    let service = Service::on(Database::sqlite()).await;
    for (method, path, allowed) in [
        (
            Method::DELETE,
            "/api/v1/categories",
            ["GET", "HEAD", "POST"].as_slice(),
        ),
        (Method::POST, "/livez", &["GET", "HEAD"]),
    ] {
        let answer = Answer::of(service.request(method, path)).await;
        assert_eq!(answer.status.as_u16(), 405);
        let allow: HashSet<_> = answer.header("allow").split(',').collect();
        assert_eq!(allow, allowed.iter().copied().collect(), "{path}");
    }
}
