//! The one node: containerd, the kubelet and kube-proxy.

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result};
use k8s_openapi::api::core::v1::{Node, Pod};
use kube::ResourceExt as _;
use kube::api::{Api, DeleteParams, ListParams};

use super::pki::Pki;
use super::{cgroup, dns};
use crate::command::{self, Command};
use crate::network::{BRIDGE, HOST, POD_CIDR};
use crate::paths::{self, Paths};
use crate::process::{Daemon, Processes};
use crate::programs::pause;

/// The node's name.
pub const NAME: &str = "post-service-dev";
/// The kubelet's user name.
pub(super) const USER: &str = "system:node:post-service-dev";
/// Names of the daemons, in the order in which they start.
pub const DAEMONS: [&str; 3] = ["containerd", "kubelet", "kube-proxy"];
const PATIENCE: Duration = Duration::from_secs(90);

/// What a node is started from.
#[derive(Debug)]
pub struct NodeParts<'a> {
    /// The folder of built Kubernetes programs.
    pub programs: &'a Path,
    /// Folders.
    pub paths: &'a Paths,
    /// Pid files and logs.
    pub processes: &'a Processes,
    /// Certificates and kubeconfigs.
    pub pki: &'a Pki,
}

impl NodeParts<'_> {
    /// Starts containerd and gives it the sandbox image.
    pub async fn start_containerd(&self, pause: &Path) -> Result<()> {
        let cni = cni_config(&self.paths.run.join("cni"));
        paths::write(&self.cni_folder().join("10-bridge.conflist"), &cni)?;
        std::fs::create_dir_all(registry_folder(self.paths))?;
        let config = self.containerd_config();
        let file = self.paths.data.join("containerd.toml");
        paths::write(&file, &config)?;
        let daemon = Daemon::new("containerd", program("containerd")?)
            .args(["--config".into(), file.into_os_string()])
            .reads(&config);
        self.processes.ensure(&daemon).await?;
        self.processes
            .ready("containerd", PATIENCE, async || {
                self.ctr(&["version"]).run().await
            })
            .await?;
        let images = self
            .ctr(&["--namespace", "k8s.io", "images", "list", "-q"])
            .run()
            .await?;
        if !images.lines().any(|image| image == pause::IMAGE) {
            self.ctr(&["--namespace", "k8s.io", "images", "import"])
                .arg(pause)
                .run()
                .await?;
        }
        Ok(())
    }

    /// Starts the kubelet and kube-proxy and waits until the node is ready.
    pub async fn start(&self, client: &kube::Client) -> Result<()> {
        cgroup::create()?;
        self.processes.ensure(&self.kubelet()?).await?;
        self.processes.ensure(&self.proxy()).await?;
        let nodes: Api<Node> = Api::all(client.clone());
        // The API still shows what a node said before it was stopped: ask the kubelet itself first.
        let kubelet = format!("http://{HOST}:10248/healthz");
        self.processes
            .ready("kubelet", PATIENCE, async || answers(&kubelet).await)
            .await?;
        self.processes
            .ready("kubelet", PATIENCE, async || node_is_ready(&nodes).await)
            .await?;
        let proxy = format!("http://{HOST}:10256/healthz");
        self.processes
            .ready("kube-proxy", PATIENCE, async || answers(&proxy).await)
            .await
    }

    /// Deletes every pod from the API when nothing of them runs any more: their controllers make new
    /// ones, and nothing that was said of the old ones is believed.
    pub async fn forget_pods(&self, client: &kube::Client) -> Result<()> {
        if self.processes.is_running(DAEMONS[0]) {
            return Ok(());
        }
        let pods: Api<Pod> = Api::all(client.clone());
        for pod in pods.list(&ListParams::default()).await?.items {
            let namespaced: Api<Pod> =
                Api::namespaced(client.clone(), &pod.namespace().unwrap_or_default());
            let at_once = DeleteParams::default().grace_period(0);
            match namespaced.delete(&pod.name_any(), &at_once).await {
                Err(kube::Error::Api(status)) if status.is_not_found() => {}
                other => drop(other?),
            }
        }
        Ok(())
    }

    fn cni_folder(&self) -> PathBuf {
        self.paths.run.join("cni/net.d")
    }

    fn socket(&self) -> PathBuf {
        self.paths.run.join("containerd.sock")
    }

    fn ctr(&self, args: &[&str]) -> Command {
        Command::new("ctr")
            .arg("--address")
            .arg(self.socket())
            .args(args)
    }

    fn containerd_config(&self) -> String {
        let data = self.paths.data.join("containerd");
        let state = self.paths.run.join("containerd");
        // restrict_oom_score_adj: without CAP_SYS_RESOURCE every sandbox would die at its start.
        // netns_mounts_under_state_dir: so that `down` finds them.
        format!(
            "\
version = 2
root = \"{root}\"
state = \"{state}\"
disabled_plugins = [\"io.containerd.snapshotter.v1.btrfs\", \"io.containerd.snapshotter.v1.zfs\", \"io.containerd.snapshotter.v1.aufs\", \"io.containerd.snapshotter.v1.devmapper\", \"io.containerd.internal.v1.opt\"]
[grpc]
  address = \"{socket}\"
[plugins.\"io.containerd.grpc.v1.cri\"]
  sandbox_image = \"{pause}\"
  restrict_oom_score_adj = true
  netns_mounts_under_state_dir = true
  [plugins.\"io.containerd.grpc.v1.cri\".containerd.runtimes.runc]
    runtime_type = \"io.containerd.runc.v2\"
    [plugins.\"io.containerd.grpc.v1.cri\".containerd.runtimes.runc.options]
      Root = \"{runc}\"
  [plugins.\"io.containerd.grpc.v1.cri\".cni]
    bin_dir = \"/usr/lib/cni\"
    conf_dir = \"{cni}\"
  [plugins.\"io.containerd.grpc.v1.cri\".registry]
    config_path = \"{certs}\"
",
            root = data.display(),
            state = state.display(),
            socket = self.socket().display(),
            pause = pause::IMAGE,
            runc = self.paths.run.join("runc").display(),
            cni = self.cni_folder().display(),
            certs = registry_folder(self.paths).display(),
        )
    }

    fn kubelet(&self) -> Result<Daemon> {
        let config = serde_yaml::to_string(&serde_json::json!({
            "apiVersion": "kubelet.config.k8s.io/v1beta1",
            "kind": "KubeletConfiguration",
            "address": HOST,
            "healthzBindAddress": HOST,
            "authentication": {
                "anonymous": {"enabled": false},
                "webhook": {"enabled": true},
                "x509": {"clientCAFile": self.pki.arg("ca.crt")},
            },
            "authorization": {"mode": "Webhook"},
            "tlsCertFile": self.pki.arg("kubelet.crt"),
            "tlsPrivateKeyFile": self.pki.arg("kubelet.key"),
            "cgroupDriver": "cgroupfs",
            "cgroupRoot": format!("/{}", cgroup::NAME),
            "failSwapOn": false,
            "failCgroupV1": false,
            "clusterDNS": [dns::ADDRESS],
            "clusterDomain": "cluster.local",
            "containerRuntimeEndpoint": format!("unix://{}", self.socket().display()),
            "podLogsDir": self.paths.data.join("pod-logs"),
            "resolvConf": "/etc/resolv.conf",
            "volumePluginDir": self.paths.data.join("volume-plugins"),
            // A developer's disk is often nearly full: pods must run all the same.
            "evictionHard": {"memory.available": "100Mi", "nodefs.available": "1%", "imagefs.available": "1%"},
            "imageGCHighThresholdPercent": 100,
        }))?;
        let file = self.paths.data.join("kubelet.yaml");
        paths::write(&file, &config)?;
        Ok(Daemon::new("kubelet", self.programs.join("kubelet"))
            .args([
                format!("--kubeconfig={}", self.pki.arg("kubelet.kubeconfig")),
                format!("--config={}", file.display()),
                format!("--root-dir={}", self.paths.data.join("kubelet").display()),
                format!(
                    "--cert-dir={}",
                    self.paths.data.join("kubelet/pki").display()
                ),
                format!("--hostname-override={NAME}"),
                format!("--node-ip={HOST}"),
            ])
            .reads(&config))
    }

    fn proxy(&self) -> Daemon {
        Daemon::new("kube-proxy", self.programs.join("kube-proxy")).args([
            format!("--kubeconfig={}", self.pki.arg("kube-proxy.kubeconfig")),
            format!("--hostname-override={NAME}"),
            format!("--cluster-cidr={POD_CIDR}"),
            "--proxy-mode=iptables".to_owned(),
            // A new Service answers at once and not within the default second.
            "--iptables-min-sync-period=50ms".to_owned(),
            // NodePorts only on addresses that no other machine reaches.
            format!("--nodeport-addresses=127.0.0.0/8,{POD_CIDR}"),
            format!("--metrics-bind-address={HOST}:10249"),
            format!("--healthz-bind-address={HOST}:10256"),
            // The machine's connection tracking settings are not ours to change.
            "--conntrack-max-per-core=0".to_owned(),
            "--conntrack-tcp-timeout-established=0".to_owned(),
            "--conntrack-tcp-timeout-close-wait=0".to_owned(),
        ])
    }
}

/// The folder in which containerd looks up where a registry's host really is.
pub fn registry_folder(paths: &Paths) -> PathBuf {
    paths.data.join("registries")
}

fn program(name: &str) -> Result<PathBuf> {
    command::find(name).with_context(|| format!("{name} is not installed"))
}

fn cni_config(folder: &Path) -> String {
    serde_json::json!({
        "cniVersion": "1.0.0",
        "name": NAME,
        "plugins": [
            {
                "type": "bridge",
                "bridge": BRIDGE,
                "isGateway": true,
                "ipMasq": true,
                "hairpinMode": true,
                "ipam": {
                    "type": "host-local",
                    "dataDir": folder.join("addresses"),
                    "ranges": [[{"subnet": POD_CIDR, "rangeStart": "10.244.0.10"}]],
                    "routes": [{"dst": "0.0.0.0/0"}],
                },
            },
            {"type": "portmap", "capabilities": {"portMappings": true}},
        ],
    })
    .to_string()
}

async fn answers(url: &str) -> Result<(), reqwest::Error> {
    reqwest::get(url).await?.error_for_status().map(drop)
}

async fn node_is_ready(nodes: &Api<Node>) -> Result<(), String> {
    let node = nodes.get(NAME).await.map_err(|error| error.to_string())?;
    let conditions = node
        .status
        .and_then(|status| status.conditions)
        .unwrap_or_default();
    let ready = conditions
        .iter()
        .find(|condition| condition.type_ == "Ready");
    match ready {
        Some(condition) if condition.status == "True" => Ok(()),
        Some(condition) => Err(condition.message.clone().unwrap_or_default()),
        None => Err("the node has not reported yet".to_owned()),
    }
}
