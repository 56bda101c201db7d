//! EKS: tells where the local cluster is, and who calls it.
//!
//! It answers `DescribeCluster`, which is what `aws eks update-kubeconfig` asks, and is the API
//! server's webhook authenticator. As in EKS, a bearer token is a presigned request for
//! `sts:GetCallerIdentity`, and an access entry gives its caller a name and groups.
//!
//! The signature is **not** verified, nor how old the token is: whoever knows the access key id of
//! the one entry is let in. Only this machine and its pods reach the API server.

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result};
use axum::extract::State;
use axum::http::StatusCode;
use axum::routing::{get, post};
use axum::{Json, Router};
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use k8s_openapi::api::authentication::v1::{TokenReview, TokenReviewStatus, UserInfo};
use serde_json::{Value, json};
use url::Url;

use super::{ACCOUNT, REGION};
use crate::cluster::pki::Pki;
use crate::network::HOST;
use crate::paths::{self, Paths};
use crate::process::{self, Daemon, Processes};
use crate::up::API_PORT;

/// Name of the daemon and of the hidden subcommand that runs it.
pub const DAEMON: &str = "eks";
/// Its port on the bridge.
pub const PORT: u16 = 4568;
/// The cluster's name.
pub const CLUSTER: &str = "post-service-dev";
/// Access key id of the role that has the only access entry: a pipeline's deploy stage.
pub const DEPLOYER: &str = "local-deployer";
/// The groups of that entry.
const GROUPS: [&str; 1] = ["post-service:deployers"];

/// What a token of `aws eks get-token` begins with.
const TOKEN_PREFIX: &str = "k8s-aws-v1.";
/// The header that binds a token to a cluster; its name must be among those signed.
const CLUSTER_HEADER: &str = "x-k8s-aws-id";

/// Where its API answers.
pub fn endpoint() -> String {
    format!("http://{HOST}:{PORT}")
}

/// Writes the file that tells the API server where tokens are reviewed; returns its path.
pub fn write_reviewer(paths: &Paths) -> Result<PathBuf> {
    let name = DAEMON;
    let config = json!({
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": name, "cluster": {"server": format!("{}/authenticate", endpoint())}}],
        "users": [{"name": name, "user": {}}],
        "contexts": [{"name": name, "context": {"cluster": name, "user": name}}],
        "current-context": name,
    });
    let file = paths.data.join("eks/reviewer.kubeconfig");
    paths::write(&file, serde_yaml::to_string(&config)?)?;
    Ok(file)
}

/// Starts it: this very program with its hidden subcommand.
pub async fn start(pki: &Pki, processes: &Processes) -> Result<()> {
    let authority = pki.path("ca.crt");
    let daemon = Daemon::new(DAEMON, process::this_program()?)
        .args([DAEMON.into(), authority.clone().into_os_string()])
        .reads(&std::fs::read_to_string(&authority)?);
    processes.ensure(&daemon).await?;
    let url = format!("{}/clusters/{CLUSTER}", endpoint());
    let probe = async || reqwest::get(&url).await?.error_for_status().map(drop);
    processes
        .ready(DAEMON, Duration::from_secs(20), probe)
        .await
}

/// Serves until it is ended.
pub async fn run(authority: &Path) -> Result<()> {
    let authority =
        std::fs::read(authority).with_context(|| format!("cannot read {}", authority.display()))?;
    let cluster = describe(&authority);
    let listener = tokio::net::TcpListener::bind((HOST, PORT)).await?;
    println!("serving on {}", endpoint());
    axum::serve(listener, router(cluster)).await?;
    Ok(())
}

/// Both faces: the API of EKS, and the authenticator.
fn router(cluster: Value) -> Router {
    Router::new()
        .route(&format!("/clusters/{CLUSTER}"), get(describe_cluster))
        .route("/authenticate", post(authenticate))
        .fallback(not_found)
        .with_state(cluster)
}

