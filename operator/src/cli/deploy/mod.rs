mod ownership;

use std::process::ExitCode;

use clap::Args;
use kube::api::{Patch, PatchParams};
use kube::core::Status;
use kube::{Resource as _, ResourceExt as _};
use serde_json::json;

use super::connection::{Connection, Doing, Target, Trouble};
use super::output::{EXIT_CODES, Output};
use super::wait::{self, Outcome, Patience, Progress, Question};
use crate::api::v1alpha1::PostService;

/// Settings of `deploy`.
#[derive(Debug, Args)]
#[command(after_help = format!("{NOTES}\n\n{EXIT_CODES}"))]
pub(super) struct Deploy {
    #[command(flatten)]
    target: Target,
    /// The tag to deploy.
    #[arg(long)]
    tag: String,
    /// Take the tag over where another field manager owns it, such as a `kubectl apply`.
    #[arg(long)]
    force: bool,
    #[command(flatten)]
    patience: Patience,
    /// Form of the verdict on standard output; progress goes to standard error.
    #[arg(short, long, value_enum, default_value_t)]
    output: Output,
}

const NOTES: &str = "\
Writes spec.image.tag by server-side apply under the field manager post-operator-deploy, then waits.
Whoever else owns the tag (Argo CD, Flux, Helm, a `kubectl apply`) is named, and keeps it.
Needs get, list, watch and patch on postservices: the rights of the group post-service:deployers.

Examples:
  post-operator deploy post-service -n post-service --tag 1.4.3
  post-operator deploy post-service -n post-service --tag \"$COMMIT\" --timeout 20m -o json";

/// Applies the tag and waits for the verdict.
pub(super) async fn deploy(arguments: Deploy) -> anyhow::Result<ExitCode> {
    let (target, tag) = (&arguments.target, Some(&*arguments.tag));
    let ask = async |connection: &Connection| attempt(connection, &arguments).await;
    let outcome = wait::conclude(target, tag, ask).await;
    outcome.finish(arguments.output)
}

async fn attempt(connection: &Connection, arguments: &Deploy) -> Result<Outcome, Trouble> {
    let before = connection.get().await?;
    let mut progress = Progress::new();
    let service = write(connection, before, arguments, &mut progress).await?;
    let question = Question {
        tag: Some(arguments.tag.clone()),
        asked: true,
        generation: service.metadata.generation.unwrap_or_default(),
        uid: service.uid(),
        answered_before: None,
    };
    let patience = &arguments.patience;
    Ok(wait::answer(connection, service, question, patience, &mut progress).await)
}

/// Makes the tag what is asked for; nothing is written where it is.
async fn write(
    connection: &Connection,
    before: PostService,
    arguments: &Deploy,
    progress: &mut Progress,
) -> Result<PostService, Trouble> {
    let Deploy { tag, force, .. } = arguments;
    if let Some(refusal) = selected_otherwise(&before) {
        return Err(Trouble::Owned(refusal.to_owned()));
    }
    let present = before.spec.image.tag.as_deref();
    if present == Some(tag) && !force {
        return Ok(before);
    }
    let service = apply(connection, &before, tag, *force).await?;
    if let Some(present) = present.filter(|present| present != tag) {
        progress.note(&format!("spec.image.tag: {present} → {tag}"));
    }
    Ok(service)
}

/// Why there is no tag to change.
fn selected_otherwise(service: &PostService) -> Option<&'static str> {
    let image = &service.spec.image;
    if image.digest.is_some() {
        return Some(
            "spec.image.digest says which image runs: replace it by spec.image.tag where it is written, then deploy tags",
        );
    }
    image.policy.as_ref()?;
    Some(
        "spec.image.policy selects the image: push one that it selects, or replace it by spec.image.tag where it is written, then deploy tags",
    )
}

async fn apply(
    connection: &Connection,
    before: &PostService,
    tag: &str,
    force: bool,
) -> Result<PostService, Trouble> {
    // By its identity: an object that was deleted meanwhile is not created by this.
    let patch = Patch::Apply(json!({
        "apiVersion": PostService::api_version(&()), "kind": PostService::kind(&()),
        "metadata": {"name": connection.name, "uid": before.uid()},
        "spec": {"image": {"tag": tag}},
    }));
    let parameters = PatchParams {
        force,
        ..PatchParams::apply(ownership::MANAGER)
    };
    let services = &connection.services;
    match services.patch(&connection.name, &parameters, &patch).await {
        Ok(service) => Ok(service),
        Err(kube::Error::Api(status)) if is_of_managers(&status) => {
            let owners = ownership::others(before.managed_fields());
            let present = before.spec.image.tag.as_deref();
            Err(Trouble::Owned(ownership::refusal(&owners, present)))
        }
        Err(error) => Err(connection.explain(error, Doing::Patch).await),
    }
}

/// Whether somebody owns the tag, who sets it to something else.
fn is_of_managers(status: &Status) -> bool {
    let mut causes = status.details.iter().flat_map(|details| &details.causes);
    status.is_conflict() && causes.any(|cause| cause.reason == "FieldManagerConflict")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::sample;

    #[test]
    fn a_digest_or_a_policy_is_not_replaced_by_a_tag() {
        let mut service = sample::service("1");
        assert_eq!(selected_otherwise(&service), None);
        service.spec.image.tag = None;
        service.spec.image.digest = Some("sha256:0".into());
        assert!(selected_otherwise(&service).unwrap().contains("digest"));
        service.spec.image.digest = None;
        service.spec.image.policy = Some(crate::api::v1alpha1::Policy::default());
        assert!(selected_otherwise(&service).unwrap().contains("policy"));
    }
}
