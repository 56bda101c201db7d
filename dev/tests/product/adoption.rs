//! Moving from hand-written manifests of the old service, under load, without a failed request. The
//! old pods are a stand-in that writes the old way (`dev/examples/old_service.rs`).

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use dev::images::Image;
use dev::kit::until;
use futures::StreamExt as _;
use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::autoscaling::v2::HorizontalPodAutoscaler;
use k8s_openapi::api::batch::v1::Job;
use k8s_openapi::api::core::v1::{Pod, Service};
use k8s_openapi::api::networking::v1::Ingress;
use kube::ResourceExt as _;
use kube::api::{Api, ListParams, Patch, PatchParams};
use kube::runtime::watcher;
use serde_json::{Value, json};
use sqlx::{Connection as _, Row as _};
use tokio::sync::OnceCell;
use tokio::task::JoinSet;

use crate::board::{Board, EXAMPLE, PATIENCE, example_tag};

/// How long a client keeps a connection: shorter than `drainDelay`, as the API's real clients do.
const KEPT: Duration = Duration::from_secs(3);
const REPOSITORY: &str = "123456789012.dkr.ecr.ap-northeast-2.amazonaws.com/post-service";

#[tokio::test(flavor = "multi_thread")]
async fn the_readme_s_manifests_become_the_operator_s_without_a_failed_request() {
    let Some(board) = Board::open("adopt-lb").await else {
        return;
    };
    let service = json!({"type": "LoadBalancer", "ports": [{"port": 80, "targetPort": 8082}]});
    let old = Old::start(&board, EXAMPLE, 1, service).await;
    let course = old
        .adopt(json!({"deployment": EXAMPLE, "service": EXAMPLE}))
        .await;
    course.check().await;

    let service = old.service().await;
    let spec = service.spec.unwrap();
    assert_eq!(
        (spec.type_.as_deref(), &spec.load_balancer_class),
        (Some("LoadBalancer"), &None)
    );
    // The class's controller serves the second one, which is the address of the API.
    board.condition("LoadBalancerReady", "True", "Ready").await;
    let deployments = old.names::<Deployment>().await;
    assert_eq!(deployments, [format!("{EXAMPLE}-api")]);
    assert_eq!(
        old.names::<Service>().await,
        [EXAMPLE.to_owned(), format!("{EXAMPLE}-nlb")]
    );
    drop(old);
    board.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_manifests_behind_an_alb_become_the_operator_s_without_a_failed_request() {
    let Some(board) = Board::open("adopt-alb").await else {
        return;
    };
    let service = json!({"type": "NodePort", "ports": [{"port": 8082, "targetPort": 8082}]});
    let old = Old::start(&board, "post-service-deployment", 2, service).await;
    old.kubectl_apply(&json!({
        "apiVersion": "autoscaling/v2", "kind": "HorizontalPodAutoscaler",
        "metadata": {"name": "post-service-hpa"},
        "spec": {"scaleTargetRef": {"apiVersion": "apps/v1", "kind": "Deployment",
            "name": "post-service-deployment"}, "minReplicas": 2, "maxReplicas": 3, "metrics": [
            {"type": "Resource", "resource": {"name": "cpu",
                "target": {"type": "Utilization", "averageUtilization": 70}}}]},
    }))
    .await;
    old.kubectl_apply(&json!({
        "apiVersion": "networking.k8s.io/v1", "kind": "Ingress",
        "metadata": {"name": "post-service"},
        "spec": {"ingressClassName": "alb", "rules": [{"http": {"paths": [{
            "path": "/", "pathType": "Prefix",
            "backend": {"service": {"name": EXAMPLE, "port": {"number": 8082}}}}]}}]},
    }))
    .await;
    let ingresses: Api<Ingress> = old.api();
    let ingress = ingresses.get("post-service").await.unwrap();
    let before = old.service().await;
    let course = old
        .adopt(
            json!({"deployment": "post-service-deployment", "service": EXAMPLE,
            "horizontalPodAutoscaler": "post-service-hpa"}),
        )
        .await;
    course.check().await;

    let (then, now) = (before.spec.unwrap(), old.service().await.spec.unwrap());
    assert_eq!(
        (then.type_, then.ports, then.cluster_ip),
        (now.type_, now.ports, now.cluster_ip)
    );
    assert_eq!(
        ingresses.get("post-service").await.unwrap().spec,
        ingress.spec
    );
    assert_eq!(old.names::<Deployment>().await, [EXAMPLE]);
    assert_eq!(old.names::<HorizontalPodAutoscaler>().await, [EXAMPLE]);
    drop(old);
    board.close().await;
}

/// The old service in a namespace, with posts that can be liked.
struct Old<'a> {
    board: &'a Board,
    url: String,
    token: String,
    posts: Vec<String>,
}

