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
    let Some(kit) = Kit::connect().await.unwrap() else {
        return;
    };
    let port: u16 = kit
        .api_url()
        .await
        .unwrap()
        .rsplit(':')
        .next()
        .unwrap()
        .parse()
        .unwrap();
    for address in foreign_addresses() {
        for port in [port, 6443, 3306, 4566, 4567, 10250] {
            let connect = tokio::net::TcpStream::connect((address.as_str(), port));
            let answer = tokio::time::timeout(Duration::from_secs(2), connect).await;
            assert!(!matches!(answer, Ok(Ok(_))), "{address}:{port} answers");
        }
    }
}

/// This machine's IPv4 addresses but those on loopback and the cluster's bridge.
fn foreign_addresses() -> Vec<String> {
    let output = std::process::Command::new("ip")
        .args(["-4", "-brief", "address"])
        .output();
    let text = String::from_utf8(output.unwrap().stdout).unwrap();
    text.lines()
        .filter(|line| !line.starts_with("lo ") && !line.starts_with("psdev0 "))
        .flat_map(|line| {
            line.split_whitespace()
                .skip(2)
                .map(str::to_owned)
                .collect::<Vec<_>>()
        })
        .filter_map(|word| Some(word.split_once('/')?.0.to_owned()))
        .collect()
}
