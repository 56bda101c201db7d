//! The control group that holds all pods: it makes sure that every container process is found
//! again when the cluster stops, whatever became of containerd.

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result, bail};

use crate::process;

/// Name of the group below the root of every hierarchy.
pub const NAME: &str = "post-service-dev";

/// The roots of the mounted hierarchies of one kind: `cgroup` (version 1) or `cgroup2`.
fn roots(mounts: &str, kind: &str) -> Vec<PathBuf> {
    let of_kind = |line: &str| {
        let mut words = line.split(' ');
        let place = words.nth(1)?;
        (words.next()? == kind).then(|| PathBuf::from(place))
    };
    mounts.lines().filter_map(of_kind).collect()
}

fn folders(kind: &str) -> Vec<PathBuf> {
    let mounts = std::fs::read_to_string("/proc/mounts").unwrap_or_default();
    roots(&mounts, kind)
        .into_iter()
        .map(|root| root.join(NAME))
        .collect()
}

/// Every folder of the group. On a machine with both versions the runtime uses version 2 too.
fn all_folders() -> Vec<PathBuf> {
    [folders("cgroup"), folders("cgroup2")].concat()
}

/// Makes the group in every hierarchy.
pub fn create() -> Result<()> {
    let version_1 = folders("cgroup");
    let wanted = if version_1.is_empty() {
        folders("cgroup2")
    } else {
        version_1
    };
    for folder in wanted {
        std::fs::create_dir_all(&folder)
            .with_context(|| format!("cannot make the control group {}", folder.display()))?;
        inherit_cpuset(&folder);
    }
    Ok(())
}

/// A new version 1 cpuset is empty and refuses processes until it is filled.
fn inherit_cpuset(folder: &Path) {
    let Some(parent) = folder.parent() else {
        return;
    };
    for file in ["cpuset.cpus", "cpuset.mems"] {
        if let Ok(value) = std::fs::read_to_string(parent.join(file))
            && std::fs::read_to_string(folder.join(file)).is_ok_and(|own| own.trim().is_empty())
        {
            let _ = std::fs::write(folder.join(file), value.trim());
        }
    }
}

/// Whether the group is there.
pub fn exists() -> bool {
    all_folders().iter().any(|folder| folder.exists())
}

/// Ends every process in the group and removes it.
pub async fn remove() -> Result<()> {
    for folder in all_folders().into_iter().filter(|folder| folder.exists()) {
        let groups = depth_first(&folder);
        for _ in 0..50 {
            let pids: Vec<i32> = groups.iter().flat_map(|group| members(group)).collect();
            if pids.is_empty() {
                break;
            }
            for file in pids.into_iter().filter_map(process::identify) {
                process::end(&file, Duration::ZERO).await?;
            }
        }
        for group in &groups {
            remove_group(group).await?;
        }
    }
    Ok(())
}

/// A group stays busy for a moment after its last process ended.
async fn remove_group(group: &Path) -> Result<()> {
    for _ in 0..100 {
        match std::fs::remove_dir(group) {
            Ok(()) => return Ok(()),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(()),
            Err(_) => tokio::time::sleep(Duration::from_millis(20)).await,
        }
    }
    bail!("cannot remove the control group {}", group.display())
}

/// The folder and all below it, children before their parents.
fn depth_first(folder: &Path) -> Vec<PathBuf> {
    let mut all = Vec::new();
    for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
        if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            all.extend(depth_first(&entry.path()));
        }
    }
    all.push(folder.to_owned());
    all
}

fn members(group: &Path) -> Vec<i32> {
    let text = std::fs::read_to_string(group.join("cgroup.procs")).unwrap_or_default();
    text.lines().filter_map(|line| line.parse().ok()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hierarchies_of_both_versions_are_found() {
        let mounts = "tmpfs /sys/fs/cgroup tmpfs rw 0 0\ncgroup /sys/fs/cgroup/cpu cgroup rw,cpu 0 0\ncgroup2 /sys/fs/cgroup/unified cgroup2 rw 0 0\n";
        assert_eq!(
            roots(mounts, "cgroup"),
            [PathBuf::from("/sys/fs/cgroup/cpu")]
        );
        assert_eq!(
            roots(mounts, "cgroup2"),
            [PathBuf::from("/sys/fs/cgroup/unified")]
        );
    }
}
