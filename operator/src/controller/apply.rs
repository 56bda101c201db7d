//! Brings the children about: in order, and only what differs.

use std::sync::Arc;

use k8s_openapi::api::batch::v1::Job;
use k8s_openapi::api::core::v1::Service;
use kube::api::{Api, DeleteParams, Patch, PatchParams, Preconditions};
use kube::{Resource, ResourceExt as _};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::children::Child;
use super::foreign::{Foreign, Known};
use super::ownership::Account;
use super::packed::Packed;
use super::store::{self, Look, Store};
use super::validate::Identity;
use super::{Context, Error, ownership, replicas};
use crate::build::{self, MANAGER, MigrationChild, Objects, Others, Wanted};

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
    let identities = &objects.service_accounts;
    all(id, identities, &children.service_accounts, ctx).await?;
    kind(
        id,
        &objects.network_policies,
        &children.network_policies,
        ctx,
    )
    .await?;
    services(id, &objects.services, ctx).await?;
    let bindings = &objects.target_group_bindings;
    foreign(id, bindings, &children.target_group_bindings, ctx).await?;
    migration(id, objects.migration, ctx).await?;
    let (deployments, autoscalers) = (&objects.deployments, &objects.autoscalers);
    let deployment = replicas::apply(id, deployments, autoscalers, objects.scaling, ctx).await?;
    kind(
        id,
        &objects.disruption_budgets,
        &children.disruption_budgets,
        ctx,
    )
    .await?;
    foreign(
        id,
        &objects.service_monitors,
        &children.service_monitors,
        ctx,
    )
    .await?;
    if !deployment {
        // Last, and only once no pod of a former template needs one of a former name.
        remove_others(id, identities, &children.service_accounts, ctx).await?;
    }
    Ok(Applied { deployment })
}

/// Objects of a kind as wanted. True if one was made or changed.
pub(super) async fn kind<K: Child>(
    id: &Identity,
    wanted: &Wanted<K>,
    store: &Store<K>,
    ctx: &Context,
) -> Result<bool, Error> {
    let changed = all(id, wanted, store, ctx).await?;
    remove_others(id, wanted, store, ctx).await?;
    Ok(changed)
}

/// The same for a kind that the cluster may not know: then there is nothing to do.
async fn foreign<K: Child>(
    id: &Identity,
    wanted: &Wanted<K>,
    foreign: &Foreign<K>,
    ctx: &Context,
) -> Result<bool, Error> {
    let Known::Yes(store) = foreign.known() else {
        return Ok(false);
    };
    match kind(id, wanted, &store, ctx).await {
        // The kind has just vanished; the next look at the cluster's kinds will say so.
        Err(
            Error::Write {
                source: kube::Error::Api(status),
                ..
            }
            | Error::Read {
                source: kube::Error::Api(status),
                ..
            },
        ) if status.code == 404 => Ok(false),
        result => result,
    }
}

/// Services as wanted; the class of a load balancer changes by way of none.
async fn services(id: &Identity, wanted: &Wanted<Service>, ctx: &Context) -> Result<bool, Error> {
    let store = &ctx.children.services;
    for service in &wanted.objects {
        let known = store.get(&id.namespace, &service.name_any());
        if known.is_some_and(|live| {
            is_owned(id, &*live) && build::service::changes_class(&live, service)
        }) {
            let between = build::service::without_load_balancer(service);
            one(id, &between, store, ctx).await?;
        }
    }
    kind(id, wanted, store, ctx).await
}

async fn all<K: Child>(
    id: &Identity,
    wanted: &Wanted<K>,
    store: &Store<K>,
    ctx: &Context,
) -> Result<bool, Error> {
    let mut changed = false;
    for object in &wanted.objects {
        changed |= one(id, object, store, ctx).await?;
    }
    Ok(changed)
}

/// True if the object was written.
async fn one<K: Child>(
    id: &Identity,
    object: &K,
    store: &Store<K>,
    ctx: &Context,
) -> Result<bool, Error> {
    let name = object.name_any();
    let desired = ownership::marked(to_json(object)?);
    let compare = |account: &mut Account| account.is_as_applied(&desired);
    let up_to_date = live(id, &name, store, ctx, compare).await? == Some(true);
    if !up_to_date {
        let api = Api::<K>::namespaced(ctx.client.clone(), &id.namespace);
        patch(&api, &name, &desired).await?;
    }
    Ok(!up_to_date)
}

/// What is left of features that were turned off and of former names.
async fn remove_others<K: Child>(
    id: &Identity,
    wanted: &Wanted<K>,
    store: &Store<K>,
    ctx: &Context,
) -> Result<(), Error> {
    if wanted.others == Others::Keep {
        return Ok(());
    }
    let is_wanted = |name: &str| {
        let mut wanted = wanted.objects.iter();
        wanted.any(|object| object.meta().name.as_deref() == Some(name))
    };
    let mut others = store.owned(&id.uid, |name| !is_wanted(name));
    others.retain(|other| other.meta().deletion_timestamp.is_none());
    remove(
        id,
        &Api::namespaced(ctx.client.clone(), &id.namespace),
        others,
    )
    .await
}

