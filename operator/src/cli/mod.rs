//! Arguments of the binary; one file, or folder, per subcommand, and beside them what those for
//! people and pipelines share.

mod advice;
mod ages;
mod check;
mod completions;
mod connection;
mod crds;
mod deploy;
mod election;
mod history;
mod output;
mod retry;
mod run;
#[cfg(test)]
mod sample;
mod status;
mod wait;

use std::process::ExitCode;

use clap::{CommandFactory as _, Parser, Subcommand};

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
    /// Deploy a tag and wait until it serves, or has failed.
    Deploy(deploy::Deploy),
    /// Wait until what the spec asks for serves, or has failed.
    Wait(wait::Wait),
    /// Show on one screen what runs, what goes on, what is wrong and what to do.
    Status(status::Status),
    /// Ask for another try of what failed, and for a fresh look into the registry.
    Retry(retry::Retry),
    /// Show the last rollouts, and those that are not tried again.
    History(history::History),
    /// Print the CustomResourceDefinition as YAML, for `kubectl apply -f -`.
    Crds,
    /// Ask a running operator whether it is ready; `helm test` does.
    Check(check::Check),
    /// Print a shell's completions.
    Completions(completions::Completions),
}

impl Cli {
    /// The arguments, or what is to be said instead and the code to exit with.
    pub fn read() -> Result<Self, ExitCode> {
        Self::try_parse().map_err(|other| {
            // Standard output may be closed: then nobody wants the help.
            let _ = other.print();
            if other.use_stderr() {
                ExitCode::from(output::USAGE)
            } else {
                ExitCode::SUCCESS
            }
        })
    }

    /// Does what the arguments say.
    pub async fn run(self) -> anyhow::Result<ExitCode> {
        match self.command {
            Command::Run(arguments) => run::run(*arguments).await.map(success),
            Command::Deploy(arguments) => deploy::deploy(arguments).await,
            Command::Wait(arguments) => wait::wait(arguments).await,
            Command::Status(arguments) => status::status(arguments).await,
            Command::Retry(arguments) => retry::retry(arguments).await,
            Command::History(arguments) => history::history(arguments).await,
            Command::Crds => crds::print().map(success),
            Command::Check(arguments) => check::check(arguments).await.map(success),
            Command::Completions(arguments) => {
                completions::print(&arguments, Self::command()).map(success)
            }
        }
    }
}

fn success((): ()) -> ExitCode {
    ExitCode::SUCCESS
}
