//! Everything that a pass must know before it decides.

use std::time::{Duration, Instant};

use k8s_openapi::jiff::Timestamp;
use kube_runtime::reflector::ObjectRef;

use super::fetch::Inputs;
use super::rollouts::{self, Sight};
use super::secrets::{Credentials, SecretFault};
use super::validate::Validated;
use super::{Context, observe, revisions};
use crate::api::v1alpha1::{PostServiceStatus, RolloutStep};
use crate::build;
use crate::rollout::machine::{self, Memory, Seen};
use crate::rollout::trial::Traffic;
use crate::rollout::{self, Observed, Plan};

/// What registry, database, revisions and Jobs say.
pub struct Survey {
    /// Of the outside.
    pub observed: Observed,
    /// Of rollouts.
    pub sight: Sight,
    /// Name of the migration Job of what shall run.
    pub job: Option<String>,
    /// How long changed values of Secrets must still stay as they are.
    pub unsettled: Option<Duration>,
    traffic: Traffic,
}

/// Looks at everything; `None`: a pass would have to guess.
pub fn survey(
    spec: &Validated,
    status: &PostServiceStatus,
    inputs: &Inputs,
    credentials: &Result<Credentials, SecretFault>,
    building: Option<&build::Credentials>,
    ctx: &Context,
) -> Option<Survey> {
    let kept = revisions::owned(spec, ctx);
    let accounts = revisions::accounts(&kept);
    let mut observed = observe::observe(spec, status, inputs, credentials, accounts, ctx);
    if is_known(status) && lacks_answers(spec, &observed) {
        return None;
    }
    let image = rollout::wanted_image(spec, status, observed.image.as_ref());
    let mut sight = rollouts::look(spec, status, inputs, (image, kept), building, ctx);
    let unsettled = unsettled(spec, &sight, building, ctx);
    sight.aim.unsettled = unsettled.is_some();
    let job = sight.aim.target.as_ref().zip(building);
    let job = job.map(|(target, c)| build::migration_job_name(spec, &target.digest, c));
    let database = observed.database.as_ref();
    observed.migration =
        observe::migration(spec, status, inputs, job.as_deref(), building, database);
    Some(Survey {
        observed,
        traffic: traffic(spec, &sight, inputs, ctx),
        sight,
        job,
        unsettled,
    })
}

impl Survey {
    /// For the state machine.
    pub fn seen(&self, spec: &Validated, inputs: &Inputs, now: Timestamp) -> Seen {
        self.sight
            .seen(spec, inputs, &self.observed, self.traffic, now)
    }

    /// What the state machine remembers of this pass. Of a stopped service nothing is looked at: its
    /// clocks stand still.
    pub fn remembered(&self, spec: &Validated, seen: &Seen) -> Memory {
        if !spec.spec.stopped {
            return machine::next(&self.sight.memory, seen);
        }
        let mut memory = self.sight.memory.clone();
        if !memory.is_proven() {
            memory.paused_at.get_or_insert(seen.now);
        }
        memory
    }

    /// What is to be done, now that `memory` is written down.
    pub fn plan(&mut self, spec: &Validated, memory: &Memory) -> Plan {
        let current = memory.current.as_ref();
        self.sight.aim.current = current.and_then(|c| self.sight.find(&c.id).cloned());
        rollout::plan(spec, memory, &self.sight.aim, &self.observed)
    }
}

/// How old and new pods answer while the first new one has its trial.
fn traffic(spec: &Validated, sight: &Sight, inputs: &Inputs, ctx: &Context) -> Traffic {
    let id = &spec.id;
    let baking = sight.memory.step == RolloutStep::Baking;
    let Some(current) = sight.memory.current.as_ref().filter(|_| baking) else {
        ctx.pods.forget(&id.uid);
        return Traffic::default();
    };
    let who = ObjectRef::new(&id.name).within(&id.namespace);
    let every = ctx.settings.pace.poll_in_trouble;
    ctx.pods
        .traffic(&id.uid, &current.id, &inputs.pods, &who, every)
}

fn unsettled(
    spec: &Validated,
    sight: &Sight,
    building: Option<&build::Credentials>,
    ctx: &Context,
) -> Option<Duration> {
    let live = sight
        .running()
        .map(|live| live.content.fingerprint.as_str());
    ctx.settling.remaining(
        &spec.id.uid,
        live,
        &building?.fingerprint,
        ctx.settings.pace.settle,
        Instant::now(),
    )
}

/// Whether an earlier pass has said what is the case.
fn is_known(status: &PostServiceStatus) -> bool {
    !status.conditions.is_empty()
}

/// Whether a pass would have to guess.
fn lacks_answers(spec: &Validated, observed: &Observed) -> bool {
    let asks_registry = spec.selector.asks_registry() && !spec.spec.stopped;
    asks_registry && observed.image.is_none()
        || observed.secrets_ready && observed.database.is_none()
}
