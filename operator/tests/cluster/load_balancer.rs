//! What is said of the load balancer, by what its controller leaves in the cluster.

use k8s_openapi::api::core::v1::{Event, Service};
use k8s_openapi::jiff::{SignedDuration, Timestamp};
use kube::ResourceExt as _;
use kube::api::{ListParams, Patch, PatchParams, PostParams};
use post_operator::api::v1alpha1::PostService;
use post_operator::foreign::TargetGroupBinding;
use serde_json::{Value, json};

use crate::foreign_kinds::ForeignKinds;
use crate::world::{Environment, World};

const NAME: &str = "post-service";

async fn ready(name: &str) -> Option<World> {
    let mut world = World::open(Environment::find()?, name).await;
    world.start_operator();
    world.make_ready("1").await;
    Some(world)
}

/// The API server's default for Events keeps them an hour; a controller's looks like this.
async fn warn(world: &World, message: &str) {
    let service = world.api::<Service>().get(NAME).await.unwrap();
    let now = Timestamp::now().to_string();
    let event: Event = serde_json::from_value(json!({
        "metadata": {"generateName": "warning-"}, "type": "Warning", "reason": "FailedBuildModel",
        "message": message, "source": {"component": "service"},
        "firstTimestamp": now, "lastTimestamp": now,
        "involvedObject": {"kind": "Service", "name": NAME, "namespace": world.namespace,
            "uid": service.uid()},
    }))
    .unwrap();
    world
        .api::<Event>()
        .create(&PostParams::default(), &event)
        .await
        .unwrap();
}

async fn patch_service(world: &World, patch: Value) {
    world
        .api::<Service>()
        .patch_status(NAME, &PatchParams::default(), &Patch::Merge(patch))
        .await
        .unwrap();
}

/// Calls a pass without asking for anything else.
async fn touch(world: &World) {
    let patch = json!({"metadata": {"annotations": {"touched": Timestamp::now().to_string()}}});
    world
        .api::<PostService>()
        .patch(NAME, &PatchParams::default(), &Patch::Merge(patch))
        .await
        .unwrap();
}

#[tokio::test]
async fn the_controllers_last_warning_is_passed_on_and_never_gates_ready() {
    let Some(world) = ready("lbwarning").await else {
        return;
    };
    world
        .condition("LoadBalancerReady", "False", "Pending")
        .await;
    warn(&world, "unable to resolve at least one subnet").await;
    touch(&world).await;
    let message = world
        .condition("LoadBalancerReady", "False", "ControllerError")
        .await;
    assert!(message.contains("FailedBuildModel"), "{message}");
    assert!(message.contains("at least one subnet"), "{message}");
    world.condition("Ready", "True", "UpToDate").await;

    let ingress = json!([{"hostname": "a.elb.eu-west-1.amazonaws.com"}]);
    patch_service(
        &world,
        json!({"status": {"loadBalancer": {"ingress": ingress}}}),
    )
    .await;
    let message = world.condition("LoadBalancerReady", "True", "Ready").await;
    assert!(message.contains("a.elb.eu-west-1"), "{message}");
    let endpoints = world.service().await.status.unwrap().endpoints;
    assert_eq!(endpoints[0].url, "http://a.elb.eu-west-1.amazonaws.com");
    world.close().await;
}

#[tokio::test]
async fn a_controller_that_does_not_answer_is_missing_until_it_takes_the_service() {
    let Some(mut world) = ready("lbmissing").await else {
        return;
    };
    world
        .condition("LoadBalancerReady", "False", "Pending")
        .await;
    world.stop_operator().await;
    // As if the Service had waited for three minutes.
    let mut status = serde_json::to_value(world.service().await.status.unwrap()).unwrap();
    for condition in status["conditions"].as_array_mut().unwrap() {
        let long_ago = Timestamp::now() - SignedDuration::from_mins(3);
        condition["lastTransitionTime"] = json!(long_ago.to_string());
    }
    world
        .api::<PostService>()
        .patch_status(
            NAME,
            &PatchParams::default(),
            &Patch::Merge(json!({"status": status})),
        )
        .await
        .unwrap();
    world.start_operator();
    let message = world
        .condition("LoadBalancerReady", "False", "ControllerMissing")
        .await;
    assert!(message.contains("service.k8s.aws/nlb"), "{message}");
    world.condition("Ready", "True", "UpToDate").await;

    let finalizers = json!({"metadata": {"finalizers": ["service.k8s.aws/resources"]}});
    let patch = Patch::Merge(finalizers);
    let services = world.api::<Service>();
    services
        .patch(NAME, &PatchParams::default(), &patch)
        .await
        .unwrap();
    world
        .condition("LoadBalancerReady", "False", "Pending")
        .await;
    let freed = Patch::Merge(json!({"metadata": {"finalizers": null}}));
    services
        .patch(NAME, &PatchParams::default(), &freed)
        .await
        .unwrap();
    world.close().await;
}