impl<'a> Old<'a> {
    /// Applies the old manifests as their users do, and waits until they serve.
    async fn start(board: &'a Board, deployment: &str, pods: i32, service: Value) -> Self {
        static IMAGE: OnceCell<Image> = OnceCell::const_new();
        let image = IMAGE
            .get_or_init(async || board.kit.push_old_service().await.unwrap())
            .await;
        let mut old = Self {
            board,
            url: String::new(),
            token: board.kit.token_of("e2e").await.unwrap(),
            posts: Vec::new(),
        };
        let mut admin = board.server_connection().await;
        let create = format!("CREATE DATABASE `{}` CHARACTER SET utf8mb4", board.database);
        sqlx::query(&create).execute(&mut admin).await.unwrap();
        admin.close().await.unwrap();
        board.create_secrets().await;
        old.kubectl_apply(&manifest(deployment, pods, image)).await;
        let mut front = json!({
            "apiVersion": "v1", "kind": "Service", "metadata": {"name": EXAMPLE},
            "spec": {"selector": {"app": "post-service"}},
        });
        for (key, value) in service.as_object().unwrap() {
            front["spec"][key] = value.clone();
        }
        old.kubectl_apply(&front).await;
        old.url = board.url().await;
        let deployments: Api<Deployment> = old.api();
        until("the old pods serve", PATIENCE, async || {
            let found = deployments
                .get(deployment)
                .await
                .map_err(|e| e.to_string())?;
            let ready = found.status.and_then(|status| status.ready_replicas);
            (ready == Some(pods))
                .then_some(())
                .ok_or(format!("{ready:?}"))
        })
        .await
        .unwrap();
        board.posts().await;
        for post in 0..4 {
            let client = reqwest::Client::new();
            let posted = publish(&client, &old.url, &old.token, &format!("옛 글 {post}")).await;
            old.posts.push(posted.unwrap());
        }
        old
    }

    fn api<K>(&self) -> Api<K>
    where
        K: kube::Resource<DynamicType = (), Scope = kube::core::NamespaceResourceScope>,
    {
        Api::namespaced(self.board.kit.client.clone(), &self.board.namespace)
    }

    async fn service(&self) -> Service {
        self.api().get(EXAMPLE).await.unwrap()
    }

    async fn names<K>(&self) -> Vec<String>
    where
        K: kube::Resource<DynamicType = (), Scope = kube::core::NamespaceResourceScope>
            + Clone
            + std::fmt::Debug
            + serde::de::DeserializeOwned,
    {
        let all = self.api::<K>().list(&ListParams::default()).await.unwrap();
        let mut names: Vec<_> = all.items.iter().map(kube::ResourceExt::name_any).collect();
        names.sort();
        names
    }

