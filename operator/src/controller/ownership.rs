//! Whether a child is as the operator applied it last, by the API server's own account of who set
//! which field (Kubernetes documentation, "Server-Side Apply", "Field management").
//!
//! A field that somebody else changes or removes is no longer listed as the operator's. So values
//! need not be compared, which would stumble over defaults, over other forms of the same quantity,
//! and over what admission changes.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{FieldsV1, ManagedFieldsEntry, ObjectMeta};
use serde_json::{Map, Value};
use sha2::{Digest as _, Sha256};

use crate::build::MANAGER;

/// Hash of what was applied last: tells when something else is wanted now.
const APPLIED: &str = "platform.hhottdogg.shop/applied";

/// Adds the mark by which [`is_as_applied`] knows what was applied.
pub fn marked(mut desired: Value) -> Value {
    let hash = hex::encode(&Sha256::digest(desired.to_string())[..8]);
    let metadata = &mut desired["metadata"];
    if metadata["annotations"].is_null() {
        metadata["annotations"] = Value::Object(Map::new());
    }
    metadata["annotations"][APPLIED] = Value::String(hash);
    desired
}

/// Whether applying `desired`, which is [`marked`], would change nothing of an object with metadata
/// `live`.
pub fn is_as_applied(live: &ObjectMeta, desired: &Value) -> bool {
    let applied = live.annotations.as_ref().and_then(|all| all.get(APPLIED));
    let wanted = desired["metadata"]["annotations"][APPLIED].as_str();
    applied.map(String::as_str) == wanted
        && owned_fields(live).is_some_and(|fields| owns_object(&fields, desired))
}

/// Keeps of the API server's account what [`is_as_applied`] needs, in a form that needs little
/// memory.
pub fn prune(entries: &mut Vec<ManagedFieldsEntry>) {
    entries.retain(is_ours);
    // What decoding took in advance is several times what stays.
    entries.shrink_to_fit();
    for entry in entries {
        entry.time = None;
        if let Some(FieldsV1(fields)) = &mut entry.fields_v1
            && !fields.is_string()
        {
            let mut text = fields.to_string();
            text.shrink_to_fit();
            *fields = Value::String(text);
        }
    }
}

fn is_ours(entry: &ManagedFieldsEntry) -> bool {
    entry.manager.as_deref() == Some(MANAGER)
        && entry.operation.as_deref() == Some("Apply")
        && entry.subresource.as_deref().unwrap_or_default().is_empty()
}

fn owned_fields(live: &ObjectMeta) -> Option<Value> {
    let entry = live.managed_fields.iter().flatten().find(|e| is_ours(e))?;
    match &entry.fields_v1.as_ref()?.0 {
        Value::String(text) => serde_json::from_str(text).ok(),
        fields => Some(fields.clone()),
    }
}

/// What identifies an object is nobody's field.
fn owns_object(fields: &Value, desired: &Value) -> bool {
    let mut desired = desired.clone();
    if let Value::Object(object) = &mut desired {
        object.remove("apiVersion");
        object.remove("kind");
        if let Some(Value::Object(metadata)) = object.get_mut("metadata") {
            metadata.remove("name");
            metadata.remove("namespace");
        }
    }
    owns(fields, &desired)
}

/// Whether every field of `desired` is among `fields`, a `FieldsV1`: `f:<name>` is a field,
/// `k:<keys>` a list's element by its keys, `v:<value>` an element of a set; `{}` has everything
/// below it.
fn owns(fields: &Value, desired: &Value) -> bool {
    let Value::Object(fields) = fields else {
        return false;
    };
    if fields.is_empty() {
        return true;
    }
    match desired {
        Value::Object(desired) => desired.iter().all(|(name, wanted)| {
            is_empty(wanted)
                || fields
                    .get(&format!("f:{name}"))
                    .is_some_and(|below| owns(below, wanted))
        }),
        Value::Array(desired) => desired.iter().all(|wanted| {
            fields
                .iter()
                .any(|(key, below)| is_key_of(key, wanted) && owns(below, wanted))
        }),
        _ => false,
    }
}

fn is_key_of(key: &str, element: &Value) -> bool {
    let parsed = |text: &str| serde_json::from_str::<Value>(text).ok();
    if let Some(Value::Object(keys)) = key.strip_prefix("k:").and_then(parsed) {
        // A key that the element leaves out has its default value.
        return keys
            .iter()
            .all(|(name, value)| element.get(name).is_none_or(|own| own == value));
    }
    key.strip_prefix("v:").and_then(parsed).as_ref() == Some(element)
}

