//! Whether a child is as the operator applied it last, by the API server's own account of who set
//! which field (Kubernetes documentation, "Server-Side Apply", "Field management").
//!
//! A field that somebody else changes or removes is no longer listed as the operator's. So values
//! need not be compared, which would stumble over defaults, over other forms of the same quantity,
//! and over what admission changes.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use serde::Deserialize;
use serde_json::value::RawValue;
use serde_json::{Map, Value};
use sha2::{Digest as _, Sha256};

use crate::build::MANAGER;

/// Hash of what was applied last: tells when something else is wanted now.
const APPLIED: &str = "platform.hhottdogg.shop/applied";

/// Adds the mark by which [`Account::is_as_applied`] knows what was applied.
pub fn marked(mut desired: Value) -> Value {
    let hash = hex::encode(&Sha256::digest(desired.to_string())[..8]);
    let metadata = &mut desired["metadata"];
    if metadata["annotations"].is_null() {
        metadata["annotations"] = Value::Object(Map::new());
    }
    metadata["annotations"][APPLIED] = Value::String(hash);
    desired
}

/// The API server's account of the operator's part in an object, in a form that needs little memory.
#[derive(Clone, Debug)]
pub struct Account {
    /// The mark of what was applied last.
    applied: Option<Box<str>>,
    fields: Fields,
}

/// Which fields the operator has set, as far as it matters: of what was applied last it has set all
/// or has not, and that is found out once.
#[derive(Clone, Debug)]
enum Fields {
    /// A `FieldsV1`, not yet looked at.
    Unread(Box<str>),
    /// Every field of what bears the mark.
    All,
    /// Not every field of it.
    NotAll,
}

impl Account {
    /// Reads the account in an object's `metadata` and `managedFields`.
    pub fn read(
        metadata: &ObjectMeta,
        managed_fields: Option<&RawValue>,
    ) -> serde_json::Result<Self> {
        let entries: Vec<Entry<'_>> = match managed_fields {
            Some(list) => serde_json::from_str(list.get())?,
            None => vec![],
        };
        let ours = entries.into_iter().find(Entry::is_ours);
        let applied = metadata
            .annotations
            .as_ref()
            .and_then(|all| all.get(APPLIED));
        let fields = ours.and_then(|entry| entry.fields_v1);
        Ok(Self {
            applied: applied.map(|mark| mark.as_str().into()),
            fields: match fields {
                // Without a mark the fields say nothing.
                Some(fields) if applied.is_some() => Fields::Unread(fields.get().into()),
                _ => Fields::NotAll,
            },
        })
    }

    /// Whether applying `desired`, which is [`marked`], would change nothing of the object.
    pub fn is_as_applied(&mut self, desired: &Value) -> bool {
        let wanted = desired["metadata"]["annotations"][APPLIED].as_str();
        if wanted.is_none() || self.applied.as_deref() != wanted {
            return false;
        }
        if let Fields::Unread(fields) = &self.fields {
            let has_all = serde_json::from_str(fields)
                .is_ok_and(|fields: Value| owns_object(&fields, desired));
            // The mark stands for all of `desired`: whatever bears it gets the same answer.
            self.fields = if has_all { Fields::All } else { Fields::NotAll };
        }
        matches!(self.fields, Fields::All)
    }
}

/// An element of `managedFields`.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Entry<'a> {
    #[serde(default)]
    manager: String,
    #[serde(default)]
    operation: String,
    #[serde(default)]
    subresource: String,
    #[serde(borrow)]
    fields_v1: Option<&'a RawValue>,
}

impl Entry<'_> {
    fn is_ours(&self) -> bool {
        self.manager == MANAGER && self.operation == "Apply" && self.subresource.is_empty()
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

    /// The account of an object that was applied as `desired`, of which `fields` are still ours.
    fn live(desired: &Value, fields: &Value) -> Account {
        let ours = |operation: &str, subresource: &str, fields: &Value| {
            json!({"manager": MANAGER, "operation": operation, "subresource": subresource,
                "time": "2026-01-01T00:00:00Z", "fieldsType": "FieldsV1", "fieldsV1": fields})
        };
        let everything = json!({"f:metadata": {}, "f:spec": {}});
        account(
            desired,
            &json!([
                ours("Update", "", &everything),
                ours("Apply", "status", &everything),
                ours("Apply", "", fields),
            ]),
        )
    }

    fn account(desired: &Value, managed_fields: &Value) -> Account {
        let metadata = serde_json::from_value(desired["metadata"].clone()).unwrap();
        let list = serde_json::value::to_raw_value(managed_fields).unwrap();
        Account::read(&metadata, Some(&*list)).unwrap()
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
        let mut live = live(&desired, &fields_of_service());
        for _ in 0..2 {
            assert!(live.is_as_applied(&desired));
        }
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
            let mut live = live(&desired, &fields);
            for _ in 0..2 {
                assert!(!live.is_as_applied(&desired), "{path}");
            }
        }
    }

    #[test]
    fn another_wish_is_a_difference_also_when_it_only_takes_a_field_back() {
        let before = service();
        let mut live = live(&before, &fields_of_service());
        let mut after = before.clone();
        after["spec"].as_object_mut().unwrap().remove("type");
        assert!(!live.is_as_applied(&marked(after)));
        assert!(live.is_as_applied(&before));
    }

    #[test]
    fn an_object_that_nobody_applied_is_a_difference() {
        let untouched = json!({"metadata": {"name": "a"}});
        assert!(!account(&untouched, &json!([])).is_as_applied(&service()));
        assert!(!account(&service(), &json!([])).is_as_applied(&service()));
    }
}
