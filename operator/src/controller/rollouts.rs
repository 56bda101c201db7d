//! The edge of [`crate::rollout`]: what the state machine must see, and what it needs to be there.

use std::sync::Arc;

use k8s_openapi::jiff::Timestamp;

use super::fetch::Inputs;
use super::validate::{Selector, Validated};
use super::{Context, Error, revisions};
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

/// Looks at the image that is asked for and the revisions that are kept, and finds out what shall run.
pub fn look(
    spec: &Validated,
    status: &PostServiceStatus,
    inputs: &Inputs,
    (image, mut known): (Option<ImageRef>, Vec<Arc<Revision>>),
    credentials: Option<&Credentials>,
    ctx: &Context,
) -> Sight {
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
    let is_kept = revisions::is_there(spec, &named.id, ctx).await?;
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
    // What is about to be rolled out may be there already, from a pass that did not come to its end.
    let aim = &sight.aim.target;
    let needed = [&memory.current, &memory.good, &memory.pending, aim];
    let needed: Vec<_> = needed.into_iter().flatten().map(name(spec)).collect();
    revisions::remove_others(spec, &needed, ctx).await
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
        revisions::make(spec, &numbered, ctx).await?;
        let has_secret = inputs.env_secret.is_some() && inputs.env_secret == revision.content.env;
        let values = credentials.filter(|credentials| {
            credentials.fingerprint == revision.content.fingerprint && !has_secret
        });
        if let (Some(values), Some(secret)) = (values, &revision.content.env) {
            revisions::make_secret(spec, revision, secret, values, ctx).await?;
        }
    }
    Ok(())
}

/// Names a revision, as the status does.
pub fn name(spec: &Validated) -> impl Fn(&machine::Candidate) -> String {
    |candidate| revision::name(&spec.id.name, &candidate.id)
}
