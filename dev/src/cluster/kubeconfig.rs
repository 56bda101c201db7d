//! Kubeconfig files, and clients made from them.

use std::path::Path;

use anyhow::{Context, Result};
use base64::Engine as _;
use kube::config::{KubeConfigOptions, Kubeconfig};
use serde_json::json;

/// What a kubeconfig says.
pub(super) struct Access<'a> {
    /// `https://…`
    pub(super) server: &'a str,
    /// The authority that signed the server's certificate, PEM.
    pub(super) ca: &'a str,
    /// The client's certificate, PEM.
    pub(super) certificate: &'a str,
    /// Its key, PEM.
    pub(super) key: &'a str,
}

/// The file's text.
pub(super) fn render(access: &Access<'_>) -> Result<String> {
    let base64 = |text: &str| base64::engine::general_purpose::STANDARD.encode(text);
    let name = "post-service-dev";
    let config = json!({
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": name, "cluster": {
            "server": access.server,
            "certificate-authority-data": base64(access.ca),
        }}],
        "users": [{"name": name, "user": {
            "client-certificate-data": base64(access.certificate),
            "client-key-data": base64(access.key),
        }}],
        "contexts": [{"name": name, "context": {"cluster": name, "user": name}}],
        "current-context": name,
    });
    Ok(serde_yaml::to_string(&config)?)
}

/// A client with the access of a kubeconfig file.
pub async fn client(path: &Path) -> Result<kube::Client> {
    let file = Kubeconfig::read_from(path)
        .with_context(|| format!("cannot read the kubeconfig {}", path.display()))?;
    from_kubeconfig(file, &KubeConfigOptions::default()).await
}

/// A client for a context of the user's own kubeconfig.
pub async fn client_of_context(context: &str) -> Result<kube::Client> {
    let file = Kubeconfig::read().context("cannot read your kubeconfig")?;
    let options = KubeConfigOptions {
        context: Some(context.to_owned()),
        ..Default::default()
    };
    from_kubeconfig(file, &options)
        .await
        .with_context(|| format!("kube context {context}"))
}

async fn from_kubeconfig(file: Kubeconfig, options: &KubeConfigOptions) -> Result<kube::Client> {
    let mut config = kube::Config::from_custom_kubeconfig(file, options).await?;
    config.connect_timeout = Some(std::time::Duration::from_secs(5));
    Ok(kube::Client::try_from(config)?)
}
