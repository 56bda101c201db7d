//! One `PostService` against a real API server, MySQL and ECR API.

use crate::open::running as world;
use crate::world::{Environment, World};
use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::autoscaling::v2::HorizontalPodAutoscaler;
use k8s_openapi::api::batch::v1::Job;
use k8s_openapi::api::core::v1::{Secret, Service, ServiceAccount};
use kube::ResourceExt as _;
use kube::api::{ListParams, Patch, PatchParams, PostParams};
use post_operator::api::v1alpha1::PostService;
use serde_json::json;

#[tokio::test]
async fn one_yaml_brings_database_job_service_and_pods_about_in_this_order() {
    let world = world!("order");
    let digest = world.push_image("1.4.2").await;
    world.create_secrets().await;
    world.create_service("1.4.2", json!({})).await;

    let job = world.migration_job(&digest).await;
    assert!(
        world.database_exists().await,
        "the database comes before the Job"
    );
    assert!(
        world
            .api::<Service>()
            .get_opt("post-service")
            .await
            .unwrap()
            .is_some(),
        "the load balancer comes before the pods"
    );
    world.condition("Ready", "False", "Progressing").await;
    assert!(
        world
            .api::<Deployment>()
            .get_opt("post-service")
            .await
            .unwrap()
            .is_none()
    );

    world.end_job(&job, "Complete").await;
    let deployment = world.deployment_running(&digest).await;
    assert_eq!(
        deployment.spec.as_ref().unwrap().replicas,
        Some(1),
        "the API server's default"
    );
    world.finish_rollout().await;
    world.condition("Ready", "True", "UpToDate").await;
    world
        .condition("LoadBalancerReady", "False", "Pending")
        .await;

    let service = world.service().await;
    let status = service.status.unwrap();
    assert_eq!(status.observed_generation, service.metadata.generation);
    assert_eq!(status.image.current.unwrap().tag.as_deref(), Some("1.4.2"));
    assert_eq!(status.image.last_good.unwrap().digest, digest);
    assert_eq!(status.drain_delay.as_deref(), Some("135s"));
    world.close().await;
}

#[tokio::test]
async fn an_operator_that_starts_late_finds_every_service() {
    let Some(environment) = Environment::find() else {
        return;
    };
    let mut world = World::open(environment, "late").await;
    let names = ["first", "second", "third", "fourth"];
    for name in names {
        world.create_named(name, "1").await;
    }
    world.start_operator();
    for name in names {
        world
            .wait::<PostService, _>(name, "a status", |service| {
                service.status.as_ref()?.observed_generation
            })
            .await;
    }
    world.close().await;
}

#[tokio::test]
async fn pods_and_jobs_are_restricted_and_carry_no_secret_value() {
    let world = world!("pods");
    let digest = world.make_ready("1").await;
    let deployment = world.deployment_running(&digest).await;
    let job = world.migration_job(&digest).await;
    for pod in [
        serde_json::to_value(&deployment.spec.as_ref().unwrap().template.spec).unwrap(),
        serde_json::to_value(&job.spec.as_ref().unwrap().template.spec).unwrap(),
    ] {
        assert_eq!(pod["securityContext"]["runAsNonRoot"], true);
        assert_eq!(
            pod["securityContext"]["seccompProfile"]["type"],
            "RuntimeDefault"
        );
        let container = &pod["containers"][0];
        assert_eq!(
            container["securityContext"]["allowPrivilegeEscalation"],
            false
        );
        assert_eq!(
            container["securityContext"]["capabilities"]["drop"],
            json!(["ALL"])
        );
        assert_eq!(container["securityContext"]["readOnlyRootFilesystem"], true);
        assert!(
            !pod.to_string().contains("0123456789abcdef"),
            "secret-key is in the template"
        );
    }
    let pod = deployment.spec.unwrap().template.spec.unwrap();
    assert_eq!(pod.termination_grace_period_seconds, Some(165));
    let lifecycle = pod.containers[0].lifecycle.clone().unwrap();
    assert_eq!(lifecycle.pre_stop.unwrap().sleep.unwrap().seconds, 135);
    let environment = pod.containers[0].env.clone().unwrap();
    assert!(environment.iter().any(|var| var.name == "COGNITO_JWKS_URL"));
    world.close().await;
}

