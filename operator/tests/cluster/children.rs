//! The children as a whole: made, kept as they are, and gone when nobody asks for them.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use k8s_openapi::api::autoscaling::v2::HorizontalPodAutoscaler;
use k8s_openapi::api::core::v1::{Service, ServiceAccount};
use k8s_openapi::api::networking::v1::NetworkPolicy;
use k8s_openapi::api::policy::v1::PodDisruptionBudget;
use kube::ResourceExt as _;
use kube::api::{Api, DynamicObject, Patch, PatchParams};
use kube::client::ClientBuilder;
use kube::core::{ApiResource, GroupVersionKind};
use post_operator::api::v1alpha1::PostService;
use post_operator::foreign::{ServiceMonitor, TargetGroupBinding};
use serde_json::{Value, json};

use crate::foreign_kinds::ForeignKinds;
use crate::open::idle as world;
use crate::world::{PATIENCE, World};

const ARN: &str =
    "arn:aws:elasticloadbalancing:eu-west-1:123456789012:targetgroup/board/0123456789abcdef";

/// Group, version and kind of every child that is kept up to date.
const KINDS: [(&str, &str, &str); 8] = [
    ("", "v1", "ServiceAccount"),
    ("networking.k8s.io", "v1", "NetworkPolicy"),
    ("", "v1", "Service"),
    ("elbv2.k8s.aws", "v1beta1", "TargetGroupBinding"),
    ("apps", "v1", "Deployment"),
    ("policy", "v1", "PodDisruptionBudget"),
    ("autoscaling", "v2", "HorizontalPodAutoscaler"),
    ("monitoring.coreos.com", "v1", "ServiceMonitor"),
];

fn dynamic(world: &World, (group, version, kind): (&str, &str, &str)) -> Api<DynamicObject> {
    let kind = GroupVersionKind::gvk(group, version, kind);
    Api::namespaced_with(
        world.client.clone(),
        &world.namespace,
        &ApiResource::from_gvk(&kind),
    )
}

/// The objects of a kind that the operator made.
async fn made(world: &World, kind: (&str, &str, &str)) -> Vec<DynamicObject> {
    let ours =
        kube::api::ListParams::default().labels("app.kubernetes.io/managed-by=post-operator");
    dynamic(world, kind).list(&ours).await.unwrap().items
}

/// Waits until the names of the objects that the operator made of a kind are `expected`.
async fn named(world: &World, kind: (&str, &str, &str), expected: &[&str]) {
    let begun = std::time::Instant::now();
    loop {
        let names: Vec<_> = made(world, kind)
            .await
            .iter()
            .map(kube::ResourceExt::name_any)
            .collect();
        if names == expected {
            return;
        }
        assert!(
            begun.elapsed() < PATIENCE,
            "{kind:?}: {names:?}, not {expected:?}"
        );
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    }
}

#[tokio::test]
async fn every_child_carries_labels_and_its_owner_and_drift_on_it_is_put_back() {
    let mut world = world!("every");
    let kinds = ForeignKinds::turn(&world.client).await;
    kinds.install().await;
    world.start_operator();
    world.make_ready("1").await;
    let binding = json!({"service": {"loadBalancer": {"targetGroupARN": ARN}}});
    world.create_service("1", binding).await;
    let owner = world.service().await.uid().unwrap();
    for kind in KINDS {
        let name = format!("{}/{}", kind.0, kind.2);
        let begun = std::time::Instant::now();
        let child = loop {
            if let Some(child) = made(&world, kind).await.pop() {
                break child;
            }
            assert!(begun.elapsed() < PATIENCE, "no {name}");
            tokio::time::sleep(std::time::Duration::from_millis(50)).await;
        };
        let expected = BTreeMap::from([
            ("app.kubernetes.io/name", "post-service"),
            ("app.kubernetes.io/instance", "post-service"),
            ("app.kubernetes.io/component", "api"),
            ("app.kubernetes.io/managed-by", "post-operator"),
        ]);
        for (label, value) in expected {
            assert_eq!(
                child.labels().get(label).map(String::as_str),
                Some(value),
                "{name}"
            );
        }
        let owners = child.owner_references();
        assert_eq!(owners.len(), 1, "{name}");
        assert_eq!(
            (&owners[0].uid, owners[0].controller),
            (&owner, Some(true)),
            "{name}"
        );
    }
    for (kind, drift) in drifts() {
        put_back(&world, kind, &drift).await;
    }
    world.close().await;
    kinds.remove().await;
}

