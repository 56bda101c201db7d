//! The cluster's DNS: CoreDNS as a process of this machine behind the usual Service address.

use std::path::Path;
use std::time::Duration;

use anyhow::Result;

use super::manifests;
use super::pki::Pki;
use crate::network::HOST;
use crate::paths::{self, Paths};
use crate::process::{Daemon, Processes};

/// Name of the daemon.
pub const DAEMON: &str = "coredns";
/// The address of the `kube-dns` Service.
pub const ADDRESS: &str = "10.96.0.10";

/// Starts it and makes its Service.
pub async fn start(
    program: &Path,
    paths: &Paths,
    processes: &Processes,
    pki: &Pki,
    client: &kube::Client,
) -> Result<()> {
    let resolv = std::fs::read_to_string("/etc/resolv.conf").unwrap_or_default();
    let text = corefile(&pki.arg("admin.kubeconfig"), resolv.contains("nameserver"));
    let file = paths.data.join("Corefile");
    paths::write(&file, &text)?;
    let daemon = Daemon::new(DAEMON, program)
        .args(["-conf".into(), file.into_os_string()])
        .reads(&text);
    processes.ensure(&daemon).await?;
    manifests::apply(client, &manifest()).await?;
    let address = format!("{HOST}:53");
    let connect = async || tokio::net::TcpStream::connect(&address).await.map(drop);
    processes
        .ready(DAEMON, Duration::from_mins(1), connect)
        .await
}

/// The braces of a plugin's block must stand on lines of their own.
fn corefile(kubeconfig: &str, has_upstream: bool) -> String {
    let forward = if has_upstream {
        "    forward . /etc/resolv.conf\n"
    } else {
        ""
    };
    format!(
        ".:53 {{\n    bind {HOST}\n    errors\n    cache 5\n    kubernetes cluster.local in-addr.arpa {{\n        kubeconfig {kubeconfig}\n    }}\n{forward}}}\n"
    )
}

fn manifest() -> String {
    format!(
        "\
apiVersion: v1
kind: Service
metadata: {{name: kube-dns, namespace: kube-system}}
spec:
  clusterIP: {ADDRESS}
  ports:
    - {{name: dns, port: 53, protocol: UDP}}
    - {{name: dns-tcp, port: 53, protocol: TCP}}
---
apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
metadata: {{name: kube-dns-host, namespace: kube-system, labels: {{kubernetes.io/service-name: kube-dns}}}}
addressType: IPv4
ports:
  - {{name: dns, port: 53, protocol: UDP}}
  - {{name: dns-tcp, port: 53, protocol: TCP}}
endpoints:
  - {{addresses: [\"{HOST}\"]}}
"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn without_name_servers_nothing_is_forwarded() {
        assert!(corefile("/k", true).contains("forward"));
        assert!(!corefile("/k", false).contains("forward"));
        assert!(corefile("/k", true).contains("{\n        kubeconfig /k\n    }\n"));
    }

    #[test]
    fn the_service_is_valid_yaml_on_the_usual_address() {
        let objects = manifests::parse(&manifest()).unwrap();
        assert_eq!(objects.len(), 2);
        assert_eq!(objects[0].data["spec"]["clusterIP"], "10.96.0.10");
    }
}
