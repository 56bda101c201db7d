//! Taking over the objects of older manifests. The tests play the controllers of Deployments, Jobs
//! and pods.

use std::collections::BTreeMap;

use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::autoscaling::v2::HorizontalPodAutoscaler;
use k8s_openapi::api::batch::v1::Job;
use k8s_openapi::api::core::v1::{Pod, Service};
use kube::ResourceExt as _;
use kube::api::{DeleteParams, ListParams, Patch, PatchParams, PostParams};
use kube::core::NamespaceResourceScope;
use post_operator::api::v1alpha1::{AdoptionStep, PostService};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use crate::open::running as world;
use crate::world::{World, merge};

const LAST_APPLIED: &str = "kubectl.kubernetes.io/last-applied-configuration";
const NLB_CLASS: &str = "service.k8s.aws/nlb";

/// Creates an object as `kubectl apply` without `--server-side` does.
async fn kubectl_apply<K>(world: &World, object: Value) -> K
where
    K: kube::Resource<DynamicType = (), Scope = NamespaceResourceScope>
        + Clone
        + std::fmt::Debug
        + Serialize
        + DeserializeOwned,
{
    let mut whole = object.clone();
    let note = json!({"metadata": {"annotations": {LAST_APPLIED: object.to_string()}}});
    merge(&mut whole, note);
    let parameters = PostParams {
        field_manager: Some("kubectl-client-side-apply".into()),
        ..PostParams::default()
    };
    let object = serde_json::from_value(whole).unwrap();
    world.api::<K>().create(&parameters, &object).await.unwrap()
}

/// A hand-written Deployment of label `app: post-service` with serving pods.
async fn old_deployment(world: &World, name: &str, pods: i32) {
    let template = json!({
        "metadata": {"labels": {"app": "post-service"}},
        "spec": {"containers": [{"name": "flask", "image": "old"}]},
    });
    let object = json!({
        "metadata": {"name": name},
        "spec": {"replicas": pods, "selector": {"matchLabels": {"app": "post-service"}},
            "template": template},
    });
    kubectl_apply::<Deployment>(world, object).await;
    serve(world, name, pods).await;
    for index in 0..pods {
        let pod = json!({
            "metadata": {"name": format!("{name}-{index}"), "labels": {"app": "post-service"}},
            "spec": {"containers": [{"name": "flask", "image": "old"}]},
        });
        let pod: Pod = serde_json::from_value(pod).unwrap();
        world
            .api::<Pod>()
            .create(&PostParams::default(), &pod)
            .await
            .unwrap();
    }
}

async fn old_service(world: &World, spec: Value) -> Service {
    let mut object = json!({
        "metadata": {"name": "post-service"}, "spec": {"selector": {"app": "post-service"}},
    });
    merge(&mut object, spec);
    kubectl_apply::<Service>(world, object).await
}

/// Plays the Deployment controller: so many pods of the present template serve.
async fn serve(world: &World, name: &str, pods: i32) {
    let deployments = world.api::<Deployment>();
    let change = json!({"spec": {"replicas": pods}});
    let live = deployments
        .patch(name, &PatchParams::default(), &Patch::Merge(change))
        .await
        .unwrap();
    let status = json!({
        "observedGeneration": live.metadata.generation, "replicas": pods, "updatedReplicas": pods,
        "readyReplicas": pods, "availableReplicas": pods,
    });
    deployments
        .patch_status(
            name,
            &PatchParams::default(),
            &Patch::Merge(json!({"status": status})),
        )
        .await
        .unwrap();
}

async fn end_old_pods(world: &World) {
    let of_old = ListParams::default().labels("app=post-service");
    world
        .api::<Pod>()
        .delete_collection(&DeleteParams::default().grace_period(0), &of_old)
        .await
        .unwrap();
}

/// Names the old objects in the spec; delays are as short as the rules allow.
async fn adopt(world: &World, adopt: Value) {
    let spec = json!({
        "adopt": adopt,
        "rollout": {"drainDelay": "1s", "bake": {"duration": "1s"}},
        "service": {"loadBalancer": {"enabled": false}},
    });
    world.create_service("1", spec).await;
}

