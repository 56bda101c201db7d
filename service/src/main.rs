//! The `post-service` program: each command is one function call.

use post_service::{
    cli::{Cli, Command, ReadError},
    config::Settings,
    healthcheck, http, serve,
    store::{self, Titles},
    telemetry,
};
use std::process::ExitCode;
use tikv_jemallocator::Jemalloc;

#[global_allocator]
static ALLOCATOR: Jemalloc = Jemalloc;

/// `EX_TEMPFAIL` of sysexits.h: the same run may succeed later.
const TEMPORARY_FAILURE: u8 = 75;
/// A wrong argument or environment variable, as clap and most tools have it.
const USAGE: u8 = 2;

#[tokio::main]
async fn main() -> ExitCode {
    let cli = match Cli::read(std::env::args_os()) {
        Ok(cli) => cli,
        Err(ReadError::Asked(text)) => {
            print!("{text}");
            return ExitCode::SUCCESS;
        }
        Err(ReadError::Wrong(line)) => {
            eprintln!("{line}");
            return ExitCode::from(USAGE);
        }
    };
    match run(cli.command.unwrap_or(Command::Serve), &cli.settings).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error}");
            let migration = error.downcast_ref::<store::MigrateError>();
            if migration.is_some_and(store::MigrateError::is_temporary) {
                ExitCode::from(TEMPORARY_FAILURE)
            } else {
                ExitCode::FAILURE
            }
        }
    }
}

/// A line of progress, on standard output at once.
fn say(line: &str) {
    println!("{line}");
}

async fn run(command: Command, settings: &Settings) -> anyhow::Result<()> {
    match command {
        Command::Serve => {
            let config = settings.validate()?;
            let collector = config.traces.clone();
            let traces =
                telemetry::start(settings.log_format, &settings.rust_log, collector.as_ref())?;
            serve::serve(config).await?;
            if let Some(traces) = traces {
                traces.flush().await;
            }
        }
        Command::Migrate { finish: false, .. } => {
            let migrated = store::migrate_aloud(&settings.database()?, say).await?;
            for migration in &migrated.applied {
                println!("applied {migration}");
            }
            println!("the schema is at version {}", migrated.version);
            if migrated.is_unfinished {
                println!(
                    "tables of an older service were found and kept: once it has ended for good, \
                     run `post-service migrate --finish`"
                );
            } else if !migrated.is_complete {
                println!(
                    "not every title is in the index of searches, or not every author in the totals, so \
                     that they are read one by one: once every process has this version, run \
                     `post-service migrate --finish`"
                );
            }
        }
        Command::Migrate {
            finish: true,
            reindex,
        } => {
            let titles = if reindex {
                Titles::All
            } else {
                Titles::Missing
            };
            let finished = store::finish(&settings.database()?, titles, say).await?;
            println!("{finished}");
        }
        Command::Openapi => println!("{}", http::openapi().to_pretty_json()?),
        Command::Healthcheck => healthcheck::healthcheck(settings.listen_address).await?,
    }
    Ok(())
}
