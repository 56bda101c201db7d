//! A `PostService` as the API server holds it, which need not be one that this operator can read.
//!
//! A stored object may be older or newer than the schema. One that cannot be decoded must stall
//! itself only: without this type a single one would break the watch of all.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, ObjectMeta};
use serde::Deserialize;
use serde_json::Value;

use super::packed::{self, Packed};
use crate::api::v1alpha1::{PostService, PostServiceStatus};

/// A `PostService`, not yet decoded.
pub type Stored = Packed<PostService>;

/// What was read of a `PostService`.
#[derive(Clone, Debug)]
pub enum Read {
    /// It could be decoded.
    Decoded(Box<PostService>),
    /// It could not.
    Undecodable(Box<Undecodable>),
}

/// What is known of an object that could not be decoded.
#[derive(Clone, Debug)]
pub struct Undecodable {
    /// Its metadata.
    pub metadata: ObjectMeta,
    /// Its status, where at least that could be decoded.
    pub status: Option<PostServiceStatus>,
    /// Path of the field at fault, such as `spec.image.tag`.
    pub path: String,
    /// What is wrong with it.
    pub fault: String,
}

impl std::fmt::Display for Undecodable {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { path, fault, .. } = self;
        write!(
            f,
            "{path}: {fault}. Correct the field; compare `kubectl explain postservice.{path}`"
        )
    }
}

/// Reads an object.
pub fn read(object: &Stored) -> Read {
    if let Ok(service) = serde_json::from_str(&object.text) {
        return Read::Decoded(service);
    }
    // Once more, by way of a value: so the fault has a path, and no line and column.
    let value: Value = serde_json::from_str(&object.text).unwrap_or_default();
    match serde_path_to_error::deserialize(&value) {
        Ok(service) => Read::Decoded(service),
        Err(error) => Read::Undecodable(Box::new(Undecodable {
            metadata: packed::metadata(&object.text).unwrap_or_default(),
            status: PostServiceStatus::deserialize(&value["status"]).ok(),
            path: error.path().to_string(),
            fault: error.inner().to_string(),
        })),
    }
}

/// Its conditions; none where they cannot be decoded.
pub fn conditions(object: &Stored) -> Vec<Condition> {
    #[derive(Deserialize)]
    struct Object {
        status: Status,
    }
    #[derive(Deserialize)]
    struct Status {
        conditions: Vec<Condition>,
    }
    serde_json::from_str(&object.text).map_or(vec![], |Object { status }| status.conditions)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn with(spec: &Value) -> Read {
        let object = json!({
            "apiVersion": "platform.hhottdogg.shop/v1alpha1", "kind": "PostService",
            "metadata": {"name": "a", "namespace": "ns"}, "spec": spec,
            "status": {"phase": "Idle"},
        });
        read(&serde_json::from_str(&object.to_string()).unwrap())
    }

    #[test]
    fn an_object_that_cannot_be_decoded_names_the_path_of_its_fault() {
        let image = json!({"repository": "r", "tag": "1", "scanInterval": 5});
        let Read::Undecodable(object) = with(&json!({"image": image})) else {
            panic!("decoded");
        };
        assert_eq!(object.path, "spec.image.scanInterval");
        assert!(object.to_string().contains("expected a string"), "{object}");
        assert_eq!(object.metadata.name.as_deref(), Some("a"));
        assert_eq!(
            object.status.as_ref().unwrap().phase.as_deref(),
            Some("Idle")
        );
    }

    #[test]
    fn an_object_that_can_be_decoded_is() {
        let found = with(&json!({"image": {"repository": "r", "tag": "1"}}));
        assert!(matches!(found, Read::Decoded(_)));
    }
}
