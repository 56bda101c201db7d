//! The commands and what they call.

use std::os::unix::process::CommandExt as _;
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context, Result};
use clap::{Parser, Subcommand, ValueEnum};
use tokio::signal::unix::{SignalKind, signal};

use crate::aws::eks;
use crate::cluster::kubeconfig;
use crate::down::Purge;
use crate::images::{self, Fault};
use crate::install::Installation;
use crate::paths::Paths;
use crate::process::Processes;
use crate::programs::go;
use crate::progress::Progress;
use crate::state::{self, Lock};
use crate::status::{self, Status};
use crate::{bench, down, loadbalancer, logs, preflight, test, up};

/// The post service on your machine: a local Kubernetes with everything around it.
///
/// `up` needs root on Debian or Ubuntu, two cores, 8 GiB of memory and, the first time, 15 GiB of
/// disk and tens of minutes, in which it builds Kubernetes from source; from then on it takes
/// less than a minute. Nothing listens on an address that another machine reaches.
#[derive(Debug, Parser)]
#[command(name = "cargo dev", bin_name = "cargo dev", version)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Start the cluster, its database and AWS stand-ins, and the service in it.
    ///
    /// Installs missing Debian packages, builds what is not in the cache, and changes only what is
    /// not yet as it should be: run it again after each change of the code.
    Up {
        /// Install into this context of your kubeconfig instead of the local cluster. The two
        /// Secrets must be there; nothing local is started.
        #[arg(long, value_name = "NAME")]
        context: Option<String>,
        /// With --context: a Helm values file for the operator's chart (its image, for example).
        #[arg(long, value_name = "FILE", requires = "context")]
        values: Vec<PathBuf>,
        /// Start only the cluster, the database and the stand-ins, without the product.
        #[arg(long, conflicts_with = "context")]
        cluster_only: bool,
    },
    /// Stop the cluster; its data stays for the next `up` unless purged.
    Down {
        /// Also delete the cluster's objects, databases, images and logs (`data`), or the cache of
        /// built programs too (`all`).
        #[arg(long, value_name = "WHAT", num_args = 0..=1, require_equals = true, default_missing_value = "data")]
        purge: Option<Purge>,
        /// Stop it even if another checkout started it.
        #[arg(long)]
        force: bool,
    },
    /// Show what runs, its addresses and how the service is.
    Status {
        /// `json` has the keys `api_url`, `docs_url`, `metrics_url`, `kubeconfig`,
        /// `database_url`, `registry` and `token` (fresh each time), null where absent.
        #[arg(short, long, value_enum, default_value_t = Output::Table)]
        output: Output,
    },
    /// Run kubectl on the local cluster.
    #[command(disable_help_flag = true)]
    Kubectl {
        /// kubectl's own arguments.
        #[arg(
            trailing_var_arg = true,
            allow_hyphen_values = true,
            value_name = "ARGUMENTS"
        )]
        arguments: Vec<std::ffi::OsString>,
    },
    /// Push the service's image, as `up` built it, under another tag and with a digest of its own.
    ///
    /// Then `target/release/post-operator deploy post-service -n post-service --tag TAG --force`
    /// rolls it out; the kubeconfig is the one that `cargo dev status` names.
    Push {
        /// The new tag.
        tag: String,
        /// Push one that goes wrong instead.
        #[arg(long, value_enum)]
        fault: Option<Fault>,
    },
    /// Show the log of a part, or list the parts.
    Logs {
        /// For example `operator`, `service`, `kubelet`, `mysql`.
        component: Option<String>,
        /// Keep showing new lines.
        #[arg(short, long)]
        follow: bool,
    },
    /// Run the tests that continuous integration runs.
    Test(test::Arguments),
    /// Measure speed and size, and compare them with what is promised.
    Bench(bench::Arguments),
    /// Play the cloud's load-balancer controller (started by `up`).
    #[command(hide = true)]
    LoadBalancer {
        /// Access to the cluster.
        kubeconfig: PathBuf,
    },
    /// Play EKS (started by `up`).
    #[command(hide = true)]
    Eks {
        /// The authority that signed the API server's certificate.
        authority: PathBuf,
    },
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Output {
    /// For people.
    Table,
    /// For scripts.
    Json,
}

