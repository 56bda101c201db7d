//! Running another program to its end: output into a log file, its tail into the error.

use std::collections::VecDeque;
use std::ffi::{OsStr, OsString};
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::Stdio;

use anyhow::{Context, Result, bail};
use tokio::io::{AsyncBufReadExt as _, AsyncRead, AsyncWriteExt as _, BufReader};

use crate::progress::Step;

/// Lines of output that a failure shows.
const TAIL: usize = 15;

/// A program with its arguments.
#[derive(Debug, Default)]
pub struct Command {
    program: OsString,
    args: Vec<OsString>,
    env: Vec<(OsString, OsString)>,
    folder: Option<PathBuf>,
    log: Option<PathBuf>,
    input: Option<Vec<u8>>,
    step: Option<Step>,
}

/// What a finished command wrote to standard output.
pub type Output = String;

impl Command {
    /// A program by name or path.
    pub fn new(program: impl AsRef<OsStr>) -> Self {
        Self {
            program: program.as_ref().to_owned(),
            ..Self::default()
        }
    }

    /// Appends an argument.
    #[must_use]
    pub fn arg(mut self, arg: impl AsRef<OsStr>) -> Self {
        self.args.push(arg.as_ref().to_owned());
        self
    }

    /// Appends arguments.
    #[must_use]
    pub fn args(mut self, args: impl IntoIterator<Item = impl AsRef<OsStr>>) -> Self {
        self.args
            .extend(args.into_iter().map(|arg| arg.as_ref().to_owned()));
        self
    }

    /// Sets an environment variable.
    #[must_use]
    pub fn env(mut self, name: impl AsRef<OsStr>, value: impl AsRef<OsStr>) -> Self {
        self.env
            .push((name.as_ref().to_owned(), value.as_ref().to_owned()));
        self
    }

    /// Sets the working folder.
    #[must_use]
    pub fn folder(mut self, folder: impl AsRef<Path>) -> Self {
        self.folder = Some(folder.as_ref().to_owned());
        self
    }

    /// Appends all output to this file.
    #[must_use]
    pub fn log(mut self, log: impl AsRef<Path>) -> Self {
        self.log = Some(log.as_ref().to_owned());
        self
    }

    /// Gives the program this standard input.
    #[must_use]
    pub fn input(mut self, input: impl Into<Vec<u8>>) -> Self {
        self.input = Some(input.into());
        self
    }

    /// Shows each line of output as a detail of the step.
    #[must_use]
    pub fn shown_in(mut self, step: &Step) -> Self {
        self.step = Some(step.clone());
        self
    }

    fn describe(&self) -> String {
        let mut text = Path::new(&self.program)
            .file_name()
            .unwrap_or(&self.program)
            .to_string_lossy()
            .into_owned();
        for arg in self.args.iter().take(6) {
            text.push(' ');
            text.push_str(&arg.to_string_lossy());
        }
        if self.args.len() > 6 {
            text.push_str(" …");
        }
        text
    }

    /// Runs it; standard output is the result, a failure says which command, why, and where its log is.
    ///
    /// Dropping the future ends the program together with those it started.
    pub async fn run(self) -> Result<Output> {
        let name = self.describe();
        let mut command = tokio::process::Command::new(&self.program);
        command
            .args(&self.args)
            .envs(self.env.iter().map(|(name, value)| (name, value)))
            .stdin(if self.input.is_some() {
                Stdio::piped()
            } else {
                Stdio::null()
            })
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .process_group(0)
            .kill_on_drop(true);
        if let Some(folder) = &self.folder {
            command.current_dir(folder);
        }
        let mut child = command
            .spawn()
            .with_context(|| format!("cannot start `{name}`"))?;
        let mut group = GroupGuard(child.id());
        if let (Some(input), Some(mut stdin)) = (self.input, child.stdin.take()) {
            // A program that ends without reading all its input is judged by its exit status.
            let _ = stdin.write_all(&input).await;
        }
        let log = self.log.as_deref().map(open_log).transpose()?;
        let sink = Sink {
            log: log.as_ref(),
            step: self.step.as_ref(),
        };
        let (out, err, status) = tokio::join!(
            sink.drain(child.stdout.take(), true),
            sink.drain(child.stderr.take(), false),
            child.wait(),
        );
        group.0 = None;
        let status = status.with_context(|| format!("cannot wait for `{name}`"))?;
        if status.success() {
            return Ok(out.all);
        }
        let tail: Vec<String> = if err.tail.is_empty() {
            out.tail.into()
        } else {
            err.tail.into()
        };
        let log = self
            .log
            .map_or(String::new(), |log| format!("\n  log: {}", log.display()));
        bail!(
            "`{name}` failed ({status}):\n    {}{log}",
            tail.join("\n    ")
        );
    }
}

