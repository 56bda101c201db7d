//! Replicas of the real binary, each behind a proxy of its own that records what it asks for.

use std::net::SocketAddr;
use std::process::{ExitStatus, Stdio};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use axum::body::{Body, to_bytes};
use axum::extract::{Request, State};
use axum::http::{Method, StatusCode};
use axum::response::{IntoResponse as _, Response};
use k8s_openapi::api::coordination::v1::Lease;
use kube::Client;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::process::{Child, Command};
use tokio::task::JoinHandle;

use crate::world::{PATIENCE, World};

/// Name of the lease in every test's namespace.
pub const LEASE: &str = "post-operator";

/// A request as the API server was asked.
#[derive(Clone, Debug)]
pub struct Asked {
    pub at: Instant,
    pub method: Method,
    pub path: String,
}

impl Asked {
    pub fn is_write(&self) -> bool {
        self.method != Method::GET
    }

    pub fn is_of_lease(&self) -> bool {
        self.path.contains("/leases")
    }
}

#[derive(Clone)]
struct Proxy {
    client: Client,
    asked: Arc<Mutex<Vec<Asked>>>,
    /// Taken by the next renewal, whose answer comes so much later.
    slowness: Arc<Mutex<Option<Duration>>>,
}

async fn forward(State(proxy): State<Proxy>, request: Request) -> Response {
    let (parts, body) = request.into_parts();
    let path = parts.uri.path_and_query().unwrap().to_string();
    let asked = Asked {
        at: Instant::now(),
        method: parts.method.clone(),
        path: path.clone(),
    };
    let renewal = asked.is_of_lease() && asked.method == Method::PUT;
    proxy.asked.lock().unwrap().push(asked);
    let slow = renewal
        .then(|| proxy.slowness.lock().unwrap().take())
        .flatten();
    if let Some(slow) = slow {
        tokio::time::sleep(slow).await;
    }
    let body = to_bytes(body, usize::MAX).await.unwrap();
    let mut onward = http::Request::builder().method(parts.method).uri(path);
    for (name, value) in &parts.headers {
        if name != "host" && name != "content-length" {
            onward = onward.header(name, value);
        }
    }
    let onward = onward.body(kube::client::Body::from(body)).unwrap();
    match proxy.client.send(onward).await {
        Ok(answer) => answer.map(Body::new).into_response(),
        Err(error) => (StatusCode::BAD_GATEWAY, error.to_string()).into_response(),
    }
}

/// One replica. Dropped, it is killed.
pub struct Replica {
    pub name: String,
    child: Child,
    proxy: Proxy,
    server: JoinHandle<()>,
    address: SocketAddr,
    kubeconfig: std::path::PathBuf,
}

impl Drop for Replica {
    fn drop(&mut self) {
        self.server.abort();
        let _ = std::fs::remove_file(&self.kubeconfig);
    }
}

impl Replica {
    /// Starts one in the world's namespace.
    pub async fn start(world: &World, name: &str, lease_duration: &str) -> Self {
        let proxy = Proxy {
            client: world.client.clone(),
            asked: Arc::default(),
            slowness: Arc::default(),
        };
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let server = format!("http://{}", listener.local_addr().unwrap());
        let router = axum::Router::new()
            .fallback(forward)
            .with_state(proxy.clone());
        let serving = tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
        let kubeconfig = std::env::temp_dir().join(format!("{}-{name}.yaml", world.namespace));
        std::fs::write(&kubeconfig, kubeconfig_of(&server)).unwrap();
        let free = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = free.local_addr().unwrap();
        drop(free);
        let child = Command::new(env!("CARGO_BIN_EXE_post-operator"))
            .args(["run", "--log-format=text", "--namespace", &world.namespace])
            .args(["--lease-namespace", &world.namespace, "--lease-name", LEASE])
            .args(["--lease-duration", lease_duration])
            .args(["--listen-address", &address.to_string()])
            .env("KUBECONFIG", &kubeconfig)
            .env("POD_NAME", name)
            .env(
                "AWS_ENDPOINT_URL",
                std::env::var("TEST_ECR_ENDPOINT").unwrap(),
            )
            .env("AWS_ACCESS_KEY_ID", "123456789012")
            .env("AWS_SECRET_ACCESS_KEY", "test")
            .env("AWS_REGION", "ap-northeast-2")
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .unwrap();
        Self {
            name: name.to_owned(),
            child,
            proxy,
            server: serving,
            address,
            kubeconfig,
        }
    }

