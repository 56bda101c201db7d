//! Programs that keep running after this one ends: started in their own session, with a log and
//! a pid file that tells a recycled process id apart.

use std::ffi::OsString;
use std::future::Future;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use nix::sys::signal::{Signal, kill, killpg};
use nix::unistd::Pid;
use sha2::{Digest, Sha256};

use crate::command;

/// Environment variable in every process that this tool starts; its value is the runtime folder.
/// It finds what a killed run left without a pid file, such as containerd's shims.
const MARKER: &str = "POST_SERVICE_DEV_RUN";

/// A program to keep running.
#[derive(Debug, Clone)]
pub struct Daemon {
    /// Names the pid file and the log.
    pub name: &'static str,
    program: OsString,
    args: Vec<OsString>,
    env: Vec<(OsString, OsString)>,
    inputs: String,
}

impl Daemon {
    /// A program called `name` in logs and messages.
    pub fn new(name: &'static str, program: impl Into<OsString>) -> Self {
        Self {
            name,
            program: program.into(),
            args: vec![],
            env: vec![],
            inputs: String::new(),
        }
    }

    /// Appends arguments.
    #[must_use]
    pub fn args(mut self, args: impl IntoIterator<Item = impl Into<OsString>>) -> Self {
        self.args.extend(args.into_iter().map(Into::into));
        self
    }

    /// Sets an environment variable.
    #[must_use]
    pub fn env(mut self, name: impl Into<OsString>, value: impl Into<OsString>) -> Self {
        self.env.push((name.into(), value.into()));
        self
    }

    /// Content of a file that it reads at start: a change of it restarts the program.
    #[must_use]
    pub fn reads(mut self, content: &str) -> Self {
        self.inputs.push_str(content);
        self
    }

    /// Identity of the command line and what it reads.
    fn fingerprint(&self) -> String {
        let mut hash = Sha256::new();
        let pairs = self.env.iter().flat_map(|(name, value)| [name, value]);
        for word in std::iter::once(&self.program)
            .chain(&self.args)
            .chain(pairs)
        {
            hash.update(word.as_encoded_bytes());
            hash.update([0]);
        }
        hash.update(&self.inputs);
        hex::encode(&hash.finalize()[..8])
    }
}

/// A pid file: `pid start-time fingerprint`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PidFile {
    /// Process id, also of the session.
    pub pid: i32,
    /// Start time in clock ticks since boot, as in `/proc/PID/stat`.
    pub started: u64,
    /// [`Daemon`]'s command line when it was started.
    pub fingerprint: String,
}

impl PidFile {
    /// Reads what [`PidFile`]'s `Display` wrote.
    pub fn parse(text: &str) -> Option<Self> {
        let mut words = text.split_whitespace();
        let file = Self {
            pid: words.next()?.parse().ok().filter(|pid| *pid > 1)?,
            started: words.next()?.parse().ok()?,
            fingerprint: words.next()?.to_owned(),
        };
        words.next().is_none().then_some(file)
    }

    /// Whether that very process still runs.
    pub fn is_alive(&self) -> bool {
        std::fs::read_to_string(format!("/proc/{}/stat", self.pid))
            .ok()
            .and_then(|stat| start_time(&stat))
            == Some(self.started)
    }
}

impl std::fmt::Display for PidFile {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        writeln!(f, "{} {} {}", self.pid, self.started, self.fingerprint)
    }
}

/// The start time in a `/proc/PID/stat` line; none for a process that has ended (a zombie).
///
/// The second field, the program's name in parentheses, may itself contain spaces and parentheses.
pub fn start_time(stat: &str) -> Option<u64> {
    let (_, rest) = stat.rsplit_once(')')?;
    let mut fields = rest.split_whitespace();
    let state = fields.next()?;
    if matches!(state, "Z" | "X") {
        return None;
    }
    fields.nth(18)?.parse().ok()
}

/// The daemons of one runtime folder.
#[derive(Debug, Clone)]
pub struct Processes {
    run: PathBuf,
    logs: PathBuf,
}

impl Processes {
    /// Pid files in `run`/pids, logs in `logs`.
    pub fn new(run: &Path, logs: &Path) -> Self {
        Self {
            run: run.to_owned(),
            logs: logs.to_owned(),
        }
    }

    /// The log file of a daemon.
    pub fn log(&self, name: &str) -> PathBuf {
        self.logs.join(format!("{name}.log"))
    }

    fn pid_path(&self, name: &str) -> PathBuf {
        self.run.join("pids").join(name)
    }

    fn pid_file(&self, name: &str) -> Option<PidFile> {
        PidFile::parse(&std::fs::read_to_string(self.pid_path(name)).ok()?)
    }

    /// The process id of a running daemon.
    pub fn pid(&self, name: &str) -> Option<i32> {
        self.pid_file(name)
            .filter(PidFile::is_alive)
            .map(|file| file.pid)
    }

    /// Whether the daemon runs.
    pub fn is_running(&self, name: &str) -> bool {
        self.pid(name).is_some()
    }

