//! The cluster that the operator works on: namespaces, Secrets, images, PostServices, and the
//! built-in controllers' part, played.

use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use futures::{StreamExt as _, TryStreamExt as _};
use kube::api::{Api, DynamicObject, ListParams, Patch, PatchParams, PostParams};
use kube::core::GroupVersionKind;
use kube::discovery::ApiResource;
use kube::runtime::{WatchStreamExt as _, watcher};
use kube::{Client, ResourceExt as _};
use serde_json::{Value, json};
use tokio::task::JoinHandle;

use crate::aws::ecr;
use crate::bench::histogram;
use crate::{install, wait};

/// Longest wait for something that takes a moment.
const SOON: Duration = Duration::from_secs(30);
/// Requests of this tool under way at once.
const CONCURRENCY: usize = 32;
/// Fewer, where the machine's time belongs to what is measured.
const GENTLE: usize = 4;
/// Images that the `PostService`s share: tags are looked up by tag, not by service.
const IMAGES: usize = 20;
const REPOSITORY: &str = "bench";
/// Requests that change something; the API server renews leases of its own.
const WRITES: [&str; 6] = [
    "POST",
    "PUT",
    "PATCH",
    "APPLY",
    "DELETE",
    "DELETECOLLECTION",
];

/// A kind of the API.
pub(super) fn kind(group: &str, version: &str, kind: &str) -> ApiResource {
    ApiResource::from_gvk(&GroupVersionKind::gvk(group, version, kind))
}

/// Access to the servers, as their administrator.
#[derive(Clone)]
pub(super) struct World {
    pub(super) client: Client,
    /// URL of the database server, without a database.
    pub(super) database: String,
}

impl World {
    /// Objects of a kind in a namespace.
    pub(super) fn api(&self, namespace: &str, kind: &ApiResource) -> Api<DynamicObject> {
        Api::namespaced_with(self.client.clone(), namespace, kind)
    }

    /// Objects of kind `PostService`.
    pub(super) fn post_services(&self, namespace: &str) -> Api<DynamicObject> {
        self.api(namespace, &install::post_service())
    }

    /// Makes a namespace with the Secrets of stopped `PostService`s.
    pub(super) async fn namespace(&self, name: &str) -> Result<()> {
        let kind = kind("", "v1", "Namespace");
        let api: Api<DynamicObject> = Api::all_with(self.client.clone(), &kind);
        create(&api, &kind, json!({"metadata": {"name": name}})).await?;
        let auth = json!({
            "cognito-user-pool-id": "ap-northeast-2_bench", "cognito-region": "ap-northeast-2",
            "cognito-client-id": "bench", "secret-key": "0123456789abcdef0123456789abcdef",
        });
        self.secret(name, "post-secrets", auth).await?;
        let database = name.replace('-', "_");
        self.database_secret(name, "post-db-secret", &database)
            .await
    }

    async fn secret(&self, namespace: &str, name: &str, entries: Value) -> Result<()> {
        let kind = kind("", "v1", "Secret");
        let api = self.api(namespace, &kind);
        let object = json!({"metadata": {"name": name}, "stringData": entries});
        create(&api, &kind, object).await.map(drop)
    }

    async fn database_secret(&self, namespace: &str, name: &str, database: &str) -> Result<()> {
        let url = format!("{}/{database}?charset=utf8mb4", self.database);
        self.secret(namespace, name, json!({"database-url": url}))
            .await
    }

    /// Calls a pass of each: a changed annotation changes nothing else. Makes one write each.
    pub(super) async fn touch(&self, namespace: &str, count: usize) -> Result<()> {
        let api = self.post_services(namespace);
        let patch = Patch::Merge(json!({"metadata": {"annotations": {"touched": "yes"}}}));
        let (api, patch) = (&api, &patch);
        futures::stream::iter((0..count).map(Ok))
            .try_for_each_concurrent(GENTLE, async |number: usize| {
                let name = format!("s{number}");
                let patched = api.patch(&name, &PatchParams::default(), patch).await;
                patched
                    .map(drop)
                    .with_context(|| format!("cannot touch PostService {name}"))
            })
            .await
    }

    /// A stopped `PostService`; all share the namespace's Secrets and one image.
    pub(super) async fn create_stopped(&self, namespace: &str, number: usize) -> Result<Instant> {
        let spec = json!({"stopped": true, "image": image(0)});
        self.create_service(namespace, number, spec).await
    }

    /// A running one with a Secret and a database of its own; returns when the creation
    /// of the object itself began.
    pub(super) async fn create_full(&self, namespace: &str, number: usize) -> Result<Instant> {
        let secret = format!("db-{number}");
        let database = format!("full_{number}");
        self.database_secret(namespace, &secret, &database).await?;
        let spec = json!({
            "image": image(number), "database": {"urlSecretRef": {"name": secret, "key": "database-url"}},
        });
        self.create_service(namespace, number, spec).await
    }

    async fn create_service(&self, namespace: &str, number: usize, spec: Value) -> Result<Instant> {
        let began = Instant::now();
        let object = json!({"metadata": {"name": format!("s{number}")}, "spec": spec});
        let kind = install::post_service();
        create(&self.post_services(namespace), &kind, object).await?;
        Ok(began)
    }

    /// A Secret and a `ConfigMap` that nobody refers to, of about a kilobyte each.
    pub(super) async fn create_unrelated(&self, namespace: &str, number: usize) -> Result<()> {
        let filler = "x".repeat(1024);
        for name in ["Secret", "ConfigMap"] {
            let kind = kind("", "v1", name);
            let mut object = json!({"metadata": {"name": format!("unrelated-{number}")}});
            let key = if name == "Secret" {
                "stringData"
            } else {
                "data"
            };
            object[key] = json!({"filler": filler});
            create(&self.api(namespace, &kind), &kind, object).await?;
        }
        Ok(())
    }

