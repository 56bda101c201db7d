//! Checks before anything on the machine is touched. Each refusal is one sentence.

use std::path::Path;

use anyhow::{Context, Result, bail};

use crate::network;
use crate::paths::Paths;
use crate::process;

/// Space for a first run, in which everything is built.
const GIB_COLD: u64 = 15;
/// Space for the cluster's data and a rebuild of our own programs.
const GIB_WARM: u64 = 3;

/// Whether this machine can run a local cluster.
pub async fn check(paths: &Paths, must_build: bool) -> Result<()> {
    user_and_system()?;
    disk(paths, if must_build { GIB_COLD } else { GIB_WARM })?;
    kernel(&std::fs::read_to_string("/proc/filesystems").unwrap_or_default())?;
    other_kubernetes(paths)?;
    if crate::command::find("ip").is_some() {
        network::check_free().await?;
    }
    Ok(())
}

/// What every command that changes the machine needs.
pub fn user_and_system() -> Result<()> {
    if !cfg!(all(target_os = "linux", target_arch = "x86_64")) {
        bail!(
            "the local cluster needs Linux on x86_64; on other machines use `cargo dev up --context NAME` with a cluster of your own"
        );
    }
    if !nix::unistd::geteuid().is_root() {
        bail!(
            "the local cluster needs root for containers and network bridges: run it as root, or use `cargo dev up --context NAME` with a cluster of your own"
        );
    }
    Ok(())
}

fn disk(paths: &Paths, needed: u64) -> Result<()> {
    for folder in [&paths.cache, &paths.data, &paths.checkout] {
        let existing = folder
            .ancestors()
            .find(|folder| folder.exists())
            .unwrap_or(Path::new("/"));
        let stat = nix::sys::statvfs::statvfs(existing)
            .with_context(|| format!("cannot ask for the free space of {}", existing.display()))?;
        let free = stat.blocks_available() * stat.fragment_size() / (1 << 30);
        if free < needed {
            bail!(
                "{} has {free} GiB free, but {needed} GiB are needed for programs, images and databases",
                existing.display()
            );
        }
    }
    Ok(())
}

fn kernel(filesystems: &str) -> Result<()> {
    let loadable = Path::new("/lib/modules").exists();
    if !loadable && !filesystems.split_whitespace().any(|name| name == "overlay") {
        bail!("this kernel has no overlay file system, which containers need");
    }
    if !filesystems
        .split_whitespace()
        .any(|name| name.starts_with("cgroup"))
    {
        bail!("this kernel has no control groups, which containers need");
    }
    for namespace in ["net", "pid", "mnt", "uts", "ipc"] {
        if !Path::new("/proc/self/ns").join(namespace).exists() {
            bail!("this kernel has no {namespace} namespaces, which containers need");
        }
    }
    Ok(())
}

fn other_kubernetes(paths: &Paths) -> Result<()> {
    let ours: Vec<i32> = process::Processes::new(&paths.run, &paths.logs())
        .strays()
        .into_iter()
        .map(|file| file.pid)
        .collect();
    // One that has ended and that nobody has asked about yet keeps its name.
    let runs = |pid: &i32| process::identify(*pid).is_some();
    for pid in process::all_pids().filter(|pid| !ours.contains(pid) && runs(pid)) {
        let name = std::fs::read_to_string(format!("/proc/{pid}/comm")).unwrap_or_default();
        if [
            "kubelet",
            "kube-proxy",
            "k3s",
            "k3s-server",
            "k0s",
            "microk8s",
        ]
        .contains(&name.trim())
        {
            bail!(
                "another Kubernetes runs on this machine ({}, process {pid}): stop it first, or use it with `cargo dev up --context NAME`",
                name.trim()
            );
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_full_disk_is_refused_with_figures() {
        let folder = tempfile::tempdir().unwrap();
        let paths = Paths::find().unwrap().isolated_in(folder.path());
        let refusal = disk(&paths, 1 << 40).unwrap_err().to_string();
        assert!(
            refusal.contains("GiB free") && refusal.contains("are needed"),
            "{refusal}"
        );
        disk(&paths, 0).unwrap();
    }

    #[test]
    fn a_kernel_without_control_groups_is_refused() {
        assert!(
            kernel("nodev\toverlay\n")
                .unwrap_err()
                .to_string()
                .contains("control groups")
        );
        kernel("nodev\tcgroup\nnodev\tcgroup2\nnodev\toverlay\n").unwrap();
    }
}