fn describe(authority: &[u8]) -> Value {
    json!({"cluster": {
        "name": CLUSTER,
        "arn": format!("arn:aws:eks:{REGION}:{ACCOUNT}:cluster/{CLUSTER}"),
        "endpoint": format!("https://{HOST}:{API_PORT}"),
        "certificateAuthority": {"data": STANDARD.encode(authority)},
        "status": "ACTIVE",
    }})
}

async fn describe_cluster(State(cluster): State<Value>) -> Json<Value> {
    Json(cluster)
}

async fn not_found() -> (StatusCode, Json<Value>) {
    let message = format!("the only cluster here is {CLUSTER}");
    (StatusCode::NOT_FOUND, Json(json!({"message": message})))
}

async fn authenticate(Json(mut review): Json<TokenReview>) -> Json<TokenReview> {
    let token = review.spec.token.take().unwrap_or_default();
    review.status = Some(verdict(&token));
    Json(review)
}

/// Who a token's caller is in the cluster.
fn verdict(token: &str) -> TokenReviewStatus {
    if access_key(token).as_deref() != Some(DEPLOYER) {
        return TokenReviewStatus::default();
    }
    TokenReviewStatus {
        authenticated: Some(true),
        user: Some(UserInfo {
            username: Some(format!(
                "arn:aws:sts::{ACCOUNT}:assumed-role/post-service-deploy/local"
            )),
            groups: Some(GROUPS.map(str::to_owned).to_vec()),
            ..UserInfo::default()
        }),
        ..TokenReviewStatus::default()
    }
}

/// The access key id with which a token was signed; none if it is no token for a cluster.
fn access_key(token: &str) -> Option<String> {
    let url = URL_SAFE_NO_PAD.decode(token.strip_prefix(TOKEN_PREFIX)?);
    let url = Url::parse(std::str::from_utf8(&url.ok()?).ok()?).ok()?;
    let value = |name: &str| {
        let mut pairs = url.query_pairs();
        Some(pairs.find(|(key, _)| key == name)?.1.into_owned())
    };
    let asks = value("Action")? == "GetCallerIdentity";
    let bound = value("X-Amz-SignedHeaders")?
        .split(';')
        .any(|header| header == CLUSTER_HEADER);
    let credential = value("X-Amz-Credential")?;
    let (key, _) = credential.split_once('/')?;
    (asks && bound).then(|| key.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn token(key: &str, action: &str, headers: &str) -> String {
        let url = format!(
            "https://sts.{REGION}.amazonaws.com/?Action={action}&Version=2011-06-15\
             &X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Credential={key}%2F20260101%2F{REGION}%2Fsts\
             %2Faws4_request&X-Amz-SignedHeaders={headers}&X-Amz-Signature=0"
        );
        format!("{TOKEN_PREFIX}{}", URL_SAFE_NO_PAD.encode(url))
    }

    #[test]
    fn the_deploy_role_is_a_deployer_and_nothing_else() {
        let status = verdict(&token(DEPLOYER, "GetCallerIdentity", "host%3Bx-k8s-aws-id"));
        assert_eq!(status.authenticated, Some(true));
        assert_eq!(
            status.user.unwrap().groups.unwrap(),
            ["post-service:deployers"]
        );
    }

    #[test]
    fn whoever_has_no_access_entry_is_nobody() {
        for token in [
            token("local-builder", "GetCallerIdentity", "host%3Bx-k8s-aws-id"),
            token(DEPLOYER, "AssumeRole", "host%3Bx-k8s-aws-id"),
            token(DEPLOYER, "GetCallerIdentity", "host"),
            format!("{TOKEN_PREFIX}%"),
            DEPLOYER.to_owned(),
            String::new(),
        ] {
            let status = verdict(&token);
            assert!(status.authenticated.is_none() && status.user.is_none());
        }
    }

    #[test]
    fn the_cluster_is_described_as_the_command_line_reads_it() {
        let cluster = &describe(b"PEM")["cluster"];
        assert_eq!(cluster["endpoint"], format!("https://{HOST}:{API_PORT}"));
        assert_eq!(cluster["certificateAuthority"]["data"], "UEVN");
        assert_eq!(cluster["status"], "ACTIVE");
    }
}
