//! For tests of the commands for people: the built program against a real API server, with the
//! operator's part played by the test.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::Stdio;
use std::time::Instant;

use k8s_openapi::api::core::v1::Namespace;
use k8s_openapi::jiff::Timestamp;
use kube::api::{Api, DeleteParams, Patch, PatchParams};
use kube::config::Kubeconfig;
use kube::{Client, ResourceExt as _};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use post_operator::api::v1alpha1::PostService;
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, BufReader};
use tokio::process::{Child, ChildStderr, Command};

use crate::world::{Environment, PATIENCE, client_config, create_namespace, install_crd};

/// Name of the `PostService`.
pub const NAME: &str = "api";

/// A namespace without an operator.
pub struct Stage {
    pub client: Client,
    pub namespace: String,
    pub services: Api<PostService>,
    admin: Kubeconfig,
    folder: tempfile::TempDir,
}

/// What a command said and how it ended.
#[derive(Debug)]
pub struct Said {
    pub code: Option<i32>,
    pub out: String,
    pub err: String,
}

impl Said {
    /// Standard output as JSON.
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.out).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }

    /// Checks the exit code, and that nothing looks like a dump of Rust values.
    pub fn exits(self, code: i32) -> Self {
        assert_eq!(self.code, Some(code), "{self:?}");
        for dump in ["Error {", "Some(", "Status {", "panicked", "ApiError"] {
            assert!(!self.err.contains(dump), "{}", self.err);
        }
        self
    }
}

impl Stage {
    /// A namespace with a name like `name`; `None` where there is no API server.
    pub async fn open(name: &str) -> Option<Self> {
        if !Environment::has("TEST_KUBECONFIG") {
            return None;
        }
        let path = std::env::var("TEST_KUBECONFIG").unwrap();
        let client = Client::try_from(client_config(&path).await).unwrap();
        let namespace = format!("cli-{name}-{:x}", std::process::id());
        install_crd(&client).await;
        create_namespace(&client, &namespace).await;
        Some(Self {
            services: Api::namespaced(client.clone(), &namespace),
            client,
            namespace,
            admin: Kubeconfig::read_from(path).unwrap(),
            folder: tempfile::tempdir().unwrap(),
        })
    }

    pub async fn close(self) {
        Api::<Namespace>::all(self.client.clone())
            .delete(&self.namespace, &DeleteParams::default())
            .await
            .unwrap();
    }

    /// Applies the `PostService` with `tag` under a field manager.
    pub async fn apply(&self, tag: &str, manager: &str) {
        let object = json!({
            "apiVersion": "platform.hhottdogg.shop/v1alpha1", "kind": "PostService",
            "metadata": {"name": NAME},
            "spec": {"image": {"repository": "registry.example/post-service", "tag": tag}},
        });
        let parameters = PatchParams::apply(manager).force();
        self.services
            .patch(NAME, &parameters, &Patch::Apply(object))
            .await
            .unwrap();
    }

    /// Applies the `PostService`; the tag is of an earlier `deploy`. That is generation 2.
    pub async fn deployed(&self, tag: &str) {
        self.apply("0", "test").await;
        let object = json!({
            "apiVersion": "platform.hhottdogg.shop/v1alpha1", "kind": "PostService",
            "metadata": {"name": NAME}, "spec": {"image": {"tag": tag}},
        });
        let parameters = PatchParams::apply("post-operator-deploy").force();
        self.services
            .patch(NAME, &parameters, &Patch::Apply(object))
            .await
            .unwrap();
    }

    /// Changes the spec as somebody at a keyboard would.
    pub async fn patch(&self, spec: Value) {
        let patch = Patch::Merge(json!({"spec": spec}));
        let parameters = PatchParams::default();
        self.services
            .patch(NAME, &parameters, &patch)
            .await
            .unwrap();
    }

    /// Waits until the spec asks for `tag`, and gives the object.
    pub async fn asked_for(&self, tag: &str) -> PostService {
        self.until(&format!("tag {tag}"), |service| {
            service.spec.image.tag.as_deref() == Some(tag)
        })
        .await
    }

    /// Waits until the object is as `is_so` wants it.
    pub async fn until(&self, what: &str, is_so: impl Fn(&PostService) -> bool) -> PostService {
        let begun = Instant::now();
        loop {
            let service = self.services.get(NAME).await.unwrap();
            if is_so(&service) {
                return service;
            }
            assert!(begun.elapsed() < PATIENCE, "never: {what}");
            tokio::time::sleep(std::time::Duration::from_millis(50)).await;
        }
    }

    /// Plays the operator: says of the present spec that `running` runs, with these conditions
    /// (type, status, reason).
    pub async fn report(&self, running: &str, conditions: &[(&str, &str, &str)]) {
        let generation = self.services.get(NAME).await.unwrap().metadata.generation;
        let now = Timestamp::now().to_string();
        let condition = |(type_, status, reason): &(&str, &str, &str)| {
            json!({"type": type_, "status": status, "reason": reason,
                "message": format!("the words of {reason}"),
                "observedGeneration": generation, "lastTransitionTime": now})
        };
        let conditions: Vec<_> = conditions.iter().map(condition).collect();
        self.write_status(json!({
            "observedGeneration": generation, "conditions": conditions,
            "image": {"current": {"tag": running, "digest": format!("sha256:{}", "a".repeat(64))}},
            "replicas": 3, "readyReplicas": 2,
        }))
        .await;
    }

