//! The image of every pod's sandbox: a static program that waits and reaps orphans.

use std::path::{Path, PathBuf};

use anyhow::Result;

use super::cache::{self, Key};
use crate::command::Command;
use crate::images::buildah;
use crate::paths::Paths;

/// The image's name in containerd's configuration.
pub const IMAGE: &str = "localhost/pause:1";
const SOURCE: &str = include_str!("../../kubernetes/pause.c");

/// The image as an OCI archive.
pub async fn obtain(paths: &Paths) -> Result<PathBuf> {
    let key = Key {
        name: "pause",
        version: "1",
        inputs: &[SOURCE],
    };
    let log = paths.logs().join("build-pause.log");
    let folder = cache::obtain(paths, key, async |new, _| build(paths, new, &log).await).await?;
    Ok(folder.join("pause.tar"))
}

async fn build(paths: &Paths, new: &Path, log: &Path) -> Result<()> {
    std::fs::write(new.join("pause.c"), SOURCE)?;
    std::fs::write(
        new.join("Dockerfile"),
        "FROM scratch\nCOPY pause /pause\nENTRYPOINT [\"/pause\"]\n",
    )?;
    let cc = Command::new("cc").args(["-Os", "-static", "-s", "-o", "pause", "pause.c"]);
    cc.folder(new).log(log).run().await?;
    buildah(paths, &["bud", "--quiet", "--tag", IMAGE, "."])
        .folder(new)
        .log(log)
        .run()
        .await?;
    let target = format!("oci-archive:{}:{IMAGE}", new.join("pause.tar").display());
    buildah(paths, &["push", "--quiet", IMAGE, &target])
        .log(log)
        .run()
        .await?;
    Ok(())
}
