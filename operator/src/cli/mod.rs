//! Arguments of the binary; one file per subcommand.

mod check;
mod crds;
mod election;
mod run;

use clap::{Parser, Subcommand};

/// Runs the Post Service on Kubernetes from one PostService object.
#[derive(Debug, Parser)]
#[command(name = "post-operator", version, about, max_term_width = 100)]
pub struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Watch PostServices and bring about what they ask for.
    Run(Box<run::Run>),
    /// Print the CustomResourceDefinition as YAML, for `kubectl apply -f -`.
    Crds,
    /// Ask a running operator whether it is ready; `helm test` does.
    Check(check::Check),
}

impl Cli {
    /// Does what the arguments say.
    pub async fn run(self) -> anyhow::Result<()> {
        match self.command {
            Command::Run(arguments) => run::run(*arguments).await,
            Command::Crds => crds::print(),
            Command::Check(arguments) => check::check(arguments).await,
        }
    }
}
