//! A `PostService` as the API server holds it, which need not be one that this operator can read.
//!
//! A stored object may be older or newer than the schema. One that cannot be decoded must stall
//! itself only: without this type a single one would break the watch of all.

use std::borrow::Cow;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::Resource;
use kube::core::NamespaceResourceScope;
use serde::{Deserialize, Deserializer, de};
use serde_json::Value;

use crate::api::v1alpha1::{PostService, PostServiceStatus};

/// What was read of a `PostService`.
#[derive(Clone, Debug)]
pub enum Stored {
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

impl<'de> Deserialize<'de> for Stored {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let value = Value::deserialize(deserializer)?;
        match serde_path_to_error::deserialize(&value) {
            Ok(service) => Ok(Self::Decoded(Box::new(service))),
            Err(error) => Ok(Self::Undecodable(Box::new(Undecodable {
                metadata: ObjectMeta::deserialize(&value["metadata"]).map_err(de::Error::custom)?,
                status: PostServiceStatus::deserialize(&value["status"]).ok(),
                path: error.path().to_string(),
                fault: error.inner().to_string(),
            }))),
        }
    }
}

impl Resource for Stored {
    type DynamicType = ();
    type Scope = NamespaceResourceScope;

    fn kind((): &()) -> Cow<'_, str> {
        PostService::kind(&())
    }

    fn group((): &()) -> Cow<'_, str> {
        PostService::group(&())
    }

    fn version((): &()) -> Cow<'_, str> {
        PostService::version(&())
    }

    fn plural((): &()) -> Cow<'_, str> {
        PostService::plural(&())
    }

    fn meta(&self) -> &ObjectMeta {
        match self {
            Self::Decoded(service) => &service.metadata,
            Self::Undecodable(object) => &object.metadata,
        }
    }

    fn meta_mut(&mut self) -> &mut ObjectMeta {
        match self {
            Self::Decoded(service) => &mut service.metadata,
            Self::Undecodable(object) => &mut object.metadata,
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn read(spec: &Value) -> Stored {
        serde_json::from_value(json!({
            "apiVersion": "platform.hhottdogg.shop/v1alpha1", "kind": "PostService",
            "metadata": {"name": "a", "namespace": "ns"}, "spec": spec,
            "status": {"phase": "Idle"},
        }))
        .unwrap()
    }

    #[test]
    fn an_object_that_cannot_be_decoded_names_the_path_of_its_fault() {
        let image = json!({"repository": "r", "tag": "1", "scanInterval": 5});
        let Stored::Undecodable(object) = read(&json!({"image": image})) else {
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
        let stored = read(&json!({"image": {"repository": "r", "tag": "1"}}));
        assert!(matches!(stored, Stored::Decoded(_)));
    }
}