async fn step(world: &World, step: AdoptionStep) -> String {
    world
        .wait::<PostService, _>("post-service", step.as_str(), |service| {
            let adoption = service.status.as_ref()?.adoption.clone()?;
            (adoption.step == step).then_some(adoption.message)
        })
        .await
}

/// Migrates, and rolls `pods` pods of Deployment `name` out.
async fn roll_out(world: &World, digest: &str, name: &str, pods: i32) {
    let job = world.migration_job(digest).await;
    world.end_job(&job, "Complete").await;
    world
        .wait::<Deployment, _>(name, digest, |_| Some(()))
        .await;
    serve(world, name, pods).await;
}

async fn finish_job(world: &World) -> Job {
    let begun = std::time::Instant::now();
    loop {
        let jobs = world
            .api::<Job>()
            .list(&ListParams::default())
            .await
            .unwrap();
        let found = jobs.items.into_iter().find(is_finish);
        if let Some(job) = found {
            return job;
        }
        assert!(begun.elapsed() < crate::world::PATIENCE, "no finish Job");
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    }
}

fn is_finish(job: &Job) -> bool {
    let pod = job.spec.as_ref().and_then(|job| job.template.spec.as_ref());
    pod.unwrap().containers[0].args.as_deref() == Some(&["migrate".into(), "--finish".into()])
}

fn selector(service: &Service) -> BTreeMap<String, String> {
    service.spec.clone().unwrap().selector.unwrap()
}

fn leads_to_ours(service: &Service) -> bool {
    selector(service)
        .get("app.kubernetes.io/component")
        .map(String::as_str)
        == Some("api")
}

/// Waits until the Service leads to the new pods.
async fn moved(world: &World, name: &str) -> Service {
    world
        .wait::<Service, _>(name, "the new pods", |service| {
            leads_to_ours(service).then(|| service.clone())
        })
        .await
}

async fn get_old(world: &World) -> Option<Deployment> {
    world
        .api()
        .get_opt("post-service-deployment")
        .await
        .unwrap()
}

/// The manifests behind an ALB ingress, named in a `PostService`; gives their Service.
async fn adopt_behind_an_alb(world: &World) -> Service {
    old_deployment(world, "post-service-deployment", 2).await;
    let service = old_service(
        world,
        json!({"spec": {"type": "NodePort", "ports": [{"port": 8082, "targetPort": 8082}]}}),
    )
    .await;
    kubectl_apply::<HorizontalPodAutoscaler>(
        world,
        json!({
            "metadata": {"name": "post-service-hpa"},
            "spec": {"scaleTargetRef": {"apiVersion": "apps/v1", "kind": "Deployment",
                "name": "post-service-deployment"}, "minReplicas": 1, "maxReplicas": 5},
        }),
    )
    .await;
    adopt(
        world,
        json!({"deployment": "post-service-deployment", "service": "post-service",
        "horizontalPodAutoscaler": "post-service-hpa"}),
    )
    .await;
    service
}

