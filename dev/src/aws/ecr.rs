//! ECR: ministack, the API and the registry behind it in one process.

use std::path::Path;
use std::time::Duration;

use anyhow::Result;
use serde_json::{Value, json};

use super::{ACCOUNT, REGION, call, is_exception};
use crate::network::HOST;
use crate::paths::{self, Paths};
use crate::process::{Daemon, Processes};

/// Name of the daemon.
pub const DAEMON: &str = "ministack";
/// Its port on the bridge.
pub const PORT: u16 = 4566;

/// The registry's host name in image names.
pub fn registry() -> String {
    format!("{ACCOUNT}.dkr.ecr.{REGION}.amazonaws.com")
}

/// The address that really answers for the registry.
pub fn address() -> String {
    format!("{HOST}:{PORT}")
}

/// Starts it on an address and waits until its registry answers.
pub async fn start(venv: &Path, processes: &Processes, host: &str, port: u16) -> Result<()> {
    let daemon = Daemon::new(DAEMON, venv.join("bin/python"))
        .args(["-m", "ministack"])
        .env("BIND_HOST", host)
        .env("GATEWAY_PORT", port.to_string())
        .env("MINISTACK_ACCOUNT_ID", ACCOUNT)
        .env("MINISTACK_REGION", REGION)
        .env("SFTP_ENABLED", "0")
        .env("IOT_MTLS_ENABLED", "0");
    processes.ensure(&daemon).await?;
    let url = format!("http://{host}:{port}/v2/");
    let probe = async || reqwest::get(&url).await?.error_for_status().map(drop);
    processes.ready(DAEMON, Duration::from_mins(1), probe).await
}

/// Makes a repository unless there is one.
pub async fn ensure_repository(name: &str) -> Result<()> {
    create_repository(&format!("http://{}", address()), name).await
}

/// Puts an image without layers into a repository; each tag has a digest of its own.
pub async fn put_image(endpoint: &str, repository: &str, tag: String) -> Result<()> {
    // The digest of `{}`, the empty configuration of the OCI image specification.
    let empty = "sha256:44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a";
    let manifest = json!({
        "schemaVersion": 2, "mediaType": "application/vnd.oci.image.manifest.v1+json",
        "config": {
            "mediaType": "application/vnd.oci.image.config.v1+json", "size": 2, "digest": empty,
        },
        "layers": [], "annotations": {"tag": tag},
    });
    let target = "AmazonEC2ContainerRegistry_V20150921.PutImage";
    let request = json!({
        "repositoryName": repository, "imageManifest": manifest.to_string(), "imageTag": tag,
    });
    call(endpoint, "ecr", target, &request).await.map(drop)
}

/// Makes a repository at an endpoint unless there is one.
pub async fn create_repository(endpoint: &str, name: &str) -> Result<()> {
    let target = "AmazonEC2ContainerRegistry_V20150921.CreateRepository";
    match call(endpoint, "ecr", target, &json!({"repositoryName": name})).await {
        Err(error) if !is_exception(&error, "RepositoryAlreadyExistsException") => Err(error),
        _ => Ok(()),
    }
}

/// The digest that a tag has in the registry now.
pub async fn digest(repository: &str, tag: &str) -> Option<String> {
    let url = format!("http://{}/v2/{repository}/manifests/{tag}", address());
    let accept = "application/vnd.oci.image.manifest.v1+json, application/vnd.docker.distribution.manifest.v2+json";
    let answer = reqwest::Client::new()
        .head(url)
        .header("accept", accept)
        .send()
        .await
        .ok()?;
    let answer = answer.error_for_status().ok()?;
    Some(
        answer
            .headers()
            .get("docker-content-digest")?
            .to_str()
            .ok()?
            .to_owned(),
    )
}

/// What an image takes in the registry, in bytes: its configuration and its layers as they are stored.
pub async fn size(repository: &str, digest: &str) -> Result<u64> {
    let url = format!("http://{}/v2/{repository}/manifests/{digest}", address());
    let manifest = reqwest::get(url).await?.error_for_status()?;
    let manifest: Value = manifest.json().await?;
    let layers = manifest["layers"].as_array().into_iter().flatten();
    let parts = layers.chain([&manifest["config"]]);
    Ok(parts.filter_map(|part| part["size"].as_u64()).sum())
}

/// Sends containerd's pulls of the registry's real name to the stand-in, and nowhere else: an image
/// that is not there is not looked for at the real one.
pub fn redirect_pulls(paths: &Paths) -> Result<()> {
    let folder = crate::cluster::node::registry_folder(paths).join(registry());
    paths::write(
        &folder.join("hosts.toml"),
        format!(
            "server = \"http://{0}\"\n\n[host.\"http://{0}\"]\n  capabilities = [\"pull\", \"resolve\"]\n",
            address()
        ),
    )
}
