//! The cache folder: one folder per program, version and way of building it; complete or absent.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use sha2::{Digest, Sha256};

use crate::paths::Paths;

/// Prefix of folders that are being filled; they end with the process id of their builder.
const UNFINISHED: &str = ".unfinished-";

/// What a cached folder is made from: anything else in it means another folder.
#[derive(Debug, Clone, Copy)]
pub struct Key<'a> {
    /// Program or group of programs.
    pub name: &'a str,
    /// Its version, for people.
    pub version: &'a str,
    /// Everything that decides the result: flags, lock files, sources.
    pub inputs: &'a [&'a str],
}

impl Key<'_> {
    /// `<name>-<version>-<hash of all inputs>`.
    pub fn folder_name(&self) -> String {
        let mut hash = Sha256::new();
        for part in [self.name, self.version].iter().chain(self.inputs) {
            hash.update(part.len().to_le_bytes());
            hash.update(part.as_bytes());
        }
        format!(
            "{}-{}-{}",
            self.name,
            self.version,
            &hex::encode(hash.finalize())[..12]
        )
    }
}

/// The folder of `key`, if it was filled before.
pub fn present(paths: &Paths, key: Key<'_>) -> Option<PathBuf> {
    let folder = paths.cache.join(key.folder_name());
    folder.is_dir().then_some(folder)
}

/// The folder of `key`; where it is absent, `fill` gets an empty folder that takes its place once
/// it is complete. A killed build leaves nothing that looks finished.
///
/// Programs that note their own place (Python environments) find it under the final path, because
/// `fill` gets that as its second argument.
pub async fn obtain(
    paths: &Paths,
    key: Key<'_>,
    fill: impl AsyncFnOnce(&Path, &Path) -> Result<()>,
) -> Result<PathBuf> {
    if let Some(folder) = present(paths, key) {
        return Ok(folder);
    }
    let folder = paths.cache.join(key.folder_name());
    let new = paths.cache.join(format!(
        "{UNFINISHED}{}-{}",
        key.folder_name(),
        std::process::id()
    ));
    remove(&new)?;
    std::fs::create_dir_all(&new)
        .with_context(|| format!("cannot create the cache folder {}", new.display()))?;
    let filled = fill(&new, &folder).await;
    if let Err(error) = filled {
        let _ = remove(&new);
        return Err(error);
    }
    match std::fs::rename(&new, &folder) {
        // Another run was faster.
        Err(_) if folder.is_dir() => remove(&new)?,
        other => other.with_context(|| format!("cannot move into {}", folder.display()))?,
    }
    Ok(folder)
}

/// Removes what killed builds left.
pub fn sweep(paths: &Paths) {
    remove_unfinished(paths, |pid| crate::process::identify(pid).is_none());
}

/// Removes what this process has begun to fill and given up.
pub fn abandon(paths: &Paths) {
    let own = i32::try_from(std::process::id()).ok();
    remove_unfinished(paths, |pid| Some(pid) == own);
}

fn remove_unfinished(paths: &Paths, is_over: impl Fn(i32) -> bool) {
    let entries = std::fs::read_dir(&paths.cache);
    for entry in entries.into_iter().flatten().flatten() {
        let name = entry.file_name().to_string_lossy().into_owned();
        let Some((_, pid)) = name
            .strip_prefix(UNFINISHED)
            .and_then(|rest| rest.rsplit_once('-'))
        else {
            continue;
        };
        // A name that is no process id is nobody's.
        if pid.parse().map_or(true, &is_over) {
            let _ = remove(&entry.path());
        }
    }
}

fn remove(folder: &Path) -> Result<()> {
    match std::fs::remove_dir_all(folder) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            Err(error).with_context(|| format!("cannot remove {}", folder.display()))
        }
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key<'a>(inputs: &'a [&'a str]) -> Key<'a> {
        Key {
            name: "etcd",
            version: "3.6",
            inputs,
        }
    }

    fn paths(folder: &Path) -> Paths {
        Paths {
            cache: folder.join("cache"),
            ..Paths::find().unwrap()
        }
    }

    #[test]
    fn every_input_changes_the_folder() {
        let name = key(&["-trimpath", "sum"]).folder_name();
        assert!(name.starts_with("etcd-3.6-"));
        assert_ne!(name, key(&["-trimpath", "other"]).folder_name());
        assert_ne!(name, key(&["-trimpathsum"]).folder_name());
        assert_eq!(name, key(&["-trimpath", "sum"]).folder_name());
    }

    #[tokio::test]
    async fn it_is_filled_once() {
        let folder = tempfile::tempdir().unwrap();
        let paths = paths(folder.path());
        for _ in 0..2 {
            let got = obtain(&paths, key(&[]), async |new, _| {
                assert!(present(&paths, key(&[])).is_none(), "filled twice");
                Ok(std::fs::write(new.join("etcd"), "program")?)
            });
            assert!(got.await.unwrap().join("etcd").is_file());
        }
    }

    #[tokio::test]
    async fn a_failed_build_leaves_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let paths = paths(folder.path());
        let failed = obtain(&paths, key(&[]), async |new, _| {
            std::fs::write(new.join("half"), "")?;
            anyhow::bail!("no compiler")
        });
        assert!(failed.await.is_err());
        assert_eq!(std::fs::read_dir(&paths.cache).unwrap().count(), 0);
    }

    #[test]
    fn leftovers_of_a_killed_build_are_swept() {
        let folder = tempfile::tempdir().unwrap();
        let paths = paths(folder.path());
        let dead = paths
            .cache
            .join(format!("{UNFINISHED}etcd-3.6-abc-999999999"));
        let alive = paths
            .cache
            .join(format!("{UNFINISHED}etcd-3.6-abc-{}", std::process::id()));
        std::fs::create_dir_all(&dead).unwrap();
        std::fs::create_dir_all(&alive).unwrap();
        sweep(&paths);
        assert!(!dead.exists() && alive.exists());
    }
}
