//! Secrets: what is read, generated, waited for.

use std::time::Duration;

use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::core::v1::Secret;
use serde_json::json;

use crate::world::{Environment, World};

const GENERATED: &str = "post-service-secret-key";

async fn world(name: &str) -> Option<World> {
    let mut world = World::open(Environment::find()?, name).await;
    world.pace.poll = Duration::from_millis(500);
    world.pace.poll_in_trouble = Duration::from_millis(300);
    world.pace.settle = Duration::from_secs(2);
    world.start_operator();
    Some(world)
}

/// The `SECRET_KEY` that the pods read.
async fn secret_key(world: &World, deployment: &Deployment) -> Option<String> {
    let pod = deployment.spec.as_ref().unwrap().template.spec.as_ref();
    let variables = pod.unwrap().containers[0].env.as_ref().unwrap();
    let variable = variables.iter().find(|v| v.name == "SECRET_KEY").unwrap();
    let source = variable.value_from.as_ref().unwrap();
    let reference = source.secret_key_ref.clone().unwrap();
    world.secret_value(&reference.name, &reference.key).await
}

#[tokio::test]
async fn a_secret_key_is_generated_once_and_gives_way_to_the_users() {
    let Some(world) = world("key").await else {
        return;
    };
    let digest = world.push_image("1").await;
    world.create_database_secret(&world.database_url()).await;
    world
        .create_secret(
            "post-secrets",
            &[
                ("cognito-user-pool-id", "p"),
                ("cognito-region", "r"),
                ("cognito-client-id", "c"),
            ],
        )
        .await;
    world.create_service("1", json!({})).await;
    let job = world.migration_job(&digest).await;
    world.end_job(&job, "Complete").await;
    let deployment = world.deployment_running(&digest).await;
    world.finish_rollout().await;
    world.condition("Ready", "True", "UpToDate").await;
    let key = world.secret_value(GENERATED, "secret-key").await.unwrap();
    assert_eq!(secret_key(&world, &deployment).await.as_ref(), Some(&key));
    assert!(key.len() >= 32, "{} characters", key.len());
    world.nothing_secret_is_visible().await;

    let before = world.deployment_running(&digest).await.metadata.generation;
    world
        .patch_secret("post-secrets", json!({"secret-key": "the users own"}))
        .await;
    let after = world
        .wait::<Deployment, _>("post-service", "another revision", |deployment| {
            let changed = deployment.metadata.generation != before;
            changed.then(|| deployment.clone())
        })
        .await;
    let users = Some("the users own".to_owned());
    assert_eq!(secret_key(&world, &after).await, users);
    assert_eq!(
        after.metadata.generation,
        before.map(|g| g + 1),
        "one rollout"
    );
    assert_eq!(
        world.secret_value(GENERATED, "secret-key").await,
        Some(key),
        "never overwritten"
    );
    world.close().await;
}

#[tokio::test]
async fn with_cognito_by_value_no_secret_of_the_user_is_needed_but_the_databases() {
    let Some(world) = world("cognito").await else {
        return;
    };
    let digest = world.push_image("1").await;
    world.create_database_secret(&world.database_url()).await;
    let cognito = json!({"region": "r", "userPoolId": "p", "clientId": "c"});
    world
        .create_service("1", json!({"auth": {"cognito": cognito}}))
        .await;
    world.migration_job(&digest).await;
    world.condition("SecretsReady", "True", "Found").await;
    world.close().await;
}

#[tokio::test]
async fn two_secrets_that_change_together_cause_one_rollout() {
    let Some(world) = world("together").await else {
        return;
    };
    let digest = world.make_ready("1").await;
    let before = world.deployment_running(&digest).await;
    world
        .patch_secret("post-secrets", json!({"cognito-client-id": "other"}))
        .await;
    // Long enough for several looks at the Secrets, shorter than values must stay the same.
    tokio::time::sleep(Duration::from_millis(1200)).await;
    let url = world.database_url() + "&x=1";
    world
        .patch_secret("post-db-secret", json!({"database-url": url}))
        .await;
    let generation = before.metadata.generation.unwrap();
    world
        .wait::<Deployment, _>("post-service", "a rollout", |deployment| {
            (deployment.metadata.generation > Some(generation)).then_some(())
        })
        .await;
    world.finish_rollout().await;
    world.condition("Ready", "True", "UpToDate").await;
    // Another rollout would come after the values had settled once more.
    tokio::time::sleep(Duration::from_secs(3)).await;
    let after = world.deployment_running(&digest).await;
    assert_eq!(after.metadata.generation, Some(generation + 1));
    world.close().await;
}

#[tokio::test]
async fn other_key_names_and_the_replicas_url_reach_the_pods() {
    let Some(world) = world("keys").await else {
        return;
    };
    let digest = world.push_image("1").await;
    world.create_database_secret(&world.database_url()).await;
    world
        .create_secret(
            "names",
            &[
                ("pool", "p"),
                ("region", "r"),
                ("client", "c"),
                ("key", "k"),
            ],
        )
        .await;
    let keys = json!({"cognito-user-pool-id": "pool", "cognito-region": "region",
        "cognito-client-id": "client", "secret-key": "key"});
    world
        .create_service(
            "1",
            json!({
                "auth": {"secretRef": {"name": "names", "keys": keys}},
                "database": {"readUrlSecretRef": {"name": "replica", "key": "url"}},
            }),
        )
        .await;
    let message = world.condition("SecretsReady", "False", "Missing").await;
    assert!(
        message.contains("replica") && message.contains("url"),
        "{message}"
    );
    world
        .create_secret("replica", &[("url", "postgres://u:hunter2@h/d")])
        .await;
    let message = world.condition("SecretsReady", "False", "Malformed").await;
    assert!(!message.contains("hunter2"), "{message}");
    world
        .patch_secret("replica", json!({"url": world.database_url()}))
        .await;
    let job = world.migration_job(&digest).await;
    world.end_job(&job, "Complete").await;
    let deployment = world.deployment_running(&digest).await;
    let key = secret_key(&world, &deployment).await;
    assert!(key.is_some());
    assert_eq!(key, world.secret_value("names", "key").await);
    let pod = serde_json::to_string(&deployment.spec).unwrap();
    assert!(pod.contains("DATABASE_READ_URL"), "{pod}");
    world.close().await;
}

#[tokio::test]
async fn a_secret_of_somebody_else_under_the_operators_name_is_a_conflict() {
    let Some(world) = world("foreign").await else {
        return;
    };
    world.push_image("1").await;
    world
        .create_secret("post-service-database", &[("mine", "1")])
        .await;
    world.create_auth_secret().await;
    world.create_admin_secret().await;
    world.create_service("1", world.bootstrap()).await;
    let message = world.condition("Stalled", "True", "ObjectConflict").await;
    assert!(
        message.contains("Secret post-service-database"),
        "{message}"
    );
    let secret = world
        .api::<Secret>()
        .get("post-service-database")
        .await
        .unwrap();
    assert_eq!(secret.data.unwrap().len(), 1);
    assert!(!world.database_exists().await);
    world.close().await;
}