    /// Client-side, as the old README says.
    async fn kubectl_apply(&self, object: &Value) {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), object.to_string()).unwrap();
        let path = file.path().display().to_string();
        let arguments = ["-n", &self.board.namespace, "apply", "-f", &path];
        self.board.kit.kubectl(&arguments).await.unwrap();
    }

    /// Applies a `PostService` that adopts these objects, under load, and waits until it is done.
    async fn adopt(&self, adopt: Value) -> Course<'_> {
        let load = Load::start(&self.url, &self.token, &self.posts);
        let writers = tokio::spawn(watch_writers(self.api(), self.api()));
        let begun = Instant::now();
        let object = json!({
            "apiVersion": "platform.hhottdogg.shop/v1alpha1", "kind": "PostService",
            "metadata": {"name": EXAMPLE, "namespace": self.board.namespace},
            "spec": {
                "image": {"repository": REPOSITORY, "tag": example_tag(&self.board.kit).await},
                "adopt": adopt,
                "rollout": {"drainDelay": "10s", "bake": {"duration": "5s"}},
                "resources": {"requests": {"cpu": "20m", "memory": "32Mi"}},
                "service": {"loadBalancer": {"deregistrationDelaySeconds": 0}},
                "api": {"rateLimit": {"readsPerMinute": 0, "writesPerMinute": 0}},
            },
        });
        self.board
            .kit
            .post_services(&self.board.namespace)
            .patch(EXAMPLE, &PatchParams::apply("e2e"), &Patch::Apply(object))
            .await
            .unwrap();
        self.board
            .condition("AdoptionComplete", "True", "Complete")
            .await;
        self.board.condition("Ready", "True", "UpToDate").await;
        let took = begun.elapsed();
        Course {
            board: self.board,
            deeds: load.stop().await,
            writers: writers.await.unwrap(),
            took,
        }
    }
}

fn manifest(name: &str, pods: i32, image: &Image) -> Value {
    json!({
        "apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": name},
        "spec": {
            "replicas": pods,
            "selector": {"matchLabels": {"app": "post-service"}},
            "template": {
                "metadata": {"labels": {"app": "post-service"}},
                "spec": {
                    "securityContext": {"runAsNonRoot": true, "runAsUser": 65532,
                        "seccompProfile": {"type": "RuntimeDefault"}},
                    "containers": [{
                        "name": "post-service",
                        "image": format!("{}@{}", image.repository, image.digest),
                        "ports": [{"containerPort": 8082}],
                        "env": [{"name": "DATABASE_URL", "valueFrom": {"secretKeyRef":
                            {"name": "post-db-secret", "key": "database-url"}}}],
                        "resources": {"requests": {"cpu": "20m", "memory": "32Mi"}},
                        "readinessProbe": {"httpGet": {"path": "/health", "port": 8082},
                            "periodSeconds": 1},
                        "securityContext": {"allowPrivilegeEscalation": false,
                            "capabilities": {"drop": ["ALL"]}},
                    }],
                },
            },
        },
    })
}

/// What happened while the objects were taken over.
struct Course<'a> {
    board: &'a Board,
    deeds: Deeds,
    writers: Writers,
    took: Duration,
}

