//! One pass: validate → fetch → observe → plan → build → apply → report, a file for each step.

use std::time::{Duration, Instant};

use k8s_openapi::jiff::Timestamp;
use kube_runtime::controller::Action;

use super::publish::Subject;
use super::secrets::Credentials;
use super::stored::Undecodable;
use super::validate::{self, Validated};
use super::{
    Context, Error, adopt, apply, fetch, images, load_balancer, observe, report, secret_key,
};
use crate::api::v1alpha1::{PostService, PostServiceStatus};
use crate::build;
use crate::rollout::replicas::Authority;
use crate::rollout::{self, Observed, Step, Workload};

/// A pass that takes longer is given up and comes again: no lost answer holds an object for ever.
pub(super) const PASS_LIMIT: Duration = Duration::from_mins(1);

/// A pass with its limit; what stalls the object is said in its status.
pub(super) async fn limited(service: &PostService, ctx: &Context) -> Result<Action, Error> {
    let result = tokio::time::timeout(PASS_LIMIT, Box::pin(pass(service, ctx)))
        .await
        .unwrap_or(Err(Error::Slow));
    match result {
        Ok(action) => Ok(action),
        Err(error) => failed(service, error, ctx).await,
    }
}

/// Nothing but the status is written: what the object asks for is unknown.
pub(super) async fn undecodable(object: &Undecodable, ctx: &Context) -> Result<Action, Error> {
    let subject = Subject {
        metadata: &object.metadata,
        status: object.status.as_ref(),
    };
    stall(&subject, "InvalidSpec", &object.to_string(), ctx).await?;
    Ok(Action::await_change())
}

/// Says in the status what only somebody else can mend.
async fn stall(
    subject: &Subject<'_>,
    reason: &'static str,
    message: &str,
    ctx: &Context,
) -> Result<(), Error> {
    let generation = subject.metadata.generation;
    let previous = ctx.publisher.latest(subject);
    let next = report::stalled(generation, previous, reason, message, Timestamp::now());
    ctx.publisher.write(subject, next).await
}

/// One pass, from top to bottom.
async fn pass(service: &PostService, ctx: &Context) -> Result<Action, Error> {
    if service.metadata.deletion_timestamp.is_some() {
        // Children go by their owner references; the database stays.
        return Ok(Action::await_change());
    }
    let now = Timestamp::now();
    let pace = ctx.settings.pace;
    let subject = Subject::from(service);
    let status = ctx.publisher.latest(&subject);
    if service.spec.suspend {
        let next = report::suspended(service.metadata.generation, status, now);
        ctx.publisher.write(&subject, next).await?;
        return Ok(Action::await_change());
    }
    let mut spec = match validate::spec(service) {
        Ok(spec) => spec,
        Err(fault) => {
            stall(&subject, "InvalidSpec", &fault.to_string(), ctx).await?;
            return Ok(Action::await_change());
        }
    };
    ctx.children.ready().await?;
    adopt::name_workload(&mut spec, ctx);
    let mut inputs = fetch::inputs(service, &spec.id.workload, ctx).await?;
    let credentials = secret_key::credentials(&spec, &mut inputs.secrets, ctx).await?;
    let building = credentials
        .as_ref()
        .ok()
        .and_then(|c| for_builders(&spec, c));

    let (observed, job) = observe::observe(
        &spec,
        &status,
        &inputs,
        &credentials,
        building.as_ref(),
        ctx,
    );
    if is_known(&status) && lacks_answers(&spec, &observed) {
        // The first answers after a start or a change are on their way: they call the next pass.
        return Ok(Action::requeue(pace.poll_in_trouble));
    }
    let mut plan = rollout::next(&spec, &status, &observed);
    let unsettled = unsettled(&spec, &inputs, building.as_ref(), ctx);
    if unsettled.is_some() && matches!(plan.workload, Workload::Run(_)) {
        plan.workload = Workload::Keep;
        plan.step = Step::RollingOut;
    }
    let up_to_date = plan.step == Step::Idle;
    let sight = adopt::look(&spec, &inputs, up_to_date, building.as_ref(), ctx).await?;
    let (adoption, front) = adopt::plan(&mut spec, &status, &sight, now);
    let balancer = sight.balancer.as_deref();
    inputs.load_balancer = fetch::load_balancer(service, balancer, ctx);
    let scaling = rollout::replicas::scaling(
        Authority::of(&spec.spec),
        &inputs.scale,
        status.replicas,
        plan.starts_pods(),
    );
    let objects = build::objects(
        &spec,
        &plan,
        scaling,
        building.as_ref(),
        &ctx.settings,
        &front,
    );
    let applied = apply::objects(&spec.id, objects, ctx).await?;
    if let Some(adoption) = &adoption {
        let finish = plan.wanted.as_ref().zip(building.as_ref());
        adopt::carry_out(&spec, adoption, &sight, finish, ctx).await?;
    }
    if applied.deployment && plan.step == Step::Idle {
        plan.step = Step::RollingOut;
    }
    let running = observed.running.as_ref();
    let pass = report::Pass {
        retention: ctx.images.retention(&spec, running, &status, pace),
        spec: &spec,
        inputs: &inputs,
        credentials: &credentials,
        observed: &observed,
        plan: &plan,
        job,
        previous: &status,
        now,
        adoption: adoption.as_ref(),
        front: &front,
    };
    let next = report::status(&pass);
    ctx.publisher.write(&subject, next).await?;
    let calm = plan.step == Step::Idle && !is_rotating(&observed);
    let poll = match plan.step {
        // Once more, when a load balancer's controller that does not answer is taken for absent.
        Step::Stopped if inputs.load_balancer.address.is_none() => Some(load_balancer::PATIENCE),
        Step::Stopped => None,
        _ if calm => Some(pace.poll),
        _ => Some(pace.poll_in_trouble),
    };
    let sooner = adoption.and_then(|adoption| adoption.look_again);
    let scan = images::look_again(&spec);
    let next = [poll, sooner, unsettled, scan].into_iter().flatten().min();
    Ok(next.map_or_else(Action::await_change, Action::requeue))
}

/// How long changed values of Secrets must still stay as they are.
fn unsettled(
    spec: &Validated,
    inputs: &fetch::Inputs,
    building: Option<&build::Credentials>,
    ctx: &Context,
) -> Option<Duration> {
    let live = inputs.deployment.as_deref().and_then(build::fingerprint);
    ctx.settling.remaining(
        &spec.id.uid,
        live,
        &building?.fingerprint,
        ctx.settings.pace.settle,
        Instant::now(),
    )
}

fn is_rotating(observed: &Observed) -> bool {
    matches!(&observed.database, Some(Ok(facts)) if facts.rotating || facts.warning.is_some())
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

/// Nothing before there is an account: pods could not start.
fn for_builders(spec: &Validated, credentials: &Credentials) -> Option<build::Credentials> {
    let (account, place) = (credentials.account.as_ref()?, &credentials.place);
    Some(build::Credentials {
        fingerprint: credentials.fingerprint.clone(),
        database: format!("{}:{}/{}", place.host, place.port, place.name),
        database_ports: credentials.ports.clone(),
        sources: credentials.sources.clone(),
        account: spec
            .spec
            .database
            .bootstrap
            .is_some()
            .then(|| account.user.clone()),
    })
}

/// Says in the status what only somebody else can mend; the error itself makes the pass come again.
async fn failed(service: &PostService, error: Error, ctx: &Context) -> Result<Action, Error> {
    let Some(reason) = error.stalls() else {
        return Err(error);
    };
    stall(&service.into(), reason, &error.to_string(), ctx).await?;
    Err(error)
}
