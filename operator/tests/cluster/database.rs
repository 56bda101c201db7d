//! The database by accounts that the operator makes, on real servers.

use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::batch::v1::Job;
use k8s_openapi::api::core::v1::Secret;
use kube::ResourceExt as _;
use kube::api::DeleteParams;
use post_operator::api::v1alpha1::PostService;
use post_operator::database::accounts::{MIGRATOR, RUNTIME, Role, Slot};
use post_operator::database::vault::ACCOUNT_ANNOTATION;
use serde_json::{Value, json};
use sqlx::{Connection as _, Executor as _};

use crate::accounts_kit::{ACCOUNTS, works};
use crate::world::{Environment, Server, World};

const A: Role = Role::Runtime(Slot::A);
const B: Role = Role::Runtime(Slot::B);

async fn world(server: Server, name: &str) -> Option<World> {
    let mut world = World::open(Environment::with(server)?, name).await;
    world.pace.poll = std::time::Duration::from_secs(1);
    world.pace.poll_in_trouble = std::time::Duration::from_millis(500);
    world.start_operator();
    Some(world)
}

/// A test on each server, in parallel.
macro_rules! on_both_servers {
    ($($name:ident => $short:literal;)*) => {
        mod mysql { use super::*; $(
            #[tokio::test]
            async fn $name() {
                if let Some(world) = world(Server::MySql, $short).await { super::$name(world).await; }
            }
        )* }
        mod mariadb { use super::*; $(
            #[tokio::test]
            async fn $name() {
                if let Some(world) = world(Server::MariaDb, concat!($short, "-ma")).await {
                    super::$name(world).await;
                }
            }
        )* }
    };
}

on_both_servers! {
    from_nothing_come_database_accounts_with_listed_grants_and_pods_that_use_them => "boot";
    a_limited_administrator_gets_the_sql_and_the_operator_goes_on_when_a_dba_ran_it => "dba";
    an_administrators_password_that_changes_degrades_nothing_that_runs => "admin";
}

async fn from_nothing_come_database_accounts_with_listed_grants_and_pods_that_use_them(
    world: World,
) {
    world.create_admin_secret().await;
    let digest = world.make_ready_with_accounts(json!({})).await;

    let pattern = world.database.replace('_', "\\_");
    for (role, privileges) in [(A, RUNTIME), (Role::Migrator, MIGRATOR)] {
        let (global, on_database) = world.grants(&world.account(role)).await;
        assert_eq!(global, ["USAGE"]);
        let expected: Vec<_> = privileges
            .iter()
            .map(|verb| (pattern.clone(), (*verb).to_owned()))
            .collect();
        assert_eq!(on_database, expected);
    }
    let job = world.migration_job(&digest).await;
    let deployment = world.deployment_running(&digest).await;
    let template = deployment.spec.unwrap().template;
    assert_eq!(
        template.metadata.unwrap().annotations.unwrap()[ACCOUNT_ANNOTATION],
        world.account(A)
    );
    let job_pod = serde_json::to_value(&job.spec.unwrap().template.spec).unwrap();
    let pod = serde_json::to_value(&template.spec).unwrap();
    for (pod, key) in [(&job_pod, "migrator-url"), (&pod, "database-url")] {
        let reference = &env(pod, "DATABASE_URL")["valueFrom"]["secretKeyRef"];
        let [name, of_pod] = ["name", "key"].map(|part| reference[part].as_str().unwrap());
        let url = world.secret_value(name, of_pod).await;
        assert_eq!(url, world.secret_value(ACCOUNTS, key).await);
        assert!(works(&url.unwrap()).await, "{key}");
    }
    let status = world.service().await.status.unwrap().database.unwrap();
    assert_eq!(status.name, world.database);
    assert_eq!(status.user, world.account(A));
    assert!(status.rotated_at.is_some());
    world.condition("DatabaseReady", "True", "Ready").await;
    world.nothing_secret_is_visible().await;
    world.close().await;
}

fn env<'a>(pod: &'a Value, name: &str) -> &'a Value {
    let variables = pod["containers"][0]["env"].as_array().unwrap();
    variables.iter().find(|v| v["name"] == name).unwrap()
}

