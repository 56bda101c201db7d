//! Stand-ins for the AWS services, reachable from this machine and from pods only.

pub mod cognito;
pub mod ecr;
pub mod eks;
pub mod s3;

use std::path::PathBuf;

use anyhow::{Context, Result, bail};
use serde_json::Value;

use crate::paths::Paths;
use crate::programs::python;

/// The account that the example's image belongs to.
pub const ACCOUNT: &str = "123456789012";
/// The region of everything.
pub const REGION: &str = "ap-northeast-2";

/// Versions that were seen to behave like AWS where it matters here.
const REQUIREMENTS: [&str; 3] = [
    "ministack==1.5.33",
    "moto[server]==5.2.5",
    "cryptography==50.0.2",
];

/// The Python environment of both stand-ins.
pub async fn environment(paths: &Paths) -> Result<PathBuf> {
    python::environment(paths, "aws", "1", &REQUIREMENTS).await
}

/// A call in AWS's JSON protocol. The stand-ins check no signature; they read account and region
/// from where a real one carries them.
async fn call(endpoint: &str, service: &str, target: &str, body: &Value) -> Result<Value> {
    let credential = format!("Credential={ACCOUNT}/20260101/{REGION}/{service}/aws4_request");
    let answer = reqwest::Client::new()
        .post(endpoint)
        .header("content-type", "application/x-amz-json-1.1")
        .header("x-amz-target", target)
        .header(
            "authorization",
            format!("AWS4-HMAC-SHA256 {credential}, SignedHeaders=host, Signature=0"),
        )
        .body(body.to_string())
        .send()
        .await
        .with_context(|| format!("no answer to {target} from {endpoint}"))?;
    let status = answer.status();
    let text = answer.text().await?;
    if !status.is_success() {
        bail!("{target}: {status}: {text}");
    }
    Ok(if text.is_empty() {
        Value::Null
    } else {
        serde_json::from_str(&text)?
    })
}

/// Whether a call failed with this exception.
fn is_exception(error: &anyhow::Error, name: &str) -> bool {
    format!("{error:#}").contains(name)
}
