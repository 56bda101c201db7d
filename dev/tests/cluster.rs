//! The local cluster itself: what pods find in it.
#![expect(clippy::unwrap_used, reason = "how a test fails")]

use std::time::Duration;

use dev::kit::{Kit, until};
use k8s_openapi::api::core::v1::Pod;
use kube::api::{Api, DeleteParams};

/// Runs a shell script in a pod and returns its phase and log.
async fn run_in_pod(kit: &Kit, name: &str, script: &str) -> (String, String) {
    let image = kit.tools_image().await.unwrap();
    let pods: Api<Pod> = Api::default_namespaced(kit.client.clone());
    let _ = pods
        .delete(name, &DeleteParams::default().grace_period(0))
        .await;
    until(
        "the earlier pod is gone",
        Duration::from_secs(30),
        async || match pods
            .get_opt(name)
            .await
            .map_err(|error| error.to_string())?
        {
            None => Ok(()),
            Some(_) => Err("it is still there".to_owned()),
        },
    )
    .await
    .unwrap();
    let pod = serde_json::json!({
        "apiVersion": "v1", "kind": "Pod",
        "metadata": {"name": name, "namespace": "default"},
        "spec": {
            "restartPolicy": "Never",
            "automountServiceAccountToken": false,
            "terminationGracePeriodSeconds": 0,
            "containers": [{
                "name": "main",
                "image": format!("{}@{}", image.repository, image.digest),
                "command": ["/bin/sh", "-c", script],
            }],
        },
    });
    kit.apply(&serde_yaml::to_string(&pod).unwrap())
        .await
        .unwrap();
    let phase = until("the pod has ended", Duration::from_mins(1), async || {
        let pod = pods.get(name).await.map_err(|error| error.to_string())?;
        let status = pod.status.unwrap_or_default();
        match status.phase.as_deref() {
            Some(phase @ ("Succeeded" | "Failed")) => Ok(phase.to_owned()),
            _ => Err(format!("{:?}", status.container_statuses)),
        }
    })
    .await
    .unwrap();
    let log = pods
        .logs(name, &kube::api::LogParams::default())
        .await
        .unwrap();
    pods.delete(name, &DeleteParams::default().grace_period(0))
        .await
        .unwrap();
    (phase, log)
}

#[tokio::test]
async fn a_pod_resolves_services_and_reaches_the_database() {
    let Some(kit) = Kit::connect().await.unwrap() else {
        return;
    };
    let script = "busybox nslookup kubernetes.default.svc.cluster.local && busybox nc -w 5 10.244.0.1 3306 </dev/null | busybox grep -ac caching_sha2_password && echo reached";
    let (phase, log) = run_in_pod(&kit, "look-around", script).await;
    assert_eq!(phase, "Succeeded", "{log}");
    assert!(
        log.contains("10.96.0.1") && log.contains("reached"),
        "{log}"
    );
}

#[tokio::test]
async fn figures_of_the_node_arrive() {
    let Some(kit) = Kit::connect().await.unwrap() else {
        return;
    };
    until(
        "kubectl top knows the node",
        Duration::from_mins(2),
        async || {
            kit.kubectl(&["top", "node", "--no-headers"])
                .await
                .map_err(|error| format!("{error:#}"))
        },
    )
    .await
    .unwrap();
}

#[tokio::test]
async fn nothing_listens_where_another_machine_could_reach_it() {
    if Kit::connect().await.unwrap().is_none() {
        return;
    }
    // API server, MySQL, both stand-ins, kubelet, kube-proxy, scheduler, controller manager.
    let ports = [
        "6443", "3306", "4566", "4567", "10250", "10249", "10256", "10259", "10257",
    ];
    let listeners = output("ss", &["-Htln"]);
    let mut seen = 0;
    for line in listeners.lines() {
        let local = line.split_whitespace().nth(3).unwrap();
        let (address, port) = local.rsplit_once(':').unwrap();
        if ports.contains(&port) {
            assert!(is_ours(address), "{local} listens");
            seen += 1;
        }
    }
    assert!(
        seen >= 5,
        "the cluster's own listeners were not found:\n{listeners}"
    );
    let rules = output("iptables", &["-t", "nat", "-S", "KUBE-SERVICES"]);
    let node_ports: Vec<_> = rules
        .lines()
        .filter(|rule| rule.contains("KUBE-NODEPORTS"))
        .collect();
    assert!(!node_ports.is_empty(), "no rule for node ports:\n{rules}");
    for rule in node_ports {
        let destination = rule.split(" -d ").nth(1).unwrap_or_default();
        assert!(is_ours(destination), "{rule}");
    }
}

/// Loopback, or the cluster's bridge.
fn is_ours(address: &str) -> bool {
    ["127.", "10.244.0.", "[::1]", "[::ffff:127."]
        .iter()
        .any(|prefix| address.starts_with(prefix))
}

fn output(program: &str, arguments: &[&str]) -> String {
    let output = std::process::Command::new(program)
        .args(arguments)
        .output()
        .unwrap();
    assert!(output.status.success(), "{program}: {output:?}");
    String::from_utf8(output.stdout).unwrap()
}