#[tokio::test]
async fn the_service_asks_for_a_network_load_balancer_as_the_defaults_say() {
    let world = world!("nlb");
    world.make_ready("1").await;
    let service = world.api::<Service>().get("post-service").await.unwrap();
    let spec = service.spec.clone().unwrap();
    assert_eq!(spec.type_.as_deref(), Some("LoadBalancer"));
    assert_eq!(
        spec.load_balancer_class.as_deref(),
        Some("service.k8s.aws/nlb")
    );
    let annotation = |name: &str| {
        service.annotations()[&format!("service.beta.kubernetes.io/aws-load-balancer-{name}")]
            .clone()
    };
    assert_eq!(annotation("nlb-target-type"), "ip");
    assert_eq!(annotation("scheme"), "internal");
    assert_eq!(annotation("healthcheck-path"), "/health");
    assert_eq!(
        annotation("attributes"),
        "load_balancing.cross_zone.enabled=true"
    );
    assert_eq!(
        annotation("target-group-attributes"),
        "deregistration_delay.timeout_seconds=120,preserve_client_ip.enabled=false,\
         target_health_state.unhealthy.connection_termination.enabled=false"
    );
    let scaler = world
        .api::<HorizontalPodAutoscaler>()
        .get("post-service")
        .await
        .unwrap();
    let bounds = scaler.spec.unwrap();
    assert_eq!((bounds.min_replicas, bounds.max_replicas), (Some(1), 3));
    world.close().await;
}

#[tokio::test]
async fn an_unknown_tag_is_named_and_the_running_pods_stay() {
    let world = world!("tag");
    let digest = world.make_ready("1").await;
    world.create_service("2.0.0", json!({})).await;
    let message = world
        .condition("ImageResolved", "False", "TagNotFound")
        .await;
    assert!(message.contains("2.0.0"), "{message}");
    world.condition("Ready", "False", "Degraded").await;
    world.deployment_running(&digest).await;

    let second = world.push_image("2.0.0").await;
    let job = world.migration_job(&second).await;
    world.end_job(&job, "Complete").await;
    world.deployment_running(&second).await;
    world.close().await;
}

#[tokio::test]
async fn a_missing_secret_is_named_with_its_key_and_found_when_it_comes() {
    let world = world!("secret");
    let digest = world.push_image("1").await;
    world.create_service("1", json!({})).await;
    let message = world.condition("SecretsReady", "False", "Missing").await;
    assert!(
        message.contains("post-db-secret") && message.contains("database-url"),
        "{message}"
    );
    world.create_secrets().await;
    world.condition("SecretsReady", "True", "Found").await;
    world.migration_job(&digest).await;
    world.close().await;
}

#[tokio::test]
async fn a_missing_secret_keeps_running_pods() {
    let world = world!("keep");
    let digest = world.make_ready("1").await;
    world.delete::<Secret>("post-secrets").await;
    // A change of the spec calls a pass now instead of at the next poll.
    world
        .create_service("1", json!({"rollout": {"maxSurge": "50%"}}))
        .await;
    world.condition("SecretsReady", "False", "Missing").await;
    world.deployment_running(&digest).await;
    world.close().await;
}

#[tokio::test]
async fn changed_secret_values_replace_the_pods() {
    let world = world!("values");
    let digest = world.make_ready("1").await;
    let before = source(
        &world.deployment_running(&digest).await,
        "COGNITO_CLIENT_ID",
    );
    let change = json!({"stringData": {"cognito-client-id": "other"}});
    world
        .api::<Secret>()
        .patch(
            "post-secrets",
            &PatchParams::default(),
            &Patch::Merge(change),
        )
        .await
        .unwrap();
    // A change of the spec calls a pass now instead of at the next poll.
    world
        .create_service("1", json!({"api": {"defaultPageSize": 20}}))
        .await;
    let variable = "COGNITO_CLIENT_ID";
    let deployment = world
        .wait::<Deployment, _>("post-service", "another Secret", |deployment| {
            let found = source(deployment, variable);
            (found != before).then(|| deployment.clone())
        })
        .await;
    let secret = source(&deployment, variable);
    let value = world.secret_value(&secret, variable).await;
    assert_eq!(value.as_deref(), Some("other"));
    world.close().await;
}

/// Name of the Secret that a variable of the pods comes from.
fn source(deployment: &Deployment, variable: &str) -> String {
    let pod = deployment.spec.as_ref().unwrap().template.spec.as_ref();
    let variables = pod.unwrap().containers[0].env.iter().flatten();
    let found = variables.filter(|found| found.name == variable);
    let reference = found.filter_map(|found| found.value_from.clone()?.secret_key_ref);
    reference.map(|reference| reference.name).collect()
}

