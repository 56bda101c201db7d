//! The programs of CodeBuild's image, as far as the buildspecs call them: AWS's command line, Docker's
//! on podman, cargo with what the checkout has compiled already.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

use super::codebuild::Environment;
use crate::aws::{self, ecr, eks};
use crate::command::{self, Command};
use crate::images;
use crate::paths::{self, Paths};
use crate::programs::cache::{self, Key};
use crate::programs::python;
use crate::progress::{Progress, Step};

const AWS_CLI: &str = "1.46.3";
/// The version that `pipeline/buildspec.yml` installs where it is missing.
pub(super) const CYCLONEDX: &str = "0.5.9";

/// Podman says of images that it makes what Docker says: with a HEALTHCHECK, and without isolation that
/// a container of CI might not allow.
const PODMAN: [(&str, &str); 2] = [
    ("BUILDAH_FORMAT", "docker"),
    ("BUILDAH_ISOLATION", "chroot"),
];

/// A folder with the programs, and with Docker's storage; it goes with this value.
#[derive(Debug)]
pub struct Tools {
    folder: tempfile::TempDir,
}

impl Tools {
    /// Makes the folder; what it leads to is installed or compiled, if it is not in the cache.
    pub async fn obtain(paths: &Paths, progress: &Progress) -> Result<Self> {
        let requirement = format!("awscli=={AWS_CLI}");
        let why = "preparing the AWS command line";
        let venv = progress.step("aws", why, async |_step| {
            python::environment(paths, "awscli", AWS_CLI, &[&requirement]).await
        });
        let venv = venv.await?;
        let cyclonedx = cyclonedx(paths, progress).await?;
        let why = "looking for the base image of both images";
        progress
            .step("base image", why, async |step| {
                images::ensure_base(paths, &step).await
            })
            .await?;
        let folder = tempfile::tempdir().context("no temporary folder")?;
        let tools = Self { folder };
        tools.link("aws", &venv.join("bin/aws"))?;
        tools.link("cargo-cyclonedx", &cyclonedx.join("bin/cargo-cyclonedx"))?;
        tools.write("docker", &tools.docker_script(paths)?)?;
        tools.write("cargo", &cargo(paths)?)?;
        Ok(tools)
    }

    /// What a stage's first command finds, with the rights of an access key.
    pub fn environment(&self, paths: &Paths, access_key: &str) -> Environment {
        let inherited = ["CARGO_HOME", "RUSTUP_HOME", "RUSTUP_TOOLCHAIN"].map(|name| {
            let value = std::env::var(name).ok().or_else(|| home_of(name));
            Some((name.to_owned(), value?))
        });
        let set = [
            ("PATH", self.path()),
            ("HOME", self.at("home").display().to_string()),
            ("CARGO_TARGET_DIR", paths.target().display().to_string()),
            ("AWS_REGION", aws::REGION.to_owned()),
            ("AWS_DEFAULT_REGION", aws::REGION.to_owned()),
            ("AWS_ACCESS_KEY_ID", access_key.to_owned()),
            ("AWS_SECRET_ACCESS_KEY", "local".to_owned()),
            ("AWS_ENDPOINT_URL", format!("http://{}", ecr::address())),
            ("AWS_ENDPOINT_URL_EKS", eks::endpoint()),
        ];
        let set = set.map(|(name, value)| (name.to_owned(), value));
        inherited.into_iter().flatten().chain(set).collect()
    }

    /// Runs Docker's command line; returns what it prints.
    pub async fn docker(&self, args: &[&str]) -> Result<String> {
        let docker = Command::new(self.at("bin/docker")).args(args);
        docker.run().await
    }

    fn at(&self, path: &str) -> PathBuf {
        self.folder.path().join(path)
    }

    /// These programs before all others.
    fn path(&self) -> String {
        let others = std::env::var("PATH").unwrap_or_default();
        format!("{}:{others}", self.at("bin").display())
    }

    fn link(&self, name: &str, program: &Path) -> Result<()> {
        std::fs::create_dir_all(self.at("bin"))?;
        std::os::unix::fs::symlink(program, self.at("bin").join(name))
            .with_context(|| format!("cannot link {name}"))
    }

