//! What one command leaves for the next: secrets that were made up, who owns the cluster, and the
//! lock that keeps two commands apart.

use std::fs::{File, TryLockError};
use std::io::Read as _;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use serde::{Deserialize, Serialize};

use crate::paths::{self, Paths};

/// Secrets of the local cluster, made up once and kept until `down --purge`.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Secrets {
    /// Password of MySQL's administrator `root`.
    pub mysql_root: String,
    /// Password of the account that the Secret `post-db-secret` names.
    pub mysql_post: String,
    /// The service's `secret-key`.
    pub secret_key: String,
    /// Password of the Cognito user whose tokens are printed.
    pub cognito_user: String,
}

impl Secrets {
    /// Random ones.
    pub fn generate() -> Result<Self> {
        Ok(Self {
            mysql_root: random_hex(16)?,
            mysql_post: random_hex(16)?,
            secret_key: random_hex(32)?,
            cognito_user: format!("Aa1!{}", random_hex(12)?),
        })
    }

    /// Those of the data folder, made up if there are none.
    pub fn ensure(paths: &Paths) -> Result<Self> {
        if let Some(secrets) = Self::load(paths) {
            return Ok(secrets);
        }
        let secrets = Self::generate()?;
        paths::write_private(&path(paths), &serde_json::to_string_pretty(&secrets)?)?;
        Ok(secrets)
    }

    /// Those of the data folder.
    pub fn load(paths: &Paths) -> Option<Self> {
        serde_json::from_str(&std::fs::read_to_string(path(paths)).ok()?).ok()
    }
}

fn path(paths: &Paths) -> PathBuf {
    paths.data.join("secrets.json")
}

/// Random bytes from the kernel, as hexadecimal digits.
pub fn random_hex(bytes: usize) -> Result<String> {
    let mut buffer = vec![0; bytes];
    File::open("/dev/urandom")
        .and_then(|mut file| file.read_exact(&mut buffer))
        .context("cannot read random bytes")?;
    Ok(hex::encode(buffer))
}

/// The right to change the machine: one command at a time, from any checkout.
#[derive(Debug)]
pub struct Lock {
    _file: File,
}

impl Lock {
    /// Takes it or says who has it.
    pub fn take() -> Result<Self> {
        Self::take_at(Path::new("/run/post-service-dev.lock"))
    }

    fn take_at(path: &Path) -> Result<Self> {
        let file = File::options()
            .create(true)
            .truncate(false)
            .read(true)
            .write(true)
            .open(path)
            .with_context(|| format!("cannot open the lock {}", path.display()))?;
        match file.try_lock() {
            Ok(()) => {
                let _ = std::fs::write(path, format!("{}\n", std::process::id()));
                Ok(Self { _file: file })
            }
            Err(TryLockError::WouldBlock) => {
                let holder = std::fs::read_to_string(path).unwrap_or_default();
                bail!(
                    "another `cargo dev` command is at work on this machine (process {}); wait for it or end it with Ctrl-C",
                    holder.trim()
                )
            }
            Err(TryLockError::Error(error)) => Err(error).context("cannot take the machine's lock"),
        }
    }
}

/// The checkout whose cluster runs on this machine.
pub fn owner(paths: &Paths) -> Option<PathBuf> {
    let text = std::fs::read_to_string(paths.run.join("owner")).ok()?;
    Some(PathBuf::from(text.trim()))
}

/// Notes that the cluster is this checkout's.
pub fn own(paths: &Paths) -> Result<()> {
    paths::write(
        &paths.run.join("owner"),
        format!("{}\n", paths.checkout.display()),
    )
}

/// Refuses to touch the running cluster of another checkout.
pub fn check_owner(paths: &Paths, running: bool) -> Result<()> {
    match owner(paths) {
        Some(other) if running && other != paths.checkout && other.exists() => bail!(
            "the local cluster of another checkout is running on this machine; stop it with `cargo dev down` in {} (or `cargo dev down --force` here)",
            other.display()
        ),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn paths(folder: &Path) -> Paths {
        Paths::find().unwrap().isolated_in(folder)
    }

    #[test]
    fn secrets_are_made_up_once() {
        let folder = tempfile::tempdir().unwrap();
        let paths = paths(folder.path());
        let first = Secrets::ensure(&paths).unwrap();
        assert_eq!(
            Secrets::ensure(&paths).unwrap().mysql_root,
            first.mysql_root
        );
        assert_eq!(first.secret_key.len(), 64);
    }

    #[test]
    fn a_second_command_is_refused_while_the_first_runs() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("lock");
        let first = Lock::take_at(&path).unwrap();
        let refusal = Lock::take_at(&path).unwrap_err().to_string();
        assert!(
            refusal.contains(&std::process::id().to_string()),
            "{refusal}"
        );
        drop(first);
        Lock::take_at(&path).unwrap();
    }

    #[test]
    fn only_a_running_cluster_of_an_existing_other_checkout_is_in_the_way() {
        let folder = tempfile::tempdir().unwrap();
        let mut other = paths(folder.path());
        own(&other).unwrap();
        assert!(check_owner(&other, true).is_ok());
        other.checkout = PathBuf::from("/elsewhere");
        assert!(
            check_owner(&other, true)
                .unwrap_err()
                .to_string()
                .contains("cargo dev down")
        );
        assert!(check_owner(&other, false).is_ok());
    }
}
