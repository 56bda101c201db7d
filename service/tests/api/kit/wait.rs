//! Waiting for what shall happen.

use std::time::Duration;

/// How long anything may take before a test gives up.
const PATIENCE: Duration = Duration::from_secs(30);

/// Returns when the condition holds; fails, naming it, when that takes too long.
pub async fn until(what: &str, mut condition: impl AsyncFnMut() -> bool) {
    let holds = async {
        while !condition().await {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    let waited = tokio::time::timeout(PATIENCE, holds).await;
    assert!(waited.is_ok(), "never: {what}");
}
