//! Brings the Deployment, its number of pods and its autoscaler about, so that no hand-over between
//! those who may say the number loses a pod. What is to be done is decided in
//! [`crate::rollout::replicas`].

use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::autoscaling::v2::HorizontalPodAutoscaler;
use kube::api::{Api, Patch, PatchParams};
use kube::{Resource as _, ResourceExt as _};
use serde_json::{Value, json};

use super::apply::{exists, kind, to_json};
use super::validate::Identity;
use super::{Context, Error};
use crate::build::{Others, Wanted};
use crate::rollout::replicas::{API_DEFAULT, BEFORE_STOP, INITIAL, Scaling, Write};

/// The field manager of `spec.replicas`, and of nothing else.
const MANAGER: &str = "post-operator-replicas";

/// Applies all three in the order that `scaling` needs. True if the Deployment's template was made or
/// changed.
pub async fn apply(
    id: &Identity,
    deployments: &Wanted<Deployment>,
    autoscalers: &Wanted<HorizontalPodAutoscaler>,
    scaling: Scaling,
    ctx: &Context,
) -> Result<bool, Error> {
    let scalers = &ctx.children.autoscalers;
    let goes = autoscalers.objects.is_empty() && autoscalers.others == Others::Remove;
    if goes {
        // Before the number is written, which it must not change afterwards.
        kind(id, autoscalers, scalers, ctx).await?;
    }
    let mut number = scaling.write;
    for deployment in &deployments.objects {
        number = make(id, deployment, scaling.initial, ctx).await?.or(number);
    }
    let changed = kind(id, deployments, &ctx.children.deployments, ctx).await?;
    if let Some(number) = number {
        write(id, number, ctx).await?;
    }
    if !goes {
        kind(id, autoscalers, scalers, ctx).await?;
    }
    Ok(changed)
}

/// Makes a missing Deployment with `replicas` pods, unless the API server's default is that.
///
/// The main manager's apply would make it with one pod. So the second one makes it whole, the main
/// one takes over everything but the number, and the returned write gives up the rest. Killed in
/// between, the annotation [`INITIAL`] tells the next pass to go on.
async fn make(
    id: &Identity,
    deployment: &Deployment,
    replicas: i32,
    ctx: &Context,
) -> Result<Option<Write>, Error> {
    if replicas == API_DEFAULT {
        return Ok(None);
    }
    let name = deployment.name_any();
    let deployments = Api::<Deployment>::namespaced(ctx.client.clone(), &id.namespace);
    let store = &ctx.children.deployments;
    if exists(id, &name, store, ctx).await? {
        return Ok(None);
    }
    let mut whole = deployment.clone();
    whole
        .annotations_mut()
        .insert(INITIAL.into(), replicas.to_string());
    if let Some(spec) = &mut whole.spec {
        spec.replicas = Some(replicas);
    }
    patch(&deployments, &name, &to_json(&whole)?, false).await?;
    Ok(Some(Write {
        replicas,
        before_stop: None,
        force: false,
    }))
}

/// Writes the number, unless its owner changed it meanwhile.
async fn write(id: &Identity, number: Write, ctx: &Context) -> Result<(), Error> {
    let annotations = number
        .before_stop
        .map(|before| json!({BEFORE_STOP: before.to_string()}));
    // With a uid it is never made by this, which would be refused as half a Deployment: one that is
    // gone by now is a conflict.
    let known = ctx.children.deployments.get(&id.namespace, &id.workload);
    let uid = known.and_then(|live| live.uid());
    let body = json!({
        "apiVersion": Deployment::api_version(&()), "kind": Deployment::kind(&()),
        "metadata": {"name": id.workload, "uid": uid, "annotations": annotations},
        "spec": {"replicas": number.replicas},
    });
    let deployments = Api::<Deployment>::namespaced(ctx.client.clone(), &id.namespace);
    match patch(&deployments, &id.workload, &body, number.force).await {
        Err(Error::Write {
            source: kube::Error::Api(status),
            ..
        }) if status.is_conflict() => Ok(()),
        result => result,
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
