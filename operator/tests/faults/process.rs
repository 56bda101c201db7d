//! The operator as users run it: the binary, as a child process that can be killed.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Stdio;

use serde_json::json;
use tokio::process::{Child, Command};

/// A running operator; killed when dropped.
pub struct Operator {
    child: Child,
}

/// Where an operator finds its world.
pub struct Place {
    /// The proxy that it takes for the API server.
    pub api_server: SocketAddr,
    /// The namespace that it watches.
    pub namespace: String,
    /// Endpoint of the ECR stand-in.
    pub ecr: String,
    /// Account of the registry.
    pub account: &'static str,
}

impl Place {
    fn file(&self, ending: &str) -> PathBuf {
        Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("{}.{ending}", self.namespace))
    }

    /// The operator's log lines, of all its lives.
    pub fn log(&self) -> PathBuf {
        self.file("log")
    }

    /// Removes the kubeconfig and the log.
    pub fn remove(&self) {
        for ending in ["kubeconfig", "log"] {
            // Absent when no operator was started.
            let _ = std::fs::remove_file(self.file(ending));
        }
    }
}

impl Operator {
    /// Starts it.
    pub fn start(place: &Place) -> Self {
        let kubeconfig = json!({
            "apiVersion": "v1", "kind": "Config", "current-context": "proxy",
            "clusters": [{"name": "proxy",
                "cluster": {"server": format!("http://{}", place.api_server)}}],
            "users": [{"name": "nobody", "user": {}}],
            "contexts": [{"name": "proxy", "context": {"cluster": "proxy", "user": "nobody",
                "namespace": place.namespace}}],
        });
        let path = place.file("kubeconfig");
        std::fs::write(&path, kubeconfig.to_string()).unwrap();
        let log = std::fs::OpenOptions::new()
            .create(true)
            .append(true)
            .open(place.log())
            .unwrap();
        let child = Command::new(env!("CARGO_BIN_EXE_post-operator"))
            .args([
                "run",
                "--no-leader-election",
                "--namespace",
                &place.namespace,
            ])
            .args(["--listen-address", "127.0.0.1:0", "--log-format", "text"])
            .args(["--service-env", "COGNITO_JWKS_URL=http://keys.example/jwks"])
            .env("KUBECONFIG", path)
            .env("AWS_ENDPOINT_URL_ECR", &place.ecr)
            .env("AWS_ACCESS_KEY_ID", place.account)
            .env("AWS_SECRET_ACCESS_KEY", "test")
            .env("AWS_REGION", "ap-northeast-2")
            // Threads for two cores each would only wait for each other.
            .env("TOKIO_WORKER_THREADS", "2")
            .env("NO_COLOR", "1")
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log)
            .kill_on_drop(true)
            .spawn()
            .unwrap();
        Self { child }
    }

    /// `kill -9`, and waits for the end.
    pub async fn kill(mut self) {
        self.child.kill().await.unwrap();
    }
}