async fn a_limited_administrator_gets_the_sql_and_the_operator_goes_on_when_a_dba_ran_it(
    world: World,
) {
    world.push_image("1").await;
    world.create_limited_user().await;
    world.create_auth_secret().await;
    let (user, host) = (world.limited_user(), world.host());
    world
        .create_secret(
            "rds-admin",
            &[
                ("username", &user),
                ("password", "limited"),
                ("host", &host),
            ],
        )
        .await;
    world.create_service("1", world.bootstrap()).await;
    let message = world
        .condition("DatabaseReady", "False", "AccessDenied")
        .await;
    let (_, script) = message.split_once("have a DBA run: ").unwrap();
    let (sql, note) = script.split_once(" (").unwrap();
    assert!(
        note.contains("<password-a>") && note.contains(ACCOUNTS),
        "{note}"
    );
    let mut sql = sql.to_owned();
    for key in ["password-a", "password-migrator"] {
        let value = world.secret_value(ACCOUNTS, key).await.unwrap();
        assert!(
            !message.contains(&value),
            "the password is in the condition"
        );
        sql = sql.replace(&format!("<{key}>"), &value);
    }
    for statement in sql.split_terminator(';') {
        world.sql(statement.trim()).await;
    }
    world.condition("DatabaseReady", "True", "Ready").await;
    let url = world.secret_value(ACCOUNTS, "database-url").await.unwrap();
    assert!(works(&url).await);
    world.nothing_secret_is_visible().await;
    world.close().await;
}

async fn an_administrators_password_that_changes_degrades_nothing_that_runs(world: World) {
    // Every ASCII punctuation mark and Korean, as the administrator's password may have.
    let punctuation: String = (b'!'..=b'~').map(char::from).collect();
    let password = format!("{punctuation}비밀 번호");
    let admin = world.limited_user();
    let quoted = password.replace('\\', "\\\\").replace('\'', "''");
    let mut root = world.connect().await;
    for statement in [
        format!("CREATE USER '{admin}'@'%' IDENTIFIED BY '{quoted}'"),
        format!("GRANT CREATE USER ON *.* TO '{admin}'@'%'"),
        format!(
            "GRANT {} ON `{}`.* TO '{admin}'@'%' WITH GRANT OPTION",
            MIGRATOR.join(", "),
            world.database.replace('_', "\\_")
        ),
    ] {
        root.execute(statement.as_str()).await.unwrap();
    }
    let host = world.host();
    world
        .create_secret(
            "rds-admin",
            &[
                ("username", &admin),
                ("password", &password),
                ("host", &host),
            ],
        )
        .await;
    world.make_ready_with_accounts(json!({})).await;

    root.execute(format!("ALTER USER '{admin}'@'%' IDENTIFIED BY 'other'").as_str())
        .await
        .unwrap();
    world.annotate("platform.hhottdogg.shop/rotate", "1").await;
    let message = world
        .condition("DatabaseReady", "True", "AccessDenied")
        .await;
    assert!(
        message.contains("rds-admin") && message.contains(&admin),
        "{message}"
    );
    world.condition("Ready", "True", "UpToDate").await;
    let url = world.secret_value(ACCOUNTS, "database-url").await.unwrap();
    assert!(url.contains(&world.account(A)) && works(&url).await);

    world
        .patch_secret("rds-admin", json!({"password": "other"}))
        .await;
    world.secret_becomes(ACCOUNTS, "active", Some("b")).await;
    root.close().await.unwrap();
    world.close().await;
}

#[tokio::test]
async fn the_administrators_secret_is_for_the_server_that_it_names_only() {
    let Some(world) = world(Server::MySql, "host").await else {
        return;
    };
    world.push_image("1").await;
    world.create_auth_secret().await;
    world.create_service("1", world.bootstrap()).await;
    let missing = async |word: &str| {
        let begun = std::time::Instant::now();
        loop {
            let message = world
                .condition("DatabaseReady", "False", "AdminSecretMissing")
                .await;
            assert!(message.contains("rds-admin"), "{message}");
            if message.contains(word) {
                return message;
            }
            assert!(begun.elapsed() < crate::world::PATIENCE, "{message}");
            tokio::time::sleep(std::time::Duration::from_millis(50)).await;
        }
    };
    missing("it is missing").await;
    world
        .create_secret(
            "rds-admin",
            &[("username", "root"), ("password", "hunter2")],
        )
        .await;
    missing("key host has no value").await;
    world
        .patch_secret("rds-admin", json!({"host": "elsewhere.example"}))
        .await;
    let message = missing("key host is not spec.database.connection.host").await;
    assert!(!message.contains("hunter2"), "{message}");
    assert!(!world.database_exists().await);
    world
        .api::<Secret>()
        .delete("rds-admin", &DeleteParams::default())
        .await
        .unwrap();
    world.create_admin_secret().await;
    world.condition("DatabaseReady", "True", "Ready").await;
    world.close().await;
}

