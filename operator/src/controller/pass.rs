//! One pass: validate → fetch → observe → plan → build → apply → report, a file for each step.

use std::time::Duration;

use k8s_openapi::jiff::Timestamp;
use kube_runtime::controller::Action;

use super::mask::Mask;
use super::publish::Subject;
use super::secrets::Credentials;
use super::stored::Undecodable;
use super::survey::Survey;
use super::validate::{self, Validated};
use super::{
    Context, Error, adopt, apply, fetch, images, load_balancer, report, rollouts, secret_key,
    survey, turn,
};
use crate::api::v1alpha1::{PostService, PostServiceStatus};
use crate::build;
use crate::rollout::machine::{Memory, Seen};
use crate::rollout::replicas::Authority;
use crate::rollout::{self, Observed, Plan, Step};

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
    let now = Timestamp::now();
    let subject = Subject::from(service);
    let status = ctx.publisher.latest(&subject);
    let Some(mut spec) = admitted(service, &subject, &status, now, ctx).await? else {
        return Ok(Action::await_change());
    };
    ctx.children.ready().await?;
    adopt::name_workload(&mut spec, ctx);
    let mut inputs = fetch::inputs(service, &status, &spec.id.workload, ctx).await?;
    let credentials = secret_key::credentials(&spec, &mut inputs.secrets, ctx).await?;
    if let Ok(credentials) = &credentials {
        inputs.hide(&Mask::of(credentials));
    }
    let building = credentials.as_ref().ok();
    let building = building.and_then(|found| for_builders(&spec, found));
    let building = building.as_ref();

    let look = survey::survey(&spec, &status, &inputs, &credentials, building, ctx);
    let Some(mut survey) = look else {
        // The first answers after a start or a change are on their way: they call the next pass.
        return Ok(Action::requeue(ctx.settings.pace.poll_in_trouble));
    };
    if rollouts::is_gone(&spec, &survey.sight, ctx).await? {
        return Ok(Action::await_change());
    }
    let decision = decide(
        &spec,
        &subject,
        &status,
        &mut survey,
        &inputs,
        building,
        now,
        ctx,
    );
    let (seen, memory, mut plan, status) = decision.await?;
    let up_to_date = plan.step == Step::Idle;
    let old = adopt::look(&spec, &inputs, up_to_date, building, ctx).await?;
    let (adoption, front) = adopt::plan(&mut spec, &status, &old, now);
    let balancer = old.balancer.as_deref();
    inputs.load_balancer = fetch::load_balancer(service, balancer, ctx);
    let scaling = rollout::replicas::scaling(
        Authority::of(&spec.spec),
        &inputs.scale,
        status.replicas,
        plan.starts_pods(),
    );
    let objects = build::objects(&spec, &plan, scaling, building, &ctx.settings, &front);
    let applied = apply::objects(&spec.id, objects, ctx).await?;
    rollouts::tidy(&spec, &survey.sight, &memory, &inputs, building, ctx).await?;
    if let Some(adoption) = &adoption {
        let target = survey.sight.aim.target.as_ref();
        let finish = target.map(|target| &target.digest).zip(building);
        adopt::carry_out(&spec, adoption, &old, finish, ctx).await?;
    }
    if applied.deployment && plan.step == Step::Idle {
        plan.step = Step::RollingOut;
    }
    let running = survey.sight.aim.current.as_ref();
    let running = running.map(|running| &running.digest);
    let pass = report::Pass {
        retention: ctx
            .images
            .retention(&spec, running, &status, ctx.settings.pace),
        spec: &spec,
        inputs: &inputs,
        credentials: &credentials,
        observed: &survey.observed,
        plan: &plan,
        sight: &survey.sight,
        memory: &memory,
        seen: &seen,
        job: survey.job.clone(),
        previous: &status,
        now,
        adoption: adoption.as_ref(),
        front: &front,
    };
    let next = report::status(&pass);
    ctx.publisher.write(&subject, next).await?;
    let has_address = inputs.load_balancer.address.is_some();
    let rotating = is_rotating(&survey.observed);
    let poll = poll(&spec, plan.step, rotating, has_address, now, ctx);
    let sooner = adoption.and_then(|adoption| adoption.look_again);
    let scan = images::look_again(&spec);
    let next = [poll, sooner, survey.unsettled, scan];
    let next = next.into_iter().flatten().min();
    Ok(next.map_or_else(Action::await_change, Action::requeue))
}