#[tokio::test]
async fn the_manifests_behind_an_alb_are_taken_over_step_by_step() {
    let world = world!("adopt-alb");
    let digest = world.push_image("1").await;
    world.create_secrets().await;
    let before = adopt_behind_an_alb(&world).await;

    let job = world.migration_job(&digest).await;
    world.end_job(&job, "Complete").await;
    world
        .wait::<HorizontalPodAutoscaler, _>("post-service", "a minimum of the old load", |scaler| {
            (scaler.spec.as_ref()?.min_replicas == Some(2)).then_some(())
        })
        .await;
    world
        .wait::<Deployment, _>("post-service", "existence", |_| Some(()))
        .await;
    serve(&world, "post-service", 1).await;
    step(&world, AdoptionStep::Preparing).await;
    let live = world.api::<Service>().get("post-service").await.unwrap();
    assert_eq!(
        live.resource_version(),
        before.resource_version(),
        "one pod is not enough"
    );
    serve(&world, "post-service", 2).await;

    let service = moved(&world, "post-service").await;
    let (now, then) = (service.spec.clone().unwrap(), before.spec.unwrap());
    assert_eq!(
        (&now.type_, &now.ports, &now.cluster_ip),
        (&then.type_, &then.ports, &then.cluster_ip)
    );
    assert_eq!(service.owner_references()[0].kind, "PostService");
    assert!(!service.annotations().contains_key(LAST_APPLIED));
    let managers: Vec<_> = service
        .managed_fields()
        .iter()
        .filter_map(|e| e.manager.clone())
        .collect();
    assert!(
        !managers.iter().any(|name| name.starts_with("kubectl")),
        "{managers:?}"
    );

    let retired = world
        .wait::<Deployment, _>("post-service-deployment", "zero replicas", |old| {
            (old.spec.as_ref()?.replicas == Some(0)).then(|| old.clone())
        })
        .await;
    assert!(
        retired.owner_references().is_empty(),
        "it outlives the PostService"
    );
    let waiting = step(&world, AdoptionStep::Retiring).await;
    assert!(
        waiting.contains("post-service-deployment-0") || waiting.contains("scaled"),
        "{waiting}"
    );
    world.condition("Reconciling", "True", "Adopting").await;
    let jobs = world
        .api::<Job>()
        .list(&ListParams::default())
        .await
        .unwrap()
        .items;
    assert!(!jobs.iter().any(is_finish), "an old writer is left");
    end_old_pods(&world).await;

    let job = finish_job(&world).await;
    assert!(
        get_old(&world).await.is_some(),
        "it is a way back until the bake is over"
    );
    world.end_job(&job, "Complete").await;
    world.condition("Ready", "True", "UpToDate").await;
    world
        .condition("AdoptionComplete", "True", "Complete")
        .await;
    assert!(get_old(&world).await.is_none());
    let scalers = world.api::<HorizontalPodAutoscaler>();
    assert!(scalers.get_opt("post-service-hpa").await.unwrap().is_none());
    world
        .wait::<HorizontalPodAutoscaler, _>("post-service", "its own minimum", |scaler| {
            (scaler.spec.as_ref()?.min_replicas == Some(1)).then_some(())
        })
        .await;
    world.close().await;
}