/// Ends a whole process group when a running command is dropped.
struct GroupGuard(Option<u32>);

impl Drop for GroupGuard {
    fn drop(&mut self) {
        if let Some(pid) = self.0.and_then(|pid| i32::try_from(pid).ok()) {
            let _ = nix::sys::signal::killpg(
                nix::unistd::Pid::from_raw(pid),
                nix::sys::signal::Signal::SIGTERM,
            );
        }
    }
}

#[derive(Default)]
struct Read {
    all: String,
    tail: VecDeque<String>,
}

#[derive(Clone, Copy)]
struct Sink<'a> {
    log: Option<&'a std::fs::File>,
    step: Option<&'a Step>,
}

impl Sink<'_> {
    async fn drain(self, stream: Option<impl AsyncRead + Unpin>, keep: bool) -> Read {
        let mut read = Read::default();
        let Some(stream) = stream else { return read };
        let mut lines = BufReader::new(stream).split(b'\n');
        while let Ok(Some(line)) = lines.next_segment().await {
            let line = String::from_utf8_lossy(&line).into_owned();
            if let Some(mut log) = self.log {
                let _ = writeln!(log, "{line}");
            }
            if let Some(step) = self.step {
                step.detail(line.trim());
            }
            if read.tail.len() == TAIL {
                read.tail.pop_front();
            }
            if keep {
                read.all.push_str(&line);
                read.all.push('\n');
            }
            read.tail.push_back(line);
        }
        read
    }
}

/// Opens a log file for appending, creating its folder.
pub fn open_log(path: &Path) -> Result<std::fs::File> {
    if let Some(folder) = path.parent() {
        std::fs::create_dir_all(folder)
            .with_context(|| format!("cannot create the folder {}", folder.display()))?;
    }
    std::fs::OpenOptions::new()
        .create(true)
        .append(true)
        .open(path)
        .with_context(|| format!("cannot open the log {}", path.display()))
}

/// The last lines of a file, for error messages.
pub fn tail(path: &Path, lines: usize) -> String {
    let text = std::fs::read(path).map(|b| String::from_utf8_lossy(&b).into_owned());
    let text = text.unwrap_or_default();
    let all: Vec<&str> = text.lines().collect();
    all[all.len().saturating_sub(lines)..].join("\n    ")
}

/// The path of a program on `PATH` or in the system folders that some users lack there.
pub fn find(program: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path)
        .chain(["/usr/local/sbin", "/usr/sbin", "/sbin"].map(PathBuf::from))
        .map(|folder| folder.join(program))
        .find(|file| file.is_file())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn output_is_returned_and_logged() {
        let folder = tempfile::tempdir().unwrap();
        let log = folder.path().join("logs/echo.log");
        let out = Command::new("sh")
            .args(["-c", "cat; echo two >&2"])
            .input("one\n")
            .log(&log);
        assert_eq!(out.run().await.unwrap(), "one\n");
        let logged = std::fs::read_to_string(log).unwrap();
        assert!(logged.contains("one") && logged.contains("two"));
    }

    #[tokio::test]
    async fn a_failure_names_the_command_its_words_and_its_log() {
        let folder = tempfile::tempdir().unwrap();
        let log = folder.path().join("x.log");
        let error = Command::new("sh")
            .args(["-c", "echo broken >&2; exit 3"])
            .log(&log)
            .run()
            .await;
        let error = error.unwrap_err().to_string();
        assert!(error.contains("`sh -c"), "{error}");
        assert!(
            error.contains("broken") && error.contains("x.log"),
            "{error}"
        );
    }
}
