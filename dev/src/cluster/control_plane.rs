//! etcd, the API server, the controllers and the scheduler.

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::Result;

use super::kubeconfig;
use super::pki::Pki;
use crate::network::SERVICE_CIDR;
use crate::paths;
use crate::process::{Daemon, Processes};

const PATIENCE: Duration = Duration::from_secs(90);

/// Names of the daemons, in the order in which they start.
pub const DAEMONS: [&str; 4] = [
    "etcd",
    "kube-apiserver",
    "kube-controller-manager",
    "kube-scheduler",
];

/// What the operator asked of the API server, a JSON object a line; `data` is the folder of all data.
pub fn audit_log(data: &Path) -> PathBuf {
    data.join("audit/operator.log")
}

/// Whatever the operator's account does, without contents. Nothing of others.
const AUDIT_POLICY: &str = "\
apiVersion: audit.k8s.io/v1
kind: Policy
omitStages: [RequestReceived]
rules:
  - level: Metadata
    users: [\"system:serviceaccount:post-operator-system:post-operator\"]
  - level: None
";

/// Where a control plane listens and keeps its data.
#[derive(Debug)]
pub struct ControlPlane<'a> {
    /// The folder of built programs.
    pub programs: &'a Path,
    /// Pid files and logs.
    pub processes: &'a Processes,
    /// Certificates and kubeconfigs.
    pub pki: &'a Pki,
    /// etcd's data.
    pub etcd_data: PathBuf,
    /// Where the operator's requests are logged, if they are: see [`audit_log`].
    pub audit_log: Option<PathBuf>,
    /// The kubeconfig of whoever reviews bearer tokens that are no service account's, if somebody
    /// does: see [`crate::aws::eks`].
    pub token_reviewer: Option<PathBuf>,
    /// etcd's ports: for clients, for (unused) peers, for its health.
    pub etcd_ports: (u16, u16, u16),
    /// The address of all ports.
    pub address: &'a str,
    /// The API server's port.
    pub port: u16,
}

