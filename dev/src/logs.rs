//! `cargo dev logs`: the log of one part, or what logs there are.

use std::path::PathBuf;

use anyhow::{Result, bail};

use crate::install::{NAMESPACE, OPERATOR_NAMESPACE};
use crate::paths::Paths;
use crate::programs::go;

/// The command that shows a component's log.
pub fn command(paths: &Paths, component: &str, follow: bool) -> Result<std::process::Command> {
    if let Some((namespace, deployment)) = in_cluster(component) {
        let mut kubectl = std::process::Command::new(go::kubectl(paths)?);
        kubectl.arg("--kubeconfig").arg(paths.kubeconfig());
        kubectl.args(["logs", "--namespace", namespace, "--tail=200", deployment]);
        kubectl.args(["--all-containers", "--prefix"]);
        if follow {
            kubectl.arg("--follow");
        }
        return Ok(kubectl);
    }
    let file = paths.logs().join(format!("{component}.log"));
    if !file.is_file() {
        bail!(
            "there is no log of {component}; there are: {}",
            names(paths).join(", ")
        );
    }
    let mut tail = std::process::Command::new("tail");
    tail.arg("--lines=200").arg(file);
    if follow {
        tail.arg("--follow=name");
    }
    Ok(tail)
}

fn in_cluster(component: &str) -> Option<(&'static str, &'static str)> {
    match component {
        "operator" => Some((OPERATOR_NAMESPACE, "deployment/post-operator")),
        "service" => Some((NAMESPACE, "deployment/post-service")),
        _ => None,
    }
}

/// The components that have a log.
pub fn names(paths: &Paths) -> Vec<String> {
    let files = std::fs::read_dir(paths.logs())
        .into_iter()
        .flatten()
        .flatten();
    let mut names: Vec<String> = files
        .map(|entry| PathBuf::from(entry.file_name()))
        .filter(|name| name.extension().is_some_and(|extension| extension == "log"))
        .filter_map(|name| Some(name.file_stem()?.to_str()?.to_owned()))
        .collect();
    names.extend(["operator".to_owned(), "service".to_owned()]);
    names.sort();
    names
}