/// Runs the command line; errors go to standard error as one chain of causes.
pub fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let runtime = match tokio::runtime::Runtime::new() {
        Ok(runtime) => runtime,
        Err(error) => {
            eprintln!("error: cannot start: {error}");
            return ExitCode::FAILURE;
        }
    };
    match runtime.block_on(run(arguments.command)) {
        Ok(code) => code,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

async fn run(command: Command) -> Result<ExitCode> {
    let paths = Paths::find()?;
    match command {
        Command::Up {
            context: None,
            cluster_only,
            ..
        } => up_local(&paths, cluster_only).await,
        Command::Up {
            context: Some(context),
            values,
            ..
        } => {
            up_context(&paths, &context, &values).await?;
            Ok(ExitCode::SUCCESS)
        }
        Command::Down { purge, force } => {
            stop(&paths, purge, force).await?;
            Ok(ExitCode::SUCCESS)
        }
        Command::Status {
            output: Output::Json,
        } => {
            println!(
                "{}",
                serde_json::to_string_pretty(&Status::read(&paths).await)?
            );
            Ok(ExitCode::SUCCESS)
        }
        Command::Status {
            output: Output::Table,
        } => {
            print!("{}", status::table(&paths).await);
            Ok(ExitCode::SUCCESS)
        }
        Command::Push { tag, fault } => {
            let image = match fault {
                None => images::push_variant(&paths, images::SERVICE, &tag).await?,
                Some(fault) => images::push_faulty_service(&paths, fault, &tag).await?,
            };
            println!("{}:{} is {}", image.repository, image.tag, image.digest);
            Ok(ExitCode::SUCCESS)
        }
        Command::Kubectl { arguments } => {
            let mut kubectl = std::process::Command::new(go::kubectl(&paths)?);
            kubectl
                .env("KUBECONFIG", paths.kubeconfig())
                .args(arguments);
            Err(kubectl.exec()).context("cannot start kubectl")
        }
        Command::Logs {
            component: None, ..
        } => {
            println!("{}", logs::names(&paths).join("\n"));
            Ok(ExitCode::SUCCESS)
        }
        Command::Logs {
            component: Some(component),
            follow,
        } => Err(logs::command(&paths, &component, follow)?.exec()).context("cannot show the log"),
        Command::Test(arguments) => test::run(&paths, &arguments).await,
        Command::Bench(arguments) => bench::run(&paths, &arguments).await,
        Command::LoadBalancer { kubeconfig } => {
            loadbalancer::run(&kubeconfig).await?;
            Ok(ExitCode::SUCCESS)
        }
        Command::Eks { authority } => {
            eks::run(&authority).await?;
            Ok(ExitCode::SUCCESS)
        }
    }
}

async fn up_local(paths: &Paths, cluster_only: bool) -> Result<ExitCode> {
    let progress = Progress::new();
    let processes = Processes::new(&paths.run, &paths.logs());
    let known_before = processes.known();
    let was_running = up::is_running(paths);
    let work = async {
        if cluster_only {
            up::run_cluster_only(paths, &progress).await
        } else {
            up::run(paths, &progress).await
        }
    };
    let done = tokio::select! {
        done = work => Some(done),
        () = interrupted() => None,
    };
    match done {
        Some(Ok(())) => {
            if cluster_only {
                print!("{}", status::table(paths).await);
            } else {
                print!("{}", status::welcome(paths).await);
            }
            Ok(ExitCode::SUCCESS)
        }
        // A refusal, or a failure before anything was started, stands for itself.
        Some(Err(error)) if processes.known() == known_before => Err(error),
        Some(Err(error)) => Err(error.context(
            "up did not finish; what runs was left for you to look at (`cargo dev status`, `cargo dev logs`), run `cargo dev up` again to go on or `cargo dev down` to stop",
        )),
        None => {
            progress.line("interrupted");
            if !was_running {
                down::run(paths, &progress, None).await?;
            }
            Ok(ExitCode::from(130))
        }
    }
}

async fn up_context(paths: &Paths, context: &str, values: &[PathBuf]) -> Result<()> {
    let progress = Progress::new();
    let client = kubeconfig::client_of_context(context).await?;
    let helm = go::helm(paths, &progress).await?;
    let installation = Installation {
        paths,
        progress: &progress,
        client: &client,
        helm: &helm,
        context: Some(context),
    };
    installation.remote(values).await
}

async fn stop(paths: &Paths, purge: Option<Purge>, force: bool) -> Result<()> {
    preflight::user_and_system()?;
    let _lock = Lock::take()?;
    if !force {
        state::check_owner(
            paths,
            up::daemons()
                .into_iter()
                .any(|name| Processes::new(&paths.run, &paths.logs()).is_running(name)),
        )?;
    }
    down::run(paths, &Progress::new(), purge).await
}

/// Returns at Ctrl-C or SIGTERM.
pub async fn interrupted() {
    let (Ok(mut terminate), Ok(mut interrupt)) = (
        signal(SignalKind::terminate()),
        signal(SignalKind::interrupt()),
    ) else {
        return std::future::pending().await;
    };
    tokio::select! {
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory as _;

    #[test]
    fn the_command_line_is_consistent() {
        Arguments::command().debug_assert();
    }

    #[test]
    fn purge_alone_means_the_data() {
        let parse = |words: &[&str]| match Arguments::try_parse_from(words).unwrap().command {
            Command::Down { purge, .. } => purge,
            other => panic!("{other:?}"),
        };
        assert_eq!(parse(&["dev", "down"]), None);
        assert_eq!(parse(&["dev", "down", "--purge"]), Some(Purge::Data));
        assert_eq!(parse(&["dev", "down", "--purge=all"]), Some(Purge::All));
    }

    #[test]
    fn kubectl_gets_every_argument() {
        let words = ["dev", "kubectl", "get", "pods", "-A", "--help"];
        match Arguments::try_parse_from(words).unwrap().command {
            Command::Kubectl { arguments } => assert_eq!(arguments.len(), 4),
            other => panic!("{other:?}"),
        }
    }
}