impl Course<'_> {
    async fn check(&self) {
        let deeds = &self.deeds;
        println!(
            "adopted under load in {:.1} s: {} requests, {} failed, {} posts and {} likes written",
            self.took.as_secs_f64(),
            deeds.requests,
            deeds.failures.len(),
            deeds.published.len(),
            deeds.likes
        );
        assert_eq!(
            deeds.failures,
            Vec::<String>::new(),
            "of {} requests",
            deeds.requests
        );
        let ended = self.writers.ended.unwrap();
        let finished = self.writers.finish.unwrap();
        assert!(ended < finished, "an old writer was left when finish began");

        let mut database = self.board.database_connection().await;
        let rows = sqlx::query("SELECT id, CAST(username AS CHAR) FROM posts")
            .fetch_all(&mut database)
            .await
            .unwrap();
        let stored: HashMap<String, String> =
            rows.iter().map(|row| (row.get(0), row.get(1))).collect();
        let lost: Vec<_> = deeds
            .published
            .iter()
            .filter(|id| !stored.contains_key(*id))
            .collect();
        assert!(lost.is_empty(), "acknowledged, but not there: {lost:?}");
        let by_old = deeds
            .published
            .iter()
            .filter(|id| stored[*id] == "옛 사용자")
            .count();
        assert!(
            by_old > 0 && by_old < deeds.published.len(),
            "both services wrote: {by_old}"
        );
        for (what, sql) in [
            (
                "an unfinished adoption",
                "SELECT COUNT(*) FROM adoption WHERE finished_at IS NULL",
            ),
            (
                "posts whose likes are miscounted",
                "SELECT COUNT(*) FROM posts p WHERE p.like_count IS NULL OR p.like_count <> \
                 (SELECT COUNT(*) FROM likes l WHERE l.post_id = p.id)",
            ),
            (
                "the difference of the total",
                "SELECT (SELECT COUNT(*) FROM posts WHERE status = 'visible') - CAST((SELECT \
                 visible FROM post_totals WHERE scope = '' AND level = 0) AS SIGNED)",
            ),
            (
                "the difference of authors' totals",
                "SELECT (SELECT COUNT(*) FROM posts WHERE status = 'visible' AND user_id IS NOT NULL) \
                 - CAST((SELECT COALESCE(SUM(visible), 0) FROM author_totals) AS SIGNED)",
            ),
        ] {
            let wrong: i64 = sqlx::query_scalar(sql)
                .fetch_one(&mut database)
                .await
                .unwrap();
            assert_eq!(wrong, 0, "{what}");
        }
        database.close().await.unwrap();
    }
}

/// When the last old pod had ended, and when the Job `migrate --finish` came.
#[derive(Debug, Default)]
struct Writers {
    ended: Option<Instant>,
    finish: Option<Instant>,
}

async fn watch_writers(pods: Api<Pod>, jobs: Api<Job>) -> Writers {
    let mut writers = Writers::default();
    let mut ended = HashSet::new();
    let old = watcher::Config::default().labels("app=post-service");
    let mut old_pods = watcher(pods, old).boxed();
    let mut jobs = watcher(jobs, watcher::Config::default()).boxed();
    while writers.finish.is_none() {
        tokio::select! {
            Some(event) = old_pods.next() => {
                if is_end(&event) && ended.insert(name_of(&event)) {
                    writers.ended = Some(Instant::now());
                }
            }
            Some(event) = jobs.next() => {
                if let Ok(watcher::Event::Apply(job)) = event
                    && job.name_any().contains("-finish-")
                {
                    writers.finish = Some(Instant::now());
                }
            }
        }
    }
    // A pod that ends only now would be the last.
    let late = async {
        while let Some(event) = old_pods.next().await {
            if is_end(&event) && ended.insert(name_of(&event)) {
                writers.ended = Some(Instant::now());
            }
        }
    };
    let _ = tokio::time::timeout(Duration::from_secs(2), late).await;
    writers
}

/// Whether a pod's containers have ended: only then the kubelet reports such a phase, and only
/// after that the object goes.
fn is_end(event: &watcher::Result<watcher::Event<Pod>>) -> bool {
    match event {
        Ok(watcher::Event::Delete(_)) => true,
        Ok(watcher::Event::Apply(pod)) => {
            let phase = pod
                .status
                .as_ref()
                .and_then(|status| status.phase.as_deref());
            matches!(phase, Some("Succeeded" | "Failed"))
        }
        _ => false,
    }
}

fn name_of(event: &watcher::Result<watcher::Event<Pod>>) -> String {
    match event {
        Ok(watcher::Event::Delete(pod) | watcher::Event::Apply(pod)) => pod.name_any(),
        _ => String::new(),
    }
}

/// What the clients did.
#[derive(Debug, Default)]
struct Deeds {
    requests: usize,
    likes: usize,
    published: Vec<String>,
    failures: Vec<String>,
}

/// Clients that read and write, some on connections they keep, some on a new one each time.
struct Load {
    stop: Arc<AtomicBool>,
    clients: JoinSet<Deeds>,
}

