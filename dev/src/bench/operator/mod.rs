//! `cargo dev bench operator`.

mod process;
mod scenarios;
mod sightings;
mod world;

use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, Result};
use clap::ValueEnum;

use self::process::Access;
use self::scenarios::{Bench, Part};
use self::world::World;
use super::report::Report;
use crate::backends::Backends;
use crate::cluster::{kubeconfig, manifests};
use crate::command::Command;
use crate::paths::Paths;
use crate::process::Processes;
use crate::programs::go;
use crate::programs::mysql::Kind;
use crate::progress::{Progress, Step};

/// How to measure the operator.
#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    /// Folder of the results: `operator.md` and `operator.csv`. Default: `target/bench` of the checkout.
    #[arg(long, value_name = "FOLDER")]
    output: Option<PathBuf>,
    /// Measure only this part.
    #[arg(long, value_enum, value_name = "PART")]
    only: Option<Part>,
    /// Measure this program instead of building one.
    #[arg(long, value_name = "FILE")]
    binary: Option<PathBuf>,
    /// How to build the operator; figures of `dev` say nothing.
    #[arg(long, value_enum, default_value_t = Profile::Release, hide = true)]
    profile: Profile,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Profile {
    Release,
    Dev,
}

/// Builds, measures, prints and writes.
pub(super) async fn run(paths: &Paths, progress: &Progress, arguments: &Arguments) -> Result<()> {
    let binary = match &arguments.binary {
        Some(binary) => std::path::absolute(binary)?,
        None => build(paths, progress, arguments.profile).await?,
    };
    let size = std::fs::metadata(&binary)
        .with_context(|| format!("no operator at {}", binary.display()))?
        .len();
    let backends = Backends::new(paths, progress)?;
    let registry = async {
        let ecr = backends.ecr().await?;
        world::push_images(&ecr).await?;
        Ok(ecr)
    };
    let (kubeconfig, database, ecr) = tokio::try_join!(
        backends.api_server(),
        backends.database(Kind::MySql),
        registry
    )?;
    let client = kubeconfig::client(kubeconfig.as_ref()).await?;
    let definition = paths.checkout.join("crds/postservice.yaml");
    let definition = std::fs::read_to_string(&definition)
        .with_context(|| format!("cannot read {}", definition.display()))?;
    manifests::apply(&client, &definition).await?;
    let bench = Bench {
        progress,
        processes: backends.processes(),
        binary: &binary,
        access: Access { kubeconfig, ecr },
        world: World { client, database },
    };
    bench.world.is_served().await?;
    let folder = arguments
        .output
        .clone()
        .unwrap_or_else(|| paths.checkout.join("target/bench"));
    let facts = facts(paths, arguments.profile, &binary).await;
    let report = Report::new(progress, folder, facts);
    #[expect(clippy::cast_precision_loss, reason = "a file is no petabytes")]
    let mib = size as f64 / 1_048_576.0;
    report.add("size of the program", Some(mib), "MiB", None)?;
    let measured = tokio::select! {
        measured = bench.all(arguments.only, &report) => measured,
        death = unexpected_end(backends.processes()) => Err(death),
    };
    // What was measured before a failure is worth having.
    println!("\n{}", report.markdown());
    progress.line(&format!("written to {}", report.folder().display()));
    measured
}

/// Ends when a server or an operator has ended that nobody stopped: nothing can come of the rest.
async fn unexpected_end(processes: &Processes) -> anyhow::Error {
    let mut suspect = None;
    loop {
        tokio::time::sleep(Duration::from_millis(500)).await;
        match processes.dead() {
            // Twice: one that is being stopped is dead for a moment before it is forgotten.
            Some((name, message)) if suspect.as_ref() == Some(&name) => {
                return anyhow::anyhow!(message);
            }
            dead => suspect = dead.map(|(name, _)| name),
        }
    }
}

async fn build(paths: &Paths, progress: &Progress, profile: Profile) -> Result<PathBuf> {
    let name = match profile {
        Profile::Release => "release",
        Profile::Dev => "dev",
    };
    let target = std::env::var_os("CARGO_TARGET_DIR")
        .map_or_else(|| paths.checkout.join("target"), PathBuf::from);
    let compile = async |step: Step| {
        Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()))
            .args(["build", "-p", "post-operator", "--profile", name])
            .folder(&paths.checkout)
            .log(paths.logs().join("bench-build.log"))
            .shown_in(&step)
            .run()
            .await
    };
    let why = "compiling the operator as images carry it";
    progress.step("build", why, compile).await?;
    let folder = if profile == Profile::Dev {
        "debug"
    } else {
        name
    };
    Ok(target.join(folder).join("post-operator"))
}

async fn facts(
    paths: &Paths,
    profile: Profile,
    binary: &std::path::Path,
) -> Vec<(&'static str, String)> {
    let line = |text: String, key: &str| {
        let line = text.lines().find(|line| line.starts_with(key))?.to_owned();
        Some(line.split_once(':')?.1.trim().to_owned())
    };
    let read = |path: &str, key: &str| {
        let text = std::fs::read_to_string(path).unwrap_or_default();
        line(text, key).unwrap_or_else(|| "unknown".into())
    };
    let cores = std::thread::available_parallelism().map_or(0, std::num::NonZero::get);
    let commit = Command::new("git")
        .args(["rev-parse", "--short", "HEAD"])
        .folder(&paths.checkout);
    let version = Command::new(binary).arg("--version");
    let unknown = |_| "unknown".to_owned();
    let mut facts = vec![
        (
            "processor",
            format!("{cores} × {}", read("/proc/cpuinfo", "model name")),
        ),
        ("memory", read("/proc/meminfo", "MemTotal")),
        ("Kubernetes", go::KUBERNETES.to_owned()),
        (
            "operator",
            version
                .run()
                .await
                .unwrap_or_else(unknown)
                .trim()
                .to_owned(),
        ),
        (
            "commit",
            commit.run().await.unwrap_or_else(unknown).trim().to_owned(),
        ),
    ];
    if profile == Profile::Dev {
        facts.push(("profile", "dev: the figures say nothing".to_owned()));
    }
    facts
}
