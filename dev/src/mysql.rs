//! A running MySQL or MariaDB server.

use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, Result};
use tokio::io::AsyncReadExt as _;

use crate::command::Command;
use crate::paths;
use crate::process::{Daemon, Processes};
use crate::programs::mysql::{Initialization, Kind, MySqlServer};
use crate::state::Secrets;

/// Name of the local cluster's daemon.
pub const DAEMON: &str = "mysql";
/// Port of the local cluster's database, on the bridge.
pub const PORT: u16 = 3306;
/// The account that the service's Secret names; it may create its database and nothing else.
pub const USER: &str = "post";
/// The database that the operator creates.
pub const DATABASE: &str = "postdb";

/// Where a server listens and keeps its data.
#[derive(Debug)]
pub struct MySql {
    /// The unpacked programs.
    pub server: MySqlServer,
    /// Tables.
    pub data: PathBuf,
    /// Folder of its socket.
    pub run: PathBuf,
    /// Address of its port.
    pub address: &'static str,
    /// Its port.
    pub port: u16,
    /// Arguments after all others, which they win over.
    pub extra: Vec<String>,
}

impl MySql {
    /// Starts it, on first use with new data, and waits until it answers; returns its version.
    pub async fn start(&self, processes: &Processes, secrets: &Secrets) -> Result<String> {
        if !self.data.join(self.server.kind.system_table()).exists() {
            self.initialize(processes).await?;
        }
        // The file is read at each start: passwords follow the secrets even when only one of the
        // two folders was kept.
        let accounts = self.data.with_extension("accounts.sql");
        let sql = accounts_sql(secrets);
        paths::write_private(&accounts, &sql)?;
        let name = self.server.kind.name();
        let at = |ending: &str| {
            self.run
                .join(format!("{name}.{ending}"))
                .display()
                .to_string()
        };
        let daemon = Daemon::new(name, self.server.program())
            .args(self.server.base_args())
            .args([
                format!("--datadir={}", self.data.display()),
                format!("--bind-address={}", self.address),
                format!("--port={}", self.port),
                format!("--socket={}", at("sock")),
                format!("--pid-file={}", at("pid")),
                format!("--init-file={}", accounts.display()),
                "--skip-name-resolve".to_owned(),
                "--skip-log-bin".to_owned(),
                "--performance-schema=OFF".to_owned(),
                "--innodb-buffer-pool-size=64M".to_owned(),
                "--max-connections=300".to_owned(),
            ])
            .args(&self.extra)
            .reads(&sql);
        processes.ensure(&daemon).await?;
        let probe = async || version_of(self.address, self.port).await;
        processes.ready(name, Duration::from_mins(1), probe).await
    }

    /// Makes the system tables aside and moves them in place, so that a killed run leaves none.
    async fn initialize(&self, processes: &Processes) -> Result<()> {
        let new = self.data.with_extension("new");
        for folder in [&new, &self.data] {
            if folder.exists() {
                std::fs::remove_dir_all(folder)
                    .with_context(|| format!("cannot remove {}", folder.display()))?;
            }
        }
        if let Some(parent) = self.data.parent() {
            std::fs::create_dir_all(parent)?;
        }
        let Initialization { args, input } = self.server.initialization()?;
        // MySQL makes the folder itself and wants it absent; MariaDB wants it present.
        if self.server.kind == Kind::MariaDb {
            std::fs::create_dir_all(&new)?;
        }
        let (name, title) = (self.server.kind.name(), self.server.kind.title());
        Command::new(self.server.program())
            .args(self.server.base_args())
            .args(args)
            .arg(format!("--datadir={}", new.display()))
            .input(input)
            .log(processes.log(&format!("{name}-initialize")))
            .run()
            .await?;
        std::fs::rename(&new, &self.data)
            .with_context(|| format!("cannot move {title}'s new tables in place"))
    }
}

/// The administrator's URL without a database, for tests.
pub fn admin_url(address: &str, port: u16, secrets: &Secrets) -> String {
    format!("mysql://root:{}@{address}:{port}", secrets.mysql_root)
}

/// The URL in the service's Secret, in the form that the Secret had from the beginning.
pub fn service_url(address: &str, port: u16, secrets: &Secrets) -> String {
    format!(
        "mysql+pymysql://{USER}:{}@{address}:{port}/{DATABASE}",
        secrets.mysql_post
    )
}

/// MariaDB begins with accounts of `root` at the loopback addresses that have no password and win
/// over the one for everywhere.
fn accounts_sql(secrets: &Secrets) -> String {
    let Secrets {
        mysql_root: root,
        mysql_post: post,
        ..
    } = secrets;
    format!(
        "\
ALTER USER 'root'@'localhost' IDENTIFIED BY '{root}';
DROP USER IF EXISTS 'root'@'127.0.0.1';
DROP USER IF EXISTS 'root'@'::1';
CREATE USER IF NOT EXISTS 'root'@'%' IDENTIFIED BY '{root}';
ALTER USER 'root'@'%' IDENTIFIED BY '{root}';
GRANT ALL ON *.* TO 'root'@'%' WITH GRANT OPTION;
CREATE USER IF NOT EXISTS '{USER}'@'%' IDENTIFIED BY '{post}';
ALTER USER '{USER}'@'%' IDENTIFIED BY '{post}';
GRANT ALL ON `{DATABASE}`.* TO '{USER}'@'%';
"
    )
}

/// The version in the greeting of a server that accepts connections.
pub async fn version_of(address: &str, port: u16) -> Result<String, String> {
    let text = |error: std::io::Error| error.to_string();
    let mut stream = tokio::net::TcpStream::connect((address, port))
        .await
        .map_err(text)?;
    let mut greeting = [0; 128];
    let length = stream.read(&mut greeting).await.map_err(text)?;
    parse_greeting(&greeting[..length])
        .ok_or_else(|| format!("the server's greeting was {length} unexpected bytes"))
}

/// Protocol 10: length (3 bytes), sequence number, 10, version, NUL.
fn parse_greeting(packet: &[u8]) -> Option<String> {
    let rest = packet.get(4..)?.strip_prefix(&[10])?;
    let version = rest.split(|byte| *byte == 0).next()?;
    // MariaDB says that it is a 5.5.5 first, for the sake of old replicas.
    let version = version.strip_prefix(b"5.5.5-").unwrap_or(version);
    String::from_utf8(version.to_vec()).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_greeting_tells_the_version() {
        assert_eq!(
            parse_greeting(b"\x4a\0\0\0\x0a9.7.4\0rest"),
            Some("9.7.4".to_owned())
        );
        assert_eq!(
            parse_greeting(b"\x4a\0\0\0\x0a5.5.5-10.11.18-MariaDB\0rest"),
            Some("10.11.18-MariaDB".to_owned())
        );
        assert_eq!(parse_greeting(b"\x10\0\0\0\xff\x69\x04Host"), None);
        assert_eq!(parse_greeting(b""), None);
    }

    #[test]
    fn the_services_account_reaches_its_database_only() {
        let sql = accounts_sql(&Secrets::generate().unwrap());
        let grants: Vec<_> = sql
            .lines()
            .filter(|l| l.starts_with("GRANT") && l.contains("'post'"))
            .collect();
        assert_eq!(grants, ["GRANT ALL ON `postdb`.* TO 'post'@'%';"]);
    }
}
