//! What each stage does.

use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};

use anyhow::{Context, Result, bail};

use super::cargo::Cargo;
use super::{Outcome, Stage, chart, rbac};
use crate::backends::Backends;
use crate::cluster;
use crate::command::{self, Command};
use crate::down::{self, Purge};
use crate::kit;
use crate::packages::{self, Package};
use crate::paths::Paths;
use crate::pipeline;
use crate::programs::go;
use crate::programs::mysql::Kind;
use crate::programs::{
    self,
    cache::{self, Key},
};
use crate::progress::{Progress, is_ci};
use crate::state::{self, Lock};
use crate::up;

const CARGO_DENY: &str = "0.20.2";

/// Whether this run started the cluster, so that it must stop it.
static STARTED_CLUSTER: AtomicBool = AtomicBool::new(false);

/// Runs one stage.
pub(super) async fn run(
    paths: &Paths,
    progress: &Progress,
    stage: Stage,
    full: bool,
) -> Result<Outcome> {
    install_packages(paths, progress, &[packages::BUILD]).await?;
    match stage {
        Stage::Lint => lint(paths, progress).await,
        Stage::Unit => {
            let tests = ["test", "--workspace", "--lib", "--bins"];
            Cargo::new(&paths.checkout, &tests).full(full).run().await
        }
        Stage::Service => service(paths, progress, full).await,
        Stage::Operator => operator(paths, progress, full).await,
        Stage::E2e => e2e(paths, progress, full).await,
        Stage::Rollout => rollout(paths, progress, full).await,
        Stage::Pipeline => pipeline(paths, progress, full).await,
    }
}

async fn lint(paths: &Paths, progress: &Progress) -> Result<Outcome> {
    let cargo = |args: &[&str]| Cargo::new(&paths.checkout, args);
    cargo(&["fmt", "--all", "--check"]).run().await?;
    cargo(&[
        "clippy",
        "--workspace",
        "--all-targets",
        "--",
        "-D",
        "warnings",
    ])
    .run()
    .await?;
    chart::lint(paths, progress).await?;
    let deny = cargo_deny(paths, progress).await?;
    let deny = |args: &[&str]| {
        Command::new(&deny)
            .args(["--all-features"])
            .args(args)
            .folder(&paths.checkout)
            .log(paths.logs().join("cargo-deny.log"))
    };
    println!("$ cargo deny check licenses bans sources");
    deny(&[
        "check",
        "--hide-inclusion-graph",
        "licenses",
        "bans",
        "sources",
    ])
    .run()
    .await?;
    let mut outcome = Outcome::default();
    if deny(&["fetch", "db"]).run().await.is_ok() {
        println!("$ cargo deny check advisories");
        deny(&["check", "--disable-fetch", "advisories"])
            .run()
            .await?;
    } else {
        println!("skipped: cargo deny check advisories (the advisory database is out of reach)");
        outcome
            .skipped
            .push("advisories, their database is out of reach".to_owned());
    }
    Ok(outcome)
}

async fn cargo_deny(paths: &Paths, progress: &Progress) -> Result<PathBuf> {
    let key = Key {
        name: "cargo-deny",
        version: CARGO_DENY,
        inputs: &[],
    };
    let folder = if let Some(folder) = cache::present(paths, key) {
        folder
    } else {
        let why = "compiling the checker of licences and sources (first time only, about 4 min)";
        let build = async |step: crate::progress::Step| {
            cache::obtain(paths, key, async |new, _| {
                Command::new("cargo")
                    .args(["install", "--locked", "--root"])
                    .arg(new)
                    .arg(format!("cargo-deny@{CARGO_DENY}"))
                    // Elsewhere than in the checkout, whose settings are not meant for it.
                    .env("CARGO_TARGET_DIR", new.join("target"))
                    .folder(&paths.cache)
                    .log(paths.logs().join("build-cargo-deny.log"))
                    .shown_in(&step)
                    .run()
                    .await?;
                std::fs::remove_dir_all(new.join("target")).context("cannot tidy up")
            })
            .await
        };
        progress.step("cargo-deny", why, build).await?
    };
    Ok(folder.join("bin/cargo-deny"))
}

async fn service(paths: &Paths, progress: &Progress, full: bool) -> Result<Outcome> {
    install_packages(paths, progress, &[packages::CLUSTER, packages::BROWSER]).await?;
    let backends = Backends::new(paths, progress)?;
    let (mysql, mariadb, cognito, (s3, account), schemathesis) = tokio::try_join!(
        backends.database(Kind::MySql),
        backends.database(Kind::MariaDb),
        backends.cognito(),
        backends.s3(),
        backends.schemathesis(),
    )?;
    let mysqld = programs::mysql::obtain(paths, progress, Kind::MySql).await?;
    let browser = Option::zip(command::find("chromium"), command::find("chromedriver"));
    let mut cargo = Cargo::new(
        &paths.checkout,
        &["test", "-p", "post-service", "--test", "*"],
    )
    .env("TEST_MYSQL_URL", mysql)
    .env("TEST_MYSQLD", mysqld.command_lines())
    .env("TEST_MARIADB_URL", mariadb)
    .env("TEST_COGNITO_ENDPOINT", cognito)
    .env("TEST_S3_ENDPOINT", s3)
    .env("TEST_S3_ACCESS_KEY", account.key)
    .env("TEST_S3_SECRET_KEY", account.secret)
    .env("TEST_SCHEMATHESIS", schemathesis);
    let complete = browser.is_some();
    if let Some((chromium, driver)) = browser {
        cargo = cargo
            .env("TEST_CHROMIUM", chromium.display().to_string())
            .env("TEST_CHROMEDRIVER", driver.display().to_string());
    }
    let outcome = cargo.full(full).with_table().run().await?;
    if complete && outcome.skipped_tests > 0 {
        bail!(
            "{} tests were skipped although all that they need is there (see the lines that begin with `skipped: `)",
            outcome.skipped_tests
        );
    }
    Ok(outcome)
}

