//! The OpenAPI document against the service that it describes: schemathesis makes requests from it,
//! good ones and bad ones, follows answers into further requests, and checks every answer.

use crate::kit::{
    self, Options, Service, comment_service::CommentService, database::Database, tokens,
};
use std::{process::Stdio, time::Duration};
use tokio::process::Command;

/// How long a run may take before it is ended; it usually takes a quarter of that.
const PATIENCE: Duration = Duration::from_mins(5);

/// Made-up requests for each operation, in each of the phases that make them up.
const EXAMPLES: &str = "30";

/// What no OpenAPI document can say, so that the checks would take it for a fault. All checks are on
/// but where one is turned off here.
const SETTINGS: &str = r#"
# An entity tag is good or not by what is stored.
checks.positive_data_acceptance.expected-statuses = ["2xx", 304, 401, 403, 404, 409, 412, 429]

# A name is refused when it is taken already, by a 400 as it always was.
[[operations]]
include-name = "POST /api/v1/categories"
checks.positive_data_acceptance.expected-statuses = ["2xx", 400]

# A key is refused when it came with another body before.
[[operations]]
include-name = "POST /api/v1/posts"
checks.positive_data_acceptance.expected-statuses = ["2xx", 409, 422]

# A cursor is good only if a list gave it, and never beside a page. A parameter without a value is
# as good as absent.
[[operations]]
include-name = ["GET /api/v1/posts", "GET /api/v1/posts/my"]
checks.positive_data_acceptance.expected-statuses = ["2xx", 304, 400, 401]
checks.negative_data_rejection.expected-statuses = ["2xx", 304, 400, 401]

# The body is for requests without a token, and ignored with one.
[[operations]]
include-name = "POST /api/v1/posts/{id}/like"
checks.negative_data_rejection.expected-statuses = ["2xx", 400, 401, 404]

# No schema tells an image from other bytes, and a list of one file looks like a file.
[[operations]]
include-name = "POST /api/v1/posts/{id}/media"
checks.positive_data_acceptance.expected-statuses = ["2xx", 400, 401, 403, 404, 413, 415]
checks.negative_data_rejection.expected-statuses = ["2xx", 400, 401, 403, 404, 413, 415]

# A repeated Idempotency-Key gets the first answer again, whatever became of the post since.
[[operations]]
include-path-regex = "^/api/v1/posts"
checks.ensure_resource_availability.enabled = false

# Taking a like back leaves the post, and so its state.
[[operations]]
include-path-regex = "/like"
checks.use_after_free.enabled = false
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
    let comments = CommentService::start().await;
    let options = Options {
        comments: Some(comments.url.parse().expect("a URL")),
        ..Options::default()
    };
    let service = Service::on_with(database, options).await;
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
        .args(["--phases", "examples,coverage,fuzzing,stateful"])
        .args([
            "--max-examples",
            EXAMPLES,
            "--workers",
            "2",
            "--continue-on-failure",
        ])
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
    let run = tokio::time::timeout(PATIENCE, run)
        .await
        .expect("an end in time")
        .expect("a run");
    let output = String::from_utf8_lossy(&run.stdout);
    assert!(
        run.status.success(),
        "{output}{}",
        String::from_utf8_lossy(&run.stderr)
    );
    kit::say(&format!("schemathesis: {}", summary(&output)));
}

/// The figures at the end of the output, in one line.
fn summary(output: &str) -> String {
    let is_figure = |line: &&str| {
        line.contains(" generated, ")
            || line.starts_with("Tested: ")
            || line.starts_with("API Links: ")
            || line.starts_with('=') && line.contains(" in ")
    };
    let figures = output.lines().map(str::trim).filter(is_figure);
    let figures: Vec<_> = figures.map(|line| line.trim_matches(['=', ' '])).collect();
    figures.join("; ")
}
