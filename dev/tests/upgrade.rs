//! `helm upgrade` of the operator. A test program of its own: the operator is replaced meanwhile.
#![expect(clippy::unwrap_used, reason = "how a test fails")]

use std::collections::BTreeSet;
use std::path::Path;
use std::process::Command;

use dev::install::{NAMESPACE, OPERATOR_NAMESPACE, RELEASE};
use dev::kit::Kit;
use kube::ResourceExt as _;

/// The chart of the commit before, unpacked into `folder`; `None` without history.
fn previous_chart(folder: &Path) -> Option<()> {
    let checkout = Path::new(env!("CARGO_MANIFEST_DIR")).parent()?;
    let archive = Command::new("git")
        .args([
            "-C",
            checkout.to_str()?,
            "archive",
            "HEAD~1",
            "charts/post-operator",
        ])
        .output()
        .ok()?;
    if !archive.status.success() {
        return None;
    }
    let file = folder.join("chart.tar");
    std::fs::write(&file, archive.stdout).unwrap();
    let unpacked = Command::new("tar")
        .arg("-xf")
        .arg(&file)
        .arg("-C")
        .arg(folder)
        .status();
    assert!(unpacked.unwrap().success());
    Some(())
}

async fn pods(kit: &Kit) -> BTreeSet<String> {
    let pods = kit.pods(NAMESPACE).await.unwrap();
    let serving = pods
        .into_iter()
        .filter(|pod| pod.metadata.deletion_timestamp.is_none());
    let serving = serving.filter(|pod| {
        pod.labels()
            .get("app.kubernetes.io/component")
            .is_some_and(|c| c == "api")
    });
    serving.filter_map(|pod| pod.uid()).collect()
}

#[tokio::test]
async fn an_upgrade_of_the_chart_restarts_no_pod_of_a_post_service() {
    let Some(kit) = Kit::connect().await.unwrap() else {
        return;
    };
    let folder = tempfile::tempdir().unwrap();
    if previous_chart(folder.path()).is_none() {
        eprintln!("skipped: there is no commit before this one in the checkout");
        return;
    }
    let upgrade = async |chart: &Path| {
        let chart = chart.join("charts/post-operator").display().to_string();
        let values = [
            "--reset-then-reuse-values",
            "--wait",
            "--timeout",
            "3m",
            "--skip-crds",
        ];
        let args = [
            "upgrade",
            RELEASE,
            &chart,
            "--namespace",
            OPERATOR_NAMESPACE,
        ];
        kit.helm(&[&args[..], &values].concat()).await.unwrap();
    };
    let before = pods(&kit).await;
    assert!(!before.is_empty(), "the example runs");
    upgrade(folder.path()).await;
    upgrade(Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap()).await;
    let ready = kit
        .condition(NAMESPACE, NAMESPACE, "Ready")
        .await
        .unwrap()
        .unwrap();
    assert_eq!(ready.status, "True", "{ready:?}");
    assert_eq!(pods(&kit).await, before);
}