    /// Merges into the status.
    pub async fn write_status(&self, status: Value) {
        let patch = Patch::Merge(json!({"status": status}));
        let parameters = PatchParams::default();
        self.services
            .patch_status(NAME, &parameters, &patch)
            .await
            .unwrap();
    }

    /// A kubeconfig, changed.
    pub fn kubeconfig(&self, name: &str, change: impl Fn(&mut Kubeconfig)) -> PathBuf {
        let mut kubeconfig = self.admin.clone();
        change(&mut kubeconfig);
        let path = self.folder.path().join(name);
        std::fs::write(&path, serde_yaml::to_string(&kubeconfig).unwrap()).unwrap();
        path
    }

    /// A kubeconfig of a user in a group.
    pub fn kubeconfig_of(&self, user: &str, group: &str) -> PathBuf {
        self.kubeconfig(user, |kubeconfig| {
            for each in &mut kubeconfig.auth_infos {
                let auth = each.auth_info.as_mut().unwrap();
                auth.impersonate = Some(user.to_owned());
                auth.impersonate_groups = Some(vec![group.to_owned()]);
            }
        })
    }

    /// Runs a command to its end, as the administrator.
    pub async fn run(&self, words: &[&str]) -> Said {
        let path = self.kubeconfig("admin", |_| {});
        self.run_as(&path, words).await
    }

    /// Runs a command to its end.
    pub async fn run_as(&self, kubeconfig: &std::path::Path, words: &[&str]) -> Said {
        let output = self.command(kubeconfig, words).output();
        let output = tokio::time::timeout(PATIENCE * 2, output).await;
        let output = output.expect("ends in time").unwrap();
        Said {
            code: output.status.code(),
            out: String::from_utf8(output.stdout).unwrap(),
            err: String::from_utf8(output.stderr).unwrap(),
        }
    }

    /// Waits until the API server has heard of a user's rights.
    pub async fn until_allowed(&self, kubeconfig: &std::path::Path) {
        let begun = Instant::now();
        while self.run_as(kubeconfig, &["history", NAME]).await.code != Some(0) {
            assert!(begun.elapsed() < PATIENCE, "never allowed");
        }
    }

    /// Where the API server listens.
    pub fn server(&self) -> SocketAddr {
        let cluster = self.admin.clusters[0].cluster.as_ref().unwrap();
        let url = url::Url::parse(cluster.server.as_ref().unwrap()).unwrap();
        url.socket_addrs(|| None).unwrap()[0]
    }

    /// A kubeconfig with another address of the API server.
    pub fn kubeconfig_by(&self, name: &str, change: impl Fn(&str) -> String) -> PathBuf {
        self.kubeconfig(name, |kubeconfig| {
            for each in &mut kubeconfig.clusters {
                let cluster = each.cluster.as_mut().unwrap();
                cluster.server = cluster.server.as_deref().map(&change);
            }
        })
    }

    /// Starts a command, as the administrator.
    pub fn start(&self, words: &[&str]) -> Running {
        self.start_as(&self.kubeconfig("admin", |_| {}), words)
    }

    /// Starts a command.
    pub fn start_as(&self, kubeconfig: &std::path::Path, words: &[&str]) -> Running {
        let mut child = self.command(kubeconfig, words).spawn().unwrap();
        let err = BufReader::new(child.stderr.take().unwrap());
        Running {
            child,
            err,
            seen: String::new(),
        }
    }

    fn command(&self, kubeconfig: &std::path::Path, words: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_post-operator"));
        command
            .args(words)
            .args(["--namespace", &self.namespace])
            .env("KUBECONFIG", kubeconfig)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true);
        command
    }
}

/// A command under way.
pub struct Running {
    child: Child,
    err: BufReader<ChildStderr>,
    seen: String,
}

impl Running {
    /// Waits until it has said `words` on standard error.
    pub async fn says(&mut self, words: &str) {
        let listen = async {
            while !self.seen.contains(words) {
                let mut line = String::new();
                let read = self.err.read_line(&mut line).await.unwrap();
                assert_ne!(read, 0, "it ended without {words:?}: {}", self.seen);
                self.seen.push_str(&line);
            }
        };
        let heard = tokio::time::timeout(PATIENCE, listen).await;
        assert!(heard.is_ok(), "it did not say {words:?}: {}", self.seen);
    }

    /// Presses Ctrl-C.
    pub fn interrupt(&self) {
        let pid = i32::try_from(self.child.id().unwrap()).unwrap();
        kill(Pid::from_raw(pid), Signal::SIGINT).unwrap();
    }

    /// Waits for its end.
    pub async fn end(mut self) -> Said {
        let mut out = String::new();
        let mut stdout = self.child.stdout.take().unwrap();
        let ended = async {
            self.err.read_to_string(&mut self.seen).await.unwrap();
            stdout.read_to_string(&mut out).await.unwrap();
            self.child.wait().await.unwrap()
        };
        let status = tokio::time::timeout(PATIENCE * 2, ended).await;
        Said {
            code: status.expect("ends in time").code(),
            out,
            err: self.seen,
        }
    }
}

/// Managers that own the tag.
pub fn owners(service: &PostService) -> Vec<&str> {
    let owns = |fields: &Value| fields["f:spec"]["f:image"].get("f:tag").is_some();
    let entries = service.managed_fields().iter();
    entries
        .filter(|entry| {
            entry
                .fields_v1
                .as_ref()
                .is_some_and(|fields| owns(&fields.0))
        })
        .filter_map(|entry| entry.manager.as_deref())
        .collect()
}
