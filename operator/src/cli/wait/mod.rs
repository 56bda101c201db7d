//! `wait`, and what `deploy` and `retry` share with it: a question about a rollout is followed until
//! it is answered.

mod follow;
mod outcome;
mod progress;
mod reading;
mod stage;
mod timeout;
mod verdict;

use std::process::ExitCode;
use std::time::Duration;

use clap::Args;
use kube::ResourceExt as _;
use tokio::time::Instant;

use super::ages;
use super::connection::{Connection, Target, Trouble};
use super::output::{EXIT_CODES, Output};
use crate::api::v1alpha1::PostService;
pub(super) use outcome::Outcome;
pub(super) use progress::Progress;
pub(super) use reading::Reading;
pub(super) use stage::{bake_left, pods};
pub(super) use verdict::Question;

/// Settings of `wait`.
#[derive(Debug, Args)]
#[command(after_help = format!("{EXAMPLES}\n\n{EXIT_CODES}"))]
pub(super) struct Wait {
    #[command(flatten)]
    target: Target,
    /// The tag that shall serve, also if it is asked for only later, by Git say; without it,
    /// whatever the spec asks for.
    #[arg(long)]
    tag: Option<String>,
    #[command(flatten)]
    patience: Patience,
    /// Form of the verdict on standard output; progress goes to standard error.
    #[arg(short, long, value_enum, default_value_t)]
    output: Output,
}

const EXAMPLES: &str = "\
Examples:
  post-operator wait post-service -n post-service
  post-operator wait post-service -n post-service --tag 1.4.3 --timeout 20m -o json";

/// How long is waited.
#[derive(Debug, Clone, Args)]
pub(super) struct Patience {
    /// How long to wait, such as 20m. By default as long as the spec lets a rollout take: migration
    /// time-out, bake, progress deadline and drain delay, and two minutes.
    #[arg(long, value_name = "DURATION", value_parser = ages::parse)]
    timeout: Option<Duration>,
}

/// Waits for the verdict on the present spec.
pub(super) async fn wait(arguments: Wait) -> anyhow::Result<ExitCode> {
    let (target, tag) = (&arguments.target, arguments.tag.as_deref());
    let ask = async |connection: &Connection| attempt(connection, &arguments).await;
    conclude(target, tag, ask).await.finish(arguments.output)
}

/// Connects and asks; whatever is in the way is an outcome, too.
pub(super) async fn conclude(
    target: &Target,
    tag: Option<&str>,
    ask: impl AsyncFnOnce(&Connection) -> Result<Outcome, Trouble>,
) -> Outcome {
    let connection = match target.connect().await {
        Ok(connection) => connection,
        Err(trouble) => return Outcome::error(&trouble, &target.name, target.namespace(), tag),
    };
    let namespace = Some(&*connection.namespace);
    ask(&connection)
        .await
        .unwrap_or_else(|trouble| Outcome::error(&trouble, &target.name, namespace, tag))
}

async fn attempt(connection: &Connection, arguments: &Wait) -> Result<Outcome, Trouble> {
    let service = connection.get().await?;
    let question = Question {
        tag: arguments.tag.clone(),
        asked: false,
        generation: service.metadata.generation.unwrap_or_default(),
        uid: service.uid(),
        answered_before: None,
    };
    let mut progress = Progress::new();
    Ok(answer(
        connection,
        service,
        question,
        &arguments.patience,
        &mut progress,
    )
    .await)
}

/// Follows `service` until `question` is answered or the time is over.
pub(super) async fn answer(
    connection: &Connection,
    service: PostService,
    question: Question,
    patience: &Patience,
    progress: &mut Progress,
) -> Outcome {
    let began = Instant::now();
    let limit = patience.timeout.unwrap_or_else(|| {
        let (limit, parts) = timeout::of(&service);
        progress.plan(&format!(
            "waiting up to {} ({parts}); --timeout changes it",
            ages::short(limit)
        ));
        limit
    });
    let (deadline, tag) = (began + limit, question.tag.clone());
    // A watch is too large to be kept on the stack.
    let follow = follow::follow(connection, service, question, deadline, progress);
    let followed = Box::pin(follow).await;
    Outcome::of(followed, tag, began.elapsed())
}
