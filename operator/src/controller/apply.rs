//! Brings the children about: in order, and only what differs.

use std::sync::Arc;

use k8s_openapi::api::batch::v1::Job;
use kube::api::{Api, DeleteParams, Patch, PatchParams, Preconditions};
use kube::core::NamespaceResourceScope;
use kube::{Resource, ResourceExt as _};
use kube_runtime::reflector::{ObjectRef, Store};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;
use sha2::{Digest as _, Sha256};

use super::validate::{Identity, quantity_value};
use super::{Context, Error};
use crate::build::{Child, MANAGER, Objects};

/// Hash of what was applied last: tells when a field was taken back, which comparing with the live
/// object alone cannot.
const APPLIED: &str = "platform.hhottdogg.shop/applied";
/// Ended migration Jobs that are kept beside the present one.
const OLD_JOBS: usize = 3;

/// What a pass wrote.
#[derive(Clone, Copy, Debug)]
pub struct Applied {
    /// The Deployment was made or changed: what the cache says of its pods is of before.
    pub deployment: bool,
}

/// Applies every child of `id`.
pub async fn objects(id: &Identity, objects: Objects, ctx: &Context) -> Result<Applied, Error> {
    let children = &ctx.children;
    one(id, objects.service_account, &children.service_accounts, ctx).await?;
    one(id, objects.service, &children.services, ctx).await?;
    migration(id, objects.migration, ctx).await?;
    let deployment = one(id, objects.deployment, &children.deployments, ctx).await?;
    one(id, objects.autoscaler, &children.autoscalers, ctx).await?;
    Ok(Applied { deployment })
}

/// True if the object was written.
async fn one<K>(
    id: &Identity,
    child: Child<K>,
    store: &Store<K>,
    ctx: &Context,
) -> Result<bool, Error>
where
    K: Resource<DynamicType = (), Scope = NamespaceResourceScope>
        + Clone
        + std::fmt::Debug
        + Serialize
        + DeserializeOwned,
{
    let api = Api::<K>::namespaced(ctx.client.clone(), &id.namespace);
    match child {
        Child::Keep => Ok(false),
        Child::Remove(name) => {
            let mut named = owned(id, store);
            named.retain(|object| object.name_any() == name);
            remove(id, &api, named).await?;
            Ok(false)
        }
        Child::Create(object) => {
            let name = object.name_any();
            let absent = live(id, &name, store, &api).await?.is_none();
            if absent {
                patch(&api, &name, &to_json(&*object)?).await?;
            }
            Ok(absent)
        }
        Child::Apply(object) => {
            let name = object.name_any();
            let desired = with_hash(to_json(&*object)?);
            let up_to_date = match live(id, &name, store, &api).await? {
                Some(live) => covers(&to_json(&*live)?, &desired),
                None => false,
            };
            if !up_to_date {
                patch(&api, &name, &desired).await?;
            }
            Ok(!up_to_date)
        }
    }
}

/// The wanted Job, and of older ended ones only the last few.
async fn migration(id: &Identity, child: Child<Job>, ctx: &Context) -> Result<(), Error> {
    if let Child::Create(job) = &child {
        let current = job.name_any();
        let mut others = owned(id, &ctx.children.jobs);
        others.retain(|other| other.name_any() != current);
        others
            .sort_by_key(|other| std::cmp::Reverse(other.creation_timestamp().map(|time| time.0)));
        let old = others.split_off(others.len().min(OLD_JOBS));
        remove(id, &Api::namespaced(ctx.client.clone(), &id.namespace), old).await?;
    }
    one(id, child, &ctx.children.jobs, ctx).await.map(drop)
}

/// The object of that name, from the store or, if it is not there, from the cluster: it may be too
/// new for the store, or somebody else's. Refuses to touch the latter.
async fn live<K>(
    id: &Identity,
    name: &str,
    store: &Store<K>,
    api: &Api<K>,
) -> Result<Option<Arc<K>>, Error>
where
    K: Resource<DynamicType = ()> + Clone + std::fmt::Debug + DeserializeOwned,
{
    let known = store.get(&ObjectRef::new(name).within(&id.namespace));
    let found = match known {
        Some(object) => Some(object),
        None => api
            .get_opt(name)
            .await
            .map_err(|source| Error::Read {
                what: "a child",
                source,
            })?
            .map(Arc::new),
    };
    match found {
        Some(object) if !is_owned(id, &*object) => Err(Error::ObjectConflict {
            kind: K::kind(&()).into_owned(),
            name: name.to_owned(),
        }),
        other => Ok(other),
    }
}

fn is_owned<K: Resource>(id: &Identity, object: &K) -> bool {
    object
        .owner_references()
        .iter()
        .any(|owner| owner.uid == id.uid)
}

fn owned<K>(id: &Identity, store: &Store<K>) -> Vec<Arc<K>>
where
    K: Resource<DynamicType = ()> + Clone,
{
    store.state_filter(|object| {
        object.namespace().as_deref() == Some(&id.namespace) && is_owned(id, object)
    })
}