#[tokio::test]
async fn a_changed_template_is_not_ready_before_its_pods_are() {
    let world = world!("template");
    let digest = world.make_ready("1").await;
    world
        .create_service("1", json!({"api": {"defaultPageSize": 20}}))
        .await;
    let generation = world.service().await.metadata.generation;
    let ready = world
        .wait::<PostService, _>("post-service", "the new generation", |service| {
            let status = service.status.as_ref()?;
            let ready = status.conditions.iter().find(|c| c.type_ == "Ready")?;
            (status.observed_generation == generation).then(|| ready.status.clone())
        })
        .await;
    assert_eq!(ready, "False");
    world.deployment_running(&digest).await;
    world.finish_rollout().await;
    world.condition("Ready", "True", "UpToDate").await;
    world.close().await;
}

#[tokio::test]
async fn another_repository_never_gets_the_digest_of_the_former() {
    let world = world!("repository");
    let digest = world.make_ready("1").await;
    let before = world.deployment_running(&digest).await;
    let other = format!("{}-typo", world.repository);
    world
        .create_service("1", json!({"image": {"repository": other}}))
        .await;
    world
        .condition("ImageResolved", "False", "TagNotFound")
        .await;
    let after = world.deployment_running(&digest).await;
    assert_eq!(before.spec, after.spec);
    world.close().await;
}

#[tokio::test]
async fn what_the_api_server_refuses_is_said_in_the_status() {
    let world = world!("refused");
    let digest = world.push_image("1").await;
    world.create_secrets().await;
    world
        .create_service("1", json!({"rollout": {"maxSurge": "0"}}))
        .await;
    let job = world.migration_job(&digest).await;
    world.end_job(&job, "Complete").await;
    let message = world.condition("Stalled", "True", "InvalidSpec").await;
    assert!(
        message.contains("maxSurge") || message.contains("maxUnavailable"),
        "{message}"
    );
    world.close().await;
}

#[tokio::test]
async fn deleted_children_come_back() {
    let world = world!("back");
    let digest = world.make_ready("1").await;
    world.delete::<Deployment>("post-service").await;
    world.deployment_running(&digest).await;
    world.delete::<Service>("post-service").await;
    world
        .wait::<Service, _>("post-service", "existence", |_| Some(()))
        .await;
    world
        .delete::<HorizontalPodAutoscaler>("post-service")
        .await;
    world
        .wait::<HorizontalPodAutoscaler, _>("post-service", "existence", |_| Some(()))
        .await;
    world.close().await;
}

#[tokio::test]
async fn drift_on_owned_fields_is_put_back_and_fields_of_others_stay() {
    let world = world!("drift");
    world.make_ready("1").await;
    let drift = json!({
        "metadata": {"labels": {"team": "community"}},
        "spec": {"replicas": 2, "progressDeadlineSeconds": 7, "template": {"metadata":
            {"annotations": {"kubectl.kubernetes.io/restartedAt": "now"}}}},
    });
    world
        .api::<Deployment>()
        .patch(
            "post-service",
            &PatchParams::default(),
            &Patch::Merge(drift),
        )
        .await
        .unwrap();
    let live = world
        .wait::<Deployment, _>("post-service", "its own deadline", |deployment| {
            (deployment.spec.as_ref()?.progress_deadline_seconds == Some(600))
                .then(|| deployment.clone())
        })
        .await;
    assert_eq!(live.labels()["team"], "community");
    assert_eq!(
        live.spec.as_ref().unwrap().replicas,
        Some(2),
        "replicas are the autoscaler's"
    );
    let template = live.spec.unwrap().template.metadata.unwrap();
    let restarted = template.annotations.unwrap();
    assert_eq!(restarted["kubectl.kubernetes.io/restartedAt"], "now");
    world.close().await;
}

#[tokio::test]
async fn a_restarted_operator_changes_no_child() {
    let mut world = world!("quiet");
    world.make_ready("1").await;
    world
        .condition("MigrationsComplete", "True", "Complete")
        .await;
    world.stop_operator().await;
    let before = versions(&world).await;
    // The address calls a whole pass. Resource versions show changed objects; a patch that changes
    // nothing leaves them as they are and is not seen here.
    world.start_operator();
    let address = json!({"status": {"loadBalancer": {"ingress": [{"hostname": "nlb.example"}]}}});
    world
        .api::<Service>()
        .patch_status(
            "post-service",
            &PatchParams::default(),
            &Patch::Merge(address),
        )
        .await
        .unwrap();
    world.condition("LoadBalancerReady", "True", "Ready").await;
    let mut after = versions(&world).await;
    // The Service changed by the test's own write.
    after[1].clone_from(&before[1]);
    assert_eq!(before, after);
    world.close().await;
}

