//! What client-side apply remembers of an object, released when somebody else takes it over. Pure.
//!
//! `kubectl apply` without `--server-side` keeps two memories: the annotation `last-applied-configuration`,
//! by which it finds fields to remove, and an entry of `managedFields` as an *updater*. Left alone, both
//! outlive an adoption: the next apply of an old manifest would compare with a manifest that no longer
//! is what the object shall be. As `k8s.io/client-go/util/csaupgrade` does, the entries become those of
//! an *applier*; of one that never applies again, so that the fields stay as the old manifest had them
//! until the operator's forced apply takes those that it sets.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{FieldsV1, ManagedFieldsEntry};
use serde_json::Value;

/// What `kubectl apply` applied last.
pub const LAST_APPLIED: &str = "kubectl.kubernetes.io/last-applied-configuration";
/// The name that the entries get.
const RELEASED: &str = "post-operator-adopted";
/// Whom client-side apply writes as; the second one stands for what was there before the server kept
/// track (csaupgrade's documentation).
const CLIENT_SIDE: [&str; 2] = ["kubectl-client-side-apply", "before-first-apply"];

/// The entries with those of client-side apply released; `None` if there are none.
pub fn released(entries: &[ManagedFieldsEntry]) -> Option<Vec<ManagedFieldsEntry>> {
    let (client_side, mut others): (Vec<_>, Vec<_>) =
        entries.iter().cloned().partition(is_client_side);
    // Of an earlier, interrupted adoption.
    let (before, rest): (Vec<_>, Vec<_>) = others.into_iter().partition(is_released);
    others = rest;
    let mut all = before.into_iter().chain(client_side.iter().cloned());
    let first = all.next().filter(|_| !client_side.is_empty())?;
    let mut merged = fields(&first);
    for entry in all {
        merge(&mut merged, fields(&entry));
    }
    if let Some(annotations) = merged.pointer_mut("/f:metadata/f:annotations")
        && let Some(annotations) = annotations.as_object_mut()
    {
        annotations.remove(&format!("f:{LAST_APPLIED}"));
    }
    others.push(ManagedFieldsEntry {
        manager: Some(RELEASED.into()),
        operation: Some("Apply".into()),
        fields_v1: Some(FieldsV1(merged)),
        ..first
    });
    Some(others)
}

fn is_client_side(entry: &ManagedFieldsEntry) -> bool {
    let manager = entry.manager.as_deref().unwrap_or_default();
    CLIENT_SIDE.contains(&manager)
        && entry.operation.as_deref() == Some("Update")
        && entry.subresource.as_deref().unwrap_or_default().is_empty()
}

fn is_released(entry: &ManagedFieldsEntry) -> bool {
    entry.manager.as_deref() == Some(RELEASED)
}

fn fields(entry: &ManagedFieldsEntry) -> Value {
    entry.fields_v1.as_ref().map_or_else(
        || Value::Object(serde_json::Map::new()),
        |fields| fields.0.clone(),
    )
}

/// The union of two field sets, each a tree of objects.
fn merge(into: &mut Value, other: Value) {
    if let (Value::Object(into), Value::Object(other)) = (into, other) {
        for (key, value) in other {
            merge(
                into.entry(key)
                    .or_insert_with(|| Value::Object(serde_json::Map::new())),
                value,
            );
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn entry(manager: &str, operation: &str, fields: &Value) -> ManagedFieldsEntry {
        serde_json::from_value(json!({"manager": manager, "operation": operation,
            "apiVersion": "v1", "fieldsType": "FieldsV1", "fieldsV1": fields}))
        .unwrap()
    }

    #[test]
    fn entries_of_client_side_apply_become_one_of_an_applier() {
        let entries = [
            entry(
                "kubectl-client-side-apply",
                "Update",
                &json!({
                "f:metadata": {"f:annotations": {".": {},
                    "f:kubectl.kubernetes.io/last-applied-configuration": {}}},
                "f:spec": {"f:type": {}}}),
            ),
            entry(
                "before-first-apply",
                "Update",
                &json!({"f:spec": {"f:selector": {}}}),
            ),
            entry("helm", "Update", &json!({"f:spec": {"f:ports": {}}})),
        ];
        let released = released(&entries).unwrap();
        let managers: Vec<_> = released
            .iter()
            .map(|e| e.manager.as_deref().unwrap())
            .collect();
        assert_eq!(managers, ["helm", RELEASED]);
        let fields = &released[1].fields_v1.as_ref().unwrap().0;
        assert_eq!(fields["f:spec"], json!({"f:type": {}, "f:selector": {}}));
        assert_eq!(fields["f:metadata"]["f:annotations"], json!({".": {}}));
        assert_eq!(released[1].operation.as_deref(), Some("Apply"));
    }

    #[test]
    fn where_nothing_was_applied_so_nothing_is_changed() {
        let entries = [
            entry("kubectl", "Apply", &json!({"f:spec": {}})),
            entry(RELEASED, "Apply", &json!({"f:spec": {}})),
        ];
        assert_eq!(released(&entries), None);
    }
}
