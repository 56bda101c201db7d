use clap::{Args, Command, ValueEnum};
use clap_complete::Shell;

/// Settings of `completions`.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  post-operator completions bash > /etc/bash_completion.d/post-operator
  source <(post-operator completions zsh)
  post-operator completions fish > ~/.config/fish/completions/post-operator.fish")]
pub(super) struct Completions {
    /// The shell.
    #[arg(value_enum)]
    shell: Known,
}

/// Shells that completions are made for.
#[derive(Clone, Copy, Debug, ValueEnum)]
enum Known {
    Bash,
    Zsh,
    Fish,
}

/// Prints the shell's completions of `command`.
pub(super) fn print(arguments: &Completions, mut command: Command) -> anyhow::Result<()> {
    use std::io::Write as _;
    let shell = match arguments.shell {
        Known::Bash => Shell::Bash,
        Known::Zsh => Shell::Zsh,
        Known::Fish => Shell::Fish,
    };
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut command, "post-operator", &mut script);
    std::io::stdout().write_all(&script)?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::*;
    use crate::cli::Cli;

    #[test]
    fn every_shell_learns_every_command() {
        for shell in [Shell::Bash, Shell::Zsh, Shell::Fish] {
            let mut script = Vec::new();
            clap_complete::generate(shell, &mut Cli::command(), "post-operator", &mut script);
            let script = String::from_utf8(script).unwrap();
            for command in ["run", "deploy", "wait", "status", "retry", "history"] {
                assert!(script.contains(command), "{shell}: {command}");
            }
        }
    }
}
