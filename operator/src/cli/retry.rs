use std::process::ExitCode;

use clap::Args;
use kube::ResourceExt as _;
use kube::api::{Patch, PatchParams};
use serde_json::json;

use super::advice;
use super::connection::{Connection, Doing, Target, Trouble};
use super::output::{self, EXIT_CODES, Output};
use super::wait::{self, Outcome, Patience, Progress, Question};
use crate::api::RETRY_ANNOTATION;
use crate::api::v1alpha1::PostService;

/// Field manager of the annotation.
const MANAGER: &str = "post-operator-retry";

/// Settings of `retry`.
#[derive(Debug, Args)]
#[command(after_help = format!("{EXAMPLES}\n\nWith --wait:\n{EXIT_CODES}"))]
pub(super) struct Retry {
    #[command(flatten)]
    target: Target,
    /// Wait for the verdict, as `wait` does.
    #[arg(long)]
    wait: bool,
    #[command(flatten)]
    patience: Patience,
    /// Form of the answer on standard output.
    #[arg(short, long, value_enum, default_value_t)]
    output: Output,
}

const EXAMPLES: &str = "\
Examples:
  post-operator retry post-service -n post-service
  post-operator retry post-service -n post-service --wait --timeout 20m";

/// Asks for another try.
pub(super) async fn retry(arguments: Retry) -> anyhow::Result<ExitCode> {
    let target = &arguments.target;
    if arguments.wait {
        let ask = async |connection: &Connection| attempt(connection, &arguments.patience).await;
        let outcome = wait::conclude(target, None, ask).await;
        return outcome.finish(arguments.output);
    }
    match write(target).await {
        Ok((connection, token)) => asked(&connection, &token, arguments.output),
        Err(trouble) => Ok(output::complain(&trouble)),
    }
}

async fn write(target: &Target) -> Result<(Connection, String), Trouble> {
    let connection = target.connect().await?;
    let token = token();
    annotate(&connection, &token).await?;
    Ok((connection, token))
}

fn token() -> String {
    uuid::Uuid::new_v4().to_string()
}

async fn attempt(connection: &Connection, patience: &Patience) -> Result<Outcome, Trouble> {
    let before = connection.get().await?;
    let service = annotate(connection, &token()).await?;
    let mut progress = Progress::new();
    progress.note(&advice::retry_effect());
    let question = Question {
        tag: service.spec.image.tag.clone(),
        asked: true,
        generation: service.metadata.generation.unwrap_or_default(),
        uid: service.uid(),
        answered_before: before.status,
    };
    Ok(wait::answer(connection, service, question, patience, &mut progress).await)
}

async fn annotate(connection: &Connection, token: &str) -> Result<PostService, Trouble> {
    let patch = Patch::Merge(json!({"metadata": {"annotations": {RETRY_ANNOTATION: token}}}));
    let parameters = PatchParams {
        field_manager: Some(MANAGER.to_owned()),
        ..PatchParams::default()
    };
    let services = &connection.services;
    match services.patch(&connection.name, &parameters, &patch).await {
        Ok(service) => Ok(service),
        Err(error) => Err(connection.explain(error, Doing::Patch).await),
    }
}

fn asked(connection: &Connection, token: &str, output: Output) -> anyhow::Result<ExitCode> {
    let Connection {
        namespace, name, ..
    } = connection;
    match output {
        Output::Json => output::print_json(&json!({
            "name": name, "namespace": namespace, "retry": token, "message": advice::retry_effect(),
        }))?,
        Output::Text => output::print(&format!(
            "{namespace}/{name}: {}\n`post-operator wait {name} -n {namespace}` waits for the verdict",
            advice::retry_effect()
        )),
    }
    Ok(ExitCode::SUCCESS)
}
