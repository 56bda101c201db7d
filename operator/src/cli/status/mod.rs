//! `status`: one screen about one `PostService`.

mod screen;
mod view;

use std::process::ExitCode;

use clap::Args;
use k8s_openapi::api::core::v1::Event;
use k8s_openapi::jiff::Timestamp;
use kube::ResourceExt as _;
use kube::api::{Api, ListParams};

use super::connection::{Connection, Target, Trouble};
use super::output::{self, Output};
use view::View;

/// Settings of `status`.
#[derive(Debug, Args)]
#[command(after_help = "\
Exits with 0 whatever the status is; `wait` tells good from bad.

Examples:
  post-operator status post-service -n post-service
  post-operator status post-service -n post-service -o json | jq .notFine")]
pub(super) struct Status {
    #[command(flatten)]
    target: Target,
    /// Form of the answer.
    #[arg(short, long, value_enum, default_value_t)]
    output: Output,
}

/// Prints the status.
pub(super) async fn status(arguments: Status) -> anyhow::Result<ExitCode> {
    let now = Timestamp::now();
    let view = match look(&arguments.target, now).await {
        Ok(view) => view,
        Err(trouble) => return Ok(output::complain(&trouble)),
    };
    match arguments.output {
        Output::Json => output::print_json(&view)?,
        Output::Text => output::print(&screen::text(&view, now)),
    }
    Ok(ExitCode::SUCCESS)
}

async fn look(target: &Target, now: Timestamp) -> Result<View, Trouble> {
    let connection = target.connect().await?;
    let service = connection.get().await?;
    let events = events(&connection, &service.uid().unwrap_or_default()).await;
    Ok(View::of(&service, events, now))
}

/// Events about the object; `None`, where they may not be listed.
async fn events(connection: &Connection, uid: &str) -> Option<Vec<Event>> {
    let events = Api::<Event>::namespaced(connection.client.clone(), &connection.namespace);
    let of_it = ListParams::default().fields(&format!("involvedObject.uid={uid}"));
    events.list(&of_it).await.ok().map(|list| list.items)
}
