//! `cargo dev bench operator`.

mod process;
mod scenarios;
mod sightings;
mod world;

use std::path::PathBuf;

use anyhow::{Context, Result};

use self::process::Access;
use self::scenarios::{Bench, Part};
use self::world::World;
use super::machine::{self, Profile};
use super::report::Report;
use crate::backends::Backends;
use crate::cluster::{kubeconfig, manifests};
use crate::images;
use crate::paths::Paths;
use crate::programs::go;
use crate::programs::mysql::Kind;
use crate::progress::Progress;

/// How to measure the operator.
#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    /// Folder of the results: `operator.md`, `.csv` and `.svg`. Default: `target/bench` of the checkout.
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

/// Builds, measures, prints and writes.
pub(super) async fn run(paths: &Paths, progress: &Progress, arguments: &Arguments) -> Result<()> {
    let binary = if let Some(binary) = &arguments.binary {
        std::path::absolute(binary)?
    } else {
        machine::build(paths, progress, &images::PROGRAMS, arguments.profile)
            .await?
            .join("post-operator")
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
    let mut facts = machine::facts(paths, arguments.profile, ("operator", &binary)).await;
    facts.push(("Kubernetes", go::KUBERNETES.to_owned()));
    let report = Report::new(progress, folder, facts);
    #[expect(clippy::cast_precision_loss, reason = "a file is no petabytes")]
    let mib = size as f64 / 1_048_576.0;
    report.add("size of the program", Some(mib), "MiB", None)?;
    let measured = tokio::select! {
        measured = bench.all(arguments.only, &report) => measured,
        death = machine::unexpected_end(backends.processes()) => Err(death),
    };
    // What was measured before a failure is worth having.
    println!("\n{}", report.markdown());
    progress.line(&format!("written to {}", report.folder().display()));
    measured
}