    /// The names of daemons that were started and not stopped since.
    pub fn known(&self) -> Vec<String> {
        let folder = std::fs::read_dir(self.run.join("pids"));
        let mut names: Vec<String> = folder
            .into_iter()
            .flatten()
            .flatten()
            .map(|entry| entry.file_name().to_string_lossy().into_owned())
            // Not the pid file that was being written when a run was killed.
            .filter(|name| !name.contains('.'))
            .collect();
        names.sort();
        names
    }

    /// The name of a daemon that has ended although nobody stopped it, and the end of its log.
    pub fn dead(&self) -> Option<(String, String)> {
        let dead = self
            .known()
            .into_iter()
            .find(|name| !self.is_running(name))?;
        let message = self.death(&dead, "ended");
        Some((dead, message))
    }

    /// Starts the daemon unless it runs already with the same command line and inputs.
    ///
    /// Returns whether it was started now.
    pub async fn ensure(&self, daemon: &Daemon) -> Result<bool> {
        if let Some(file) = self.pid_file(daemon.name).filter(PidFile::is_alive) {
            if file.fingerprint == daemon.fingerprint() {
                return Ok(false);
            }
            self.stop(daemon.name, Duration::from_secs(20)).await?;
        }
        self.start(daemon)?;
        Ok(true)
    }

    fn start(&self, daemon: &Daemon) -> Result<()> {
        let log_path = self.log(daemon.name);
        if log_path.exists() {
            std::fs::rename(
                &log_path,
                self.logs.join(format!("{}.previous.log", daemon.name)),
            )?;
        }
        let log = command::open_log(&log_path)?;
        // `setsid` replaces itself by the program, so the child's process id is the program's.
        let child = std::process::Command::new("setsid")
            .arg(&daemon.program)
            .args(&daemon.args)
            .envs(daemon.env.iter().map(|(name, value)| (name, value)))
            .env(MARKER, &self.run)
            .current_dir(&self.run)
            .stdin(Stdio::null())
            .stdout(log.try_clone()?)
            .stderr(log)
            .spawn()
            .with_context(|| format!("cannot start {}", daemon.name))?;
        let pid = i32::try_from(child.id()).context("a process id beyond i32")?;
        let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
        let started = start_time(&stat)
            .with_context(|| self.death(daemon.name, "ended right after its start"))?;
        let file = PidFile {
            pid,
            started,
            fingerprint: daemon.fingerprint(),
        };
        crate::paths::write(&self.pid_path(daemon.name), file.to_string())
    }

    fn death(&self, name: &str, what: &str) -> String {
        let log = self.log(name);
        format!(
            "{name} {what}:\n    {}\n  log: {}",
            command::tail(&log, 15),
            log.display()
        )
    }

    /// Waits until `probe` succeeds; fails at once, with the end of its log, if the daemon ends.
    pub async fn ready<T, E, F, P>(&self, name: &str, deadline: Duration, mut probe: P) -> Result<T>
    where
        E: std::fmt::Display,
        F: Future<Output = std::result::Result<T, E>>,
        P: FnMut() -> F,
    {
        let began = Instant::now();
        loop {
            let seen = match tokio::time::timeout(Duration::from_secs(5), probe()).await {
                Ok(Ok(value)) => return Ok(value),
                Ok(Err(seen)) => seen.to_string(),
                Err(_) => "no answer within 5 s".to_owned(),
            };
            if !self.is_running(name) {
                bail!(self.death(name, "ended"));
            }
            if began.elapsed() > deadline {
                let what = format!("is not ready after {} s ({seen})", deadline.as_secs());
                bail!(self.death(name, &what));
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }

    /// Ends the daemon and its session: SIGTERM, after `grace` SIGKILL.
    pub async fn stop(&self, name: &str, grace: Duration) -> Result<()> {
        if let Some(file) = self.pid_file(name) {
            end(&file, grace).await?;
        }
        match std::fs::remove_file(self.pid_path(name)) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(error.into()),
            _ => Ok(()),
        }
    }

    /// Processes that carry this runtime folder's marker, whoever started them in turn.
    pub fn strays(&self) -> Vec<PidFile> {
        let marker = format!("{MARKER}={}", self.run.display());
        let own = i32::try_from(std::process::id()).unwrap_or_default();
        all_pids()
            .filter(|pid| *pid != own)
            .filter(|pid| {
                let environ = std::fs::read(format!("/proc/{pid}/environ")).unwrap_or_default();
                environ
                    .split(|byte| *byte == 0)
                    .any(|entry| entry == marker.as_bytes())
            })
            .filter_map(identify)
            .collect()
    }
}

/// The identity of a running process.
pub fn identify(pid: i32) -> Option<PidFile> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    Some(PidFile {
        pid,
        started: start_time(&stat)?,
        fingerprint: "-".to_owned(),
    })
}

