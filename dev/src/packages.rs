//! Debian packages that the tool needs: installed by `apt-get` where their program is missing.

use std::path::Path;

use anyhow::{Context, Result, bail};

use crate::command::{self, Command};
use crate::paths::Paths;
use crate::progress::Progress;

/// A package, what shows its presence, and what it is for.
#[derive(Debug)]
pub struct Package {
    name: &'static str,
    shown_by: Sign,
    why: &'static str,
}

/// What shows that a package, or something as good, is installed.
#[derive(Debug)]
enum Sign {
    /// A program on `PATH`.
    Program(&'static str),
    /// A file.
    File(&'static str),
    /// A module of Python's.
    Module(&'static str),
}

/// What compiling needs.
pub const BUILD: &[Package] = &[
    Package {
        name: "gcc",
        shown_by: Sign::Program("cc"),
        why: "links the Rust programs",
    },
    Package {
        name: "libc6-dev",
        shown_by: Sign::File("/usr/lib/x86_64-linux-gnu/libc.a"),
        why: "links the Rust programs",
    },
    Package {
        name: "make",
        shown_by: Sign::Program("make"),
        why: "compiles the service's allocator",
    },
];

/// What the local cluster and the tests that use parts of it need.
pub const CLUSTER: &[Package] = &[
    Package {
        name: "containerd",
        shown_by: Sign::Program("containerd"),
        why: "runs the pods",
    },
    Package {
        name: "runc",
        shown_by: Sign::Program("runc"),
        why: "runs the pods' containers",
    },
    Package {
        name: "containernetworking-plugins",
        shown_by: Sign::File("/usr/lib/cni/bridge"),
        why: "connects pods to the network",
    },
    Package {
        name: "buildah",
        shown_by: Sign::Program("buildah"),
        why: "builds and pushes the images",
    },
    Package {
        name: "iptables",
        shown_by: Sign::Program("iptables"),
        why: "is how Services reach their pods",
    },
    Package {
        name: "iproute2",
        shown_by: Sign::Program("ip"),
        why: "makes the network bridge",
    },
    Package {
        name: "python3",
        shown_by: Sign::Program("python3"),
        why: "runs the AWS stand-ins",
    },
    Package {
        name: "python3-venv",
        shown_by: Sign::Module("ensurepip"),
        why: "keeps the AWS stand-ins apart from the system's Python",
    },
    Package {
        name: "ca-certificates",
        shown_by: Sign::File("/etc/ssl/certs/ca-certificates.crt"),
        why: "trusts the package registries",
    },
];

/// What tests of pages need.
pub const BROWSER: &[Package] = &[
    Package {
        name: "chromium",
        shown_by: Sign::Program("chromium"),
        why: "opens the API's pages in the tests",
    },
    Package {
        name: "chromium-driver",
        shown_by: Sign::Program("chromedriver"),
        why: "tells the tests' browser what to do",
    },
];

/// What stands for the programs of CodeBuild's image.
pub const CODEBUILD: &[Package] = &[
    Package {
        name: "podman",
        shown_by: Sign::Program("podman"),
        why: "stands for Docker where a buildspec calls it",
    },
    Package {
        name: "jq",
        shown_by: Sign::Program("jq"),
        why: "is called by the buildspecs",
    },
];

/// What measurements of the service need.
pub const LOAD: &[Package] = &[Package {
    name: "wrk",
    shown_by: Sign::Program("wrk"),
    why: "sends the requests that are measured",
}];

impl Package {
    async fn is_present(&self) -> bool {
        match self.shown_by {
            Sign::Program(name) => command::find(name).is_some(),
            Sign::File(path) => Path::new(path).exists(),
            Sign::Module(name) => {
                let import = format!("import {name}");
                Command::new("python3")
                    .args(["-c", &import])
                    .run()
                    .await
                    .is_ok()
            }
        }
    }
}

/// Installs what is missing of these groups, saying what and why.
pub async fn install(paths: &Paths, progress: &Progress, groups: &[&[Package]]) -> Result<()> {
    let mut missing = Vec::new();
    for package in groups.iter().copied().flatten() {
        if !package.is_present().await {
            missing.push(package);
        }
    }
    if missing.is_empty() {
        return Ok(());
    }
    let names: Vec<&str> = missing.iter().map(|package| package.name).collect();
    if command::find("apt-get").is_none() {
        bail!(
            "please install {}: this machine has no apt-get to do it with",
            names.join(", ")
        );
    }
    for package in &missing {
        progress.line(&format!(
            "needs the Debian package {}: it {}",
            package.name, package.why
        ));
    }
    let why = format!("installing {} with apt-get", names.join(", "));
    let log = paths.logs().join("apt-get.log");
    let apt = |args: &[&str]| {
        Command::new("apt-get")
            .args(args)
            .env("DEBIAN_FRONTEND", "noninteractive")
            .log(&log)
    };
    progress
        .step("Debian packages", &why, async |step| {
            apt(&["update", "-q"])
                .shown_in(&step)
                .run()
                .await
                .context("apt-get update failed")?;
            // Daemons that packages would start (containerd) are not wanted: ours is started with
            // its own settings.
            let policy = StartPolicy::forbid()?;
            apt(&["install", "-q", "-y", "--no-install-recommends"])
                .args(&names)
                .shown_in(&step)
                .run()
                .await?;
            drop(policy);
            step.say(format!("installed {}", names.join(", ")));
            Ok(())
        })
        .await
}

/// Keeps `apt-get` from starting services while it exists (Debian's `policy-rc.d`).
struct StartPolicy(Option<&'static Path>);

impl StartPolicy {
    fn forbid() -> Result<Self> {
        use std::os::unix::fs::PermissionsExt as _;
        let path = Path::new("/usr/sbin/policy-rc.d");
        if path.exists() {
            return Ok(Self(None));
        }
        std::fs::write(path, "#!/bin/sh\nexit 101\n")?;
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o755))?;
        Ok(Self(Some(path)))
    }
}

impl Drop for StartPolicy {
    fn drop(&mut self) {
        if let Some(path) = self.0 {
            let _ = std::fs::remove_file(path);
        }
    }
}