/// Without root the tests take what is there: they need less than a cluster does.
async fn install_packages(paths: &Paths, progress: &Progress, groups: &[&[Package]]) -> Result<()> {
    if nix::unistd::geteuid().is_root() {
        packages::install(paths, progress, groups).await?;
    }
    Ok(())
}

async fn operator(paths: &Paths, progress: &Progress, full: bool) -> Result<Outcome> {
    install_packages(paths, progress, &[packages::CLUSTER]).await?;
    let backends = Backends::new(paths, progress)?;
    let (kubeconfig, mysql, mariadb, ecr) = tokio::try_join!(
        backends.api_server(),
        backends.database(Kind::MySql),
        backends.database(Kind::MariaDb),
        backends.ecr()
    )?;
    // Its processes stand for pods where there is no kubelet.
    let build = ["build", "-p", "post-service"];
    Cargo::new(&paths.checkout, &build).run().await?;
    let post_service = paths.target().join("debug/post-service");
    Cargo::new(
        &paths.checkout,
        &["test", "-p", "post-operator", "--test", "*"],
    )
    .env("TEST_POST_SERVICE", post_service.display().to_string())
    .env("TEST_KUBECONFIG", kubeconfig)
    .env("TEST_MYSQL_URL", mysql)
    .env("TEST_MARIADB_URL", mariadb)
    .env("TEST_ECR_ENDPOINT", ecr)
    .full(full)
    .run()
    .await
}

async fn e2e(paths: &Paths, progress: &Progress, full: bool) -> Result<Outcome> {
    if is_ci() {
        start_afresh(paths, progress).await?;
    }
    let programs = ["chart", "cluster", "product", "upgrade"];
    let outcome = in_cluster(paths, progress, &programs, "2", full).await?;
    let client = cluster::kubeconfig::client(&paths.kubeconfig()).await?;
    rbac::check(paths, &client).await?;
    Ok(outcome)
}

async fn rollout(paths: &Paths, progress: &Progress, full: bool) -> Result<Outcome> {
    let model = ["test", "-p", "post-operator", "--test", "model"];
    let model = Cargo::new(&paths.checkout, &model).run().await?;
    // They wait most of the time.
    let pods = in_cluster(paths, progress, &["rollout"], "4", full).await?;
    Ok(model + pods)
}

async fn pipeline(paths: &Paths, progress: &Progress, full: bool) -> Result<Outcome> {
    install_packages(paths, progress, &[packages::CLUSTER, packages::CODEBUILD]).await?;
    let mut skipped = pipeline::checks::run(paths, progress).await?;
    for (what, why) in NOT_IN_PIPELINE {
        println!("skipped: {what} ({why})");
        skipped.push(format!("{what}, {why}"));
    }
    let tests = in_cluster(paths, progress, &["pipeline"], "1", full).await?;
    let skipped = Outcome {
        skipped,
        ..Outcome::default()
    };
    Ok(tests + skipped)
}

/// Parts of the pipeline that no local run reaches.
const NOT_IN_PIPELINE: [(&str, &str); 2] = [
    (
        "compiling in the image",
        "its base cannot be had without a registry of images: BINARIES=prebuilt",
    ),
    ("linux/arm64", "this machine is x86-64"),
];

/// Runs test programs of this crate against the cluster, which is started if it does not run.
async fn in_cluster(
    paths: &Paths,
    progress: &Progress,
    programs: &[&str],
    threads: &str,
    full: bool,
) -> Result<Outcome> {
    if !up::is_running(paths) {
        STARTED_CLUSTER.store(true, Ordering::Relaxed);
    }
    up::run(paths, progress).await?;
    let mut arguments = vec!["test", "-p", "dev"];
    arguments.extend(programs.iter().flat_map(|program| ["--test", program]));
    let tests = Cargo::new(&paths.checkout, &arguments)
        .env(kit::REQUIRED, "1")
        .env("RUST_TEST_THREADS", threads)
        .full(full)
        .run()
        .await;
    if tests.is_err() {
        diagnose(paths).await;
    }
    tests
}

/// Under continuous integration no state of an earlier run may decide a result.
async fn start_afresh(paths: &Paths, progress: &Progress) -> Result<()> {
    let _lock = Lock::take()?;
    state::check_owner(paths, up::is_running(paths))?;
    down::run(paths, progress, Some(Purge::Data)).await
}

/// Prints what a reader of a failed run asks for first.
async fn diagnose(paths: &Paths) {
    let Ok(kubectl) = go::kubectl(paths) else {
        return;
    };
    for question in [
        "get pods --all-namespaces --output wide",
        "get postsvc --all-namespaces --output yaml",
        "get events --all-namespaces --sort-by=.lastTimestamp",
        "logs --namespace post-operator-system deployment/post-operator --tail 60",
    ] {
        println!("\n$ cargo dev kubectl {question}");
        let command = Command::new(&kubectl)
            .arg("--kubeconfig")
            .arg(paths.kubeconfig())
            .args(question.split(' '));
        match command.run().await {
            Ok(answer) => println!("{answer}"),
            Err(error) => println!("{error:#}"),
        }
    }
}

/// Stops the cluster that this run started.
pub(super) async fn stop_cluster_if_ours(paths: &Paths, progress: &Progress) -> Result<()> {
    if !STARTED_CLUSTER.load(Ordering::Relaxed) {
        return Ok(());
    }
    let _lock = Lock::take()?;
    down::run(paths, progress, is_ci().then_some(Purge::Data)).await
}
