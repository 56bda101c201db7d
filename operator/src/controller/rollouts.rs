//! The edge of [`crate::rollout`]: the revisions that are kept, and what the state machine must see.

use std::sync::Arc;

use k8s_openapi::api::apps::v1::ControllerRevision;
use k8s_openapi::api::core::v1::Secret;
use k8s_openapi::jiff::Timestamp;
use kube::ResourceExt as _;
use kube::api::{Api, Patch, PatchParams, PostParams};
use serde_json::json;

use super::fetch::Inputs;
use super::validate::{Selector, Validated};
use super::{Context, Error, apply};
use crate::api::v1alpha1::{ImageRef, PostServiceStatus, RolloutStep, TemplateUpdates};
use crate::build::{self, Credentials, Revision, revision};
use crate::rollout::machine::{self, Judged, Memory, Seen};
use crate::rollout::quarantine::Ask;
use crate::rollout::trial::{self, Stage, Terms, Traffic};
use crate::rollout::{Aim, Observed};

/// What a pass sees of rollouts.
pub struct Sight {
    /// What shall run.
    pub aim: Aim,
    /// Who asked for it.
    pub ask: Ask,
    /// What earlier passes remembered.
    pub memory: Memory,
    /// What the status says to be running: its revision was made before.
    named: Option<machine::Candidate>,
    known: Vec<Arc<Revision>>,
}

/// Looks at the revisions, and finds out what shall run.
pub fn look(
    spec: &Validated,
    status: &PostServiceStatus,
    inputs: &Inputs,
    image: Option<ImageRef>,
    credentials: Option<&Credentials>,
    ctx: &Context,
) -> Sight {
    let mut known = owned(spec, ctx);
    let new = |image: &ImageRef, inputs: &build::PodInputs| {
        revision::new(spec, image, inputs, credentials?, &ctx.settings)
    };
    let wanted = image.as_ref().and_then(|image| new(image, &spec.pod));
    let imported = imported(inputs, wanted.as_ref());
    known.extend(imported.clone());
    // What runs may have lost its revision: where it is what is wanted, nothing else is lost.
    known.extend(wanted.clone().map(Arc::new));
    let memory = remembered(spec, status, inputs, imported.as_deref(), &known);
    let same = |made: Revision| resolved(spec, made, &memory, &known, credentials, ctx);
    let wanted = wanted.map(same);
    let good = memory.good.as_ref().and_then(|good| find(&known, &good.id));
    let fallback = good.and_then(|good| new(&good.content.image, &good.content.inputs));
    let fallback = fallback.map(same);
    let ask = Ask {
        generation: spec.id.generation,
        retry: spec.retry.clone(),
        by_policy: matches!(spec.selector, Selector::Policy(_)),
    };
    let candidate = |revision: &Option<Arc<Revision>>| revision.as_deref().map(Revision::candidate);
    let target = machine::target(
        &memory,
        &ask,
        candidate(&wanted).as_ref(),
        candidate(&fallback).as_ref(),
    );
    for made in wanted.iter().chain(&fallback) {
        if find(&known, &made.id).is_none() {
            known.push(made.clone());
        }
    }
    Sight {
        aim: Aim {
            image,
            wanted,
            target,
            current: None,
            unsettled: false,
        },
        ask,
        named: memory.current.clone().filter(|_| status.rollout.is_some()),
        memory,
        known,
    }
}

impl Sight {
    /// The revision of this id, if it is known.
    pub fn find(&self, id: &str) -> Option<&Arc<Revision>> {
        find(&self.known, id)
    }

    /// The revision that the Deployment was told to run when the pass began.
    pub fn running(&self) -> Option<&Arc<Revision>> {
        self.find(&self.memory.current.as_ref()?.id)
    }

    /// What the machine sees.
    pub fn seen(
        &self,
        spec: &Validated,
        inputs: &Inputs,
        observed: &Observed,
        traffic: Traffic,
        now: Timestamp,
    ) -> Seen {
        let rollout = &spec.spec.rollout;
        let live = observed.running.as_ref();
        Seen {
            target: self.aim.target.clone(),
            ask: self.ask.clone(),
            hold: rollout.hold,
            rollback: rollout.rollback,
            bake: !spec.bake.is_zero(),
            ready: observed.is_ready() && !self.aim.unsettled,
            migrated: observed.is_migrated(),
            serving: live.is_some_and(|live| live.available > 0),
            judged: self.judged(spec, inputs, observed, traffic, now),
            now,
        }
    }

    fn judged(
        &self,
        spec: &Validated,
        inputs: &Inputs,
        observed: &Observed,
        traffic: Traffic,
        now: Timestamp,
    ) -> Option<Judged> {
        let id = &self.memory.current.as_ref()?.id;
        let live = observed.running.as_ref();
        let live = live.filter(|live| live.revision.as_ref() == Some(id));
        let baking = self.memory.step == RolloutStep::Baking;
        let progress_at = live.and_then(|live| live.progress_at);
        let stage = Stage {
            revision: id,
            pods: &inputs.pods,
            database: matches!(observed.database, Some(Ok(_)) | None),
            traffic,
            complete: live.is_some_and(|live| live.complete),
            progress_at: progress_at.filter(|_| !baking),
            now,
        };
        Some(Judged {
            id: id.clone(),
            trial: trial::judge(&self.memory, &terms(spec), &stage),
            complete: stage.complete,
            progress_at: if baking {
                stage.ready_since()
            } else {
                stage.progress_at
            },
        })
    }
}

