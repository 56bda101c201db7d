//! From a commit to a verdict: `pipeline/buildspec.yml` and `pipeline/buildspec-deploy.yml`, read from
//! their files and run as CodeBuild runs them, against the local registry and the local cluster:
//! `cargo dev test pipeline`.
#![expect(clippy::unwrap_used, reason = "how a test fails")]

#[path = "../product/board.rs"]
#[expect(dead_code, reason = "shared with the tests of the whole product")]
mod board;
mod line;
#[path = "../product/load.rs"]
#[expect(dead_code, reason = "shared with the tests of the whole product")]
mod load;
mod verdicts;

use board::Board;
use dev::aws::eks;
use dev::pipeline::buildspec::Name;
use line::{Commit, Line, say};
use load::{Load, Rate};

/// What an image may take in ECR: its layers as they are stored, compressed.
const LARGEST: u64 = 40_000_000;

#[tokio::test(flavor = "multi_thread")]
async fn a_commit_becomes_a_verdict_and_a_bad_one_changes_nothing_for_users() {
    let Some(board) = Board::open("pipeline").await else {
        return;
    };
    let line = Line::open(board).await;
    let (good, bad) = (Commit::good(), Commit::crashing(&line).await);

    let built = line.build("a commit", &good).await;
    built.assert_succeeded();
    let digest = built.exported("IMAGE_DIGEST");
    assert_eq!(line.digest_of(&good.tag()).await.as_ref(), Some(&digest));
    assert!(built.ran("test result: ok"), "{}", built.output());
    line.report_sizes(&built, LARGEST).await;
    line.assert_labels(&built, &good).await;
    Line::assert_bills_of_materials(&built);
    let deployed = line.deploy("a commit", &built, eks::DEPLOYER).await;
    deployed.assert_succeeded();
    assert_eq!(deployed.verdict()["verdict"], "Ready");
    assert_eq!(deployed.verdict()["image"]["digest"], digest.as_str());
    line.assert_marked(&good, Some(&digest)).await;

    let again = line.build("the same commit again", &good).await;
    again.assert_succeeded();
    assert_eq!(again.exported("IMAGE_DIGEST"), digest);
    assert!(
        !again.ran("test result") && !again.ran("COMMIT"),
        "{}",
        again.output()
    );
    assert_eq!(
        again.artifact("post-operator"),
        built.artifact("post-operator")
    );
    let deployed = line
        .deploy("the same commit again", &again, eks::DEPLOYER)
        .await;
    deployed.assert_succeeded();
    assert!(deployed.ran("already"), "{}", deployed.output());

    let nobody = line
        .deploy("without an access entry", &again, "local-builder")
        .await;
    assert!(
        !nobody.succeeded() && nobody.ran("Unauthorized"),
        "{}",
        nobody.output()
    );

    let token = line.board.kit.token_of("pipeline").await.unwrap();
    let load = Load::start(&line.board.url().await, &token, Rate::STEADY);
    let built = line.build("a commit that crashes", &bad).await;
    built.assert_succeeded();
    let failed = line
        .deploy("a commit that crashes", &built, eks::DEPLOYER)
        .await;
    assert_eq!(failed.code(Name::Build), Some(1), "{}", failed.output());
    let verdict = failed.verdict();
    assert_eq!(verdict["verdict"], "Failed");
    assert_eq!(verdict["reason"], "RolledBack");
    for part in ["exit code 3", "this commit cannot start"] {
        assert!(
            verdict["message"].as_str().unwrap().contains(part),
            "{verdict}"
        );
    }
    assert!(
        failed.ran("Failed: ") && failed.ran("What to do: "),
        "{}",
        failed.output()
    );
    line.assert_marked(&bad, None).await;
    line.assert_marked(&good, Some(&digest)).await;
    let seen = load.stop().await;
    say(&format!(
        "requests meanwhile {}, failed {}",
        seen.requests,
        seen.failures.len()
    ));
    assert!(seen.requests > 100);
    assert_eq!(seen.failures, Vec::<String>::new());
    line.close().await;
}