    fn write(&self, name: &str, script: &str) -> Result<()> {
        use std::os::unix::fs::PermissionsExt as _;
        let file = self.at("bin").join(name);
        paths::write(&file, script)?;
        let executable = std::fs::Permissions::from_mode(0o755);
        std::fs::set_permissions(file, executable).with_context(|| format!("cannot make {name}"))
    }

    /// Podman with a storage of its own over that of `up`, where the base image is. The registry's name
    /// becomes the stand-in's address in every argument, since podman pushes to no other host than
    /// the image's name says.
    fn docker_script(&self, paths: &Paths) -> Result<String> {
        let storage = format!(
            "[storage]\ndriver = \"vfs\"\ngraphroot = \"{}\"\nrunroot = \"{}\"\n[storage.options]\nadditionalimagestores = [\"{}\"]\n",
            self.at("docker/images").display(),
            self.at("docker/run").display(),
            paths.data.join("buildah").display(),
        );
        let address = ecr::address();
        let registries = format!("[[registry]]\nlocation = \"{address}\"\ninsecure = true\n");
        let files = [
            ("CONTAINERS_STORAGE_CONF", "docker/storage.conf", storage),
            (
                "CONTAINERS_REGISTRIES_CONF",
                "docker/registries.conf",
                registries,
            ),
        ];
        let mut script = "#!/bin/bash\nset -eu\n".to_owned();
        for (variable, file, content) in files {
            paths::write(&self.at(file), content)?;
            let _ = writeln!(script, "export {variable}='{}'", self.at(file).display());
        }
        let logins = self.at("docker/logins.json");
        let _ = writeln!(script, "export REGISTRY_AUTH_FILE='{}'", logins.display());
        for (variable, value) in PODMAN {
            let _ = writeln!(script, "export {variable}={value}");
        }
        let _ = writeln!(
            script,
            "exec podman --cgroup-manager cgroupfs --events-backend none \"${{@//{}/{address}}}\"",
            ecr::registry()
        );
        Ok(script)
    }
}

/// Where rustup keeps its files if nothing else is said.
fn home_of(variable: &str) -> Option<String> {
    let folder = match variable {
        "CARGO_HOME" => ".cargo",
        "RUSTUP_HOME" => ".rustup",
        _ => return None,
    };
    let home = PathBuf::from(std::env::var_os("HOME")?);
    Some(home.join(folder).display().to_string())
}

/// The tests run in the checkout, of which the source is a copy: there they are compiled.
fn cargo(paths: &Paths) -> Result<String> {
    let cargo = match std::env::var_os("CARGO") {
        Some(cargo) => PathBuf::from(cargo),
        None => command::find("cargo").context("cargo is missing")?,
    };
    Ok(format!(
        "#!/bin/bash\nset -eu\nif [ \"$1\" = test ]; then cd '{}'; fi\nexec '{}' \"$@\"\n",
        paths.checkout.display(),
        cargo.display()
    ))
}

async fn cyclonedx(paths: &Paths, progress: &Progress) -> Result<PathBuf> {
    let key = Key {
        name: "cargo-cyclonedx",
        version: CYCLONEDX,
        inputs: &[],
    };
    if let Some(folder) = cache::present(paths, key) {
        return Ok(folder);
    }
    let why = "compiling the maker of bills of materials (first time only, about 2 min)";
    let build = async |step: Step| {
        cache::obtain(paths, key, async |new, _| {
            Command::new("cargo")
                .args(["install", "--locked", "--root"])
                .arg(new)
                .arg(format!("cargo-cyclonedx@{CYCLONEDX}"))
                // Elsewhere than in the checkout, whose settings are not meant for it.
                .env("CARGO_TARGET_DIR", new.join("target"))
                .folder(&paths.cache)
                .log(paths.logs().join("build-cargo-cyclonedx.log"))
                .shown_in(&step)
                .run()
                .await?;
            std::fs::remove_dir_all(new.join("target")).context("cannot tidy up")
        })
        .await
    };
    progress.step("cargo-cyclonedx", why, build).await
}
