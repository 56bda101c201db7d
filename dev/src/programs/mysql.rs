//! MySQL 9 from Debian's unstable packages, unpacked into the cache: the system stays as it is.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};

use super::cache::{self, Key};
use crate::command::Command;
use crate::paths::{self, Paths};
use crate::progress::Progress;

/// Raised when the way of fetching changes.
const RECIPE: &str = "1";

/// Packages of the dependency closure that the server runs without.
const NOT_NEEDED: [&str; 7] = [
    "perl",
    "libperl",
    "libdb5",
    "libgdbm",
    "openssl-provider-legacy",
    "libtirpc-common",
    "gcc-",
];

/// The unpacked server.
#[derive(Debug, Clone)]
pub struct MySqlServer {
    root: PathBuf,
}

impl MySqlServer {
    /// The program that runs it: the packages' own dynamic linker, because the machine's C library
    /// may be older than they need.
    pub fn program(&self) -> PathBuf {
        self.libraries().join("ld-linux-x86-64.so.2")
    }

    fn libraries(&self) -> PathBuf {
        self.root.join("usr/lib/x86_64-linux-gnu")
    }

    /// The arguments that every start needs, before its own.
    pub fn base_args(&self) -> Vec<String> {
        let usr = self.root.join("usr");
        let at = |path: &str| usr.join(path).display().to_string();
        vec![
            "--library-path".into(),
            self.libraries().display().to_string(),
            "--argv0".into(),
            at("sbin/mysqld"),
            at("sbin/mysqld"),
            "--no-defaults".into(),
            "--user=root".into(),
            format!("--basedir={}", usr.display()),
            format!("--lc-messages-dir={}", at("share/mysql")),
            format!("--character-sets-dir={}", at("share/mysql/charsets")),
            format!("--plugin-dir={}", at("lib/mysql/plugin")),
            "--secure-file-priv=".into(),
            "--mysqlx=OFF".into(),
        ]
    }
}

/// Fetches the server unless the cache has it.
pub async fn obtain(paths: &Paths, progress: &Progress) -> Result<MySqlServer> {
    let key = Key {
        name: "mysql",
        version: "9",
        inputs: &[RECIPE],
    };
    if let Some(root) = cache::present(paths, key) {
        return Ok(MySqlServer { root });
    }
    let why = "fetching MySQL 9 from Debian's packages into the cache (first time only, 70 MB)";
    let root = progress.step("MySQL packages", why, async |step| {
        let log = paths.logs().join("fetch-mysql.log");
        let root = cache::obtain(paths, key, async |new, _| fetch(new, &log).await).await?;
        step.say("unpacked");
        Ok(root)
    });
    Ok(MySqlServer { root: root.await? })
}

async fn fetch(root: &Path, log: &Path) -> Result<()> {
    let work = tempfile::tempdir().context("no temporary folder")?;
    let apt = private_apt(work.path())?;
    let run = |program: &str, args: &[&str]| {
        Command::new(program)
            .args(args)
            .env("APT_CONFIG", &apt)
            .log(log)
    };
    run("apt-get", &["update", "-qq"])
        .run()
        .await
        .context("cannot read Debian's package lists")?;
    let plan = run("apt-get", &["install", "-s", "mysql-server-core"])
        .run()
        .await?;
    let packages = needed(&plan);
    if packages.is_empty() {
        bail!("Debian's package lists do not know mysql-server-core");
    }
    let debs = work.path().join("debs");
    std::fs::create_dir_all(&debs)?;
    run("apt-get", &["download", "-q"])
        .args(&packages)
        .folder(&debs)
        .run()
        .await?;
    unpack(&debs, root, log).await?;
    for folder in ["doc", "man", "lintian", "locale", "bug"] {
        let _ = std::fs::remove_dir_all(root.join("usr/share").join(folder));
    }
    // Packages of the merged /usr may still carry links to it as folders of their own.
    if !root.join("usr/sbin/mysqld").is_file() {
        bail!("the packages contain no usr/sbin/mysqld");
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

/// The names of the packages in the output of `apt-get install -s` that the server needs.
fn needed(plan: &str) -> Vec<&str> {
    plan.lines()
        .filter_map(|line| line.strip_prefix("Inst ")?.split(' ').next())
        .filter(|name| !NOT_NEEDED.iter().any(|prefix| name.starts_with(prefix)))
        .collect()
}

/// An apt configuration that knows only Debian unstable and keeps all its files in `folder`.
fn private_apt(folder: &Path) -> Result<PathBuf> {
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
        format!("deb [signed-by={}] {mirror} sid main\n", keyring.display()),
    )?;
    paths::write(&folder.join("status"), "")?;
    let at = folder.display();
    let config = folder.join("apt.conf");
    // The release file of unstable expires within days on mirrors that are frozen; its signature
    // is checked all the same.
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
    fn the_closure_leaves_out_perl() {
        let plan = "Inst gcc-15-base (15 Debian:unstable [amd64])\nInst libc6 (2.42)\nInst perl-base (5)\nConf libc6 (2.42)\nInst mysql-server-core (9.7)\n";
        assert_eq!(needed(plan), ["libc6", "mysql-server-core"]);
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
