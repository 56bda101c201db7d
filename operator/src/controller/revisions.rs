//! Revisions in the cluster: `ControllerRevisions`, and the Secrets that go with them.

use std::sync::Arc;

use k8s_openapi::api::apps::v1::ControllerRevision;
use k8s_openapi::api::core::v1::Secret;
use kube::ResourceExt as _;
use kube::api::{Api, Patch, PatchParams, PostParams};
use serde_json::json;

use super::validate::Validated;
use super::{Context, Error, apply};
use crate::build::{Credentials, Revision, revision};

/// Accounts of the database that these revisions use: each may come back.
pub fn accounts(revisions: &[Arc<Revision>]) -> Vec<String> {
    let accounts = revisions.iter();
    let mut accounts: Vec<_> = accounts
        .filter_map(|revision| revision.content.account.clone())
        .collect();
    accounts.sort();
    accounts.dedup();
    accounts
}

/// Those that are kept.
pub fn owned(spec: &Validated, ctx: &Context) -> Vec<Arc<Revision>> {
    let objects = ctx.children.revisions.of(&spec.id, |_| true);
    objects
        .iter()
        .filter_map(|object| Revision::parse(&spec.id.name, object))
        .map(Arc::new)
        .collect()
}

/// Whether the revision of this id is kept.
pub async fn is_there(spec: &Validated, id: &str, ctx: &Context) -> Result<bool, Error> {
    let name = revision::name(&spec.id.name, id);
    apply::exists(&spec.id, &name, &ctx.children.revisions, ctx).await
}

/// Keeps a revision, if it is not kept.
pub async fn make(spec: &Validated, revision: &Revision, ctx: &Context) -> Result<(), Error> {
    if is_there(spec, &revision.id, ctx).await? {
        return Ok(());
    }
    let Some(object) = revision.object(spec) else {
        return Ok(());
    };
    let name = object.name_any();
    let api = Api::<ControllerRevision>::namespaced(ctx.client.clone(), &spec.id.namespace);
    apply::patch(&api, &name, &apply::to_json(&object)?)
        .await
        .map(drop)
}

/// Makes the Secret of a revision, if it is not there. It goes with the revision's object. One that
/// is there has the same values: its name is made from their hash. That it goes with an object of
/// before, which was removed, is mended.
pub async fn make_secret(
    spec: &Validated,
    revision: &Revision,
    name: &str,
    credentials: &Credentials,
    ctx: &Context,
) -> Result<(), Error> {
    let read = |source| Error::Read {
        what: "a Secret of the operator's own",
        source,
    };
    let namespace = &spec.id.namespace;
    let secrets = Api::<Secret>::namespaced(ctx.client.clone(), namespace);
    let live = secrets.get_metadata_opt(name).await.map_err(read)?;
    let revisions = Api::<ControllerRevision>::namespaced(ctx.client.clone(), namespace);
    let keeper = revision::name(&spec.id.name, &revision.id);
    let keeper = revisions.get_metadata(&keeper).await.map_err(read)?;
    let secret = revision::secret(spec, name, &keeper.metadata, credentials);
    let write = |source| Error::write::<Secret>(name, source);
    match live {
        None => {
            secrets
                .create(&PostParams::default(), &secret)
                .await
                .map_err(write)?;
            tracing::info!(namespace, name, "made for new pods");
            Ok(())
        }
        Some(live) if live.labels() != secret.labels() => Err(Error::ObjectConflict {
            kind: "Secret".into(),
            name: name.to_owned(),
        }),
        Some(live) if live.owner_references() == secret.owner_references() => Ok(()),
        Some(live) => {
            let owners = json!({"metadata": {
                "resourceVersion": live.resource_version(),
                "ownerReferences": secret.owner_references(),
            }});
            secrets
                .patch(name, &PatchParams::default(), &Patch::Merge(owners))
                .await
                .map(drop)
                .map_err(write)
        }
    }
}

/// Removes the revisions that nobody needs any more; their Secrets go with them. Where none is known
/// to be needed, nothing is known.
pub async fn remove_others(
    spec: &Validated,
    needed: &[String],
    ctx: &Context,
) -> Result<(), Error> {
    if needed.is_empty() {
        return Ok(());
    }
    let is_needed = |name: &str| needed.iter().any(|needed| needed == name);
    let revisions = &ctx.children.revisions;
    let others = revisions.of(&spec.id, |name| !is_needed(name));
    let api = Api::namespaced(ctx.client.clone(), &spec.id.namespace);
    apply::remove(&spec.id, &api, others).await
}