#[tokio::test]
async fn objects_of_the_same_name_are_taken_over_and_the_workload_gets_another() {
    let world = world!("adopt-name");
    let digest = world.push_image("1").await;
    world.create_secrets().await;
    old_deployment(&world, "post-service", 1).await;
    old_service(
        &world,
        json!({"spec": {"type": "LoadBalancer", "ports": [{"port": 80, "targetPort": 8082}]}}),
    )
    .await;
    let spec = json!({
        "adopt": {"deployment": "post-service", "service": "post-service"},
        "rollout": {"drainDelay": "10s", "bake": {"duration": "1s"}},
        "service": {"loadBalancer": {"deregistrationDelaySeconds": 0}},
    });
    world.create_service("1", spec).await;

    // Not of the class: the network load balancer is a second Service, there before the pods.
    let second = world
        .wait::<Service, _>("post-service-nlb", "existence", |s| Some(s.clone()))
        .await;
    assert_eq!(
        second.spec.as_ref().unwrap().load_balancer_class.as_deref(),
        Some(NLB_CLASS)
    );
    assert!(leads_to_ours(&second));
    roll_out(&world, &digest, "post-service-api", 1).await;
    let service = moved(&world, "post-service").await.spec.unwrap();
    assert_eq!(
        (service.type_.as_deref(), service.load_balancer_class),
        (Some("LoadBalancer"), None)
    );
    let ports = service.ports.unwrap();
    assert_eq!((ports.len(), ports[0].port, &ports[0].name), (1, 80, &None));

    let scaler = world
        .api::<HorizontalPodAutoscaler>()
        .get("post-service-api")
        .await
        .unwrap();
    assert_eq!(
        scaler.spec.unwrap().scale_target_ref.name,
        "post-service-api"
    );
    world
        .wait::<Deployment, _>("post-service", "zero replicas", |old| {
            (old.spec.as_ref()?.replicas == Some(0)).then_some(())
        })
        .await;
    end_old_pods(&world).await;
    world.end_job(&finish_job(&world).await, "Complete").await;
    step(&world, AdoptionStep::Complete).await;

    // With `adopt` gone every object stays what it is.
    let objects = async || {
        let services = world
            .api::<Service>()
            .list(&ListParams::default())
            .await
            .unwrap();
        let deployments = world
            .api::<Deployment>()
            .list(&ListParams::default())
            .await
            .unwrap();
        let services = services
            .items
            .into_iter()
            .map(|s| (s.name_any(), s.uid(), s.spec));
        let deployments = deployments
            .items
            .into_iter()
            .map(|d| (d.name_any(), d.uid()));
        (
            services.collect::<Vec<_>>(),
            deployments.collect::<Vec<_>>(),
        )
    };
    let before = objects().await;
    let removal = json!({"spec": {"adopt": null}});
    world.change(removal).await;
    world
        .wait::<PostService, _>("post-service", "no adoption", |service| {
            service.status.as_ref()?.adoption.is_none().then_some(())
        })
        .await;
    world.condition("Ready", "True", "UpToDate").await;
    assert_eq!(objects().await, before);
    assert_eq!(
        before.1.len(),
        1,
        "the old Deployment is gone: {:?}",
        before.1
    );
    world.close().await;
}

#[tokio::test]
async fn an_nlb_of_the_class_becomes_ours_with_all_its_ports_and_without_deprecated_annotations() {
    let world = world!("adopt-nlb");
    let digest = world.push_image("1").await;
    world.create_secrets().await;
    old_deployment(&world, "flask", 1).await;
    let annotation = |name: &str| format!("service.beta.kubernetes.io/aws-load-balancer-{name}");
    let old = old_service(
        &world,
        json!({
            "metadata": {"annotations": {
                annotation("cross-zone-load-balancing-enabled"): "false",
                annotation("internal"): "true",
                annotation("name"): "board",
            }},
            "spec": {"type": "LoadBalancer", "loadBalancerClass": NLB_CLASS, "ports": [
                {"name": "web", "port": 8080, "targetPort": "gunicorn"},
                {"name": "http", "port": 8082}]},
        }),
    )
    .await;
    let spec = json!({
        "adopt": {"deployment": "flask", "service": "post-service"},
        "rollout": {"drainDelay": "10s"}, "service": {"loadBalancer": {"deregistrationDelaySeconds": 0}},
    });
    world.create_service("1", spec).await;
    roll_out(&world, &digest, "post-service", 1).await;

    let service = moved(&world, "post-service").await;
    assert_eq!(service.uid(), old.uid());
    let annotations = service.annotations();
    assert!(!annotations.contains_key(&annotation("cross-zone-load-balancing-enabled")));
    assert!(!annotations.contains_key(&annotation("internal")));
    assert_eq!(annotations[&annotation("name")], "board");
    assert_eq!(
        annotations[&annotation("attributes")],
        "load_balancing.cross_zone.enabled=true"
    );
    let ports = service.spec.unwrap().ports.unwrap();
    let found: Vec<_> = ports
        .iter()
        .map(|port| {
            let target = json!(port.target_port);
            (port.name.as_deref().unwrap(), port.port, target)
        })
        .collect();
    assert_eq!(
        found,
        [
            ("web", 8080, json!(8082)),
            ("http", 8082, json!(8082)),
            ("http-80", 80, json!(8082))
        ]
    );
    let node_ports = |ports: &[k8s_openapi::api::core::v1::ServicePort]| -> Vec<_> {
        ports.iter().map(|port| port.node_port).collect()
    };
    assert_eq!(
        node_ports(&ports)[..2],
        node_ports(&old.spec.unwrap().ports.unwrap())[..]
    );
    assert!(
        world
            .api::<Service>()
            .get_opt("post-service-nlb")
            .await
            .unwrap()
            .is_none()
    );
    world.close().await;
}

