//! A change of passwords under load: real `post-service` processes stand for the pods.

use std::process::Stdio;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use k8s_openapi::api::apps::v1::Deployment;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use post_operator::database::accounts::{Role, Slot};
use post_operator::database::vault::ACCOUNT_ANNOTATION;
use serde_json::{Value, json};
use sqlx::{Connection as _, Executor as _};
use tokio::io::{AsyncBufReadExt as _, BufReader, Lines};
use tokio::process::{Child, ChildStderr, Command};
use tokio::sync::RwLock;
use tokio::task::JoinSet;

use crate::accounts_kit::{ACCOUNTS, becomes_refused};
use crate::world::{Environment, PATIENCE, World};

const POST: &str = "0123456789abcdef0123456789abcdef";

/// `post-service` with nothing in its environment but this.
fn program(argument: &str, database_url: &str) -> Command {
    let mut command = Command::new(std::env::var("TEST_POST_SERVICE").unwrap());
    command
        .arg(argument)
        .env_clear()
        .env("DATABASE_URL", database_url)
        .env("LOG_FORMAT", "json")
        .kill_on_drop(true);
    command
}

/// A process that serves, in the place of a pod's.
struct Pod {
    child: Child,
    address: String,
    _log: Lines<BufReader<ChildStderr>>,
}

impl Pod {
    /// Starts it with the URL that the Secret has now, as the kubelet does, and waits until it is
    /// ready.
    async fn start(world: &World) -> Self {
        let url = world.secret_value(ACCOUNTS, "database-url").await.unwrap();
        let mut child = program("serve", &url)
            .env("DATABASE_POOL_SIZE", "4")
            .env("LISTEN_ADDRESS", "127.0.0.1:0")
            .env("METRICS_ADDRESS", "127.0.0.1:0")
            .env("SECRET_KEY", "0123456789abcdef")
            .env("ANONYMOUS_LIKES", "true")
            .env("RATE_LIMIT_READS_PER_MINUTE", "0")
            .env("RATE_LIMIT_WRITES_PER_MINUTE", "0")
            .env("COGNITO_USER_POOL_ID", "ap-northeast-2_test")
            .env("COGNITO_REGION", "ap-northeast-2")
            .env("COGNITO_CLIENT_ID", "client")
            .env("COGNITO_JWKS_URL", "http://127.0.0.1:9/keys")
            .env("RUST_LOG", "warn,post_service::serve=info")
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut log = BufReader::new(child.stderr.take().unwrap()).lines();
        let address = loop {
            let line = log.next_line().await.unwrap().expect("it serves");
            let line: Value = serde_json::from_str(&line).unwrap();
            if line["message"] == "serving" {
                break line["api"].as_str().unwrap().to_owned();
            }
        };
        let ready = format!("http://{address}/readyz");
        let begun = std::time::Instant::now();
        while !reqwest::get(&ready).await.is_ok_and(|a| a.status() == 200) {
            assert!(begun.elapsed() < PATIENCE, "never ready");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        Self {
            child,
            address,
            _log: log,
        }
    }

    async fn end(mut self) {
        let pid = i32::try_from(self.child.id().unwrap()).unwrap();
        kill(Pid::from_raw(pid), Signal::SIGTERM).unwrap();
        assert!(self.child.wait().await.unwrap().success());
    }
}

/// Requests without a pause, to whatever the endpoints are.
struct Load {
    endpoints: Arc<RwLock<Vec<String>>>,
    stop: Arc<AtomicBool>,
    answered: Arc<AtomicUsize>,
    tasks: JoinSet<Vec<String>>,
}

impl Load {
    fn start(first: &Pod) -> Self {
        let mut load = Self {
            endpoints: Arc::new(RwLock::new(vec![first.address.clone()])),
            stop: Arc::default(),
            answered: Arc::default(),
            tasks: JoinSet::new(),
        };
        for user in 0..4 {
            let (endpoints, stop) = (load.endpoints.clone(), load.stop.clone());
            let answered = load.answered.clone();
            load.tasks.spawn(async move {
                let client = reqwest::Client::new();
                let mut failures = Vec::new();
                let mut turn: usize = user;
                while !stop.load(Ordering::SeqCst) {
                    turn += 1;
                    // Held while the request is under way: an endpoint that was taken out has none.
                    let endpoints = endpoints.read().await;
                    let post = format!(
                        "http://{}/api/v1/posts/{POST}",
                        endpoints[turn % endpoints.len()]
                    );
                    let answer = if turn.is_multiple_of(2) {
                        client.get(post).send().await
                    } else {
                        let user = json!({"user_id": format!("user-{user}")});
                        client.post(post + "/like").json(&user).send().await
                    };
                    match answer {
                        Ok(answer) if answer.status() == 200 => {
                            answered.fetch_add(1, Ordering::SeqCst);
                        }
                        Ok(answer) => failures.push(answer.status().to_string()),
                        Err(error) => failures.push(error.to_string()),
                    }
                }
                failures
            });
        }
        load
    }

