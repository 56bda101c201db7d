//! Does what the state machine asks for.

use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::core::v1::Service;
use kube::api::{Api, DeleteParams, Patch, PatchParams, Preconditions};
use kube::core::NamespaceResourceScope;
use kube::{Resource, ResourceExt as _};
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use super::{RETIRED, Sight, managed_fields};
use crate::adoption::{Action, Plan};
use crate::build::adopted_service::{self, Adopted};
use crate::build::{self, MANAGER, migration_job, service};
use crate::controller::validate::{Identity, Validated};
use crate::controller::{Context, Error, apply};
use crate::registry::Digest;

/// Does what the plan asks for.
pub async fn carry_out(
    spec: &Validated,
    plan: &Plan,
    sight: &Sight,
    finish: Option<(&Digest, &build::Credentials)>,
    ctx: &Context,
) -> Result<(), Error> {
    let id = &spec.id;
    let services = Api::<Service>::namespaced(ctx.client.clone(), &id.namespace);
    match (plan.action, &sight.service, &sight.front.adopted) {
        (Action::Switch, Some(live), Some(adopted)) => {
            release(spec, live, adopted, &services).await?;
            let moved = adopted_service::moved(spec, adopted);
            apply::taken_over(&services, &adopted.name, &moved).await
        }
        (Action::SwitchBack, _, Some(adopted)) => {
            let back = adopted_service::moved_back(spec, adopted);
            apply::given_back(&services, &adopted.name, &back).await
        }
        (Action::Retire, _, _) => retire(id, sight, ctx).await,
        (Action::Finish, _, _) => {
            let Some((digest, credentials)) = finish else {
                return Ok(());
            };
            let job = migration_job::finish(spec, digest, credentials);
            apply::make_job(id, &job, ctx).await
        }
        (Action::RemoveFinish, _, _) => {
            let Some((_, credentials)) = finish else {
                return Ok(());
            };
            let job = migration_job::finish_name(spec, credentials);
            apply::remove_job(id, &job, ctx).await
        }
        (Action::Delete, _, _) => {
            if let Some(old) = &sight.deployment {
                delete(id, old, ctx).await?;
            }
            match &sight.autoscaler {
                Some(old) => delete(id, old, ctx).await,
                None => Ok(()),
            }
        }
        (Action::Wait | Action::Switch | Action::SwitchBack, _, _) => Ok(()),
    }
}

/// Prepares an old Service for its new owner: what client-side apply remembers of it is released,
/// and annotations that would win over the operator's are removed.
async fn release(
    spec: &Validated,
    live: &Service,
    adopted: &Adopted,
    services: &Api<Service>,
) -> Result<(), Error> {
    let deprecated: &[&str] = if adopted.former.is_balancer(spec) {
        &service::DEPRECATED
    } else {
        &[]
    };
    let mut annotations = serde_json::Map::new();
    for name in deprecated.iter().chain(&[managed_fields::LAST_APPLIED]) {
        if live.annotations().contains_key(*name) {
            annotations.insert((*name).to_owned(), Value::Null);
        }
    }
    let fields = managed_fields::released(live.managed_fields());
    if annotations.is_empty() && fields.is_none() {
        return Ok(());
    }
    let mut metadata =
        json!({"resourceVersion": live.resource_version(), "annotations": annotations});
    if let Some(fields) = fields {
        metadata["managedFields"] = json!(fields);
    }
    patch(services, &adopted.name, &json!({"metadata": metadata})).await
}

async fn retire(id: &Identity, sight: &Sight, ctx: &Context) -> Result<(), Error> {
    let Some(old) = &sight.deployment else {
        return Ok(());
    };
    let api = Api::<Deployment>::namespaced(ctx.client.clone(), &id.namespace);
    let change = json!({
        // Of another Deployment of that name nothing is known: the uid makes it a conflict.
        "metadata": {"uid": old.uid(), "annotations": {RETIRED: id.uid}},
        "spec": {"replicas": 0},
    });
    patch(&api, &old.name_any(), &change).await
}

async fn patch<K>(api: &Api<K>, name: &str, change: &Value) -> Result<(), Error>
where
    K: Resource<DynamicType = ()> + Clone + std::fmt::Debug + DeserializeOwned,
{
    let parameters = PatchParams {
        field_manager: Some(MANAGER.into()),
        ..PatchParams::default()
    };
    api.patch(name, &parameters, &Patch::Merge(change))
        .await
        .map_err(|source| Error::write::<K>(name, source))?;
    tracing::info!(kind = %K::kind(&()), name, "changed for its adoption");
    Ok(())
}

async fn delete<K>(id: &Identity, old: &K, ctx: &Context) -> Result<(), Error>
where
    K: Resource<DynamicType = (), Scope = NamespaceResourceScope>
        + Clone
        + std::fmt::Debug
        + DeserializeOwned,
{
    let api = Api::<K>::namespaced(ctx.client.clone(), &id.namespace);
    // Scaled up or made anew meanwhile, it is not deleted.
    let parameters = DeleteParams::background().preconditions(Preconditions {
        uid: old.uid(),
        resource_version: old.resource_version(),
    });
    let name = old.name_any();
    match api.delete(&name, &parameters).await {
        Ok(_) => {
            tracing::info!(kind = %K::kind(&()), namespace = id.namespace, name, "removed");
            Ok(())
        }
        Err(kube::Error::Api(status)) if status.is_not_found() || status.is_conflict() => Ok(()),
        Err(source) => Err(Error::write::<K>(&name, source)),
    }
}