/// Changes that somebody else makes to what the operator set, one of each sort: a changed value, a
/// removed field, a field added to a list that is owned as a whole.
fn drifts() -> Vec<((&'static str, &'static str, &'static str), Value)> {
    let [
        identity,
        policy,
        service,
        binding,
        deployment,
        budget,
        scaler,
        monitor,
    ] = KINDS;
    let monitored = json!([{"targetPort": "metrics", "path": "/metrics", "interval": "30s", "honorLabels": true}]);
    let anybody = json!([{"ports": [{"port": 8082}]}, {"ports": [{"port": 9090}]}]);
    let narrowed =
        json!([{"ports": [{"port": 8082}], "from": [{"ipBlock": {"cidr": "10.0.0.0/8"}}]}]);
    vec![
        (identity, json!({"automountServiceAccountToken": null})),
        (identity, json!({"automountServiceAccountToken": true})),
        (policy, json!({"spec": {"ingress": anybody}})),
        (policy, json!({"spec": {"ingress": narrowed}})),
        (
            policy,
            json!({"spec": {"podSelector": {"matchLabels": {"a": "b"}}}}),
        ),
        (policy, json!({"spec": {"egress": [{}]}})),
        (
            service,
            json!({"spec": {"selector": {"app.kubernetes.io/component": "other"}}}),
        ),
        (
            service,
            json!({"metadata": {"labels": {"app.kubernetes.io/name": null}}}),
        ),
        (
            service,
            json!({"spec": {"ports": [{"name": "x", "port": 81, "protocol": "TCP"}]}}),
        ),
        (binding, json!({"spec": {"targetType": "instance"}})),
        (binding, json!({"spec": {"serviceRef": {"port": 81}}})),
        (
            deployment,
            json!({"spec": {"strategy": {"rollingUpdate": {"maxSurge": 1}}}}),
        ),
        (
            deployment,
            json!({"spec": {"template": {"spec": {"automountServiceAccountToken": null}}}}),
        ),
        (deployment, json!({"metadata": {"ownerReferences": null}})),
        (budget, json!({"spec": {"maxUnavailable": 0}})),
        (
            budget,
            json!({"spec": {"unhealthyPodEvictionPolicy": null}}),
        ),
        (scaler, json!({"spec": {"maxReplicas": 9}})),
        (scaler, json!({"spec": {"metrics": null}})),
        (monitor, json!({"spec": {"endpoints": monitored}})),
        (
            monitor,
            json!({"spec": {"selector": {"matchLabels": {"app.kubernetes.io/name": "x"}}}}),
        ),
    ]
}

/// Changes the child, then waits until it is as before but for versions and managers.
async fn put_back(world: &World, kind: (&str, &str, &str), drift: &Value) {
    let api = dynamic(world, kind);
    let before = made(world, kind).await.pop().unwrap();
    let name = before.name_any();
    let changed = api
        .patch(&name, &PatchParams::default(), &Patch::Merge(drift))
        .await
        .unwrap();
    assert_ne!(
        substance(&before),
        substance(&changed),
        "{kind:?} {drift}: nothing changed"
    );
    let begun = std::time::Instant::now();
    loop {
        let now = api.get(&name).await.unwrap();
        if substance(&now) == substance(&before) {
            return;
        }
        // The other port stays: it is somebody else's.
        if is_kept(drift) && port_names(&now) == ["x", "http"] {
            return;
        }
        assert!(
            begun.elapsed() < PATIENCE,
            "{kind:?} {drift} was not put back: {:#}",
            substance(&now)
        );
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    }
}

fn port_names(service: &DynamicObject) -> Vec<String> {
    let ports = service.data["spec"]["ports"].as_array().unwrap();
    ports
        .iter()
        .map(|port| port["name"].as_str().unwrap_or_default().to_owned())
        .collect()
}

fn is_kept(drift: &Value) -> bool {
    drift["spec"]["ports"].is_array()
}

fn substance(object: &DynamicObject) -> Value {
    let mut data = object.data.clone();
    data["status"] = Value::Null;
    json!({"labels": object.labels(), "owners": object.owner_references(), "spec": data["spec"], "data": data})
}

#[tokio::test]
async fn what_a_turned_off_feature_left_goes_and_comes_back_with_it() {
    let mut world = world!("off");
    let kinds = ForeignKinds::turn(&world.client).await;
    kinds.install().await;
    world.start_operator();
    world.make_ready("1").await;
    let [_, policy, _, binding, _, budget, _, monitor] = KINDS;
    let off = json!({
        "podDisruptionBudget": {"enabled": false}, "networkPolicy": {"enabled": false},
        "monitoring": {"serviceMonitor": "Disabled"},
        "service": {"loadBalancer": {"targetGroupARN": ARN}},
    });
    let name = "post-service";
    for kind in [policy, budget, monitor] {
        named(&world, kind, &[name]).await;
    }
    named(&world, binding, &[]).await;
    // Neither somebody else's object nor one without the label is an orphan.
    let others: PodDisruptionBudget = serde_json::from_value(json!({
        "metadata": {"name": "others", "labels": {"app.kubernetes.io/managed-by": "post-operator"}},
        "spec": {"maxUnavailable": 1, "selector": {"matchLabels": {"a": "b"}}},
    }))
    .unwrap();
    world
        .api::<PodDisruptionBudget>()
        .create(&kube::api::PostParams::default(), &others)
        .await
        .unwrap();

    world.create_service("1", off).await;
    named(&world, policy, &[]).await;
    named(&world, budget, &["others"]).await;
    named(&world, monitor, &[]).await;
    named(&world, binding, &[&binding_name(ARN)]).await;
    let service = world
        .api::<Service>()
        .get(name)
        .await
        .unwrap()
        .spec
        .unwrap();
    assert_eq!(service.type_.as_deref(), Some("ClusterIP"));
    assert_eq!(service.load_balancer_class, None);

    world
        .create_service(
            "1",
            json!({"service": {"loadBalancer": {"targetGroupARN": format!("{ARN}0")}}}),
        )
        .await;
    named(&world, binding, &[&binding_name(&format!("{ARN}0"))]).await;
    for kind in [policy, monitor] {
        named(&world, kind, &[name]).await;
    }
    named(&world, budget, &["others", name]).await;

    world.create_service("1", json!({})).await;
    named(&world, binding, &[]).await;
    let class = |service: &Service| service.spec.as_ref()?.load_balancer_class.clone();
    let class = world.wait::<Service, _>(name, "its class", class).await;
    assert_eq!(class, "service.k8s.aws/nlb");
    world.close().await;
    kinds.remove().await;
}

fn binding_name(arn: &str) -> String {
    use sha2::Digest as _;
    format!(
        "post-service-{}",
        hex::encode(&sha2::Sha256::digest(arn)[..4])
    )
}

#[tokio::test]
async fn a_renamed_service_account_goes_only_when_no_pod_needs_it() {
    let mut world = world!("renamed");
    world.start_operator();
    let digest = world.make_ready("1").await;
    world
        .create_service("1", json!({"serviceAccount": {"name": "board"}}))
        .await;
    let uses = |deployment: &k8s_openapi::api::apps::v1::Deployment| {
        let pod = deployment.spec.as_ref()?.template.spec.as_ref()?;
        (pod.service_account_name.as_deref() == Some("board")).then_some(())
    };
    world.wait("post-service", "the new account", uses).await;
    world.condition("Ready", "False", "Progressing").await;
    let accounts = KINDS[0];
    named(&world, accounts, &["board", "post-service"]).await;
    world.deployment_running(&digest).await;
    world.finish_rollout().await;
    named(&world, accounts, &["board"]).await;
    assert!(
        world
            .api::<ServiceAccount>()
            .get_opt("post-service")
            .await
            .unwrap()
            .is_none()
    );
    world.close().await;
}

#[tokio::test]
async fn a_kind_that_appears_or_vanishes_later_is_followed() {
    let mut world = world!("later");
    let kinds = ForeignKinds::turn(&world.client).await;
    world.start_operator();
    world.make_ready("1").await;
    kinds.install().await;
    world
        .wait::<ServiceMonitor, _>("post-service", "existence", |_| Some(()))
        .await;
    kinds.remove().await;
    // The operator goes on without it.
    world
        .create_service("1", json!({"autoscaling": {"maxReplicas": 7}}))
        .await;
    world
        .wait::<HorizontalPodAutoscaler, _>("post-service", "the new bound", |scaler| {
            (scaler.spec.as_ref()?.max_replicas == 7).then_some(())
        })
        .await;
    world.condition("Ready", "True", "UpToDate").await;
    kinds.install().await;
    world
        .wait::<ServiceMonitor, _>("post-service", "existence", |_| Some(()))
        .await;
    world.close().await;
    kinds.remove().await;
}

#[tokio::test]
async fn a_settled_service_causes_no_write_whatever_form_its_values_have() {
    let mut world = world!("settled");
    let kinds = ForeignKinds::turn(&world.client).await;
    kinds.install().await;
    let digest = world.push_image("1").await;
    world.create_secrets().await;
    // Quantities, networks and numbers that the API server stores in another form.
    let odd = json!({
        "resources": {"requests": {"cpu": "0.25", "memory": "65536Ki"}, "limits": {"cpu": "1000m", "memory": "1024Mi"}},
        "networkPolicy": {"allowFrom": ["10.0.0.0/8", "FD00::/8"]},
        "rollout": {"maxSurge": "1"},
        "pod": {"env": [{"name": "EMPTY"}], "tolerations": [{"key": "a", "operator": "Exists"}]},
        "service": {"loadBalancer": {"targetGroupARN": ARN}},
    });
    let writes = Arc::new(AtomicUsize::new(0));
    let client = counting(&world, writes.clone()).await;
    world.start_operator_with(client);
    world.create_service("1", odd).await;
    let job = world.migration_job(&digest).await;
    world.end_job(&job, "Complete").await;
    world.deployment_running(&digest).await;
    world.finish_rollout().await;
    world.condition("Ready", "True", "UpToDate").await;
    for restart in [false, true] {
        if restart {
            world.stop_operator().await;
            let client = counting(&world, writes.clone()).await;
            world.start_operator_with(client);
        }
        quiet(&writes).await;
        for pass in 0..5 {
            call_pass(&world, pass).await;
        }
        tokio::time::sleep(std::time::Duration::from_secs(1)).await;
        assert_eq!(
            writes.swap(0, Ordering::SeqCst),
            0,
            "writes of a settled service"
        );
    }
    world.close().await;
    kinds.remove().await;
}

/// Waits until there was no write for a while, then counts anew.
async fn quiet(writes: &AtomicUsize) {
    loop {
        let before = writes.load(Ordering::SeqCst);
        tokio::time::sleep(std::time::Duration::from_secs(2)).await;
        if writes.load(Ordering::SeqCst) == before {
            writes.store(0, Ordering::SeqCst);
            return;
        }
    }
}

/// A change that the operator looks at and that asks for nothing.
async fn call_pass(world: &World, number: u32) {
    let label = json!({"metadata": {"labels": {"looked-at": number.to_string()}}});
    world
        .api::<PostService>()
        .patch(
            "post-service",
            &PatchParams::default(),
            &Patch::Merge(label),
        )
        .await
        .unwrap();
}

/// A client that counts requests that write; Events are no part of the state.
async fn counting(world: &World, writes: Arc<AtomicUsize>) -> kube::Client {
    let counted =
        tower::util::MapRequestLayer::new(move |request: http::Request<kube::client::Body>| {
            if request.method() != http::Method::GET {
                writes.fetch_add(1, Ordering::SeqCst);
            }
            request
        });
    ClientBuilder::try_from(world.config().await)
        .unwrap()
        .with_layer(&counted)
        .build()
}

#[tokio::test]
async fn the_network_policy_allows_what_the_pods_need_and_nothing_else() {
    let mut world = world!("network");
    world.start_operator();
    world.make_ready("1").await;
    world
        .create_service(
            "1",
            json!({
                "networkPolicy": {"allowFrom": ["10.0.0.0/16"]},
                "comments": {"url": "http://comments.example:8080/"},
                "pod": {"env": [{"name": "OTEL_EXPORTER_OTLP_ENDPOINT", "value": "http://collector:4318"}]},
            }),
        )
        .await;
    let policy = world
        .wait::<NetworkPolicy, _>("post-service", "its rules", |policy| {
            let spec = policy.spec.clone()?;
            spec.ingress.as_ref()?[0].from.as_ref()?;
            Some(serde_json::to_value(spec).unwrap())
        })
        .await;
    assert_eq!(
        policy["podSelector"]["matchLabels"],
        json!({"app.kubernetes.io/name": "post-service", "app.kubernetes.io/instance": "post-service"}),
        "serving and migrating pods"
    );
    assert_eq!(policy["policyTypes"], json!(["Ingress", "Egress"]));
    assert_eq!(
        policy["ingress"][0],
        json!({"from": [{"ipBlock": {"cidr": "10.0.0.0/16"}}], "ports": [{"port": 8082, "protocol": "TCP"}]})
    );
    assert_eq!(
        policy["ingress"][1]["ports"],
        json!([{"port": 9090, "protocol": "TCP"}])
    );
    let scrapers = policy["ingress"][1]["from"].to_string();
    assert!(
        scrapers.contains("post-operator") && scrapers.contains("prometheus"),
        "{scrapers}"
    );
    let database = url::Url::parse(&world.database_url())
        .unwrap()
        .port()
        .unwrap();
    let mut expected = vec![443, 4318, 8080, u64::from(database)];
    expected.sort_unstable();
    let ports = policy["egress"][1]["ports"].as_array().unwrap();
    let ports: Vec<_> = ports.iter().map(|p| p["port"].as_u64().unwrap()).collect();
    // The address of the keys, which the test's operator passes on, has port 80.
    assert_eq!(ports, [vec![80], expected].concat());
    assert_eq!(
        policy["egress"][0]["ports"][0],
        json!({"port": 53, "protocol": "UDP"})
    );
    assert_eq!(
        policy["egress"][2],
        json!({"ports": [{"port": 80, "protocol": "TCP"}], "to": [
            {"ipBlock": {"cidr": "169.254.170.23/32"}}, {"ipBlock": {"cidr": "fd00:ec2::23/128"}}]})
    );
    world.close().await;
}

#[tokio::test]
async fn a_target_group_owned_elsewhere_gets_the_pods_by_a_binding() {
    let mut world = world!("binding");
    let kinds = ForeignKinds::turn(&world.client).await;
    kinds.install().await;
    world.start_operator();
    world
        .create_service(
            "1",
            json!({"service": {"port": 8080, "loadBalancer": {"targetGroupARN": ARN}}}),
        )
        .await;
    let binding = world
        .wait::<TargetGroupBinding, _>(&binding_name(ARN), "existence", |b| Some(b.clone()))
        .await;
    assert_eq!(
        serde_json::to_value(&binding.spec).unwrap(),
        json!({"targetGroupARN": ARN, "targetType": "ip", "serviceRef": {"name": "post-service", "port": 8080}})
    );
    world.close().await;
    kinds.remove().await;
}