    /// Write requests that the API server has served, without leases.
    pub(super) async fn writes(&self) -> Result<f64> {
        let request = http::Request::get("/metrics").body(vec![])?;
        let text = self.client.request_text(request).await?;
        Ok(histogram::sum(&text, "apiserver_request_total", |label| {
            label("verb").is_some_and(|verb| WRITES.contains(&verb.as_str()))
                && label("resource").as_deref() != Some("leases")
        }))
    }

    /// Waits until nobody has written for two seconds.
    pub(super) async fn quiet(&self, patience: Duration) -> Result<()> {
        let began = Instant::now();
        let mut last = self.writes().await?;
        loop {
            tokio::time::sleep(Duration::from_secs(2)).await;
            let now = self.writes().await?;
            if now <= last {
                return Ok(());
            }
            anyhow::ensure!(
                began.elapsed() < patience,
                "still {} writes in 2 s after {} s",
                now - last,
                patience.as_secs()
            );
            last = now;
        }
    }

    /// Waits until the API server serves the kind that was just defined.
    pub(super) async fn is_served(&self) -> Result<()> {
        let services = self.api("default", &install::post_service());
        let one = ListParams::default().limit(1);
        let what = "the API server serves PostServices";
        wait::until(what, SOON, async || services.list(&one).await.map(drop)).await
    }

    /// Plays the controllers of Jobs, Deployments and load balancers in a namespace until the handle
    /// is aborted.
    pub(super) fn play_controllers(&self, namespace: &str) -> JoinHandle<()> {
        let jobs = self.api(namespace, &kind("batch", "v1", "Job"));
        let deployments = self.api(namespace, &kind("apps", "v1", "Deployment"));
        let services = self.api(namespace, &kind("", "v1", "Service"));
        tokio::spawn(async move {
            tokio::join!(
                play(jobs, completed),
                play(deployments, rolled_out),
                play(services, balanced),
            );
        })
    }
}

/// Pushes the images that the `PostService`s name.
pub(super) async fn push_images(endpoint: &str) -> Result<()> {
    ecr::create_repository(endpoint, REPOSITORY).await?;
    let push = |number| ecr::put_image(endpoint, REPOSITORY, tag(number));
    futures::stream::iter((0..IMAGES).map(push))
        .buffer_unordered(8)
        .try_collect()
        .await
}

fn tag(number: usize) -> String {
    format!("t{}", number % IMAGES)
}

fn image(number: usize) -> Value {
    json!({"repository": format!("{}/{REPOSITORY}", ecr::registry()), "tag": tag(number)})
}

async fn create(
    api: &Api<DynamicObject>,
    kind: &ApiResource,
    mut object: Value,
) -> Result<DynamicObject> {
    object["apiVersion"] = json!(kind.api_version);
    object["kind"] = json!(kind.kind);
    let object: DynamicObject = serde_json::from_value(object)?;
    api.create(&PostParams::default(), &object)
        .await
        .with_context(|| format!("cannot create {} {}", kind.kind, object.name_any()))
}

/// Runs `make` for each number, many at once.
pub(super) async fn many<T, F>(
    numbers: std::ops::Range<usize>,
    make: impl Fn(usize) -> F,
) -> Result<Vec<T>>
where
    F: Future<Output = Result<T>>,
{
    futures::stream::iter(numbers.map(make))
        .buffer_unordered(CONCURRENCY)
        .try_collect()
        .await
}

/// Gives each object the status that its controller would.
async fn play(api: Api<DynamicObject>, status: fn(&DynamicObject) -> Option<Value>) {
    watcher(api.clone(), watcher::Config::default())
        .default_backoff()
        .applied_objects()
        .for_each_concurrent(16, |object| {
            let api = &api;
            async move {
                let Ok(object) = object else { return };
                let Some(status) = status(&object) else {
                    return;
                };
                let patch = Patch::Merge(json!({"status": status}));
                // One that was changed or deleted meanwhile comes again, or never.
                let _ = api
                    .patch_status(&object.name_any(), &PatchParams::default(), &patch)
                    .await;
            }
        })
        .await;
}

fn completed(job: &DynamicObject) -> Option<Value> {
    if job.data["status"]["completionTime"].is_string() {
        return None;
    }
    let now = k8s_openapi::jiff::Timestamp::now().to_string();
    Some(json!({
        "startTime": now, "completionTime": now, "succeeded": 1,
        "conditions": [
            {"type": "SuccessCriteriaMet", "status": "True", "lastTransitionTime": now},
            {"type": "Complete", "status": "True", "lastTransitionTime": now},
        ],
    }))
}

/// Without an address each Service would be reported once more, as one that nobody serves.
fn balanced(service: &DynamicObject) -> Option<Value> {
    let has_address = service.data["status"]["loadBalancer"]["ingress"].is_array();
    let ingress = json!([{"hostname": "nlb.example"}]);
    (!has_address).then(|| json!({"loadBalancer": {"ingress": ingress}}))
}

fn rolled_out(deployment: &DynamicObject) -> Option<Value> {
    let generation = deployment.metadata.generation;
    if deployment.data["status"]["observedGeneration"].as_i64() == generation {
        return None;
    }
    let pods = deployment.data["spec"]["replicas"].as_i64().unwrap_or(1);
    Some(json!({
        "observedGeneration": generation, "replicas": pods, "updatedReplicas": pods,
        "readyReplicas": pods, "availableReplicas": pods,
    }))
}