#[tokio::test]
async fn a_wrong_name_blocks_before_anything_is_changed() {
    let world = world!("adopt-wrong");
    world.push_image("1").await;
    world.create_secrets().await;
    old_deployment(&world, "flask", 1).await;
    let before = old_service(&world, json!({"spec": {"ports": [{"port": 80}]}})).await;
    adopt(
        &world,
        json!({"deployment": "falsk", "service": "post-service"}),
    )
    .await;
    let message = world.condition("Stalled", "True", "ObjectConflict").await;
    assert!(
        message.contains("Deployment falsk") && message.contains("correct the name"),
        "{message}"
    );
    let after = world.api::<Service>().get("post-service").await.unwrap();
    assert_eq!(before.resource_version(), after.resource_version());
    adopt(
        &world,
        json!({"deployment": "flask", "service": "post-service"}),
    )
    .await;
    step(&world, AdoptionStep::Preparing).await;
    world.close().await;
}

#[tokio::test]
async fn a_post_service_deleted_before_the_move_leaves_every_old_object() {
    let world = world!("adopt-gone");
    let digest = world.push_image("1").await;
    world.create_secrets().await;
    old_deployment(&world, "flask", 1).await;
    let before = old_service(&world, json!({"spec": {"ports": [{"port": 80}]}})).await;
    adopt(
        &world,
        json!({"deployment": "flask", "service": "post-service"}),
    )
    .await;
    world.migration_job(&digest).await;
    step(&world, AdoptionStep::Preparing).await;
    world.delete::<PostService>("post-service").await;
    // Nothing is owned that the garbage collector, which does not run here, would take.
    let after = world.api::<Service>().get("post-service").await.unwrap();
    assert_eq!(before.resource_version(), after.resource_version());
    let old = world.api::<Deployment>().get("flask").await.unwrap();
    assert!(old.owner_references().is_empty() && old.spec.unwrap().replicas == Some(1));
    world.close().await;
}

/// An adoption of Deployment `flask` whose Service has moved.
async fn move_service(world: &World) -> String {
    let digest = world.push_image("1").await;
    world.create_secrets().await;
    old_deployment(world, "flask", 1).await;
    old_service(
        world,
        json!({"spec": {"ports": [{"name": "web", "port": 80}]}}),
    )
    .await;
    adopt(
        world,
        json!({"deployment": "flask", "service": "post-service"}),
    )
    .await;
    roll_out(world, &digest, "post-service", 1).await;
    moved(world, "post-service").await;
    digest
}

#[tokio::test]
async fn a_failed_finish_is_said_with_its_mend_and_tried_again() {
    let world = world!("adopt-finish");
    move_service(&world).await;
    end_old_pods(&world).await;
    let job = finish_job(&world).await;
    world.end_job(&job, "Failed").await;
    let message = world.condition("Stalled", "True", "MigrationFailed").await;
    assert!(
        message.contains("--finish") && message.contains("serves on"),
        "{message}"
    );
    world.condition("Available", "True", "PodsServe").await;
    let token = json!({"metadata": {"annotations": {"platform.hhottdogg.shop/retry": "again"}}});
    world.change(token).await;
    let again = world
        .wait::<Job, _>(&job.name_any(), "a new Job", |found| {
            (found.uid() != job.uid()).then(|| found.clone())
        })
        .await;
    world.end_job(&again, "Complete").await;
    step(&world, AdoptionStep::Complete).await;
    world.close().await;
}