async fn remove<K>(id: &Identity, api: &Api<K>, objects: Vec<Arc<K>>) -> Result<(), Error>
where
    K: Resource<DynamicType = ()> + Clone + std::fmt::Debug + DeserializeOwned,
{
    for object in objects {
        let name = object.name_any();
        let preconditions = Preconditions {
            uid: object.uid(),
            resource_version: None,
        };
        let parameters = DeleteParams::background().preconditions(preconditions);
        match api.delete(&name, &parameters).await {
            Ok(_) => {
                tracing::info!(kind = %K::kind(&()), namespace = id.namespace, name, "removed");
            }
            Err(kube::Error::Api(status)) if status.is_not_found() || status.is_conflict() => {}
            Err(source) => return Err(Error::write::<K>(&name, source)),
        }
    }
    Ok(())
}

async fn patch<K>(api: &Api<K>, name: &str, desired: &Value) -> Result<(), Error>
where
    K: Resource<DynamicType = ()> + Clone + std::fmt::Debug + DeserializeOwned,
{
    let parameters = PatchParams::apply(MANAGER).force();
    let applied = api
        .patch(name, &parameters, &Patch::Apply(desired))
        .await
        .map_err(|source| Error::write::<K>(name, source))?;
    tracing::info!(kind = %K::kind(&()), namespace = applied.namespace(), name, "applied");
    Ok(())
}

fn to_json<K: Serialize>(object: &K) -> Result<Value, Error> {
    serde_json::to_value(object).map_err(Error::Encode)
}

fn with_hash(mut desired: Value) -> Value {
    let hash = hex::encode(&Sha256::digest(desired.to_string())[..8]);
    let metadata = &mut desired["metadata"];
    if metadata["annotations"].is_null() {
        metadata["annotations"] = Value::Object(serde_json::Map::new());
    }
    metadata["annotations"][APPLIED] = Value::String(hash);
    desired
}

/// Whether `live` already is what `desired` asks for; fields that `desired` does not name are
/// others' business. List elements with a name are matched by it, as server-side apply does.
fn covers(live: &Value, desired: &Value) -> bool {
    match (live, desired) {
        (Value::Object(live), Value::Object(desired)) => desired.iter().all(|(key, wanted)| {
            let Some(found) = live.get(key) else {
                return is_empty(wanted);
            };
            match key.as_str() {
                "requests" | "limits" => same_quantities(found, wanted),
                _ => covers(found, wanted),
            }
        }),
        (Value::Array(live), Value::Array(desired))
            if desired.iter().all(|e| name(e).is_some()) =>
        {
            desired.iter().all(|wanted| {
                live.iter()
                    .any(|found| name(found) == name(wanted) && covers(found, wanted))
            })
        }
        (Value::Array(live), Value::Array(desired)) => {
            live.len() == desired.len()
                && live
                    .iter()
                    .zip(desired)
                    .all(|(found, wanted)| covers(found, wanted))
        }
        (live, desired) => live == desired || is_empty(live) && is_empty(desired),
    }
}

/// Quantities are stored in another form than they were written in: `1000m` becomes `1`.
fn same_quantities(live: &Value, desired: &Value) -> bool {
    let value = |quantity: &Value| quantity.as_str().and_then(quantity_value);
    match (live, desired) {
        (Value::Object(live), Value::Object(desired)) => desired
            .iter()
            .all(|(name, wanted)| live.get(name).and_then(value) == value(wanted)),
        _ => live == desired,
    }
}

fn name(element: &Value) -> Option<&str> {
    element.get("name").and_then(Value::as_str)
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

    #[test]
    fn defaults_and_fields_of_others_are_no_difference() {
        let live = json!({"spec": {"replicas": 3, "template": {"containers": [
            {"name": "sidecar"}, {"name": "post-service", "image": "a", "env": [{"name": "A", "value": "1"}, {"name": "B"}]}
        ]}}, "status": {}});
        let desired = json!({"spec": {"template": {"containers": [
            {"name": "post-service", "image": "a", "env": [{"name": "A", "value": "1"}], "args": []}
        ]}}});
        assert!(covers(&live, &desired));
    }

    #[test]
    fn a_changed_owned_field_is_a_difference() {
        let live = json!({"spec": {"args": ["serve"], "ports": [{"name": "http", "port": 80}]}});
        for desired in [
            json!({"spec": {"args": ["migrate"]}}),
            json!({"spec": {"args": ["serve", "x"]}}),
            json!({"spec": {"ports": [{"name": "http", "port": 81}]}}),
            json!({"spec": {"ports": [{"name": "https", "port": 443}]}}),
            json!({"spec": {"class": "x"}}),
        ] {
            assert!(!covers(&live, &desired), "{desired}");
        }
    }

    #[test]
    fn a_quantity_in_another_form_is_no_difference() {
        let live = json!({"requests": {"cpu": "1", "memory": "1Gi"}});
        let same = json!({"requests": {"cpu": "1000m", "memory": "1024Mi"}});
        assert!(covers(&live, &same));
        let other = json!({"requests": {"cpu": "1001m", "memory": "1024Mi"}});
        assert!(!covers(&live, &other));
    }

    #[test]
    fn a_field_taken_back_changes_the_hash() {
        let with = with_hash(json!({"metadata": {"name": "a"}, "spec": {"x": 1}}));
        let without = with_hash(json!({"metadata": {"name": "a"}, "spec": {}}));
        assert!(!covers(&with, &without));
    }
}
