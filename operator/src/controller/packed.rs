//! An object as the API server sent it: its text, which needs a fraction of the memory of what can
//! be decoded from it. It is decoded whenever a pass looks at it.

use std::borrow::Cow;
use std::marker::PhantomData;
use std::sync::Arc;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::Resource;
use kube::core::NamespaceResourceScope;
use serde::de::{DeserializeOwned, Error as _};
use serde::{Deserialize, Deserializer};
use serde_json::value::RawValue;

use super::ownership::Account;

/// An object of kind `K`, undecoded but for its metadata.
#[derive(Clone, Debug)]
pub struct Packed<K> {
    metadata: ObjectMeta,
    /// Who set which of its fields.
    pub account: Account,
    /// The object without `managedFields`, as JSON.
    pub text: Arc<str>,
    kind: PhantomData<fn() -> K>,
}

impl<K> Packed<K> {
    fn read(text: &str) -> serde_json::Result<Self> {
        let Object { metadata } = serde_json::from_str(text)?;
        let Metadata { managed_fields } = serde_json::from_str(metadata.get())?;
        let lean =
            |text: &str| managed_fields.map_or_else(|| text.into(), |list| without(text, list));
        let metadata = serde_json::from_str(&lean(metadata.get()))?;
        Ok(Self {
            account: Account::read(&metadata, managed_fields)?,
            metadata,
            text: lean(text),
            kind: PhantomData,
        })
    }

    /// Forgets of the metadata what is only to be had from the text.
    pub fn forget_metadata(&mut self) {
        let metadata = std::mem::take(&mut self.metadata);
        self.metadata = ObjectMeta {
            name: metadata.name,
            namespace: metadata.namespace,
            uid: metadata.uid,
            resource_version: metadata.resource_version,
            ..ObjectMeta::default()
        };
    }
}

impl<'de, K> Deserialize<'de> for Packed<K> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = Box::<RawValue>::deserialize(deserializer)?;
        Self::read(text.get()).map_err(D::Error::custom)
    }
}

/// The metadata of an object's text.
pub fn metadata(text: &str) -> serde_json::Result<ObjectMeta> {
    let Object { metadata } = serde_json::from_str(text)?;
    serde_json::from_str(metadata.get())
}

/// The object of that text; none, which the log tells, if it is not of kind `K`.
pub fn unpacked<K: Resource<DynamicType = ()> + DeserializeOwned>(text: &str) -> Option<K> {
    serde_json::from_str(text)
        .inspect_err(|error| {
            let name = metadata(text).ok().and_then(|metadata| metadata.name);
            tracing::warn!(kind = %K::kind(&()), name, %error, "an object cannot be read");
        })
        .ok()
}

#[derive(Deserialize)]
struct Object<'a> {
    #[serde(borrow)]
    metadata: &'a RawValue,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Metadata<'a> {
    #[serde(borrow)]
    managed_fields: Option<&'a RawValue>,
}

/// `text` with an empty list in place of `part`, which is a slice of it.
fn without(text: &str, part: &RawValue) -> Arc<str> {
    let start = part.get().as_ptr().addr() - text.as_ptr().addr();
    let (before, after) = (&text[..start], &text[start + part.get().len()..]);
    [before, "[]", after].concat().into()
}

impl<K> Resource for Packed<K>
where
    K: Resource<DynamicType = (), Scope = NamespaceResourceScope>,
{
    type DynamicType = ();
    type Scope = NamespaceResourceScope;

    fn kind((): &()) -> Cow<'_, str> {
        K::kind(&())
    }

    fn group((): &()) -> Cow<'_, str> {
        K::group(&())
    }

    fn version((): &()) -> Cow<'_, str> {
        K::version(&())
    }

    fn plural((): &()) -> Cow<'_, str> {
        K::plural(&())
    }

    fn meta(&self) -> &ObjectMeta {
        &self.metadata
    }

    fn meta_mut(&mut self) -> &mut ObjectMeta {
        &mut self.metadata
    }
}

#[cfg(test)]
mod tests {
    use k8s_openapi::api::core::v1::Service;
    use serde_json::json;

    use super::*;

    #[test]
    fn only_managed_fields_are_left_out() {
        let mut object = json!({
            "metadata": {
                "name": "a", "namespace": "b", "uid": "c", "labels": {"d": "e"},
                "managedFields": [{"manager": "f", "operation": "Apply", "fieldsV1": {"f:spec": {}}}],
            },
            "spec": {"type": "ClusterIP", "ports": [{"port": 80, "name": "\"é\""}]},
        });
        let packed: Packed<Service> = serde_json::from_str(&object.to_string()).unwrap();
        object["metadata"]["managedFields"] = json!([]);
        let expected: Service = serde_json::from_value(object).unwrap();
        assert_eq!(unpacked::<Service>(&packed.text), Some(expected.clone()));
        assert_eq!(packed.meta(), &expected.metadata);
    }

    #[test]
    fn an_object_of_another_kind_is_none_and_breaks_nothing() {
        let text = json!({"metadata": {"name": "a"}, "spec": {"ports": "none"}}).to_string();
        let packed: Packed<Service> = serde_json::from_str(&text).unwrap();
        assert_eq!(unpacked::<Service>(&packed.text), None);
    }
}
