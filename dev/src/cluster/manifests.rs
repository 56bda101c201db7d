//! Applying YAML to the cluster.

use anyhow::{Context, Result};
use kube::api::{Api, DynamicObject, Patch, PatchParams};
use kube::core::GroupVersionKind;
use kube::discovery::{self, Scope};
use serde::Deserialize as _;

/// The field manager of everything that this tool writes.
pub const FIELD_MANAGER: &str = "post-service-dev";

/// Server-side-applies every document of a YAML text.
pub async fn apply(client: &kube::Client, yaml: &str) -> Result<()> {
    for object in parse(yaml)? {
        apply_one(client, object).await?;
    }
    Ok(())
}

/// The objects of a YAML text with one or more documents.
pub fn parse(yaml: &str) -> Result<Vec<DynamicObject>> {
    serde_yaml::Deserializer::from_str(yaml)
        .map(serde_yaml::Value::deserialize)
        .filter(|value| !matches!(value, Ok(serde_yaml::Value::Null)))
        .map(|value| Ok(serde_yaml::from_value(value?)?))
        .collect()
}

async fn apply_one(client: &kube::Client, object: DynamicObject) -> Result<()> {
    let types = object
        .types
        .clone()
        .context("a manifest without apiVersion and kind")?;
    let name = object
        .metadata
        .name
        .clone()
        .context("a manifest without a name")?;
    let what = format!("{} {name}", types.kind);
    let kind = GroupVersionKind::try_from(&types)?;
    let (resource, capabilities) = discovery::pinned_kind(client, &kind)
        .await
        .with_context(|| format!("the cluster does not know the kind of {what}"))?;
    let api: Api<DynamicObject> = match (&capabilities.scope, &object.metadata.namespace) {
        (Scope::Cluster, _) => Api::all_with(client.clone(), &resource),
        (Scope::Namespaced, Some(namespace)) => {
            Api::namespaced_with(client.clone(), namespace, &resource)
        }
        (Scope::Namespaced, None) => Api::default_namespaced_with(client.clone(), &resource),
    };
    let params = PatchParams::apply(FIELD_MANAGER).force();
    api.patch(&name, &params, &Patch::Apply(&object))
        .await
        .with_context(|| format!("cannot apply {what}"))?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn documents_are_split_and_empty_ones_skipped() {
        let yaml = "---\n# nothing\n---\napiVersion: v1\nkind: Namespace\nmetadata: {name: a}\n---\napiVersion: v1\nkind: Service\nmetadata: {name: b, namespace: a}\nspec: {}\n";
        let names: Vec<_> = parse(yaml)
            .unwrap()
            .into_iter()
            .filter_map(|o| o.metadata.name)
            .collect();
        assert_eq!(names, ["a", "b"]);
    }
}
