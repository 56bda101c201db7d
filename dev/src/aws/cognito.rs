//! Cognito: moto, with one user pool, one client and one user.

use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::{REGION, call, is_exception};
use crate::network::HOST;
use crate::process::{Daemon, Processes};
use crate::state::Secrets;

/// Name of the daemon.
pub const DAEMON: &str = "moto";
/// Its port on the bridge.
pub const PORT: u16 = 4567;

const POOL_NAME: &str = "post-service-dev";
const USER: &str = "dev";

/// The user pool as the service needs to know it.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Pool {
    /// `ap-northeast-2_…`
    pub id: String,
    /// The application client.
    pub client_id: String,
}

impl Pool {
    /// Where the service fetches the token keys; the tokens' issuer stays AWS's.
    pub fn jwks_url(&self) -> String {
        format!("{}/{}/.well-known/jwks.json", endpoint(), self.id)
    }
}

fn endpoint() -> String {
    format!("http://{HOST}:{PORT}")
}

/// Starts it on an address and waits until it answers.
pub async fn start(venv: &Path, processes: &Processes, host: &str, port: u16) -> Result<()> {
    let daemon = Daemon::new(DAEMON, venv.join("bin/moto_server"))
        .args(["--host", host, "--port", &port.to_string()])
        // The same identifiers after a restart, so that Secrets stay true.
        .env("MOTO_COGNITO_IDP_USER_POOL_ID_STRATEGY", "HASH")
        .env("MOTO_COGNITO_IDP_USER_POOL_CLIENT_ID_STRATEGY", "HASH");
    processes.ensure(&daemon).await?;
    let url = format!("http://{host}:{port}/moto-api/");
    let probe = async || reqwest::get(&url).await?.error_for_status().map(drop);
    processes.ready(DAEMON, Duration::from_mins(1), probe).await
}

/// Makes pool, client and user in the local cluster's stand-in, where they are missing.
pub async fn ensure_pool(secrets: &Secrets) -> Result<Pool> {
    let pool = match find().await? {
        Some(pool) => pool,
        None => create().await?,
    };
    ensure_user(&pool, USER, &secrets.cognito_user).await?;
    Ok(pool)
}

async fn cognito(operation: &str, body: Value) -> Result<Value> {
    let target = format!("AWSCognitoIdentityProviderService.{operation}");
    call(&format!("{}/", endpoint()), "cognito-idp", &target, &body).await
}

/// The pool that an earlier run made in the running process.
pub async fn find() -> Result<Option<Pool>> {
    let pools = cognito("ListUserPools", json!({"MaxResults": 60})).await?;
    let pools = pools["UserPools"].as_array().cloned().unwrap_or_default();
    let Some(id) = pools
        .iter()
        .find(|p| p["Name"] == POOL_NAME)
        .and_then(|p| p["Id"].as_str())
    else {
        return Ok(None);
    };
    let clients = cognito(
        "ListUserPoolClients",
        json!({"UserPoolId": id, "MaxResults": 60}),
    )
    .await?;
    let client_id = clients["UserPoolClients"][0]["ClientId"].as_str();
    Ok(client_id.map(|client_id| Pool {
        id: id.to_owned(),
        client_id: client_id.to_owned(),
    }))
}

async fn create() -> Result<Pool> {
    let pool = cognito("CreateUserPool", json!({"PoolName": POOL_NAME})).await?;
    let id = text(&pool["UserPool"]["Id"])?;
    let flows = ["ALLOW_USER_PASSWORD_AUTH", "ALLOW_REFRESH_TOKEN_AUTH"];
    let body = json!({"UserPoolId": id, "ClientName": "frontend", "ExplicitAuthFlows": flows});
    let client = cognito("CreateUserPoolClient", body).await?;
    Ok(Pool {
        id,
        client_id: text(&client["UserPoolClient"]["ClientId"])?,
    })
}

/// Makes a user with this password unless there is one.
pub async fn ensure_user(pool: &Pool, name: &str, password: &str) -> Result<()> {
    let attributes = json!([{"Name": "email", "Value": format!("{name}@example.com")}]);
    let body = json!({"UserPoolId": pool.id, "Username": name, "UserAttributes": attributes, "MessageAction": "SUPPRESS"});
    match cognito("AdminCreateUser", body).await {
        Err(error) if !is_exception(&error, "UsernameExistsException") => return Err(error),
        _ => {}
    }
    let body =
        json!({"UserPoolId": pool.id, "Username": name, "Password": password, "Permanent": true});
    cognito("AdminSetUserPassword", body).await.map(drop)
}

/// A fresh id token of the tool's own user.
pub async fn token(pool: &Pool, secrets: &Secrets) -> Result<String> {
    token_of(pool, USER, &secrets.cognito_user).await
}

/// A fresh id token of a user.
pub async fn token_of(pool: &Pool, name: &str, password: &str) -> Result<String> {
    let body = json!({
        "AuthFlow": "USER_PASSWORD_AUTH",
        "ClientId": pool.client_id,
        "AuthParameters": {"USERNAME": name, "PASSWORD": password},
    });
    let answer = cognito("InitiateAuth", body).await?;
    text(&answer["AuthenticationResult"]["IdToken"])
}

fn text(value: &Value) -> Result<String> {
    value
        .as_str()
        .map(str::to_owned)
        .with_context(|| format!("Cognito in {REGION} answered {value}"))
}