#[tokio::test]
async fn a_target_group_is_ready_when_its_controller_has_registered_the_pods() {
    let Some(environment) = Environment::find() else {
        return;
    };
    let mut world = World::open(environment, "lbbinding").await;
    let kinds = ForeignKinds::turn(&world.client).await;
    world.start_operator();
    let arn =
        "arn:aws:elasticloadbalancing:eu-west-1:123456789012:targetgroup/board/0123456789abcdef";
    let bound = json!({"service": {"loadBalancer": {"targetGroupARN": arn}}});
    world.create_service("1", bound).await;
    let message = world
        .condition("LoadBalancerReady", "False", "ControllerMissing")
        .await;
    assert!(message.contains("TargetGroupBinding"), "{message}");
    kinds.install().await;
    world
        .condition("LoadBalancerReady", "False", "Pending")
        .await;
    let bindings = world.api::<TargetGroupBinding>();
    let all = ListParams::default();
    let binding = bindings.list(&all).await.unwrap().items.pop().unwrap();
    let registered = json!({"status": {"observedGeneration": binding.metadata.generation}});
    bindings
        .patch_status(
            &binding.name_any(),
            &PatchParams::default(),
            &Patch::Merge(registered),
        )
        .await
        .unwrap();
    let message = world.condition("LoadBalancerReady", "True", "Ready").await;
    assert!(message.contains(arn), "{message}");
    world.close().await;
    kinds.remove().await;
}

#[tokio::test]
async fn another_class_is_refused_while_enabled_and_comes_by_way_of_none() {
    let Some(environment) = Environment::find() else {
        return;
    };
    let mut world = World::open(environment, "lbclass").await;
    world.start_operator();
    world.create_service("1", json!({})).await;
    let class = |service: &Service| service.spec.as_ref()?.load_balancer_class.clone();
    world.wait(NAME, "its class", class).await;
    let set = async |load_balancer: Value| {
        let change = json!({"spec": {"service": {"loadBalancer": load_balancer}}});
        let api = world.api::<PostService>();
        api.patch(NAME, &PatchParams::default(), &Patch::Merge(change))
            .await
    };
    let refused = set(json!({"class": "eks.amazonaws.com/nlb"})).await;
    let refused = refused.unwrap_err().to_string();
    assert!(
        refused.contains("service.loadBalancer.class cannot be changed"),
        "{refused}"
    );
    // Too quick for a pass in between: the operator finds a Service of the former class.
    set(json!({"enabled": false, "class": "eks.amazonaws.com/nlb"}))
        .await
        .unwrap();
    set(json!({"enabled": true})).await.unwrap();
    world
        .wait::<Service, _>(NAME, "the other class", |service| {
            (class(service)? == "eks.amazonaws.com/nlb").then_some(())
        })
        .await;
    world.close().await;
}

#[tokio::test]
async fn what_contradicts_itself_stalls_with_the_field_and_the_mend() {
    let Some(environment) = Environment::find() else {
        return;
    };
    let mut world = World::open(environment, "lbcontradiction").await;
    world.start_operator();
    let annotations = json!({"service.beta.kubernetes.io/aws-load-balancer-internal": "true"});
    for (load_balancer, expected) in [
        (
            json!({"annotations": annotations}),
            "spec.service.loadBalancer.annotations: service.beta.kubernetes.io/aws-load-balancer-internal would contradict the typed fields: use scheme",
        ),
        (
            json!({"attributes": {"a,b": "c"}}),
            "spec.service.loadBalancer.attributes: a,b: a comma, or = in a key, cannot be passed on: remove it",
        ),
    ] {
        world
            .create_service("1", json!({"service": {"loadBalancer": load_balancer}}))
            .await;
        world
            .wait::<PostService, _>(NAME, expected, |service| {
                let conditions = &service.status.as_ref()?.conditions;
                conditions
                    .iter()
                    .find(|c| c.reason == "InvalidSpec" && c.message == expected)
                    .map(drop)
            })
            .await;
    }
    world.close().await;
}