/// Resource versions of every child.
async fn versions(world: &World) -> Vec<Option<String>> {
    let digest = world
        .service()
        .await
        .status
        .unwrap()
        .image
        .current
        .unwrap()
        .digest;
    vec![
        world
            .api::<ServiceAccount>()
            .get("post-service")
            .await
            .unwrap()
            .resource_version(),
        world
            .api::<Service>()
            .get("post-service")
            .await
            .unwrap()
            .resource_version(),
        world.migration_job(&digest).await.resource_version(),
        world
            .api::<Deployment>()
            .get("post-service")
            .await
            .unwrap()
            .resource_version(),
        world
            .api::<HorizontalPodAutoscaler>()
            .get("post-service")
            .await
            .unwrap()
            .resource_version(),
    ]
}

#[tokio::test]
async fn a_failed_migration_leaves_the_old_version_and_a_retry_token_tries_again() {
    let world = world!("migration");
    let first = world.make_ready("1").await;
    let second = world.push_image("2").await;
    world.create_service("2", json!({})).await;
    let job = world.migration_job(&second).await;
    world.end_job(&job, "Failed").await;
    let message = world.condition("Stalled", "True", "MigrationFailed").await;
    assert!(
        message.contains(&job.name_any()) && message.contains("retry"),
        "{message}"
    );
    world.deployment_running(&first).await;

    let token = json!({"metadata": {"annotations": {"platform.hhottdogg.shop/retry": "again"}}});
    world.change(token).await;
    let uid = job.uid();
    let again = world
        .wait::<Job, _>(&job.name_any(), "a new Job", |job| {
            (job.uid() != uid && job.metadata.deletion_timestamp.is_none()).then(|| job.clone())
        })
        .await;
    world.end_job(&again, "Complete").await;
    world.deployment_running(&second).await;
    world.close().await;
}

#[tokio::test]
async fn an_account_without_rights_gets_the_sql_that_a_dba_must_run() {
    let world = world!("denied");
    world.push_image("1").await;
    let url = world.create_limited_user().await;
    world.create_database_secret(&url).await;
    let auth = json!({
        "metadata": {"name": "post-secrets"},
        "stringData": {"cognito-user-pool-id": "p", "cognito-region": "r",
            "cognito-client-id": "c", "secret-key": "k"},
    });
    let auth: Secret = serde_json::from_value(auth).unwrap();
    world
        .api::<Secret>()
        .create(&PostParams::default(), &auth)
        .await
        .unwrap();
    world.create_service("1", json!({})).await;
    let message = world
        .condition("DatabaseReady", "False", "AccessDenied")
        .await;
    let expected = format!(
        "CREATE DATABASE IF NOT EXISTS `{}` CHARACTER SET utf8mb4; GRANT ALTER, CREATE, DELETE, \
         INDEX, INSERT, REFERENCES, SELECT, UPDATE ON `{}`.* TO '{}'@'%';",
        world.database,
        world.database.replace('_', "\\_"),
        world.limited_user()
    );
    assert!(message.contains(&expected), "{message}");
    assert!(
        !message.contains("limited'") && !message.contains(":limited"),
        "{message}"
    );
    // The printed statements suffice.
    for statement in expected.split_inclusive(';') {
        world.sql(statement.trim().trim_end_matches(';')).await;
    }
    world.condition("DatabaseReady", "True", "Ready").await;
    world.close().await;
}

#[tokio::test]
async fn a_name_taken_by_somebody_else_is_a_conflict_and_left_alone() {
    let world = world!("conflict");
    world.push_image("1").await;
    world.create_secrets().await;
    let foreign: Service = serde_json::from_value(json!({
        "metadata": {"name": "post-service"},
        "spec": {"selector": {"app": "old"}, "ports": [{"port": 80}]},
    }))
    .unwrap();
    let services = world.api::<Service>();
    let before = services
        .create(&PostParams::default(), &foreign)
        .await
        .unwrap();
    world.create_service("1", json!({})).await;
    let message = world.condition("Stalled", "True", "ObjectConflict").await;
    assert!(message.contains("Service post-service"), "{message}");
    assert!(message.contains("spec.adopt.service"), "{message}");
    let after = services.get("post-service").await.unwrap();
    assert_eq!(before.resource_version(), after.resource_version());
    world.close().await;
}

#[tokio::test]
async fn a_suspended_service_writes_nothing_but_status() {
    let world = world!("suspend");
    world.push_image("1").await;
    world.create_secrets().await;
    world.create_service("1", json!({"suspend": true})).await;
    world.condition("Ready", "False", "Suspended").await;
    let jobs = world
        .api::<Job>()
        .list(&ListParams::default())
        .await
        .unwrap();
    assert!(jobs.items.is_empty());
    assert!(!world.database_exists().await);
    world.close().await;
}
