//! The folders that the tool uses, and nothing else on the machine.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

/// Name of the tool's folder below each of the user's base folders.
const FOLDER: &str = "post-service-dev";

/// Where everything lies.
#[derive(Debug, Clone)]
pub struct Paths {
    /// The checkout that this binary was built from.
    pub checkout: PathBuf,
    /// Programs that were built or downloaded: `$XDG_CACHE_HOME/post-service-dev`.
    pub cache: PathBuf,
    /// What survives `down`: databases, certificates, images, logs. `$XDG_STATE_HOME/post-service-dev`.
    pub data: PathBuf,
    /// What does not: sockets, pid files, mounts. `/run/post-service-dev`, one for the machine.
    pub run: PathBuf,
}

impl Paths {
    /// Where cargo puts what it builds.
    pub fn target(&self) -> PathBuf {
        std::env::var_os("CARGO_TARGET_DIR").map_or_else(
            || self.checkout.join("target"),
            |folder| self.checkout.join(folder),
        )
    }

    /// The folders of the present user.
    pub fn find() -> Result<Self> {
        let checkout = Path::new(env!("CARGO_MANIFEST_DIR"))
            .parent()
            .context("the dev crate has no parent folder")?
            .to_owned();
        Ok(Self {
            checkout,
            cache: base("XDG_CACHE_HOME", ".cache")?.join(FOLDER),
            data: base("XDG_STATE_HOME", ".local/state")?.join(FOLDER),
            run: Path::new("/run").join(FOLDER),
        })
    }

    /// The same programs with the runtime state of a test stage in `folder`.
    #[must_use]
    pub fn isolated_in(&self, folder: &Path) -> Self {
        Self {
            data: folder.join("data"),
            run: folder.join("run"),
            ..self.clone()
        }
    }

    /// The folder of log files.
    pub fn logs(&self) -> PathBuf {
        self.data.join("logs")
    }

    /// The administrator's kubeconfig of the local cluster.
    pub fn kubeconfig(&self) -> PathBuf {
        self.data.join("pki/admin.kubeconfig")
    }
}

fn base(variable: &str, below_home: &str) -> Result<PathBuf> {
    if let Some(path) = std::env::var_os(variable)
        .map(PathBuf::from)
        .filter(|p| p.is_absolute())
    {
        return Ok(path);
    }
    let home = std::env::var_os("HOME")
        .with_context(|| format!("neither {variable} nor HOME is set: no place for files"))?;
    Ok(Path::new(&home).join(below_home))
}

/// Writes a file that only its owner may read, replacing it in one step.
pub fn write_private(path: &Path, content: &str) -> Result<()> {
    write_mode(path, content.as_bytes(), 0o600)
}

/// Writes a file, creating its folder; leaves an equal file untouched.
pub fn write(path: &Path, content: impl AsRef<[u8]>) -> Result<()> {
    if std::fs::read(path).is_ok_and(|present| present == content.as_ref()) {
        return Ok(());
    }
    write_mode(path, content.as_ref(), 0o644)
}

fn write_mode(path: &Path, content: &[u8], mode: u32) -> Result<()> {
    use std::io::Write as _;
    use std::os::unix::fs::OpenOptionsExt as _;

    let folder = path.parent().context("a file needs a folder")?;
    std::fs::create_dir_all(folder)
        .with_context(|| format!("cannot create the folder {}", folder.display()))?;
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(format!(".{}.new", std::process::id()));
    let new = folder.join(name);
    let failed = || format!("cannot write {}", path.display());
    let mut file = std::fs::OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(mode)
        .open(&new)
        .with_context(failed)?;
    file.write_all(content).with_context(failed)?;
    std::fs::rename(&new, path).with_context(failed)
}