#[tokio::test]
async fn an_old_deployment_scaled_up_again_is_named_and_not_fought() {
    let world = world!("adopt-git");
    move_service(&world).await;
    let zero = |old: &Deployment| (old.spec.as_ref()?.replicas == Some(0)).then_some(());
    world
        .wait::<Deployment, _>("flask", "zero replicas", zero)
        .await;
    serve(&world, "flask", 1).await;
    let message = world.condition("Stalled", "True", "ObjectConflict").await;
    assert!(
        message.contains("Deployment flask") && message.contains("GitOps"),
        "{message}"
    );
    let version = world
        .api::<Deployment>()
        .get("flask")
        .await
        .unwrap()
        .resource_version();
    let no_bake = json!({"bake": {"duration": "0s"}});
    let generation = json!({"spec": {"api": {"defaultPageSize": 20}, "rollout": no_bake}});
    let service = world.change(generation).await;
    world
        .wait::<PostService, _>("post-service", "another pass", |seen| {
            (seen.status.as_ref()?.observed_generation == service.metadata.generation).then_some(())
        })
        .await;
    assert_eq!(
        world
            .api::<Deployment>()
            .get("flask")
            .await
            .unwrap()
            .resource_version(),
        version
    );
    serve(&world, "post-service", 1).await;
    serve(&world, "flask", 0).await;
    end_old_pods(&world).await;
    world.end_job(&finish_job(&world).await, "Complete").await;
    step(&world, AdoptionStep::Complete).await;
    world.close().await;
}

#[tokio::test]
async fn without_new_pods_that_serve_the_service_moves_back_to_the_old_ones() {
    let world = world!("adopt-back");
    let digest = world.push_image("1").await;
    world.create_secrets().await;
    old_deployment(&world, "flask", 1).await;
    let before = old_service(
        &world,
        json!({"spec": {"ports":
        [{"name": "web", "port": 80, "targetPort": "gunicorn"}]}}),
    )
    .await;
    let spec = json!({
        "adopt": {"deployment": "flask", "service": "post-service"},
        "rollout": {"drainDelay": "10m"}, "service": {"loadBalancer": {"enabled": false}},
    });
    world.create_service("1", spec).await;
    roll_out(&world, &digest, "post-service", 1).await;
    moved(&world, "post-service").await;
    let down = json!({"status": {"readyReplicas": 0, "availableReplicas": 0}});
    world
        .api::<Deployment>()
        .patch_status("post-service", &PatchParams::default(), &Patch::Merge(down))
        .await
        .unwrap();
    let back = world
        .wait::<Service, _>("post-service", "the old pods", |service| {
            (selector(service).get("app")? == "post-service").then(|| service.clone())
        })
        .await;
    assert_eq!(
        back.spec.as_ref().unwrap().ports,
        before.spec.unwrap().ports
    );
    assert!(
        back.owner_references().is_empty(),
        "deleting the PostService leaves it"
    );
    let old = world.api::<Deployment>().get("flask").await.unwrap();
    assert_eq!(old.spec.unwrap().replicas, Some(1));
    serve(&world, "post-service", 1).await;
    moved(&world, "post-service").await;
    world.close().await;
}

#[tokio::test]
async fn what_is_complete_is_not_done_again_by_another_operator_process_or_for_another_spec() {
    let mut world = world!("adopt-once");
    move_service(&world).await;
    end_old_pods(&world).await;
    world.end_job(&finish_job(&world).await, "Complete").await;
    step(&world, AdoptionStep::Complete).await;
    let service = world.service().await;
    let since = service.status.unwrap().adoption.unwrap().since;
    world.stop_operator().await;
    // Somebody's tool makes the old Deployment again.
    old_deployment(&world, "flask", 1).await;
    world.start_operator();
    let message = world
        .condition("AdoptionComplete", "False", "OldObjectsReturned")
        .await;
    assert!(message.contains("Deployment flask"), "{message}");
    let no_bake = json!({"bake": {"duration": "0s"}});
    let change = json!({"spec": {"api": {"defaultPageSize": 20}, "rollout": no_bake}});
    world.change(change).await;
    world.condition("Ready", "False", "Progressing").await;
    serve(&world, "post-service", 1).await;
    world.condition("Ready", "True", "UpToDate").await;
    let old = world.api::<Deployment>().get("flask").await.unwrap();
    assert_eq!(old.spec.unwrap().replicas, Some(1), "it is not fought");
    let status = world.service().await.status.unwrap();
    assert_eq!(status.adoption.unwrap().since, since);
    world.close().await;
}

