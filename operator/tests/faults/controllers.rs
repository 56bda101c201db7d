//! The parts of kube-controller-manager and of the load balancer's controller, played at once.

use k8s_openapi::jiff::Timestamp;
use kube::ResourceExt as _;
use kube::api::{Api, ApiResource, DeleteParams, DynamicObject, Patch, PatchParams, Preconditions};
use serde_json::{Value, json};

use crate::cluster::{Cluster, resource_of};

/// Kinds whose children go with them.
const OWNERS: [&str; 2] = ["PostService", "ControllerRevision"];

/// Acts on an object that came or changed.
pub async fn act(cluster: &Cluster, resource: &ApiResource, object: &DynamicObject) {
    let namespace = object.namespace().unwrap_or_default();
    match resource.kind.as_str() {
        "Job" => end_job(cluster, resource, object).await,
        "Deployment" => {
            serve(cluster, resource, object).await;
            scale(cluster, &namespace, &object.name_any()).await;
        }
        "HorizontalPodAutoscaler" => scale(cluster, &namespace, &object.name_any()).await,
        "Service" => give_address(cluster, resource, object).await,
        _ => {}
    }
    collect_orphan(cluster, resource, object).await;
}

/// The garbage collector, when an owner went.
pub async fn collect(cluster: &Cluster, kind: &str, owner: &DynamicObject) {
    if !OWNERS.contains(&kind) {
        return;
    }
    let namespace = owner.namespace().unwrap_or_default();
    let children = cluster.namespace(&namespace).objects;
    for ((kind, name), child) in children {
        if owners(&child).any(|uid| Some(uid) == owner.uid().as_deref()) {
            delete(cluster, &resource_of(&kind), &namespace, &name, &child).await;
        }
    }
}

/// The garbage collector, when a child came whose owner is no more.
async fn collect_orphan(cluster: &Cluster, resource: &ApiResource, object: &DynamicObject) {
    let namespace = object.namespace().unwrap_or_default();
    let child = serde_json::to_value(object).unwrap();
    for reference in object.owner_references() {
        if !OWNERS.contains(&reference.kind.as_str()) {
            continue;
        }
        let has_uid = |owner: &Value| owner["metadata"]["uid"] == reference.uid.as_str();
        let known = cluster.object(&namespace, &reference.kind, &reference.name);
        if known.as_ref().is_some_and(has_uid) {
            continue;
        }
        // The mirror may lag behind: the API server knows.
        let owners = api(cluster, &resource_of(&reference.kind), &namespace);
        let live = owners.get_opt(&reference.name).await.unwrap();
        if live.is_none_or(|owner| owner.uid().as_deref() != Some(&reference.uid)) {
            delete(cluster, resource, &namespace, &object.name_any(), &child).await;
        }
    }
}

fn owners(child: &Value) -> impl Iterator<Item = &str> {
    child["metadata"]["ownerReferences"]
        .as_array()
        .into_iter()
        .flatten()
        .filter_map(|owner| owner["uid"].as_str())
}

async fn delete(
    cluster: &Cluster,
    resource: &ApiResource,
    namespace: &str,
    name: &str,
    child: &Value,
) {
    let parameters = DeleteParams::background().preconditions(Preconditions {
        uid: child["metadata"]["uid"].as_str().map(str::to_owned),
        resource_version: None,
    });
    // Gone already, or another one of that name by now: nothing to collect.
    let _ = api(cluster, resource, namespace)
        .delete(name, &parameters)
        .await;
}

async fn end_job(cluster: &Cluster, resource: &ApiResource, job: &DynamicObject) {
    if job.data["status"]["conditions"].is_array() {
        return;
    }
    let now = Timestamp::now().to_string();
    let status = json!({"startTime": now, "completionTime": now, "succeeded": 1, "conditions": [
        {"type": "SuccessCriteriaMet", "status": "True", "lastTransitionTime": now},
        {"type": "Complete", "status": "True", "lastTransitionTime": now},
    ]});
    patch_status(cluster, resource, job, status).await;
}

/// The Deployment controller: every pod of the present template serves at once.
async fn serve(cluster: &Cluster, resource: &ApiResource, deployment: &DynamicObject) {
    let replicas = deployment.data["spec"]["replicas"].as_i64().unwrap_or(1);
    let count = if replicas == 0 {
        Value::Null
    } else {
        json!(replicas)
    };
    let status = json!({
        "observedGeneration": deployment.metadata.generation, "replicas": count,
        "updatedReplicas": count, "readyReplicas": count, "availableReplicas": count,
    });
    let live = &deployment.data["status"];
    let fields = status.as_object().unwrap();
    if fields
        .iter()
        .any(|(field, value)| live[field.as_str()] != *value)
    {
        patch_status(cluster, resource, deployment, status).await;
    }
}

/// The autoscaler: the number of pods lies within its bounds.
async fn scale(cluster: &Cluster, namespace: &str, name: &str) {
    let (Some(scaler), Some(deployment)) = (
        cluster.object(namespace, "HorizontalPodAutoscaler", name),
        cluster.object(namespace, "Deployment", name),
    ) else {
        return;
    };
    let replicas = deployment["spec"]["replicas"].as_i64().unwrap_or(1);
    let min = scaler["spec"]["minReplicas"].as_i64().unwrap_or(1);
    let max = scaler["spec"]["maxReplicas"].as_i64().unwrap_or(1);
    let wanted = replicas.clamp(min, max);
    // Zero pods: somebody stopped it, and the autoscaler keeps out of it.
    if replicas == 0 || wanted == replicas {
        return;
    }
    let patch = json!({"spec": {"replicas": wanted}});
    // Gone by now: nothing to scale.
    let _ = api(cluster, &resource_of("Deployment"), namespace)
        .patch_scale(name, &PatchParams::default(), &Patch::Merge(patch))
        .await;
}

/// The load balancer's controller.
async fn give_address(cluster: &Cluster, resource: &ApiResource, service: &DynamicObject) {
    let balanced = service.data["spec"]["type"] == "LoadBalancer";
    let has_address = service.data["status"]["loadBalancer"]["ingress"].is_array();
    if balanced && !has_address {
        let ingress = json!({"loadBalancer": {"ingress": [{"hostname": "nlb.example"}]}});
        patch_status(cluster, resource, service, ingress).await;
    }
}

async fn patch_status(
    cluster: &Cluster,
    resource: &ApiResource,
    object: &DynamicObject,
    status: Value,
) {
    let namespace = object.namespace().unwrap_or_default();
    // Gone or changed by now: there will be another event.
    let _ = api(cluster, resource, &namespace)
        .patch_status(
            &object.name_any(),
            &PatchParams::default(),
            &Patch::Merge(json!({"status": status})),
        )
        .await;
}

fn api(cluster: &Cluster, resource: &ApiResource, namespace: &str) -> Api<DynamicObject> {
    Api::namespaced_with(cluster.client.clone(), namespace, resource)
}