    /// Waits until so many more requests were answered.
    async fn goes_on(&self, requests: usize) {
        let goal = self.answered.load(Ordering::SeqCst) + requests;
        let begun = std::time::Instant::now();
        while self.answered.load(Ordering::SeqCst) < goal {
            assert!(begun.elapsed() < PATIENCE, "the load stands still");
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }

    async fn set_endpoints(&self, pods: &[&Pod]) {
        *self.endpoints.write().await = pods.iter().map(|pod| pod.address.clone()).collect();
    }

    async fn end(self) -> (usize, Vec<String>) {
        self.stop.store(true, Ordering::SeqCst);
        let failures = self.tasks.join_all().await.concat();
        (self.answered.load(Ordering::SeqCst), failures)
    }
}

/// Ends the sessions of an account one after the other, as a lifetime that is over would: the pod
/// must log in again. The service tries an operation twice, hence not all at once.
async fn end_sessions(world: &World, account: &str, load: &Load) {
    let mut root = world.connect().await;
    let sessions: Vec<i64> = loop {
        let question = sqlx::query_scalar(
            "SELECT CAST(id AS SIGNED) FROM information_schema.processlist WHERE user = ?",
        );
        // MySQL cannot list its connections while one of them runs a statement that is no text.
        if let Ok(sessions) = question.bind(account).fetch_all(&mut root).await {
            break sessions;
        }
    };
    assert!(!sessions.is_empty(), "{account} is not used");
    for session in sessions {
        // One that has ended meanwhile is no fault.
        let _ = root.execute(format!("KILL {session}").as_str()).await;
        load.goes_on(50).await;
    }
    root.close().await.unwrap();
}

#[tokio::test]
async fn new_passwords_replace_the_pods_under_load_without_a_failed_request() {
    let Some(environment) = Environment::find() else {
        return;
    };
    if !Environment::has("TEST_POST_SERVICE") {
        return;
    }
    let mut world = World::open(environment, "load").await;
    world.pace.poll = Duration::from_secs(1);
    world.pace.poll_in_trouble = Duration::from_millis(300);
    world.start_operator();
    world.create_admin_secret().await;
    world.create_auth_secret().await;
    let digest = world.push_image("1").await;
    world.create_service("1", world.bootstrap()).await;
    let job = world.migration_job(&digest).await;
    let url = world.secret_value(ACCOUNTS, "migrator-url").await.unwrap();
    let migrated = program("migrate", &url).output().await.unwrap();
    assert!(
        migrated.status.success(),
        "the migrator's grants do not suffice: {}",
        String::from_utf8_lossy(&migrated.stderr)
    );
    world.end_job(&job, "Complete").await;
    world.deployment_running(&digest).await;
    let mut root = world.connect().await;
    root.execute(
        format!(
            "INSERT INTO `{}`.posts (id, No, username, category, title, content, created_at, updated_at) \
             VALUES ('{POST}', 1, 'u', 'c', 't', 'c', NOW(), NOW())",
            world.database
        )
        .as_str(),
    )
    .await
    .unwrap();
    root.close().await.unwrap();

    let mut pod = Pod::start(&world).await;
    let mut slot = Slot::A;
    world
        .create_pod("pod-a", &world.account(Role::Runtime(slot)))
        .await;
    world.finish_rollout().await;
    world.condition("Ready", "True", "UpToDate").await;
    let load = Load::start(&pod);
    load.goes_on(50).await;
    for token in ["1", "2"] {
        let old_url = world.secret_value(ACCOUNTS, "database-url").await.unwrap();
        let old_name = format!("pod-{}", slot.as_str());
        slot = slot.other();
        let account = world.account(Role::Runtime(slot));
        world
            .annotate("platform.hhottdogg.shop/rotate", token)
            .await;
        world
            .wait::<Deployment, _>("post-service", "the other account", |deployment| {
                let template = &deployment.spec.as_ref()?.template;
                let annotations = template.metadata.as_ref()?.annotations.as_ref()?;
                (annotations.get(ACCOUNT_ANNOTATION) == Some(&account)).then_some(())
            })
            .await;
        let new = Pod::start(&world).await;
        world
            .create_pod(&format!("pod-{}", slot.as_str()), &account)
            .await;
        load.set_endpoints(&[&pod, &new]).await;
        load.goes_on(200).await;
        // The old pod must get new connections by its old account as long as it serves.
        let retiring = world.account(Role::Runtime(slot.other()));
        end_sessions(&world, &retiring, &load).await;
        load.set_endpoints(&[&new]).await;
        world.finish_rollout().await;
        std::mem::replace(&mut pod, new).end().await;
        world.delete_pod(&old_name).await;
        becomes_refused(&old_url).await;
        load.goes_on(200).await;
    }
    let (answered, failures) = load.end().await;
    println!("{answered} requests, {} failed", failures.len());
    assert_eq!(failures, Vec::<String>::new(), "of {answered}");
    pod.end().await;
    world.close().await;
}
