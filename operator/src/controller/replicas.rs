//! Brings the Deployment, its number of pods and its autoscaler about, so that no hand-over between
//! those who may say the number loses a pod. What is to be done is decided in
//! [`crate::rollout::replicas`].

use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::autoscaling::v2::HorizontalPodAutoscaler;
use kube::api::{Api, Patch, PatchParams};
use kube::{Resource as _, ResourceExt as _};
use serde_json::{Value, json};

use super::apply::{live, one, to_json};
use super::validate::Identity;
use super::{Context, Error};
use crate::build::Child;
use crate::rollout::replicas::{API_DEFAULT, BEFORE_STOP, INITIAL, Scaling, Write};

/// The field manager of `spec.replicas`, and of nothing else.
const MANAGER: &str = "post-operator-replicas";

/// What a pass wrote.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Applied {
    /// The Deployment was made or changed: what the cache says of its pods is of before.
    pub deployment: bool,
    /// Its number of pods was changed.
    pub replicas: bool,
}

/// Applies all three in the order that `scaling` needs.
pub async fn apply(
    id: &Identity,
    deployment: Child<Deployment>,
    autoscaler: Child<HorizontalPodAutoscaler>,
    scaling: Scaling,
    ctx: &Context,
) -> Result<Applied, Error> {
    let autoscalers = &ctx.children.autoscalers;
    let (first, last) = match autoscaler {
        // An autoscaler that goes must not change the number that is written after it.
        Child::Remove(_) => (autoscaler, Child::Keep),
        _ => (Child::Keep, autoscaler),
    };
    one(id, first, autoscalers, ctx).await?;
    let made = make(id, &deployment, scaling.initial, ctx).await?;
    let changed = one(id, deployment, &ctx.children.deployments, ctx).await?;
    let number = made.or(scaling.write);
    let replicas = match number {
        Some(number) => write(id, number, ctx).await?,
        None => false,
    };
    one(id, last, autoscalers, ctx).await?;
    Ok(Applied {
        deployment: changed,
        replicas,
    })
}

/// Makes a missing Deployment with `replicas` pods, unless the API server's default is that.
///
/// The main manager's apply would make it with one pod. So the second one makes it whole, the main
/// one takes over everything but the number, and the returned write gives up the rest. Killed in
/// between, the annotation [`INITIAL`] tells the next pass to go on.
async fn make(
    id: &Identity,
    deployment: &Child<Deployment>,
    replicas: i32,
    ctx: &Context,
) -> Result<Option<Write>, Error> {
    let Child::Apply(deployment) = deployment else {
        return Ok(None);
    };
    if replicas == API_DEFAULT {
        return Ok(None);
    }
    let name = deployment.name_any();
    let deployments = Api::<Deployment>::namespaced(ctx.client.clone(), &id.namespace);
    let store = &ctx.children.deployments;
    if live(id, &name, store, &deployments).await?.is_some() {
        return Ok(None);
    }
    let mut whole = deployment.clone();
    whole
        .annotations_mut()
        .insert(INITIAL.into(), replicas.to_string());
    if let Some(spec) = &mut whole.spec {
        spec.replicas = Some(replicas);
    }
    patch(&deployments, &name, &to_json(&*whole)?, false).await?;
    Ok(Some(Write {
        replicas,
        before_stop: None,
        force: false,
    }))
}

/// True if the number was written; false if its owner changed it meanwhile, or there is none.
async fn write(id: &Identity, number: Write, ctx: &Context) -> Result<bool, Error> {
    let annotations = number
        .before_stop
        .map(|before| json!({BEFORE_STOP: before.to_string()}));
    let body = json!({
        "apiVersion": Deployment::api_version(&()), "kind": Deployment::kind(&()),
        "metadata": {"name": id.name, "annotations": annotations},
        "spec": {"replicas": number.replicas},
    });
    let deployments = Api::<Deployment>::namespaced(ctx.client.clone(), &id.namespace);
    match patch(&deployments, &id.name, &body, number.force).await {
        Ok(()) => Ok(true),
        Err(Error::Write {
            source: kube::Error::Api(status),
            ..
        }) if status.is_conflict() => Ok(false),
        Err(error) => Err(error),
    }
}

async fn patch(
    deployments: &Api<Deployment>,
    name: &str,
    body: &Value,
    force: bool,
) -> Result<(), Error> {
    let mut parameters = PatchParams::apply(MANAGER);
    parameters.force = force;
    let applied = deployments
        .patch(name, &parameters, &Patch::Apply(body))
        .await
        .map_err(|source| Error::write::<Deployment>(name, source))?;
    let replicas = applied.spec.and_then(|spec| spec.replicas);
    let namespace = applied.metadata.namespace;
    tracing::info!(namespace, name, replicas, "number of pods applied");
    Ok(())
}
