//! Changes of the database's passwords: end to end, and killed before every write.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::core::v1::Secret;
use kube::Resource as _;
use kube::api::ObjectMeta;
use post_operator::database::accounts::{Accounts, Role, Slot};
use post_operator::database::keeper::Keeper;
use post_operator::database::machine::Policy;
use post_operator::database::vault::{ACCOUNT_ANNOTATION, Vault};
use post_operator::database::{Permit, Place, Revoked, Tls};
use serde_json::json;

use crate::accounts_kit::{ACCOUNTS, becomes_refused, works};
use crate::world::{Environment, Server, World};

const ROTATE: &str = "platform.hhottdogg.shop/rotate";

async fn world(server: Server, name: &str) -> Option<World> {
    let mut world = World::open(Environment::with(server)?, name).await;
    world.pace.poll = Duration::from_secs(1);
    world.pace.poll_in_trouble = Duration::from_millis(500);
    Some(world)
}

#[tokio::test]
async fn on_mysql_the_old_account_works_until_no_pod_uses_it() {
    if let Some(world) = world(Server::MySql, "rotate").await {
        the_old_account_works_until_no_pod_uses_it(world).await;
    }
}

#[tokio::test]
async fn on_mariadb_the_old_account_works_until_no_pod_uses_it() {
    if let Some(world) = world(Server::MariaDb, "rotate-ma").await {
        the_old_account_works_until_no_pod_uses_it(world).await;
    }
}

async fn the_old_account_works_until_no_pod_uses_it(mut world: World) {
    world.start_operator();
    world.create_admin_secret().await;
    world.make_ready_with_accounts(json!({})).await;
    let [a, b] = [Slot::A, Slot::B].map(|slot| world.account(Role::Runtime(slot)));
    world.create_pod("old", &a).await;
    let old = world.secret_value(ACCOUNTS, "database-url").await.unwrap();

    world.annotate(ROTATE, "1").await;
    world.secret_becomes(ACCOUNTS, "active", Some("b")).await;
    world
        .wait::<Deployment, _>("post-service", "pods with the new account", |deployment| {
            let template = &deployment.spec.as_ref()?.template;
            let annotations = template.metadata.as_ref()?.annotations.as_ref()?;
            (annotations.get(ACCOUNT_ANNOTATION) == Some(&b)).then_some(())
        })
        .await;
    world.create_pod("new", &b).await;
    world.finish_rollout().await;
    world.condition("Ready", "True", "UpToDate").await;
    let new = world.secret_value(ACCOUNTS, "database-url").await.unwrap();
    assert!(works(&old).await && works(&new).await, "the old pod drains");

    world.delete_pod("old").await;
    becomes_refused(&old).await;
    world.secret_becomes(ACCOUNTS, "retiring", None).await;
    world.secret_becomes(ACCOUNTS, "password-a", None).await;
    assert!(works(&new).await);
    let rotated = world.service().await.status.unwrap().database.unwrap();
    assert_eq!(rotated.user, b);
    world.nothing_secret_is_visible().await;

    // By time: as if the interval had passed.
    let interval = json!({"database": {"bootstrap": {"rotation": {"interval": "2160h"}}}});
    let mut spec = world.bootstrap();
    crate::world::merge(&mut spec, interval);
    world
        .patch_secret(ACCOUNTS, json!({"rotated-at": "2020-01-01T00:00:00Z"}))
        .await;
    world.create_service("1", spec).await;
    world.secret_becomes(ACCOUNTS, "active", Some("a")).await;
    assert!(works(&new).await, "its pod is still there");
    world.close().await;
}

/// A permit for so many writes, and whether another one was asked for: the operator dies there.
fn mortal(writes: usize) -> (Permit, Arc<AtomicBool>) {
    let (left, died) = (AtomicUsize::new(writes), Arc::new(AtomicBool::new(false)));
    let tell = died.clone();
    let permit = Permit::new(move || {
        let taken = left.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |n| n.checked_sub(1));
        taken.map(drop).map_err(|_| {
            tell.store(true, Ordering::SeqCst);
            Revoked
        })
    });
    (permit, died)
}

struct Lives<'a> {
    world: &'a World,
    owner: ObjectMeta,
    name: String,
    policy: Policy,
}

