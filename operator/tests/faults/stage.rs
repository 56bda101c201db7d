//! What all cases share: images, a database, the mirror of the cluster; and what each has to itself.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use kube::ResourceExt as _;
use kube::api::{Api, DeleteParams, DynamicObject, Patch, PatchParams};
use post_operator::api::v1alpha1::PostService;
use serde_json::{Value, json};
use tokio::sync::{OnceCell, Semaphore, SemaphorePermit};

use crate::cluster::{Cluster, Namespace, resource_of};
use crate::process::{Operator, Place};
use crate::proxy::Proxy;
use crate::snapshot;
use crate::world::{Environment, World};

/// Name of every test's `PostService`.
pub const NAME: &str = "post-service";
/// In place of `spec.database`: the operator makes the accounts itself.
pub const OWN_ACCOUNTS: &str = "own accounts";
/// Tags of the images that every case may use.
pub const TAGS: [&str; 3] = ["1", "2", "3"];
/// Longest wait for an end state.
pub const PATIENCE: Duration = Duration::from_mins(1);
/// Operators that run at once.
const AT_ONCE: usize = 6;

/// What all cases share.
pub struct Stage {
    world: World,
    /// The mirror.
    pub cluster: Arc<Cluster>,
    ecr: String,
    slots: Semaphore,
    numbers: AtomicUsize,
}

static STAGE: OnceCell<Option<Stage>> = OnceCell::const_new();
static RUNTIME: std::sync::LazyLock<tokio::runtime::Runtime> = std::sync::LazyLock::new(|| {
    tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .unwrap()
});