    /// Sends a signal.
    pub fn signal(&self, signal: Signal) {
        let pid = i32::try_from(self.child.id().unwrap()).unwrap();
        kill(Pid::from_raw(pid), signal).unwrap();
    }

    /// Waits for its end; gives its status and its log.
    pub async fn ended(&mut self) -> (ExitStatus, String) {
        let mut log = String::new();
        let mut output = self.child.stderr.take().unwrap();
        let ended = async {
            output.read_to_string(&mut log).await.unwrap();
            self.child.wait().await.unwrap()
        };
        let status = tokio::time::timeout(PATIENCE, ended)
            .await
            .expect("ended in time");
        (status, log)
    }

    pub fn is_running(&mut self) -> bool {
        self.child.try_wait().unwrap().is_none()
    }

    /// The answer of the next renewal comes so much later.
    pub fn slow_down_one_renewal(&self, by: Duration) {
        *self.proxy.slowness.lock().unwrap() = Some(by);
    }

    /// Whether [`Replica::slow_down_one_renewal`] had its effect.
    pub fn was_slowed_down(&self) -> bool {
        self.proxy.slowness.lock().unwrap().is_none()
    }

    /// What it asked for since `begin`, in order of arrival.
    pub fn asked_since(&self, begin: Instant) -> Vec<Asked> {
        let mut asked = self.proxy.asked.lock().unwrap().clone();
        asked.retain(|asked| asked.at >= begin);
        asked
    }

    /// What it wrote since `begin`, but for its lease.
    pub fn wrote_since(&self, begin: Instant) -> Vec<Asked> {
        let mut asked = self.asked_since(begin);
        asked.retain(|asked| asked.is_write() && !asked.is_of_lease());
        asked
    }

    /// Waits until it holds the lease.
    pub async fn leads(&self, world: &World) {
        let prefix = format!("{}_", self.name);
        world
            .wait::<Lease, _>(LEASE, &format!("be held by {}", self.name), |lease| {
                holder(lease).starts_with(&prefix).then_some(())
            })
            .await;
    }

    /// Waits until `/readyz` says so.
    pub async fn ready(&self) {
        let begun = Instant::now();
        while !self.get("/readyz").await.contains("200 OK") {
            assert!(
                begun.elapsed() < PATIENCE,
                "{} never became ready",
                self.name
            );
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// Where it answers probes and scrapes.
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// An answer with its head; empty while nobody listens.
    pub async fn get(&self, path: &str) -> String {
        let Ok(mut connection) = TcpStream::connect(self.address).await else {
            return String::new();
        };
        let request = format!("GET {path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n");
        connection.write_all(request.as_bytes()).await.unwrap();
        let mut answer = String::new();
        connection.read_to_string(&mut answer).await.unwrap();
        answer
    }
}

/// Who holds a lease; empty where nobody does.
pub fn holder(lease: &Lease) -> String {
    let spec = lease.spec.clone().unwrap_or_default();
    spec.holder_identity.unwrap_or_default()
}

fn kubeconfig_of(server: &str) -> String {
    serde_json::json!({
        "apiVersion": "v1", "kind": "Config", "current-context": "t",
        "clusters": [{"name": "t", "cluster": {"server": server}}],
        "contexts": [{"name": "t", "context": {"cluster": "t", "user": "t"}}],
        "users": [{"name": "t", "user": {}}],
    })
    .to_string()
}
