//! `cargo dev`: see [`dev::cli`].

fn main() -> std::process::ExitCode {
    dev::cli::main()
}