fn terms(spec: &Validated) -> Terms {
    let bake = &spec.spec.rollout.bake;
    Terms {
        bake: spec.bake,
        deadline: spec.progress_deadline,
        max_error_rate: spec.max_error_rate,
        min_requests: bake.min_requests.unsigned_abs().into(),
    }
}

/// Accounts of the database that revisions use which may come back.
pub fn accounts(spec: &Validated, ctx: &Context) -> Vec<String> {
    let mut accounts: Vec<_> = owned(spec, ctx)
        .iter()
        .filter_map(|revision| revision.content.account.clone())
        .collect();
    accounts.sort();
    accounts.dedup();
    accounts
}

fn owned(spec: &Validated, ctx: &Context) -> Vec<Arc<Revision>> {
    ctx.children
        .revisions
        .of(&spec.id)
        .iter()
        .filter_map(|object| Revision::parse(&spec.id.name, object))
        .map(Arc::new)
        .collect()
}

fn find<'a>(known: &'a [Arc<Revision>], id: &str) -> Option<&'a Arc<Revision>> {
    known.iter().find(|revision| revision.id == id)
}

/// What a Deployment of an older version of the operator runs.
fn imported(inputs: &Inputs, wanted: Option<&Revision>) -> Option<Arc<Revision>> {
    let live = inputs.deployment.as_deref()?;
    if build::deployed_revision(live).is_some() {
        return None;
    }
    revision::imported(live, wanted).map(Arc::new)
}

/// What earlier passes remembered; where they did not, what the Deployment says.
fn remembered(
    spec: &Validated,
    status: &PostServiceStatus,
    inputs: &Inputs,
    imported: Option<&Revision>,
    known: &[Arc<Revision>],
) -> Memory {
    let named = |name: &str| {
        let mut all = known.iter();
        let found = all.find(|found| revision::name(&spec.id.name, &found.id) == name);
        found.map(|found| found.candidate())
    };
    let mut memory = Memory::of(status, named);
    if memory.current.is_none()
        && let Some(live) = inputs.deployment.as_deref()
    {
        let deployed = build::deployed_revision(live).and_then(|id| find(known, id));
        let running = deployed.map(Arc::as_ref).or(imported);
        memory.take_over(running.map(Revision::candidate), is_good(status, running));
    }
    memory
}

/// Whether the last report found this image serving.
fn is_good(status: &PostServiceStatus, revision: Option<&Revision>) -> bool {
    let good = status.image.last_good.as_ref().map(|good| &good.digest);
    good.is_some() && good == revision.map(|revision| &revision.content.image.digest)
}

/// The revision that is kept and means the same as `made`, or `made` itself.
fn resolved(
    spec: &Validated,
    made: Revision,
    memory: &Memory,
    known: &[Arc<Revision>],
    credentials: Option<&Credentials>,
    ctx: &Context,
) -> Arc<Revision> {
    let kept = [&memory.current, &memory.good, &memory.pending];
    let mut kept = kept
        .into_iter()
        .flatten()
        .filter_map(|candidate| find(known, &candidate.id));
    let Some(kept) = kept.find(|kept| kept.content.is_same(&made.content)) else {
        return Arc::new(made);
    };
    let at_once = spec.spec.template_updates == TemplateUpdates::Immediate;
    let newer = credentials
        .filter(|_| at_once)
        .and_then(|credentials| revision::updated(spec, kept, credentials, &ctx.settings));
    newer.map_or_else(|| kept.clone(), Arc::new)
}

/// Whether the `PostService` is gone, of which the cache does not know yet: its children are being
/// collected, and nothing of it shall be made again.
pub async fn is_gone(spec: &Validated, sight: &Sight, ctx: &Context) -> Result<bool, Error> {
    let Some(named) = &sight.named else {
        return Ok(false);
    };
    let name = revision::name(&spec.id.name, &named.id);
    let is_kept = apply::exists(&spec.id, &name, &ctx.children.revisions, ctx).await?;
    Ok(!is_kept && !ctx.publisher.is_there(&spec.id).await?)
}

/// Makes what is new in `memory`: the revisions that it names, and their Secrets.
pub async fn make_new(
    spec: &Validated,
    sight: &Sight,
    memory: &Memory,
    inputs: &Inputs,
    credentials: Option<&Credentials>,
    ctx: &Context,
) -> Result<(), Error> {
    let named = [&memory.pending, &memory.current].into_iter().flatten();
    let new = named.filter(|candidate| Some(*candidate) != sight.named.as_ref());
    keep(spec, sight, new, inputs, credentials, ctx).await
}

