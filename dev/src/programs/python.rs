//! Python tools, each in a virtual environment of its own in the cache.

use std::path::PathBuf;

use anyhow::{Context, Result};

use super::cache::{self, Key};
use crate::command::{self, Command};
use crate::paths::Paths;

/// The virtual environment `name` with exactly these requirements (`package==version`).
pub async fn environment(
    paths: &Paths,
    name: &str,
    version: &str,
    requirements: &[&str],
) -> Result<PathBuf> {
    let key = Key {
        name: &format!("python-{name}"),
        version,
        inputs: requirements,
    };
    let log = paths.logs().join(format!("python-{name}.log"));
    cache::obtain(paths, key, async |new, place| {
        let python = command::find("python3")
            .context("python3 is missing: install it, for example with `apt-get install python3 python3-venv`")?;
        Command::new(python).args(["-m", "venv"]).arg(new).log(&log).run().await?;
        Command::new(new.join("bin/python"))
            .args(["-m", "pip", "install", "--quiet", "--disable-pip-version-check"])
            .args(requirements)
            .log(&log)
            .run()
            .await?;
        relocate(new, place)
    })
    .await
}

/// Scripts of a virtual environment name its folder: make that the final one.
fn relocate(new: &std::path::Path, place: &std::path::Path) -> Result<()> {
    let (from, to) = (new.to_string_lossy(), place.to_string_lossy());
    let mut files: Vec<PathBuf> = std::fs::read_dir(new.join("bin"))?
        .flatten()
        .map(|entry| entry.path())
        .collect();
    files.push(new.join("pyvenv.cfg"));
    for file in files
        .iter()
        .filter(|file| file.is_file() && !file.is_symlink())
    {
        // Programs that are not text have no such line.
        let Ok(text) = std::fs::read_to_string(file) else {
            continue;
        };
        if text.contains(from.as_ref()) {
            std::fs::write(file, text.replace(from.as_ref(), &to))?;
        }
    }
    Ok(())
}
