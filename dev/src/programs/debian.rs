//! Programs of Debian packages with all that these need, unpacked into a folder: the system stays as
//! it is, and what it lacks or has in another version does not matter.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};

use crate::command::Command;
use crate::paths;

/// Parts of packages that no program needs to run.
const PAPERS: [&str; 5] = ["doc", "man", "lintian", "locale", "bug"];

/// A package and what it depends on.
#[derive(Debug, Clone, Copy)]
pub struct Closure<'a> {
    /// The Debian release.
    pub suite: &'a str,
    /// The package that is wanted.
    pub package: &'a str,
    /// Prefixes of packages that it depends on but runs without.
    pub left_out: &'a [&'a str],
}

impl Closure<'_> {
    /// Downloads it from the machine's mirror and unpacks it into `root`.
    pub async fn fetch(self, root: &Path, log: &Path) -> Result<()> {
        let work = tempfile::tempdir().context("no temporary folder")?;
        let apt = private_apt(work.path(), self.suite)?;
        let run = |args: &[&str]| {
            Command::new("apt-get")
                .args(args)
                .env("APT_CONFIG", &apt)
                .log(log)
        };
        run(&["update", "-qq"])
            .run()
            .await
            .context("cannot read Debian's package lists")?;
        let plan = run(&["install", "-s", self.package]).run().await?;
        let packages = self.needed(&plan);
        if packages.is_empty() {
            bail!("Debian's package lists do not know {}", self.package);
        }
        let debs = work.path().join("debs");
        std::fs::create_dir_all(&debs)?;
        run(&["download", "-q"])
            .args(&packages)
            .folder(&debs)
            .run()
            .await?;
        unpack(&debs, root, log).await?;
        merge_usr(root, log).await?;
        for folder in PAPERS {
            let _ = std::fs::remove_dir_all(root.join("usr/share").join(folder));
        }
        Ok(())
    }

    /// The names of the packages in the output of `apt-get install -s`, without those left out.
    fn needed<'p>(&self, plan: &'p str) -> Vec<&'p str> {
        plan.lines()
            .filter_map(|line| line.strip_prefix("Inst ")?.split(' ').next())
            .filter(|name| !self.left_out.iter().any(|prefix| name.starts_with(prefix)))
            .collect()
    }
}

/// Moves what packages from before the merge of `/usr` brought into its place there. (Links made
/// before would be replaced by folders in unpacking.)
async fn merge_usr(root: &Path, log: &Path) -> Result<()> {
    for folder in ["bin", "sbin", "lib"] {
        let old = root.join(folder);
        if !old.is_dir() || old.is_symlink() {
            continue;
        }
        let new = root.join("usr").join(folder);
        std::fs::create_dir_all(&new)?;
        Command::new("cp")
            .arg("--archive")
            .arg(old.join("."))
            .arg(&new)
            .log(log)
            .run()
            .await?;
        std::fs::remove_dir_all(&old)?;
    }
    Ok(())
}

/// Unpacks all Debian packages of a folder.
pub async fn unpack(debs: &Path, root: &Path, log: &Path) -> Result<()> {
    for deb in std::fs::read_dir(debs)?.flatten() {
        Command::new("dpkg-deb")
            .arg("-x")
            .arg(deb.path())
            .arg(root)
            .log(log)
            .run()
            .await?;
    }
    Ok(())
}

/// An apt configuration that knows only this suite and keeps all its files in `folder`.
fn private_apt(folder: &Path, suite: &str) -> Result<PathBuf> {
    for sub in [
        "state/lists/partial",
        "cache/archives/partial",
        "etc/apt.conf.d",
        "etc/preferences.d",
        "etc/sources.list.d",
        "etc/trusted.gpg.d",
    ] {
        std::fs::create_dir_all(folder.join(sub))?;
    }
    let keyring = Path::new("/usr/share/keyrings/debian-archive-keyring.gpg");
    if !keyring.is_file() {
        bail!(
            "Debian's archive keys are missing; install them with `apt-get install debian-archive-keyring`"
        );
    }
    let mirror = debian_mirror();
    paths::write(
        &folder.join("etc/sources.list"),
        format!(
            "deb [signed-by={}] {mirror} {suite} main\n",
            keyring.display()
        ),
    )?;
    paths::write(&folder.join("status"), "")?;
    let at = folder.display();
    let config = folder.join("apt.conf");
    // Release files expire within days on mirrors that are frozen; their signature is checked all
    // the same.
    paths::write(
        &config,
        format!(
            "Dir \"{at}/\";\nDir::State \"state\";\nDir::State::status \"{at}/status\";\nDir::Cache \"cache\";\nDir::Etc \"etc\";\nAPT::Architecture \"amd64\";\nAPT::Install-Recommends \"false\";\nAPT::Sandbox::User \"root\";\nAcquire::Languages \"none\";\nAcquire::Check-Valid-Until \"false\";\n"
        ),
    )?;
    Ok(config)
}

/// The mirror that this machine uses.
fn debian_mirror() -> String {
    let sources =
        std::fs::read_to_string("/etc/apt/sources.list.d/debian.sources").unwrap_or_default();
    let list = std::fs::read_to_string("/etc/apt/sources.list").unwrap_or_default();
    mirror_in(&sources, &list)
        .unwrap_or("http://deb.debian.org/debian")
        .to_owned()
}

fn mirror_in<'a>(sources: &'a str, list: &'a str) -> Option<&'a str> {
    let new = sources
        .lines()
        .find_map(|line| line.strip_prefix("URIs:")?.split_whitespace().next());
    let is_debian = |url: &&str| url.trim_end_matches('/').ends_with("/debian");
    let old = list.lines().filter(|line| line.starts_with("deb "));
    new.or_else(|| old.flat_map(str::split_whitespace).find(is_debian))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_closure_leaves_out_what_is_not_needed() {
        let closure = Closure {
            suite: "sid",
            package: "mysql-server-core",
            left_out: &["perl", "gcc-"],
        };
        let plan = "Inst gcc-15-base (15 Debian:unstable [amd64])\nInst libc6 (2.42)\nInst perl-base (5)\nConf libc6 (2.42)\nInst mysql-server-core (9.7)\n";
        assert_eq!(closure.needed(plan), ["libc6", "mysql-server-core"]);
    }

    #[test]
    fn the_mirror_of_the_machine_is_used_in_both_formats() {
        let sources = "Types: deb\nURIs: http://mirror.example/debian\nSuites: bookworm\n";
        assert_eq!(mirror_in(sources, ""), Some("http://mirror.example/debian"));
        let list = "# comment\ndeb [arch=amd64] http://old.example/debian/ bookworm main\n";
        assert_eq!(mirror_in("", list), Some("http://old.example/debian/"));
        assert_eq!(mirror_in("", ""), None);
    }
}
