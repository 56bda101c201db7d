//! A real browser without a window, told what to do by the W3C `WebDriver` protocol.

use super::{client, wait::until};
use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use reqwest::Method;
use serde_json::{Value, json};
use std::{
    os::unix::ffi::OsStrExt,
    path::Path,
    process::Stdio,
    time::{Duration, Instant},
};
use tempfile::TempDir;
use tokio::{
    io::{AsyncBufReadExt, BufReader},
    process::{Child, Command},
};

/// Under this name an answer holds an element's id (`WebDriver`, section 12.1).
const ELEMENT: &str = "element-6066-11e4-a52e-4f735466cecf";

/// A browser with one page; both it and its driver end when this is dropped.
pub struct Browser {
    /// Of the session, e.g. `http://127.0.0.1:9515/session/…`.
    session: String,
    client: reqwest::Client,
    /// All their files; no other process has its path.
    folder: TempDir,
    // Ends when dropped.
    _driver: Child,
}

impl Browser {
    /// Starts the driver program, and by it the browser program.
    pub async fn start(chromium: &str, driver: &str) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        // Made before anything that can fail is started, so that a failure ends it too.
        let (child, port) = start_driver(driver, folder.path()).await;
        let mut browser = Self {
            session: format!("http://127.0.0.1:{port}/session"),
            client: client(),
            folder,
            _driver: child,
        };
        let capabilities = json!({"capabilities": {"alwaysMatch": {
            "browserName": "chrome",
            "goog:chromeOptions": {
                "binary": chromium,
                "args": arguments(browser.folder.path()),
            },
        }}});
        let session = browser.call(Method::POST, "", &capabilities).await;
        let id = session["sessionId"].as_str().expect("a session");
        browser.session = format!("{}/{id}", browser.session);
        browser
    }

    /// Opens a page.
    pub async fn open(&self, url: &str) {
        self.call(Method::POST, "/url", &json!({"url": url})).await;
    }

    /// Clicks on the first element that this CSS selector finds, once it is there and takes it.
    pub async fn click(&self, selector: &str) {
        until(&format!("a click on {selector}"), async || {
            let found = json!({"using": "css selector", "value": selector});
            let Ok(element) = self.answer(Method::POST, "/element", &found).await else {
                return false;
            };
            let id = element[ELEMENT].as_str().expect("an element's id");
            let click = format!("/element/{id}/click");
            self.answer(Method::POST, &click, &json!({})).await.is_ok()
        })
        .await;
    }

    /// The text that the first element of this CSS selector shows, once there is some.
    pub async fn text(&self, selector: &str) -> String {
        let script = format!(
            "return document.querySelector({}).innerText.trim()",
            json!(selector)
        );
        let mut text = String::new();
        until(&format!("text in {selector}"), async || {
            let body = json!({"script": script, "args": []});
            let value = self.answer(Method::POST, "/execute/sync", &body).await;
            text = value
                .ok()
                .and_then(|value| Some(value.as_str()?.to_owned()))
                .unwrap_or_default();
            !text.is_empty()
        })
        .await;
        text
    }

    /// What a script returns.
    pub async fn run(&self, script: &str) -> Value {
        let body = json!({"script": script, "args": []});
        self.call(Method::POST, "/execute/sync", &body).await
    }

    async fn call(&self, method: Method, path: &str, body: &Value) -> Value {
        self.answer(method, path, body)
            .await
            .unwrap_or_else(|error| panic!("{path}: {error}"))
    }

    /// The value of the driver's answer, or its error's value.
    async fn answer(&self, method: Method, path: &str, body: &Value) -> Result<Value, Value> {
        let request = self
            .client
            .request(method, format!("{}{path}", self.session));
        let answer = super::Answer::of(request.json(body)).await;
        let value = answer.json["value"].clone();
        if answer.status.is_success() {
            Ok(value)
        } else {
            Err(value)
        }
    }
}

impl Drop for Browser {
    fn drop(&mut self) {
        let ending = Instant::now();
        // Killed processes go once they are waited for by whoever adopts them.
        while ending.elapsed() < Duration::from_secs(10) {
            let processes = using(self.folder.path());
            if processes.is_empty() {
                return;
            }
            for pid in processes {
                let _ = kill(Pid::from_raw(pid), Signal::SIGKILL);
            }
            std::thread::sleep(Duration::from_millis(20));
        }
    }
}

/// Starts it on a port of its own choice and returns that.
async fn start_driver(program: &str, folder: &Path) -> (Child, u16) {
    let mut child = Command::new(program)
        .arg("--port=0")
        .env_clear()
        .env("PATH", "/usr/bin:/bin")
        .env("HOME", folder)
        .env("TMPDIR", folder)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .kill_on_drop(true)
        .spawn()
        .expect("the driver starts");
    let mut lines = BufReader::new(child.stdout.take().expect("standard output")).lines();
    loop {
        let line = lines.next_line().await.expect("UTF-8");
        let line = line.expect("a line that tells the driver's port");
        let port = line.split("successfully on port ").nth(1);
        if let Some(port) = port.and_then(|port| port.trim_end_matches('.').parse().ok()) {
            return (child, port);
        }
    }
}

/// No window, no helpers that call home, and no name but this machine's leads anywhere.
fn arguments(folder: &Path) -> Vec<String> {
    let fixed = [
        "--headless",
        "--no-sandbox",
        "--disable-gpu",
        "--disable-dev-shm-usage",
        "--disable-background-networking",
        "--disable-component-update",
        "--disable-sync",
        "--no-first-run",
        "--no-proxy-server",
        "--window-size=1400,2000",
        "--host-resolver-rules=MAP * ~NOTFOUND , EXCLUDE 127.0.0.1",
    ];
    let data = format!("--user-data-dir={}", folder.join("profile").display());
    fixed.map(str::to_owned).into_iter().chain([data]).collect()
}

/// The processes that were started with this folder in their arguments or environment.
fn using(folder: &Path) -> Vec<i32> {
    let path = folder.as_os_str().as_bytes();
    let names_it = |file: String| {
        let content = std::fs::read(file).unwrap_or_default();
        content.windows(path.len()).any(|window| window == path)
    };
    std::fs::read_dir("/proc")
        .expect("processes")
        .flatten()
        .filter_map(|entry| entry.file_name().to_str()?.parse().ok())
        .filter(|pid| {
            names_it(format!("/proc/{pid}/cmdline")) || names_it(format!("/proc/{pid}/environ"))
        })
        .collect()
}