impl Lives<'_> {
    fn keeper(&self, permit: Permit) -> Keeper {
        let template = Secret {
            metadata: ObjectMeta {
                name: Some(self.secret()),
                namespace: Some(self.world.namespace.clone()),
                owner_references: self.owner.owner_references.clone(),
                ..ObjectMeta::default()
            },
            ..Secret::default()
        };
        let pods = "app.kubernetes.io/instance=post-service".to_owned();
        Keeper {
            place: Place {
                host: self.world.host(),
                port: self.world.port(),
                name: self.world.database.clone(),
                tls: Tls::default(),
            },
            accounts: Accounts::of(&self.world.namespace, &self.name),
            policy: self.policy.clone(),
            admin_secret: "rds-admin".into(),
            create_database: true,
            kept: Vec::new(),
            vault: Vault::new(self.world.client.clone(), template, pods, permit.clone()),
            permit,
        }
    }

    fn secret(&self) -> String {
        format!("{}-database", self.name)
    }

    /// One life, which ends before it makes one write more than `writes`; false if it had no need to.
    async fn live(&self, writes: usize) -> bool {
        let (permit, died) = mortal(writes);
        // How it ends is seen in the Secret and on the server.
        let _ = self.keeper(permit).keep().await;
        died.load(Ordering::SeqCst)
    }

    async fn url(&self) -> Option<String> {
        self.world
            .secret_value(&self.secret(), "database-url")
            .await
    }

    async fn active(&self) -> Option<String> {
        self.world.secret_value(&self.secret(), "active").await
    }

    async fn drop_accounts(&self) {
        let accounts = Accounts::of(&self.world.namespace, &self.name);
        for role in [
            Role::Runtime(Slot::A),
            Role::Runtime(Slot::B),
            Role::Migrator,
        ] {
            let drop = format!("DROP USER IF EXISTS '{}'@'%'", accounts.name(role));
            self.world.sql(&drop).await;
        }
    }
}

async fn killed_before_every_write(world: World) {
    world.create_admin_secret().await;
    // Suspended and without an operator: it only owns the Secrets.
    world.create_service("1", json!({"suspend": true})).await;
    let owner = ObjectMeta {
        owner_references: Some(vec![
            world.service().await.controller_owner_ref(&()).unwrap(),
        ]),
        ..ObjectMeta::default()
    };
    let mut crash_points = BTreeMap::new();

    // Made from nothing, dying once at each write.
    for writes in 0.. {
        let lives = Lives {
            world: &world,
            owner: owner.clone(),
            name: format!("first{writes}"),
            policy: Policy::default(),
        };
        let died = lives.live(writes).await;
        if let Some(url) = lives.url().await {
            assert!(works(&url).await, "killed before write {writes}");
        }
        assert!(!lives.live(usize::MAX).await);
        let url = lives.url().await.expect("a URL in the end");
        assert!(works(&url).await);
        assert!(!lives.live(0).await, "nothing is left to be written");
        lives.drop_accounts().await;
        if !died {
            break;
        }
        *crash_points.entry("bootstrap").or_insert(0) += 1;
    }

    // Rotated again and again, dying once at each write.
    let mut lives = Lives {
        world: &world,
        owner,
        name: "rotated".into(),
        policy: Policy::default(),
    };
    lives.live(usize::MAX).await;
    for writes in 0.. {
        let before = lives.active().await;
        lives.policy.rotate_token = Some(format!("token {writes}"));
        let died = lives.live(writes).await;
        let url = lives.url().await.unwrap();
        assert!(
            works(&url).await,
            "killed before write {writes} of a rotation"
        );
        assert!(!lives.live(usize::MAX).await);
        let url = lives.url().await.unwrap();
        assert!(works(&url).await);
        assert_ne!(lives.active().await, before, "rotated");
        assert!(!lives.live(0).await, "rotated once");
        let retiring = world.secret_value(&lives.secret(), "retiring").await;
        assert_eq!(retiring, None);
        if !died {
            break;
        }
        *crash_points.entry("rotation").or_insert(0) += 1;
    }
    lives.drop_accounts().await;
    println!("crash points tried: {crash_points:?}");
    assert!(
        crash_points["bootstrap"] >= 8 && crash_points["rotation"] >= 4,
        "{crash_points:?}"
    );
    world.close().await;
}

#[tokio::test]
async fn on_mysql_a_keeper_killed_before_any_write_leaves_a_working_account_and_ends_alike() {
    if let Some(world) = world(Server::MySql, "kill").await {
        killed_before_every_write(world).await;
    }
}

#[tokio::test]
async fn on_mariadb_a_keeper_killed_before_any_write_leaves_a_working_account_and_ends_alike() {
    if let Some(world) = world(Server::MariaDb, "kill-ma").await {
        killed_before_every_write(world).await;
    }
}
