//! The command line: subcommands, and errors in one line.

use crate::config::Settings;
use clap::{
    Command as ClapCommand, CommandFactory, FromArgMatches, Parser, Subcommand,
    builder::Resettable,
    error::{ContextKind, ContextValue},
};
use std::ffi::OsString;

/// The community board's Post Service: a REST API on MySQL or SQLite.
///
/// With no setting at all it serves on SQLite at 127.0.0.1:8082 and prints a token to try it with.
/// Every option can be given in the environment; an empty variable counts as absent.
#[derive(Debug, Parser)]
#[command(version, max_term_width = 100)]
pub struct Cli {
    /// What to do [default: serve]
    #[command(subcommand)]
    pub command: Option<Command>,

    /// The settings, valid for every command.
    #[command(flatten)]
    pub settings: Settings,
}

/// What to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Subcommand)]
pub enum Command {
    /// Serve the API until SIGTERM or SIGINT. Never changes a MySQL schema
    Serve,
    /// Apply the missing migrations to the database, which must exist, and exit: 0 done, 75 the
    /// database cannot be reached or its tables are kept locked (try again), 1 anything else. The
    /// tables of the Flask service are adopted; it may go on writing meanwhile
    Migrate {
        /// End an adoption, once no process of the Flask service is left: recount every counter, so
        /// that totals are read instead of counted. May be repeated at any time, to repair counters
        #[arg(long)]
        finish: bool,
        /// Also put every title into the index of searches again: after titles were changed by hand,
        /// or by an older version. Until it is done searches compare titles
        #[arg(long, requires = "finish")]
        reindex: bool,
    },
    /// Print the OpenAPI 3.1 document
    Openapi,
    /// Ask the service on this machine whether it is ready; exit 0 if it is
    Healthcheck,
}

impl Cli {
    /// Reads the arguments and the environment. The error is ready to be printed: help and version
    /// whole, anything else one line.
    pub fn read(arguments: impl IntoIterator<Item = OsString>) -> Result<Self, ReadError> {
        let mut command = without_empty_variables(Self::command());
        command
            .try_get_matches_from_mut(arguments)
            .and_then(|matches| Self::from_arg_matches(&matches))
            .map_err(|error| explain(&error, &command))
    }
}

/// Why there is nothing to run.
#[derive(Debug)]
pub enum ReadError {
    /// The user asked for this text.
    Asked(String),
    /// The user has to change this.
    Wrong(String),
}

/// Kubernetes manifests set variables to the empty string where they mean nothing.
fn without_empty_variables(command: ClapCommand) -> ClapCommand {
    command.mut_args(|argument| {
        let is_empty = |name| std::env::var_os(name).is_some_and(|value| value.is_empty());
        if argument.get_env().is_some_and(is_empty) {
            argument.env(Resettable::Reset)
        } else {
            argument
        }
    })
}

/// One line that names the flag, its variable and what is wrong with it.
fn explain(error: &clap::Error, command: &ClapCommand) -> ReadError {
    if !error.use_stderr() {
        return ReadError::Asked(error.to_string());
    }
    let text = error.to_string();
    let line = text
        .lines()
        .next()
        .unwrap_or_default()
        .trim_start_matches("error: ");
    let variable = match error.get(ContextKind::InvalidArg) {
        Some(ContextValue::String(usage)) => {
            let flag = usage.split_whitespace().next().unwrap_or_default();
            command
                .get_arguments()
                .find(|argument| argument.get_long() == flag.strip_prefix("--"))
                .and_then(|argument| argument.get_env())
                .map(|name| name.to_string_lossy().into_owned())
        }
        _ => None,
    };
    ReadError::Wrong(match variable {
        Some(name) => format!("{name}: {line}"),
        None => line.to_owned(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(arguments: &[&str]) -> Result<Cli, ReadError> {
        let line = ["post-service"].iter().chain(arguments).map(OsString::from);
        Cli::read(line.collect::<Vec<_>>())
    }

    #[test]
    fn the_definition_is_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn settings_may_stand_before_or_after_the_command() {
        for arguments in [
            ["--max-page-size=7", "openapi"],
            ["openapi", "--max-page-size=7"],
        ] {
            let cli = read(&arguments).unwrap();
            assert_eq!(cli.command, Some(Command::Openapi));
            assert_eq!(cli.settings.max_page_size, 7);
        }
    }

    #[test]
    fn a_wrong_value_is_one_line_naming_the_setting() {
        let Err(ReadError::Wrong(line)) = read(&["--listen-address=nonsense"]) else {
            panic!("accepted")
        };
        assert!(line.starts_with("LISTEN_ADDRESS: "), "{line}");
        assert!(line.contains("nonsense") && !line.contains('\n'), "{line}");
    }

    #[test]
    fn help_lists_every_setting() {
        let Err(ReadError::Asked(help)) = read(&["--help"]) else {
            panic!("no help")
        };
        for argument in Cli::command().get_arguments() {
            if let Some(variable) = argument.get_env() {
                let variable = variable.to_string_lossy();
                assert!(help.contains(&*variable), "{variable}");
            }
        }
    }
}