/// Values that the API server leaves out when it stores an object.
fn is_empty(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::String(text) => text.is_empty(),
        Value::Array(list) => list.is_empty(),
        Value::Object(map) => map.is_empty(),
        Value::Bool(_) | Value::Number(_) => false,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    /// Metadata of an object that was applied as `desired`, of which `fields` are still ours.
    fn live(desired: &Value, fields: Value) -> ObjectMeta {
        let ours = |operation: &str, subresource: Option<&str>, fields: Value| ManagedFieldsEntry {
            manager: Some(MANAGER.into()),
            operation: Some(operation.into()),
            subresource: subresource.map(str::to_owned),
            fields_v1: Some(FieldsV1(fields)),
            ..ManagedFieldsEntry::default()
        };
        let everything = json!({"f:metadata": {}, "f:spec": {}});
        ObjectMeta {
            annotations: serde_json::from_value(desired["metadata"]["annotations"].clone())
                .unwrap(),
            managed_fields: Some(vec![
                ours("Update", None, everything.clone()),
                ours("Apply", Some("status"), everything),
                ours("Apply", None, fields),
            ]),
            ..ObjectMeta::default()
        }
    }

    fn service() -> Value {
        marked(json!({
            "apiVersion": "v1", "kind": "Service",
            "metadata": {"name": "a", "namespace": "b", "ownerReferences": [{"uid": "u", "name": "o"}]},
            "spec": {"type": "LoadBalancer", "selector": {"a": "b"}, "externalIPs": [],
                "ports": [{"name": "http", "port": 80}]},
        }))
    }

    fn fields_of_service() -> Value {
        json!({
            "f:metadata": {
                "f:annotations": {"f:platform.hhottdogg.shop/applied": {}},
                "f:ownerReferences": {"k:{\"uid\":\"u\"}": {}},
            },
            "f:spec": {
                "f:type": {}, "f:selector": {},
                "f:ports": {"k:{\"port\":80,\"protocol\":\"TCP\"}": {".": {}, "f:name": {}, "f:port": {}}},
            },
        })
    }

    #[test]
    fn an_object_whose_fields_are_all_ours_is_as_applied() {
        let desired = service();
        assert!(is_as_applied(
            &live(&desired, fields_of_service()),
            &desired
        ));
    }

    #[test]
    fn a_field_that_is_no_longer_ours_is_a_difference() {
        let desired = service();
        for path in [
            "/f:spec/f:type",
            "/f:spec/f:ports",
            "/f:spec/f:ports/k:{\"port\":80,\"protocol\":\"TCP\"}/f:name",
            "/f:spec/f:ports/k:{\"port\":80,\"protocol\":\"TCP\"}",
            "/f:metadata/f:ownerReferences/k:{\"uid\":\"u\"}",
            "/f:metadata",
        ] {
            let mut fields = fields_of_service();
            let (parent, name) = path.rsplit_once('/').unwrap();
            let parent = fields.pointer_mut(parent).unwrap().as_object_mut().unwrap();
            parent.remove(name).unwrap();
            parent.insert(".".into(), json!({}));
            assert!(!is_as_applied(&live(&desired, fields), &desired), "{path}");
        }
    }

    #[test]
    fn another_wish_is_a_difference_also_when_it_only_takes_a_field_back() {
        let before = service();
        let live = live(&before, fields_of_service());
        let mut after = before.clone();
        after["spec"].as_object_mut().unwrap().remove("type");
        assert!(!is_as_applied(&live, &marked(after)));
    }

    #[test]
    fn an_object_that_nobody_applied_is_a_difference() {
        assert!(!is_as_applied(&ObjectMeta::default(), &service()));
        let mut stripped = live(&service(), fields_of_service());
        stripped.managed_fields = None;
        assert!(!is_as_applied(&stripped, &service()));
    }

    #[test]
    fn pruning_keeps_the_verdict() {
        let desired = service();
        let mut live = live(&desired, fields_of_service());
        for _ in 0..2 {
            prune(live.managed_fields.as_mut().unwrap());
            assert_eq!(live.managed_fields.as_ref().unwrap().len(), 1);
            assert!(is_as_applied(&live, &desired));
        }
    }
}