/// Makes what runs again, where somebody removed it, and removes what nobody needs any more.
pub async fn tidy(
    spec: &Validated,
    sight: &Sight,
    memory: &Memory,
    inputs: &Inputs,
    credentials: Option<&Credentials>,
    ctx: &Context,
) -> Result<(), Error> {
    let current = memory.current.iter().filter(|_| !spec.spec.stopped);
    let known = current.filter(|current| Some(*current) == sight.named.as_ref());
    keep(spec, sight, known, inputs, credentials, ctx).await?;
    prune(spec, &sight.aim, memory, ctx).await
}

async fn keep(
    spec: &Validated,
    sight: &Sight,
    candidates: impl Iterator<Item = &machine::Candidate>,
    inputs: &Inputs,
    credentials: Option<&Credentials>,
    ctx: &Context,
) -> Result<(), Error> {
    let newest = sight.known.iter().map(|known| known.number).max();
    for candidate in candidates {
        let Some(revision) = sight.find(&candidate.id) else {
            continue;
        };
        let numbered = Revision {
            number: newest.unwrap_or(0) + 1,
            ..Revision::clone(revision)
        };
        make(spec, &numbered, ctx).await?;
        let has_secret = inputs.env_secret.is_some() && inputs.env_secret == revision.content.env;
        let values = credentials.filter(|credentials| {
            credentials.fingerprint == revision.content.fingerprint && !has_secret
        });
        if let (Some(values), Some(secret)) = (values, &revision.content.env) {
            make_secret(spec, revision, secret, values, ctx).await?;
        }
    }
    Ok(())
}

async fn make(spec: &Validated, revision: &Revision, ctx: &Context) -> Result<(), Error> {
    let Some(object) = revision.object(spec) else {
        return Ok(());
    };
    let name = object.name_any();
    if apply::exists(&spec.id, &name, &ctx.children.revisions, ctx).await? {
        return Ok(());
    }
    let api = Api::<ControllerRevision>::namespaced(ctx.client.clone(), &spec.id.namespace);
    apply::patch(&api, &name, &apply::to_json(&object)?)
        .await
        .map(drop)
}

/// Makes the Secret of a revision, if it is not there. It goes with the revision's object. One that
/// is there has the same values: its name is made from their hash. That it goes with an object of
/// before, which was removed, is mended.
async fn make_secret(
    spec: &Validated,
    revision: &Revision,
    name: &str,
    credentials: &Credentials,
    ctx: &Context,
) -> Result<(), Error> {
    let read = |source| Error::Read {
        what: "a Secret of the operator's own",
        source,
    };
    let namespace = &spec.id.namespace;
    let secrets = Api::<Secret>::namespaced(ctx.client.clone(), namespace);
    let live = secrets.get_metadata_opt(name).await.map_err(read)?;
    let revisions = Api::<ControllerRevision>::namespaced(ctx.client.clone(), namespace);
    let keeper = revision::name(&spec.id.name, &revision.id);
    let keeper = revisions.get_metadata(&keeper).await.map_err(read)?;
    let secret = revision::secret(spec, name, &keeper.metadata, credentials);
    let write = |source| Error::write::<Secret>(name, source);
    match live {
        None => {
            secrets
                .create(&PostParams::default(), &secret)
                .await
                .map_err(write)?;
            tracing::info!(namespace, name, "made for new pods");
            Ok(())
        }
        Some(live) if live.labels() != secret.labels() => Err(Error::ObjectConflict {
            kind: "Secret".into(),
            name: name.to_owned(),
        }),
        Some(live) if live.owner_references() == secret.owner_references() => Ok(()),
        Some(live) => {
            let owners = json!({"metadata": {
                "resourceVersion": live.resource_version(),
                "ownerReferences": secret.owner_references(),
            }});
            secrets
                .patch(name, &PatchParams::default(), &Patch::Merge(owners))
                .await
                .map(drop)
                .map_err(write)
        }
    }
}

/// Removes revisions that nobody needs any more; their Secrets go with them. What is about to be
/// rolled out may be there already, from a pass that did not come to its end.
async fn prune(spec: &Validated, aim: &Aim, memory: &Memory, ctx: &Context) -> Result<(), Error> {
    let named = [&memory.current, &memory.good, &memory.pending, &aim.target];
    let ids = named.into_iter().flatten().map(|candidate| &candidate.id);
    let needed: Vec<_> = ids.map(|id| revision::name(&spec.id.name, id)).collect();
    if needed.is_empty() {
        return Ok(());
    }
    let mut others = ctx.children.revisions.of(&spec.id);
    others.retain(|other| !needed.contains(&other.name_any()));
    let api = Api::namespaced(ctx.client.clone(), &spec.id.namespace);
    apply::remove(&spec.id, &api, others).await
}

/// Names a revision, as the status does.
pub fn name(spec: &Validated) -> impl Fn(&machine::Candidate) -> String {
    |candidate| revision::name(&spec.id.name, &candidate.id)
}