#[tokio::test]
async fn adopt_taken_back_after_the_move_leaves_the_old_deployment_alone() {
    let world = world!("adopt-stop");
    let digest = world.push_image("1").await;
    world.create_secrets().await;
    old_deployment(&world, "post-service", 1).await;
    old_service(
        &world,
        json!({"spec": {"ports": [{"name": "web", "port": 80}]}}),
    )
    .await;
    let mut spec = json!({
        "adopt": {"deployment": "post-service", "service": "post-service"},
        "rollout": {"drainDelay": "10m"}, "service": {"loadBalancer": {"enabled": false}},
    });
    world.create_service("1", spec.clone()).await;
    roll_out(&world, &digest, "post-service-api", 1).await;
    let service = moved(&world, "post-service").await;
    step(&world, AdoptionStep::Draining).await;
    spec["adopt"].take();
    world.create_service("1", spec).await;
    world
        .wait::<PostService, _>("post-service", "no adoption", |service| {
            service.status.as_ref()?.adoption.is_none().then_some(())
        })
        .await;
    world.condition("Ready", "True", "UpToDate").await;
    let old = world.api::<Deployment>().get("post-service").await.unwrap();
    assert!(old.owner_references().is_empty() && old.spec.unwrap().replicas == Some(1));
    let after = moved(&world, "post-service").await;
    assert_eq!(after.resource_version(), service.resource_version());
    let api = world
        .api::<Deployment>()
        .get("post-service-api")
        .await
        .unwrap();
    assert_eq!(api.owner_references().len(), 1);
    world.close().await;
}

#[tokio::test]
async fn a_suspended_adoption_rests_where_it_is_and_goes_on_later() {
    let world = world!("adopt-rest");
    let digest = world.push_image("1").await;
    world.create_secrets().await;
    old_deployment(&world, "flask", 1).await;
    let before = old_service(&world, json!({"spec": {"ports": [{"port": 80}]}})).await;
    adopt(
        &world,
        json!({"deployment": "flask", "service": "post-service"}),
    )
    .await;
    let job = world.migration_job(&digest).await;
    world.end_job(&job, "Complete").await;
    world
        .wait::<Deployment, _>("post-service", "existence", |_| Some(()))
        .await;
    step(&world, AdoptionStep::Preparing).await;
    let suspend = async |suspend: bool| {
        let change = Patch::Merge(json!({"spec": {"suspend": suspend}}));
        let services = world.api::<PostService>();
        services
            .patch("post-service", &PatchParams::default(), &change)
            .await
            .unwrap();
    };
    suspend(true).await;
    world.condition("Ready", "False", "Suspended").await;
    serve(&world, "post-service", 1).await;
    // The next pass: it would move the Service.
    let token = json!({"metadata": {"annotations": {"platform.hhottdogg.shop/retry": "again"}},
        "spec": {"api": {"defaultPageSize": 20}, "rollout": {"bake": {"duration": "0s"}}}});
    let changed = world.change(token).await;
    world
        .wait::<PostService, _>("post-service", "another pass", |seen| {
            (seen.status.as_ref()?.observed_generation == changed.metadata.generation).then_some(())
        })
        .await;
    let service = world.api::<Service>().get("post-service").await.unwrap();
    assert_eq!(service.resource_version(), before.resource_version());
    suspend(false).await;
    world
        .wait::<Deployment, _>("post-service", "the new template", |deployment| {
            (deployment.metadata.generation > deployment.status.as_ref()?.observed_generation)
                .then_some(())
        })
        .await;
    serve(&world, "post-service", 1).await;
    moved(&world, "post-service").await;
    world.close().await;
}