/// The wanted Job, and of older ended ones only the last few.
async fn migration(id: &Identity, child: MigrationChild, ctx: &Context) -> Result<(), Error> {
    match child {
        MigrationChild::Keep => Ok(()),
        MigrationChild::Remove(name) => remove_job(id, &name, ctx).await,
        MigrationChild::Create(job) => {
            let old = old_jobs(id, &job.name_any(), &ctx.children.jobs);
            let api = Api::namespaced(ctx.client.clone(), &id.namespace);
            remove(id, &api, old).await?;
            make_job(id, &job, ctx).await
        }
    }
}

/// Makes a Job unless it is there: its template cannot be changed.
pub(super) async fn make_job(id: &Identity, job: &Job, ctx: &Context) -> Result<(), Error> {
    let api = Api::<Job>::namespaced(ctx.client.clone(), &id.namespace);
    let name = job.name_any();
    if !exists(id, &name, &ctx.children.jobs, ctx).await? {
        patch(&api, &name, &to_json(job)?).await?;
    }
    Ok(())
}

/// Removes a Job, if it is there.
pub(super) async fn remove_job(id: &Identity, name: &str, ctx: &Context) -> Result<(), Error> {
    let named = ctx.children.jobs.owned(&id.uid, |job| job == name);
    let api = Api::namespaced(ctx.client.clone(), &id.namespace);
    remove(id, &api, named).await
}

fn old_jobs(id: &Identity, current: &str, store: &Store<Job>) -> Vec<Arc<Job>> {
    let mut others = store.owned(&id.uid, |name| name != current);
    others.sort_by_key(|other| std::cmp::Reverse(other.creation_timestamp().map(|time| time.0)));
    others.split_off(others.len().min(OLD_JOBS))
}

/// Takes over an object of somebody else.
pub(super) async fn taken_over<K: Child>(
    api: &Api<K>,
    name: &str,
    object: &K,
) -> Result<(), Error> {
    let desired = ownership::marked(to_json(object)?);
    patch(api, name, &desired).await.map(drop)
}

/// Gives it back: only the fields of `object` stay the operator's.
pub(super) async fn given_back<K: Child>(
    api: &Api<K>,
    name: &str,
    object: &K,
) -> Result<(), Error> {
    patch(api, name, &to_json(object)?).await.map(drop)
}

/// Whether there is an object of that name. Refuses somebody else's.
pub(super) async fn exists<K: Child>(
    id: &Identity,
    name: &str,
    store: &Store<K>,
    ctx: &Context,
) -> Result<bool, Error> {
    let found = live(id, name, store, ctx, |_| ()).await?;
    Ok(found.is_some())
}

/// What `look` sees of the object of that name, in the store or, if it is not there, in the cluster:
/// it may be too new for the store, or somebody else's. Refuses the latter.
async fn live<K: Child, T>(
    id: &Identity,
    name: &str,
    store: &Store<K>,
    ctx: &Context,
    look: impl Fn(&mut Account) -> T,
) -> Result<Option<T>, Error> {
    let refused = || Error::ObjectConflict {
        kind: K::kind(&()).into_owned(),
        name: name.to_owned(),
    };
    match store.look(id, name, &look) {
        Look::Seen(seen) => return Ok(Some(seen)),
        Look::OfOthers => return Err(refused()),
        Look::Unknown => {}
    }
    let api = Api::<Packed<K>>::namespaced(ctx.client.clone(), &id.namespace);
    let found = api.get_opt(name).await.map_err(|source| Error::Read {
        what: "a child",
        source,
    })?;
    match found {
        Some(object) if !belongs(id, &object) => Err(refused()),
        found => Ok(found.map(|mut object| look(&mut object.account))),
    }
}

/// Whether the object is the `PostService`'s, with its owner reference or without.
pub(super) fn belongs<K: Resource>(id: &Identity, object: &K) -> bool {
    is_owned(id, object) || store::made_for(object.meta()) == Some(&id.name)
}

fn is_owned<K: Resource>(id: &Identity, object: &K) -> bool {
    object
        .owner_references()
        .iter()
        .any(|owner| owner.uid == id.uid)
}

pub(super) async fn remove<K>(
    id: &Identity,
    api: &Api<K>,
    objects: Vec<Arc<K>>,
) -> Result<(), Error>
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

pub(super) async fn patch<K>(api: &Api<K>, name: &str, desired: &Value) -> Result<K, Error>
where
    K: Resource<DynamicType = ()> + Clone + std::fmt::Debug + DeserializeOwned,
{
    let parameters = PatchParams::apply(MANAGER).force();
    let applied = api
        .patch(name, &parameters, &Patch::Apply(desired))
        .await
        .map_err(|source| Error::write::<K>(name, source))?;
    tracing::info!(kind = %K::kind(&()), namespace = applied.namespace(), name, "applied");
    Ok(applied)
}

pub(super) fn to_json<K: Serialize>(object: &K) -> Result<Value, Error> {
    serde_json::to_value(object).map_err(Error::Encode)
}
