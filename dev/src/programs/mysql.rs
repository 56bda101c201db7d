//! The database servers from Debian's packages, unpacked into the cache: the system stays as it is.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};

use super::cache::{self, Key};
use super::debian::Closure;
use crate::paths::Paths;
use crate::progress::Progress;

/// Raised when the way of fetching changes.
const RECIPE: &str = "1";

/// The two servers that the service supports.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// MySQL 9, the newest.
    MySql,
    /// MariaDB 10.11.
    MariaDb,
}

impl Kind {
    /// Name of its daemon, its socket and its cached folder.
    pub fn name(self) -> &'static str {
        match self {
            Self::MySql => "mysql",
            Self::MariaDb => "mariadb",
        }
    }

    /// As people write it.
    pub fn title(self) -> &'static str {
        match self {
            Self::MySql => "MySQL",
            Self::MariaDb => "MariaDB",
        }
    }

    fn version(self) -> &'static str {
        match self {
            Self::MySql => "9",
            Self::MariaDb => "10.11",
        }
    }

    fn download(self) -> &'static str {
        match self {
            Self::MySql => "70 MB",
            Self::MariaDb => "20 MB",
        }
    }

    fn closure(self) -> Closure<'static> {
        match self {
            Self::MySql => Closure {
                suite: "sid",
                package: "mysql-server-core",
                left_out: &[
                    "perl",
                    "libperl",
                    "libdb5",
                    "libgdbm",
                    "openssl-provider-legacy",
                    "libtirpc-common",
                    "gcc-",
                ],
            },
            Self::MariaDb => Closure {
                suite: "bookworm",
                package: "mariadb-server-core",
                left_out: &["gcc-"],
            },
        }
    }

    fn binary(self) -> &'static str {
        match self {
            Self::MySql => "sbin/mysqld",
            Self::MariaDb => "sbin/mariadbd",
        }
    }

    /// A file of every initialised data folder.
    pub fn system_table(self) -> &'static str {
        match self {
            Self::MySql => "mysql.ibd",
            Self::MariaDb => "mysql/global_priv.frm",
        }
    }
}

/// How a server makes its system tables.
#[derive(Debug)]
pub struct Initialization {
    /// Arguments after [`MySqlServer::base_args`].
    pub args: &'static [&'static str],
    /// Standard input.
    pub input: Vec<u8>,
}

/// An unpacked server.
#[derive(Debug, Clone)]
pub struct MySqlServer {
    /// Which one.
    pub kind: Kind,
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
        let mut args = vec![
            "--library-path".into(),
            self.libraries().display().to_string(),
            "--argv0".into(),
            at(self.kind.binary()),
            at(self.kind.binary()),
            "--no-defaults".into(),
            "--user=root".into(),
            format!("--basedir={}", usr.display()),
            format!("--lc-messages-dir={}", at("share/mysql")),
            format!("--character-sets-dir={}", at("share/mysql/charsets")),
            format!("--plugin-dir={}", at("lib/mysql/plugin")),
            "--secure-file-priv=".into(),
        ];
        if self.kind == Kind::MySql {
            args.push("--mysqlx=OFF".into());
        }
        args
    }

    /// Program and [`Self::base_args`], one a line, for tests that start servers of their own.
    pub fn command_lines(&self) -> String {
        let program = self.program().display().to_string();
        let words: Vec<_> = std::iter::once(program).chain(self.base_args()).collect();
        words.join("\n")
    }

    /// How it makes its system tables, with a `root` that has no password yet.
    pub fn initialization(&self) -> Result<Initialization> {
        Ok(match self.kind {
            Kind::MySql => Initialization {
                args: &["--initialize-insecure"],
                input: vec![],
            },
            Kind::MariaDb => Initialization {
                args: &["--bootstrap"],
                input: bootstrap_sql(&self.root.join("usr/share/mysql"))?,
            },
        })
    }
}

/// What MariaDB's script `mariadb-install-db` feeds the server; the script itself would run
/// programs of the packages without their libraries.
fn bootstrap_sql(scripts: &Path) -> Result<Vec<u8>> {
    let mut sql = b"CREATE DATABASE mysql;\nUSE mysql;\nSET @auth_root_socket=NULL;\n".to_vec();
    for name in [
        "mysql_system_tables.sql",
        "mysql_performance_tables.sql",
        "mysql_system_tables_data.sql",
        "fill_help_tables.sql",
        "maria_add_gis_sp_bootstrap.sql",
        "mysql_sys_schema.sql",
    ] {
        let path = scripts.join(name);
        let script =
            std::fs::read(&path).with_context(|| format!("cannot read {}", path.display()))?;
        sql.extend(script);
    }
    Ok(sql)
}

/// Fetches the server unless the cache has it.
pub async fn obtain(paths: &Paths, progress: &Progress, kind: Kind) -> Result<MySqlServer> {
    let (name, title, version) = (kind.name(), kind.title(), kind.version());
    let key = Key {
        name,
        version,
        inputs: &[RECIPE],
    };
    if let Some(root) = cache::present(paths, key) {
        return Ok(MySqlServer { kind, root });
    }
    let why = format!(
        "fetching {title} {version} from Debian's packages into the cache (first time only, {})",
        kind.download()
    );
    let what = format!("{title} packages");
    let step = progress.step(&what, &why, async |step| {
        let log = paths.logs().join(format!("fetch-{name}.log"));
        let root = cache::obtain(paths, key, async |new, _| fetch(kind, new, &log).await).await?;
        step.say("unpacked");
        Ok(root)
    });
    let root = step.await?;
    Ok(MySqlServer { kind, root })
}

async fn fetch(kind: Kind, root: &Path, log: &Path) -> Result<()> {
    kind.closure().fetch(root, log).await?;
    let binary = kind.binary();
    if !root.join("usr").join(binary).is_file() {
        bail!("the packages contain no usr/{binary}");
    }
    Ok(())
}
