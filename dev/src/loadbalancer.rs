//! Plays the cloud's load-balancer controller: Services of its class get the address 127.0.0.1,
//! on which their node port answers.

use std::path::Path;
use std::time::Duration;

use anyhow::{Context as _, Result};
use futures::StreamExt as _;
use k8s_openapi::api::core::v1::Service;
use kube::api::{Api, Patch, PatchParams};
use kube::runtime::{WatchStreamExt as _, watcher};
use serde_json::json;

use crate::cluster::kubeconfig;
use crate::paths::Paths;
use crate::process::{self, Daemon, Processes};

/// Name of the daemon and of the hidden subcommand that runs it.
pub const DAEMON: &str = "load-balancer";
/// The class of Services that the AWS Load Balancer Controller serves.
const CLASS: &str = "service.k8s.aws/nlb";

/// Its first word in its log.
const READY: &str = "watching the Services of class";

/// Starts it: this very program with its hidden subcommand.
pub async fn start(paths: &Paths, processes: &Processes) -> Result<()> {
    let daemon = Daemon::new(DAEMON, process::this_program()?)
        .args([DAEMON.into(), paths.kubeconfig().into_os_string()]);
    if !processes.ensure(&daemon).await? {
        return Ok(());
    }
    let log = processes.log(DAEMON);
    processes
        .ready(DAEMON, Duration::from_secs(20), async || {
            let said = std::fs::read_to_string(&log).unwrap_or_default();
            said.contains(READY)
                .then_some(())
                .context("it says nothing")
        })
        .await
}

/// Watches Services until it is ended.
pub async fn run(kubeconfig: &Path) -> Result<()> {
    let client = kubeconfig::client(kubeconfig).await?;
    println!("{READY} {CLASS}");
    let services: Api<Service> = Api::all(client.clone());
    watcher(services, watcher::Config::default())
        .default_backoff()
        .applied_objects()
        .for_each(|event| {
            let client = client.clone();
            async move {
                match event {
                    Ok(service) if wants_address(&service) => {
                        // Tried again at the Service's next event: it may just have been deleted.
                        if let Err(error) = give_address(&client, &service).await {
                            eprintln!("{}: {error:#}", service.metadata.name.unwrap_or_default());
                        }
                    }
                    Ok(_) => {}
                    Err(error) => eprintln!("watch interrupted, starting again: {error}"),
                }
            }
        })
        .await;
    Ok(())
}

/// Whether the Service is ours to serve and has no address yet.
fn wants_address(service: &Service) -> bool {
    let Some(spec) = &service.spec else {
        return false;
    };
    let ingress = service
        .status
        .as_ref()
        .and_then(|status| status.load_balancer.as_ref());
    spec.type_.as_deref() == Some("LoadBalancer")
        && spec.load_balancer_class.as_deref() == Some(CLASS)
        && ingress
            .and_then(|lb| lb.ingress.as_ref())
            .is_none_or(Vec::is_empty)
}

async fn give_address(client: &kube::Client, service: &Service) -> Result<()> {
    let (Some(namespace), Some(name)) = (&service.metadata.namespace, &service.metadata.name)
    else {
        return Ok(());
    };
    let api: Api<Service> = Api::namespaced(client.clone(), namespace);
    let ingress = json!([{"ip": "127.0.0.1", "ipMode": "Proxy"}]);
    let patch = Patch::Merge(json!({"status": {"loadBalancer": {"ingress": ingress}}}));
    api.patch_status(name, &PatchParams::default(), &patch)
        .await?;
    println!("{namespace}/{name} is served at 127.0.0.1");
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn service(class: &str, kind: &str, ingress: &serde_json::Value) -> Service {
        serde_json::from_value(json!({
            "apiVersion": "v1", "kind": "Service", "metadata": {"name": "a"},
            "spec": {"type": kind, "loadBalancerClass": class},
            "status": {"loadBalancer": {"ingress": ingress}},
        }))
        .unwrap()
    }

    #[test]
    fn only_waiting_services_of_the_class_are_served() {
        assert!(wants_address(&service(CLASS, "LoadBalancer", &json!([]))));
        assert!(!wants_address(&service(
            "other/class",
            "LoadBalancer",
            &json!([])
        )));
        assert!(!wants_address(&service(CLASS, "ClusterIP", &json!([]))));
        assert!(!wants_address(&service(
            CLASS,
            "LoadBalancer",
            &json!([{"ip": "127.0.0.1"}])
        )));
    }
}
