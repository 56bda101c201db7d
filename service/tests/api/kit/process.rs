//! The program itself, as a process.

use super::client;
use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use serde_json::Value;
use std::{collections::HashMap, process::Stdio, time::Duration};
use tokio::{
    io::{AsyncBufReadExt, BufReader, Lines},
    process::{Child, ChildStderr, ChildStdout, Command},
};

/// How long anything may take before a test gives up.
const PATIENCE: Duration = Duration::from_mins(2);

/// The program with these arguments and nothing else in its environment.
pub fn program(arguments: &[&str], environment: &[(&str, &str)]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_post-service"));
    command
        .args(arguments)
        .env_clear()
        .envs(environment.iter().copied())
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true);
    command
}

/// What a run left: exit code, standard output, standard error.
pub async fn run(arguments: &[&str], environment: &[(&str, &str)]) -> (i32, String, String) {
    let output = tokio::time::timeout(PATIENCE, program(arguments, environment).output());
    let output = output.await.expect("an end").expect("a run");
    let text = |bytes| String::from_utf8(bytes).expect("UTF-8");
    (
        output.status.code().unwrap_or(-1),
        text(output.stdout),
        text(output.stderr),
    )
}

/// A running `serve`.
pub struct Served {
    child: Child,
    log: Lines<BufReader<ChildStderr>>,
    stdout: Option<Lines<BufReader<ChildStdout>>>,
    /// Where the API is, e.g. `127.0.0.1:40123`.
    pub api: String,
    /// Where the metrics are.
    pub metrics: String,
    pub client: reqwest::Client,
}

impl Served {
    /// Starts the program on free ports and waits until it says where it is.
    pub async fn start(environment: &[(&str, &str)]) -> Self {
        let mut all = HashMap::from([
            ("LISTEN_ADDRESS", "127.0.0.1:0"),
            ("METRICS_ADDRESS", "127.0.0.1:0"),
            ("LOG_FORMAT", "json"),
        ]);
        all.extend(environment.iter().copied());
        let all: Vec<_> = all.into_iter().collect();
        let mut child = program(&[], &all).spawn().expect("a process");
        let log = BufReader::new(child.stderr.take().expect("standard error")).lines();
        let stdout = child.stdout.take().map(|out| BufReader::new(out).lines());
        let (api, metrics, client) = (String::new(), String::new(), client());
        let mut served = Self {
            child,
            log,
            stdout,
            api,
            metrics,
            client,
        };
        let line = served.log_line("serving").await;
        let address = |value: &Value| value.as_str().expect("an address").to_owned();
        served.api = address(&line["api"]);
        served.metrics = address(&line["metrics"]);
        served
    }

    /// The next log line with this message.
    pub async fn log_line(&mut self, message: &str) -> Value {
        let found = async {
            loop {
                let line = self
                    .log
                    .next_line()
                    .await
                    .expect("UTF-8")
                    .expect("another line");
                let line: Value = serde_json::from_str(&line).expect("JSON");
                if line["message"]
                    .as_str()
                    .is_some_and(|text| text.contains(message))
                {
                    return line;
                }
            }
        };
        tokio::time::timeout(PATIENCE, found)
            .await
            .expect("the line in time")
    }

    /// What is printed on standard output, up to the development token, and the token.
    pub async fn development_token(&mut self) -> (String, String) {
        let stdout = self.stdout.as_mut().expect("standard output");
        let mut printed = String::new();
        while let Some(line) = stdout.next_line().await.expect("UTF-8") {
            printed.push_str(&line);
            printed.push('\n');
            let token = line
                .split("Bearer ")
                .nth(1)
                .and_then(|rest| rest.split('\'').next());
            if let Some(token) = token {
                return (printed.clone(), token.to_owned());
            }
        }
        panic!("no token in {printed}")
    }

    /// Every log line from here to the end.
    pub async fn rest_of_log(&mut self) -> Vec<String> {
        let mut lines = Vec::new();
        while let Some(line) = self.log.next_line().await.expect("UTF-8") {
            lines.push(line);
        }
        lines
    }

    pub fn signal(&self, signal: Signal) {
        let pid = i32::try_from(self.child.id().expect("a running process")).expect("a pid");
        kill(Pid::from_raw(pid), signal).expect("a signal");
    }

    /// The exit code, once there is one.
    pub async fn exit_code(&mut self) -> Option<i32> {
        let status = tokio::time::timeout(PATIENCE, self.child.wait()).await;
        status.expect("an end").expect("a status").code()
    }
}
