//! A MySQL server of a test's own, which can be stopped, killed and replicated.
//!
//! `TEST_MYSQLD` holds the program and the arguments that every start needs, one a line.

use super::{variable, wait::until};
use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use sqlx::{Connection, Executor, MySqlConnection};
use std::process::Stdio;
use tempfile::TempDir;
use tokio::process::{Child, Command};

/// A server with tables in a temporary folder; it ends with the test.
pub struct Mysqld {
    command: Vec<String>,
    folder: TempDir,
    /// Its port on this machine.
    pub port: u16,
    id: u32,
    child: Option<Child>,
}

/// A port that nobody listens on, below those of outgoing connections (from 32768 on): one of those
/// could take it while the tables are made.
fn free_port() -> u16 {
    let is_free = |port: &u16| std::net::TcpListener::bind(("127.0.0.1", *port)).is_ok();
    std::iter::repeat_with(|| fastrand::u16(20_000..30_000))
        .take(1000)
        .find(is_free)
        .expect("a free port")
}

impl Mysqld {
    /// A new server, started; without `TEST_MYSQLD`, a line on standard error.
    pub async fn start_new(id: u32) -> Option<Self> {
        let command = variable("TEST_MYSQLD")?;
        let command: Vec<String> = command.lines().map(str::to_owned).collect();
        let mut server = Self {
            command,
            folder: tempfile::tempdir().expect("a folder"),
            port: free_port(),
            id,
            child: None,
        };
        let mut initialize = server.command();
        let initialized = initialize.arg("--initialize-insecure").status().await;
        assert!(
            initialized.expect("a run").success(),
            "mysqld cannot initialize"
        );
        server.start().await;
        Some(server)
    }

    fn path(&self, name: &str) -> String {
        self.folder.path().join(name).display().to_string()
    }

    fn command(&self) -> Command {
        let mut command = Command::new(&self.command[0]);
        command
            .args(&self.command[1..])
            .arg(format!("--datadir={}", self.path("data")))
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .kill_on_drop(true);
        command
    }

    /// Starts it and waits until it answers.
    pub async fn start(&mut self) {
        let accounts = "CREATE USER IF NOT EXISTS 'root'@'%'; GRANT ALL ON *.* TO 'root'@'%' WITH GRANT OPTION;";
        let (init, log) = (self.path("accounts.sql"), self.path("log"));
        let said = || std::fs::read_to_string(&log).unwrap_or_default();
        std::fs::write(&init, accounts.replace("; ", ";\n")).expect("a file");
        let mut command = self.command();
        command
            .args([
                "--bind-address=127.0.0.1",
                "--skip-name-resolve",
                "--performance-schema=OFF",
            ])
            .args(["--innodb-buffer-pool-size=64M", "--max-connections=300"])
            .args([
                "--log-bin=binlog",
                "--gtid-mode=ON",
                "--enforce-gtid-consistency=ON",
            ])
            .arg(format!("--server-id={}", self.id))
            .arg(format!("--port={}", self.port))
            .arg(format!("--socket={}", self.path("s")))
            .arg(format!("--pid-file={}", self.path("pid")))
            .arg(format!("--log-error={log}"))
            .arg(format!("--init-file={init}"));
        let url = self.url();
        let child = self.child.insert(command.spawn().expect("a process"));
        until("the server answers", async || {
            let ended = child.try_wait().expect("a state");
            assert!(ended.is_none(), "mysqld ended: {}", said());
            MySqlConnection::connect(&url).await.is_ok()
        })
        .await;
    }

    /// Ends it by this signal and waits for its end.
    pub async fn end(&mut self, signal: Signal) {
        let mut child = self.child.take().expect("a running server");
        let pid = i32::try_from(child.id().expect("a pid")).expect("a pid");
        kill(Pid::from_raw(pid), signal).expect("a signal");
        child.wait().await.expect("an end");
    }

    /// The administrator's URL, without a database.
    pub fn url(&self) -> String {
        format!("mysql://root@127.0.0.1:{}", self.port)
    }

    /// Runs statements.
    pub async fn execute(&self, statements: &[&str]) {
        let mut connection = MySqlConnection::connect(&self.url())
            .await
            .expect("a connection");
        for statement in statements {
            connection
                .execute(*statement)
                .await
                .expect("the statement runs");
        }
        connection.close().await.expect("a clean end");
    }

    /// Makes it a replica of another server, from that one's first statement on.
    pub async fn follow(&self, source: &Self) {
        let change = format!(
            "CHANGE REPLICATION SOURCE TO SOURCE_HOST = '127.0.0.1', SOURCE_PORT = {}, \
             SOURCE_USER = 'root', SOURCE_AUTO_POSITION = 1, SOURCE_CONNECT_RETRY = 1, \
             GET_SOURCE_PUBLIC_KEY = 1",
            source.port
        );
        self.execute(&["RESET BINARY LOGS AND GTIDS", &change, "START REPLICA"])
            .await;
    }

    /// Makes the source of this replica read-only, waits until the replica has everything, and lets
    /// it be written: a planned failover.
    pub async fn take_over_from(&self, source: &Self) {
        source.execute(&["SET GLOBAL super_read_only = ON"]).await;
        self.catch_up_with(source).await;
        self.execute(&["STOP REPLICA"]).await;
    }

    /// Waits until this replica has everything that its source has now.
    pub async fn catch_up_with(&self, source: &Self) {
        let mut there = MySqlConnection::connect(&source.url())
            .await
            .expect("a connection");
        let done: String = sqlx::query_scalar("SELECT CAST(@@GLOBAL.gtid_executed AS CHAR)")
            .fetch_one(&mut there)
            .await
            .expect("the transactions");
        let mut here = MySqlConnection::connect(&self.url())
            .await
            .expect("a connection");
        let timed_out: i64 = sqlx::query_scalar("SELECT WAIT_FOR_EXECUTED_GTID_SET(?, 30)")
            .bind(done)
            .fetch_one(&mut here)
            .await
            .expect("an answer");
        assert_eq!(timed_out, 0, "the replica does not catch up");
    }
}
