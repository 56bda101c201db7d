//! The OpenAPI document against the service that it describes: schemathesis makes requests from it,
//! good ones and bad ones, follows answers into further requests, and checks every answer.

use crate::kit::{self, Service, database::Database, tokens};
use std::{process::Stdio, time::Duration};
use tokio::process::Command;

/// How long a run may take before it is ended; it usually takes a quarter of that.
const PATIENCE: Duration = Duration::from_mins(5);

/// Made-up requests for each operation, in each of the phases that make them up.
const EXAMPLES: &str = "40";

/// Where the document cannot say all that an operation demands: a body may be refused because of
/// what is stored already, and the recorded answer to that is a 400.
const SETTINGS: &str = r#"
[[operations]]
include-name = "POST /api/v1/categories"
checks.positive_data_acceptance.expected-statuses = ["2xx", 400]
"#;

/// Deactivation ends the use of the token that all other requests carry.
const APART: &str = "^/api/v1/users/me/deactivate$";

#[tokio::test(flavor = "multi_thread")]
async fn the_document_describes_the_service_on_sqlite() {
    check(Database::sqlite()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_document_describes_the_service_on_mysql() {
    if let Some(database) = Database::mysql().await {
        check(database).await;
    }
}

async fn check(database: Database) {
    let Some(program) = kit::variable("TEST_SCHEMATHESIS") else {
        return;
    };
    let service = Service::on(database).await;
    let alice = tokens::alice();
    // Something to find, by whoever is logged in and by another.
    service.publish(&alice, "첫 번째 글", "자유").await;
    service.publish(&tokens::bob(), "두 번째 글", "질문").await;

    let folder = tempfile::tempdir().expect("a folder");
    let settings = folder.path().join("settings.toml");
    std::fs::write(&settings, SETTINGS).expect("a file");
    let run = Command::new(program)
        .args(["--no-color", "--config-file"])
        .arg(settings)
        .arg("run")
        .arg(format!("{}/api/openapi.json", service.base))
        .args(["--header", &format!("Authorization: Bearer {alice}")])
        .args(["--checks", "all", "--phases", "examples,coverage,fuzzing,stateful"])
        .args(["--max-examples", EXAMPLES, "--workers", "2", "--continue-on-failure"])
        .args(["--exclude-path-regex", APART])
        // The same requests in every run, so that a failure can be looked at again.
        .arg("--generation-deterministic")
        // Else it reads settings and keeps notes where it is started.
        .current_dir(folder.path())
        .env_clear()
        .env("HOME", folder.path())
        .env("NO_PROXY", "*")
        .stdin(Stdio::null())
        .kill_on_drop(true)
        .output();
    let run = tokio::time::timeout(PATIENCE, run).await.expect("an end in time").expect("a run");
    let output = String::from_utf8_lossy(&run.stdout);
    assert!(run.status.success(), "{output}{}", String::from_utf8_lossy(&run.stderr));
    kit::say(&format!("schemathesis: {}", summary(&output)));
}

/// The figures at the end of the output, in one line.
fn summary(output: &str) -> String {
    output.to_owned()
}
