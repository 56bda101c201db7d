//! metrics-server as a process of this machine behind the API's aggregation layer.

use std::path::Path;

use anyhow::Result;

use super::manifests;
use super::pki::Pki;
use crate::network::HOST;
use crate::paths::Paths;
use crate::process::{Daemon, Processes};

/// Name of the daemon.
pub const DAEMON: &str = "metrics-server";
const PORT: u16 = 4443;

/// Starts it and registers its API. Its first figures come after about half a minute; nothing
/// waits for them.
pub async fn start(
    program: &Path,
    paths: &Paths,
    processes: &Processes,
    pki: &Pki,
    client: &kube::Client,
) -> Result<()> {
    let kubeconfig = pki.arg("admin.kubeconfig");
    let daemon = Daemon::new(DAEMON, program).args([
        format!("--kubeconfig={kubeconfig}"),
        format!("--authentication-kubeconfig={kubeconfig}"),
        format!("--authorization-kubeconfig={kubeconfig}"),
        format!("--bind-address={HOST}"),
        format!("--secure-port={PORT}"),
        format!("--cert-dir={}", paths.data.join("metrics-server").display()),
        "--kubelet-insecure-tls".to_owned(),
        "--kubelet-preferred-address-types=InternalIP".to_owned(),
        // Must exceed its request timeout.
        "--metric-resolution=15s".to_owned(),
    ]);
    processes.ensure(&daemon).await?;
    manifests::apply(client, &manifest()).await
}

fn manifest() -> String {
    format!(
        "\
apiVersion: v1
kind: Service
metadata: {{name: metrics-server, namespace: kube-system}}
spec: {{ports: [{{name: https, port: 443, targetPort: {PORT}}}]}}
---
apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
metadata: {{name: metrics-server-host, namespace: kube-system, labels: {{kubernetes.io/service-name: metrics-server}}}}
addressType: IPv4
ports: [{{name: https, port: {PORT}, protocol: TCP}}]
endpoints: [{{addresses: [\"{HOST}\"]}}]
---
apiVersion: apiregistration.k8s.io/v1
kind: APIService
metadata: {{name: v1beta1.metrics.k8s.io}}
spec:
  service: {{name: metrics-server, namespace: kube-system}}
  group: metrics.k8s.io
  version: v1beta1
  insecureSkipTLSVerify: true
  groupPriorityMinimum: 100
  versionPriority: 100
"
    )
}