/// What is to be done about rollouts: known to the cluster before anything is done about it, so that
/// whoever comes after a crash does the same.
#[expect(
    clippy::too_many_arguments,
    reason = "a part of one pass, which has them all"
)]
async fn decide(
    spec: &Validated,
    subject: &Subject<'_>,
    status: &PostServiceStatus,
    survey: &mut Survey,
    inputs: &fetch::Inputs,
    building: Option<&build::Credentials>,
    now: Timestamp,
    ctx: &Context,
) -> Result<(Seen, Memory, Plan, PostServiceStatus), Error> {
    let seen = survey.seen(spec, inputs, now);
    let memory = survey.remembered(spec, &seen);
    if !spec.spec.stopped {
        // Before they are written down: what the memory names is there.
        rollouts::make_new(spec, &survey.sight, &memory, inputs, building, ctx).await?;
    }
    let mut next = status.clone();
    memory.write(&mut next, rollouts::name(spec));
    if next != *status {
        ctx.publisher.write(subject, next.clone()).await?;
    }
    let plan = survey.plan(spec, &memory);
    Ok((seen, memory, plan, next))
}

/// The spec, if this object is to be reconciled now.
async fn admitted(
    service: &PostService,
    subject: &Subject<'_>,
    status: &PostServiceStatus,
    now: Timestamp,
    ctx: &Context,
) -> Result<Option<Validated>, Error> {
    if service.metadata.deletion_timestamp.is_some() {
        // Children go by their owner references; the database stays.
        return Ok(None);
    }
    if service.spec.suspend {
        let next = report::suspended(service.metadata.generation, status.clone(), now);
        ctx.publisher.write(subject, next).await?;
        return Ok(None);
    }
    match validate::spec(service) {
        Ok(spec) => Ok(Some(spec)),
        Err(fault) => {
            stall(subject, "InvalidSpec", &fault.to_string(), ctx).await?;
            Ok(None)
        }
    }
}

/// When to look again at what tells nobody of its changes.
fn poll(
    spec: &Validated,
    step: Step,
    rotating: bool,
    has_address: bool,
    now: Timestamp,
    ctx: &Context,
) -> Option<Duration> {
    let pace = ctx.settings.pace;
    match step {
        // Once more, when a load balancer's controller that does not answer is taken for absent.
        Step::Stopped if !has_address => Some(load_balancer::PATIENCE),
        Step::Stopped => None,
        Step::Idle | Step::RolledBack if !rotating => {
            Some(turn::until(&spec.id.uid, pace.poll, now))
        }
        _ => Some(pace.poll_in_trouble),
    }
}

fn is_rotating(observed: &Observed) -> bool {
    matches!(&observed.database, Some(Ok(facts)) if facts.rotating || facts.warning.is_some())
}

/// Nothing before there is an account: pods could not start.
fn for_builders(spec: &Validated, credentials: &Credentials) -> Option<build::Credentials> {
    let (account, place) = (credentials.account.as_ref()?, &credentials.place);
    Some(build::Credentials {
        fingerprint: credentials.fingerprint.clone(),
        database: format!("{}:{}/{}", place.host, place.port, place.name),
        database_ports: credentials.ports.clone(),
        database_name: place.name.clone(),
        env: credentials.env.clone(),
        migrator_url: credentials.migrator_url.clone(),
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