/// The path of this very program, to start it as a daemon.
pub fn this_program() -> Result<PathBuf> {
    let program = std::env::current_exe().context("this program does not know its path")?;
    Ok(as_named(&program).to_owned())
}

/// The program's path without what Linux appends to it once a build has put another file in its
/// place (proc(5), `/proc/pid/exe`).
fn as_named(program: &Path) -> &Path {
    let name = program
        .to_str()
        .and_then(|path| path.strip_suffix(" (deleted)"));
    name.map_or(program, Path::new)
}

/// Every process id on the machine.
pub fn all_pids() -> impl Iterator<Item = i32> {
    std::fs::read_dir("/proc")
        .into_iter()
        .flatten()
        .flatten()
        .filter_map(|entry| entry.file_name().to_str()?.parse().ok())
}

/// Ends one identified process and, where it leads one, its process group.
pub async fn end(file: &PidFile, grace: Duration) -> Result<()> {
    let pid = Pid::from_raw(file.pid);
    for (signal, patience) in [
        (Signal::SIGTERM, grace),
        (Signal::SIGKILL, Duration::from_secs(5)),
    ] {
        if !file.is_alive() {
            return Ok(());
        }
        if killpg(pid, signal).is_err() {
            let _ = kill(pid, signal);
        }
        let began = Instant::now();
        while file.is_alive() && began.elapsed() < patience {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }
    if file.is_alive() {
        bail!("process {} does not end, not even by SIGKILL", file.pid);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    const STAT: &str =
        "4242 (a) b (c) S 1 4242 4242 0 -1 4194560 1 2 3 4 5 6 7 8 20 0 1 0 987654 1 2 3";

    #[test]
    fn the_start_time_is_found_behind_any_program_name() {
        assert_eq!(start_time(STAT), Some(987_654));
    }

    #[test]
    fn a_program_that_was_built_anew_is_started_by_its_name() {
        let named = |path| as_named(Path::new(path));
        assert_eq!(
            named("/a/target/debug/dev (deleted)"),
            "/a/target/debug/dev"
        );
        assert_eq!(
            named("/a/target/debug/dev"),
            Path::new("/a/target/debug/dev")
        );
    }

    #[test]
    fn a_zombie_does_not_run() {
        assert_eq!(start_time(&STAT.replace(") S ", ") Z ")), None);
    }

    #[test]
    fn a_pid_file_survives_writing_and_reading() {
        let file = PidFile {
            pid: 7,
            started: 8,
            fingerprint: "ab".into(),
        };
        assert_eq!(PidFile::parse(&file.to_string()), Some(file));
    }

    #[test]
    fn damaged_pid_files_name_no_process() {
        for text in [
            "",
            "7",
            "7 8",
            "x 8 ab",
            "-1 8 ab",
            "0 8 ab",
            "1 8 ab",
            "7 8 ab more",
        ] {
            assert_eq!(PidFile::parse(text), None, "{text:?}");
        }
    }

    #[test]
    fn a_recycled_pid_is_not_the_daemon() {
        let own = i32::try_from(std::process::id()).unwrap();
        let mut file = identify(own).unwrap();
        assert!(file.is_alive());
        file.started += 1;
        assert!(!file.is_alive());
    }

    #[tokio::test]
    async fn a_daemon_starts_once_restarts_when_changed_and_stops() {
        let folder = tempfile::tempdir().unwrap();
        let processes = Processes::new(folder.path(), &folder.path().join("logs"));
        let daemon = Daemon::new("sleeper", "sleep").args(["300"]);
        assert!(processes.ensure(&daemon).await.unwrap());
        assert!(!processes.ensure(&daemon).await.unwrap());
        let first = processes.pid_file("sleeper").unwrap();
        assert!(
            processes
                .ensure(&daemon.clone().reads("changed"))
                .await
                .unwrap()
        );
        assert!(!first.is_alive());
        // The environment cannot be read in the moment in which `setsid` becomes the program.
        let one = async || match processes.strays().len() {
            1 => Ok(()),
            other => Err(format!("{other} strays")),
        };
        let patience = Duration::from_secs(5);
        crate::wait::until("the daemon is found by its marker", patience, one)
            .await
            .unwrap();
        processes
            .stop("sleeper", Duration::from_secs(5))
            .await
            .unwrap();
        assert!(processes.strays().is_empty() && processes.known().is_empty());
    }

    #[tokio::test]
    async fn a_daemon_that_dies_is_reported_with_the_end_of_its_log() {
        let folder = tempfile::tempdir().unwrap();
        let processes = Processes::new(folder.path(), &folder.path().join("logs"));
        let daemon = Daemon::new("crash", "sh").args(["-c", "sleep 0.2; echo no port; exit 1"]);
        processes.ensure(&daemon).await.unwrap();
        let wait = processes.ready("crash", Duration::from_secs(10), async || {
            Err::<(), _>("closed")
        });
        let error = wait.await.unwrap_err().to_string();
        assert!(
            error.contains("crash ended") && error.contains("no port"),
            "{error}"
        );
    }
}