/// Runs a test on the stage, if the environment offers what it needs.
pub fn on_stage<F: Future<Output = ()>>(test: impl FnOnce(&'static Stage) -> F) {
    RUNTIME.block_on(async {
        if let Some(stage) = STAGE.get_or_init(Stage::open).await {
            test(stage).await;
        }
    });
}

impl Stage {
    async fn open() -> Option<Self> {
        let world = World::open(Environment::find()?, "faults").await;
        for tag in TAGS {
            world.push_image(tag).await;
        }
        let cluster = Cluster::start(world.client.clone(), "faults-".into());
        Some(Self {
            world,
            cluster,
            ecr: std::env::var("TEST_ECR_ENDPOINT").ok()?,
            slots: Semaphore::new(AT_ONCE),
            numbers: AtomicUsize::new(0),
        })
    }

    /// A namespace with the two Secrets, an operator in front of its proxy, and nothing else.
    pub async fn case(&'static self) -> Case {
        let slot = self.slots.acquire().await.unwrap();
        let number = self.numbers.fetch_add(1, Ordering::Relaxed);
        let world = self.world.beside(&format!("faults-{number}")).await;
        world.create_secrets().await;
        world.create_admin_secret().await;
        let proxy = Proxy::start(world.client.clone()).await;
        let place = Place {
            api_server: proxy.address,
            namespace: world.namespace.clone(),
            ecr: self.ecr.clone(),
            account: "123456789012",
        };
        Case {
            operator: Some(Operator::start(&place)),
            cluster: self.cluster.clone(),
            world,
            proxy,
            place,
            pokes: AtomicUsize::new(0),
            _slot: slot,
        }
    }
}

/// One namespace, its operator and the proxy between that and the API server.
pub struct Case {
    /// The namespace.
    pub world: World,
    /// The proxy.
    pub proxy: Proxy,
    operator: Option<Operator>,
    cluster: Arc<Cluster>,
    place: Place,
    pokes: AtomicUsize,
    _slot: SemaphorePermit<'static>,
}

impl Case {
    /// `kill -9` and a new start.
    pub async fn restart(&mut self) {
        if let Some(operator) = self.operator.take() {
            operator.kill().await;
        }
        self.proxy.thaw();
        self.operator = Some(Operator::start(&self.place));
    }

    /// Applies the `PostService` with `tag` and `spec`.
    pub async fn apply(&self, tag: &str, spec: &Value) {
        let mut spec = spec.clone();
        if spec["database"] == OWN_ACCOUNTS {
            spec["database"] = self.world.bootstrap()["database"].take();
        }
        self.world.create_service(tag, spec).await;
        self.catch_up().await;
    }

    /// Waits until the mirror shows the `PostService` as it is now.
    pub async fn catch_up(&self) {
        let live = self.world.api::<PostService>().get_opt(NAME).await.unwrap();
        let live = live.and_then(|service| service.resource_version());
        let version = |text: &str| text.parse::<u64>().unwrap();
        let seen = self
            .cluster
            .wait(&self.world.namespace, PATIENCE, |namespace| {
                let known = services(namespace).next();
                let known =
                    known.and_then(|service| service["metadata"]["resourceVersion"].as_str());
                known.map(version) >= live.as_deref().map(version)
                    && (live.is_some() || known.is_none())
            });
        assert!(seen.await, "the mirror is stuck");
    }

    /// Calls a pass, without a change of the spec.
    pub async fn poke(&self) {
        let poke = self.pokes.fetch_add(1, Ordering::Relaxed).to_string();
        let patch = json!({"metadata": {"annotations": {snapshot::POKE: poke}}});
        self.world
            .api::<PostService>()
            .patch(NAME, &PatchParams::default(), &Patch::Merge(patch))
            .await
            .unwrap();
        self.catch_up().await;
    }

    /// Deletes an object in the background, and waits until the mirror no longer shows it as it
    /// was.
    pub async fn delete(&self, kind: &str, name: &str) {
        let api: Api<DynamicObject> = Api::namespaced_with(
            self.world.client.clone(),
            &self.world.namespace,
            &resource_of(kind),
        );
        let key = (kind.to_owned(), name.to_owned());
        let before = self.namespace().objects.get(&key).cloned();
        api.delete(name, &DeleteParams::background()).await.unwrap();
        let seen = self
            .cluster
            .wait(&self.world.namespace, PATIENCE, |namespace| {
                namespace.objects.get(&key) != before.as_ref()
            });
        assert!(seen.await, "the mirror is stuck");
        self.catch_up().await;
    }

    /// The mirror.
    pub fn cluster(&self) -> &Cluster {
        &self.cluster
    }

    /// Waits until the operator has said how the present spec ends.
    pub async fn observed(&self, patience: Duration) {
        let seen = self
            .cluster
            .wait(&self.world.namespace, patience, is_observed);
        assert!(seen.await, "never observed: {}", self.log());
    }

    /// The namespace as it is now.
    pub fn namespace(&self) -> Namespace {
        self.cluster.namespace(&self.world.namespace)
    }

    /// The namespace as it is now, without what differs between two runs.
    pub fn snapshot(&self) -> String {
        snapshot::of(&self.namespace(), &self.world.namespace)
    }

    /// Begins to count writes, objects made and rollouts anew.
    pub fn forget(&self) {
        self.proxy.reset();
        self.cluster.forget(&self.world.namespace);
    }

    /// Waits until the present spec has been reconciled and nothing has changed for `quiet`.
    pub async fn settle(&self, quiet: Duration) {
        let begun = std::time::Instant::now();
        loop {
            let namespace = self.namespace();
            let still = namespace.changed.is_none_or(|at| at.elapsed() >= quiet)
                && self.proxy.quiet_for() >= quiet;
            if still && is_observed(&namespace) {
                return;
            }
            assert!(
                begun.elapsed() < PATIENCE,
                "never settled: {}\nwrites: {:?}\nlog: {}",
                status(&namespace),
                self.proxy.writes(),
                self.log()
            );
            tokio::time::sleep(Duration::from_millis(25)).await;
        }
    }

    /// Waits until the snapshot is `expected`; `false` if it never is.
    pub async fn becomes(&self, expected: &str) -> bool {
        let name = &self.world.namespace;
        self.cluster
            .wait(name, PATIENCE, |namespace| {
                snapshot::of(namespace, name) == expected
            })
            .await
    }

    /// Calls a pass and waits for its end; gives what it wrote.
    pub async fn writes_of_a_pass(&self) -> Vec<String> {
        let reads = self.proxy.secret_reads();
        self.poke().await;
        self.passed(reads).await;
        self.settle(Duration::from_millis(150)).await;
        let written = self.proxy.writes().into_iter().map(|write| write.what);
        written.collect()
    }

    /// Waits for a pass since the proxy had counted `reads` reads of Secrets: each reads both.
    pub async fn passed(&self, reads: usize) {
        let begun = std::time::Instant::now();
        while self.proxy.secret_reads() < reads + 2 {
            assert!(begun.elapsed() < PATIENCE, "no pass: {}", self.log());
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }

    /// The operator's last log lines.
    pub fn log(&self) -> String {
        let text = std::fs::read_to_string(self.place.log()).unwrap_or_default();
        let lines: Vec<_> = text.lines().collect();
        lines[lines.len().saturating_sub(40)..].join("\n")
    }

    /// Removes everything.
    pub async fn close(mut self) {
        if let Some(operator) = self.operator.take() {
            operator.kill().await;
        }
        self.cluster.drop_namespace(&self.world.namespace);
        self.place.remove();
        self.world.leave().await;
    }
}

/// Whether the operator has said how the present spec ends, or there is none.
fn is_observed(namespace: &Namespace) -> bool {
    services(namespace).all(|service| {
        let status = &service["status"];
        let conditions = status["conditions"].as_array();
        status["observedGeneration"] == service["metadata"]["generation"]
            && conditions.is_some_and(|all| {
                all.iter()
                    .any(|c| c["type"] == "Ready" && c["reason"] != "Progressing")
            })
    })
}

fn status(namespace: &Namespace) -> String {
    services(namespace)
        .map(|service| service["status"].to_string())
        .collect()
}

fn services(namespace: &Namespace) -> impl Iterator<Item = &Value> {
    let objects = namespace.objects.iter();
    objects
        .filter(|((kind, _), _)| kind == "PostService")
        .map(|(_, value)| value)
}
