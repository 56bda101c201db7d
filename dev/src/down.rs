//! Removing everything that runs: processes, containers, mounts, network, firewall rules.

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result, bail};

use crate::command::Command;
use crate::paths::Paths;
use crate::process::{self, Processes};
use crate::progress::Progress;
use crate::{cluster::cgroup, cluster::control_plane, iptables, mysql, network};

/// What `down` also deletes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Purge {
    /// The cluster's objects, databases, images, certificates and logs.
    Data,
    /// The same and the cache of built and downloaded programs: the next `up` takes long.
    All,
}

/// Stops the cluster and, if asked for, deletes its data.
pub async fn run(paths: &Paths, progress: &Progress, purge: Option<Purge>) -> Result<()> {
    if is_anything_left(paths).await {
        progress
            .step(
                "down",
                "stopping the cluster and removing what it left",
                async |step| {
                    stop_all(paths).await?;
                    step.say("no process, mount, bridge or firewall rule is left");
                    Ok(())
                },
            )
            .await?;
    } else {
        progress.line("nothing is running");
    }
    if purge.is_some() {
        delete(&paths.data)?;
        progress.line(&format!("deleted the data in {}", paths.data.display()));
    }
    match purge {
        Some(Purge::All) => {
            delete(&paths.cache)?;
            progress.line(&format!(
                "deleted the built programs in {}",
                paths.cache.display()
            ));
        }
        Some(Purge::Data) => progress.line(&format!(
            "kept the built programs in {} (delete them too with --purge=all)",
            paths.cache.display()
        )),
        None => {}
    }
    Ok(())
}

/// Whether a cluster runs or a killed one left something.
pub async fn is_anything_left(paths: &Paths) -> bool {
    paths.run.exists()
        || cgroup::exists()
        || network::exists()
        || !mounts_below(&[&paths.run, &paths.data]).is_empty()
        || !Processes::new(&paths.run, &paths.logs())
            .strays()
            .is_empty()
        || iptables::any_left().await
}

/// Stops and removes everything but data. Each part copes with what is already gone.
pub async fn stop_all(paths: &Paths) -> Result<()> {
    let processes = Processes::new(&paths.run, &paths.logs());
    // The API goes last: the others may have something to write while they end.
    let last = [control_plane::DAEMONS[0], control_plane::DAEMONS[1]];
    let known = processes.known();
    let (late, early): (Vec<_>, Vec<_>) =
        known.iter().partition(|name| last.contains(&name.as_str()));
    stop_each(&processes, early).await?;
    cgroup::remove().await?;
    end_strays(&processes, &late).await?;
    stop_each(&processes, late).await?;
    unmount_below(&[&paths.run, &paths.data])?;
    remove_pod_cables().await?;
    remove_foreign_files()?;
    iptables::clean().await?;
    network::down(&paths.run).await?;
    delete(&paths.run)
}

async fn stop_each(processes: &Processes, names: Vec<&String>) -> Result<()> {
    let stops = names.into_iter().map(|name| {
        // MySQL flushes its pages; everything else has nothing to lose.
        let grace = if name == mysql::DAEMON { 30 } else { 3 };
        processes.stop(name, Duration::from_secs(grace))
    });
    futures::future::try_join_all(stops).await.map(drop)
}

/// Ends processes that carry our marker but have no pid file, such as containerd's shims.
async fn end_strays(processes: &Processes, keep: &[&String]) -> Result<()> {
    let kept: Vec<i32> = keep.iter().filter_map(|name| processes.pid(name)).collect();
    for stray in processes
        .strays()
        .into_iter()
        .filter(|stray| !kept.contains(&stray.pid))
    {
        process::end(&stray, Duration::from_secs(2)).await?;
    }
    Ok(())
}

/// Mount points at or below the folders, innermost first.
fn mounts_below(folders: &[&Path]) -> Vec<PathBuf> {
    let mounts = std::fs::read_to_string("/proc/self/mounts").unwrap_or_default();
    select_mounts(&mounts, folders)
}

fn select_mounts(mounts: &str, folders: &[&Path]) -> Vec<PathBuf> {
    let mut places: Vec<PathBuf> = mounts
        .lines()
        .filter_map(|line| line.split(' ').nth(1))
        // The kernel writes a space in a path as \040.
        .map(|place| PathBuf::from(place.replace("\\040", " ")))
        .filter(|place| folders.iter().any(|folder| place.starts_with(folder)))
        .collect();
    places.reverse();
    places
}

fn unmount_below(folders: &[&Path]) -> Result<()> {
    for place in mounts_below(folders) {
        nix::mount::umount2(&place, nix::mount::MntFlags::MNT_DETACH)
            .with_context(|| format!("cannot unmount {}", place.display()))?;
    }
    match mounts_below(folders).first() {
        Some(place) => bail!("{} is still mounted", place.display()),
        None => Ok(()),
    }
}

/// Removes the ends of pods' network cables.
async fn remove_pod_cables() -> Result<()> {
    let ports = Path::new("/sys/class/net")
        .join(network::BRIDGE)
        .join("brif");
    for port in std::fs::read_dir(ports).into_iter().flatten().flatten() {
        // The cable goes by itself when its pod's network namespace ends.
        let name = port.file_name();
        let _ = Command::new("ip")
            .args(["link", "delete"])
            .arg(name)
            .run()
            .await;
    }
    Ok(())
}

/// Folders outside ours that containerd, the kubelet and the CNI plugins insist on; they go if
/// nothing else is in them.
const FOREIGN_FOLDERS: [&str; 10] = [
    "/var/lib/kubelet/device-plugins",
    "/var/lib/kubelet",
    "/run/containerd/s",
    "/run/containerd/fifo",
    "/run/containerd/runc/k8s.io",
    "/run/containerd/runc",
    "/run/containerd",
    "/var/lib/cni/results",
    "/var/lib/cni",
    "/var/log/containers",
];

/// Removes the few files of ours in those folders, then the folders that are empty.
fn remove_foreign_files() -> Result<()> {
    let ours = |path: &Path| {
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        match path.parent().and_then(Path::to_str) {
            // Each notes the network namespace, which lies in our runtime folder.
            Some("/var/lib/cni/results") => {
                std::fs::read_to_string(path).is_ok_and(|text| text.contains("post-service-dev"))
            }
            Some("/var/lib/kubelet/device-plugins") => name.starts_with("kubelet"),
            Some("/var/log/containers") => std::fs::read_link(path)
                .is_ok_and(|target| target.iter().any(|part| part == "post-service-dev")),
            _ => false,
        }
    };
    for folder in FOREIGN_FOLDERS {
        for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
            if ours(&entry.path()) {
                std::fs::remove_file(entry.path())
                    .with_context(|| format!("cannot remove {}", entry.path().display()))?;
            }
        }
        // Fails where something of somebody else is in it, as it should.
        let _ = std::fs::remove_dir(folder);
    }
    Ok(())
}

fn delete(folder: &Path) -> Result<()> {
    match std::fs::remove_dir_all(folder) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            Err(error).with_context(|| format!("cannot delete {}", folder.display()))
        }
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mounts_are_undone_from_the_inside_and_only_ours() {
        let mounts = "proc /proc proc rw 0 0\ntmpfs /run/x tmpfs rw 0 0\ntmpfs /run/x/a\\040b tmpfs rw 0 0\ntmpfs /run/xy tmpfs rw 0 0\n";
        let places = select_mounts(mounts, &[Path::new("/run/x")]);
        assert_eq!(
            places,
            [PathBuf::from("/run/x/a b"), PathBuf::from("/run/x")]
        );
    }
}