#[tokio::test]
async fn a_deleted_secret_of_accounts_comes_back_and_running_pods_keep_theirs() {
    let Some(world) = world(Server::MySql, "gone").await else {
        return;
    };
    world.create_admin_secret().await;
    world.make_ready_with_accounts(json!({})).await;
    let old = world.secret_value(ACCOUNTS, "database-url").await.unwrap();
    world.create_pod("old", &world.account(A)).await;
    world
        .api::<Secret>()
        .delete(ACCOUNTS, &DeleteParams::default())
        .await
        .unwrap();
    world.secret_becomes(ACCOUNTS, "active", Some("b")).await;
    assert!(works(&old).await, "the running pod's account was changed");
    let new = world.secret_value(ACCOUNTS, "database-url").await.unwrap();
    assert!(new.contains(&world.account(B)) && works(&new).await);
    world.close().await;
}

#[tokio::test]
async fn an_account_that_somebody_breaks_is_mended() {
    let Some(world) = world(Server::MySql, "mend").await else {
        return;
    };
    world.create_admin_secret().await;
    world.make_ready_with_accounts(json!({})).await;
    let url = world.secret_value(ACCOUNTS, "database-url").await.unwrap();
    let user = world.account(A);
    world
        .sql(&format!(
            "ALTER USER '{user}'@'%' IDENTIFIED BY 'Else-where1'"
        ))
        .await;
    let begun = std::time::Instant::now();
    while !works(&url).await {
        assert!(begun.elapsed() < crate::world::PATIENCE, "never mended");
        tokio::time::sleep(std::time::Duration::from_millis(100)).await;
    }
    assert_eq!(
        world.secret_value(ACCOUNTS, "database-url").await,
        Some(url)
    );
    world.close().await;
}

#[tokio::test]
async fn an_empty_database_in_the_place_of_a_migrated_one_is_migrated_again() {
    let Some(world) = world(Server::MySql, "replaced").await else {
        return;
    };
    world.create_admin_secret().await;
    let digest = world.push_image("1").await;
    world.create_auth_secret().await;
    world.create_service("1", world.bootstrap()).await;
    let migrated = async || {
        let table = format!("`{}`._sqlx_migrations", world.database);
        let create = format!("CREATE TABLE {table} (version BIGINT, success BOOLEAN)");
        world.sql(&create).await;
        world
            .sql(&format!("INSERT INTO {table} VALUES (7, TRUE)"))
            .await;
    };
    let first = world.migration_job(&digest).await;
    migrated().await;
    world.end_job(&first, "Complete").await;
    world.deployment_running(&digest).await;
    world.finish_rollout().await;
    world
        .wait::<PostService, _>("post-service", "schema version 7", |service| {
            let database = service.status.as_ref()?.database.as_ref()?;
            (database.schema_version.as_deref() == Some("7")).then_some(())
        })
        .await;

    world
        .sql(&format!("DROP DATABASE `{}`", world.database))
        .await;
    let again = world
        .wait::<Job, _>(&first.name_any(), "a new Job", |job| {
            (job.uid() != first.uid() && job.metadata.deletion_timestamp.is_none())
                .then(|| job.clone())
        })
        .await;
    assert!(world.database_exists().await);
    migrated().await;
    world.end_job(&again, "Complete").await;
    world
        .condition("MigrationsComplete", "True", "Complete")
        .await;
    world.condition("Ready", "True", "UpToDate").await;
    let last = world.migration_job(&digest).await;
    assert_eq!(last.uid(), again.uid(), "migrated once more only");
    world.close().await;
}

#[tokio::test]
async fn more_connections_than_the_server_has_are_a_warning_with_the_numbers() {
    let Some(world) = world(Server::MySql, "budget").await else {
        return;
    };
    world.push_image("1").await;
    world.create_secrets().await;
    world
        .create_service("1", json!({"database": {"poolSize": 100}}))
        .await;
    let message = world
        .condition("DatabaseReady", "True", "ConnectionBudget")
        .await;
    assert!(
        message.contains("6 pods × 100 connections + 3 = 603"),
        "{message}"
    );
    assert!(message.contains("poolSize"), "{message}");
    world
        .create_service("1", json!({"database": {"poolSize": 8}}))
        .await;
    world.condition("DatabaseReady", "True", "Ready").await;
    world.close().await;
}

#[tokio::test]
async fn a_deleted_service_leaves_database_and_accounts() {
    let Some(world) = world(Server::MySql, "leave").await else {
        return;
    };
    world.create_admin_secret().await;
    world.make_ready_with_accounts(json!({})).await;
    let url = world.secret_value(ACCOUNTS, "database-url").await.unwrap();
    world.delete::<PostService>("post-service").await;
    assert!(works(&url).await);
    let left = world
        .api::<Deployment>()
        .get_opt("post-service")
        .await
        .unwrap();
    assert!(left.is_some(), "no garbage collector runs here");
    world.close().await;
}