impl ControlPlane<'_> {
    /// Starts etcd and the API server and waits until it serves.
    ///
    /// `bare`: no controllers will follow, so that nothing may depend on what they make
    /// (service accounts).
    pub async fn start_api(&self, bare: bool) -> Result<kube::Client> {
        self.processes.ensure(&self.etcd()).await?;
        let health = format!("http://{}:{}/health", self.address, self.etcd_ports.2);
        self.processes
            .ready("etcd", PATIENCE, async || get(&health).await)
            .await?;
        if let Some(log) = &self.audit_log {
            paths::write(&audit_policy(log), AUDIT_POLICY)?;
        }
        self.processes.ensure(&self.apiserver(bare)).await?;
        let client = kubeconfig::client(&self.pki.path("admin.kubeconfig")).await?;
        self.processes
            .ready("kube-apiserver", PATIENCE, async || is_ready(&client).await)
            .await?;
        Ok(client)
    }

    /// Starts the controllers and the scheduler.
    pub async fn start_controllers(&self) -> Result<()> {
        self.processes.ensure(&self.controller_manager()).await?;
        self.processes.ensure(&self.scheduler()).await?;
        Ok(())
    }

    fn daemon(&self, name: &'static str) -> Daemon {
        Daemon::new(name, self.programs.join(name))
    }

    fn etcd(&self) -> Daemon {
        let (client, peer, health) = self.etcd_ports;
        let address = self.address;
        let pki = |file| self.pki.arg(file);
        // Certificates on both ports: neither pods nor another control plane on this machine get
        // into the store by mistake.
        self.daemon("etcd").args([
            format!("--data-dir={}", self.etcd_data.display()),
            format!("--listen-client-urls=https://{address}:{client}"),
            format!("--advertise-client-urls=https://{address}:{client}"),
            format!("--listen-peer-urls=https://{address}:{peer}"),
            format!("--initial-advertise-peer-urls=https://{address}:{peer}"),
            format!("--initial-cluster=default=https://{address}:{peer}"),
            format!("--listen-metrics-urls=http://{address}:{health}"),
            "--client-cert-auth".to_owned(),
            format!("--trusted-ca-file={}", pki("ca.crt")),
            format!("--cert-file={}", pki("etcd.crt")),
            format!("--key-file={}", pki("etcd.key")),
            "--peer-client-cert-auth".to_owned(),
            format!("--peer-trusted-ca-file={}", pki("ca.crt")),
            format!("--peer-cert-file={}", pki("etcd.crt")),
            format!("--peer-key-file={}", pki("etcd.key")),
            // A crash of the machine may cost the local cluster's state; speed matters more here.
            "--unsafe-no-fsync".to_owned(),
        ])
    }

    fn apiserver(&self, bare: bool) -> Daemon {
        let pki = |file| self.pki.arg(file);
        let address = self.address;
        let mut args = vec![
            format!("--etcd-servers=https://{address}:{}", self.etcd_ports.0),
            format!("--etcd-cafile={}", pki("ca.crt")),
            format!("--etcd-certfile={}", pki("etcd.crt")),
            format!("--etcd-keyfile={}", pki("etcd.key")),
            format!("--bind-address={address}"),
            format!("--secure-port={}", self.port),
            format!("--client-ca-file={}", pki("ca.crt")),
            format!("--tls-cert-file={}", pki("apiserver.crt")),
            format!("--tls-private-key-file={}", pki("apiserver.key")),
            "--service-account-issuer=https://kubernetes.default.svc".to_owned(),
            format!("--service-account-key-file={}", pki("service-account.pub")),
            format!(
                "--service-account-signing-key-file={}",
                pki("service-account.key")
            ),
            format!("--service-cluster-ip-range={SERVICE_CIDR}"),
            "--authorization-mode=Node,RBAC".to_owned(),
        ];
        if bare {
            args.push("--disable-admission-plugins=ServiceAccount".to_owned());
            // Its "kubernetes" Service must not point at a loopback address.
            args.push("--endpoint-reconciler-type=none".to_owned());
        } else {
            args.extend([
                format!("--advertise-address={address}"),
                "--allow-privileged".to_owned(),
                "--enable-admission-plugins=NodeRestriction".to_owned(),
                // The node's name is in no DNS: logs and exec go to its address.
                "--kubelet-preferred-address-types=InternalIP".to_owned(),
                format!("--kubelet-client-certificate={}", pki("admin.crt")),
                format!("--kubelet-client-key={}", pki("admin.key")),
                format!("--kubelet-certificate-authority={}", pki("ca.crt")),
                "--enable-aggregator-routing=true".to_owned(),
                format!(
                    "--requestheader-client-ca-file={}",
                    pki("front-proxy-ca.crt")
                ),
                "--requestheader-allowed-names=front-proxy-client".to_owned(),
                "--requestheader-extra-headers-prefix=X-Remote-Extra-".to_owned(),
                "--requestheader-group-headers=X-Remote-Group".to_owned(),
                "--requestheader-username-headers=X-Remote-User".to_owned(),
                format!("--proxy-client-cert-file={}", pki("front-proxy.crt")),
                format!("--proxy-client-key-file={}", pki("front-proxy.key")),
            ]);
        }
        if let Some(reviewer) = &self.token_reviewer {
            args.extend([
                format!(
                    "--authentication-token-webhook-config-file={}",
                    reviewer.display()
                ),
                "--authentication-token-webhook-version=v1".to_owned(),
            ]);
        }
        if let Some(log) = &self.audit_log {
            args.extend([
                format!("--audit-policy-file={}", audit_policy(log).display()),
                format!("--audit-log-path={}", log.display()),
                "--audit-log-maxsize=100".to_owned(),
                "--audit-log-maxbackup=1".to_owned(),
            ]);
        }
        self.daemon("kube-apiserver").args(args)
    }

    fn controller_manager(&self) -> Daemon {
        let pki = |file| self.pki.arg(file);
        self.daemon("kube-controller-manager").args([
            format!("--kubeconfig={}", pki("controller-manager.kubeconfig")),
            format!(
                "--service-account-private-key-file={}",
                pki("service-account.key")
            ),
            format!("--root-ca-file={}", pki("ca.crt")),
            "--use-service-account-credentials".to_owned(),
            format!("--cluster-signing-cert-file={}", pki("ca.crt")),
            format!("--cluster-signing-key-file={}", pki("ca.key")),
            format!("--bind-address={}", self.address),
            "--leader-elect=false".to_owned(),
            // A new pod's first seconds count here: people wait for the autoscaler.
            "--horizontal-pod-autoscaler-initial-readiness-delay=10s".to_owned(),
        ])
    }

    fn scheduler(&self) -> Daemon {
        self.daemon("kube-scheduler").args([
            format!("--kubeconfig={}", self.pki.arg("scheduler.kubeconfig")),
            format!("--bind-address={}", self.address),
            "--leader-elect=false".to_owned(),
        ])
    }
}

fn audit_policy(log: &Path) -> PathBuf {
    log.with_file_name("policy.yaml")
}

async fn get(url: &str) -> Result<(), String> {
    let answer = reqwest::get(url).await.map_err(|error| error.to_string())?;
    if answer.status().is_success() {
        Ok(())
    } else {
        Err(answer.status().to_string())
    }
}

/// Whether the API server says that it is ready.
pub async fn is_ready(client: &kube::Client) -> Result<(), String> {
    let request = http_get("/readyz")?;
    client
        .request_text(request)
        .await
        .map(drop)
        .map_err(|error| error.to_string())
}

fn http_get(path: &str) -> Result<http::Request<Vec<u8>>, String> {
    http::Request::get(path)
        .body(vec![])
        .map_err(|error| error.to_string())
}