#[derive(Clone, Copy)]
enum Deed {
    Read,
    Publish,
    Like,
}

impl Load {
    fn start(url: &str, token: &str, posts: &[String]) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let mut clients = JoinSet::new();
        for (number, deed) in [Deed::Read, Deed::Publish, Deed::Like]
            .into_iter()
            .enumerate()
        {
            for keeps in [true, false] {
                // Each likes a post of its own: the old service miscounts where two meet.
                let post = posts[number % 2 + if keeps { 0 } else { 2 }].clone();
                let client = Client {
                    url: url.to_owned(),
                    token: token.to_owned(),
                    post,
                    keeps,
                    deed,
                };
                clients.spawn(client.run(stop.clone()));
            }
        }
        Self { stop, clients }
    }

    async fn stop(self) -> Deeds {
        self.stop.store(true, Ordering::Relaxed);
        let mut all = Deeds::default();
        for deeds in self.clients.join_all().await {
            all.requests += deeds.requests;
            all.likes += deeds.likes;
            all.published.extend(deeds.published);
            all.failures.extend(deeds.failures);
        }
        all
    }
}

struct Client {
    url: String,
    token: String,
    post: String,
    keeps: bool,
    deed: Deed,
}

impl Client {
    async fn run(self, stop: Arc<AtomicBool>) -> Deeds {
        let mut deeds = Deeds::default();
        let begun = Instant::now();
        while !stop.load(Ordering::Relaxed) {
            let (client, opened) = (self.connection(), Instant::now());
            while opened.elapsed() < KEPT && !stop.load(Ordering::Relaxed) {
                deeds.requests += 1;
                if let Err(error) = self.once(&client, &mut deeds).await {
                    let at = begun.elapsed().as_secs_f64();
                    deeds.failures.push(format!("{at:.2} s: {error}"));
                }
                // A steady rate, so that the load does not decide how long things take.
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        }
        deeds
    }

    fn connection(&self) -> reqwest::Client {
        let idle = usize::from(self.keeps);
        reqwest::Client::builder()
            .pool_max_idle_per_host(idle)
            .timeout(Duration::from_secs(10))
            .build()
            .unwrap()
    }

    async fn once(&self, client: &reqwest::Client, deeds: &mut Deeds) -> Result<(), String> {
        match self.deed {
            Deed::Read => {
                let answer = client
                    .get(format!("{}/api/v1/posts", self.url))
                    .send()
                    .await;
                expect(answer, 200).await.map(drop)
            }
            Deed::Publish => {
                let id = publish(client, &self.url, &self.token, "이사").await?;
                deeds.published.push(id);
                Ok(())
            }
            Deed::Like => {
                let like = client
                    .post(format!("{}/api/v1/posts/{}/like", self.url, self.post))
                    .bearer_auth(&self.token)
                    .json(&json!({"user_id": format!("old-{}", self.keeps)}));
                expect(like.send().await, 200).await?;
                deeds.likes += 1;
                Ok(())
            }
        }
    }
}

/// The id of a new post.
async fn publish(
    client: &reqwest::Client,
    url: &str,
    token: &str,
    title: &str,
) -> Result<String, String> {
    let body = json!({"title": title, "content": "내용", "category": "자유"});
    let request = client
        .post(format!("{url}/api/v1/posts"))
        .bearer_auth(token)
        .json(&body);
    let answer = expect(request.send().await, 201).await?;
    let id = answer["data"]["id"].as_str();
    id.map(str::to_owned).ok_or_else(|| answer.to_string())
}

async fn expect(answer: reqwest::Result<reqwest::Response>, status: u16) -> Result<Value, String> {
    let answer = answer.map_err(|error| format!("{error:?}"))?;
    let found = answer.status().as_u16();
    let text = answer.text().await.map_err(|error| format!("{error:?}"))?;
    if found != status {
        return Err(format!("{found}: {text}"));
    }
    serde_json::from_str(&text).map_err(|error| format!("{error}: {text}"))
}
