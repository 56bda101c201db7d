//! One pass: fetch → validate → observe → plan → build → apply → report, a file for each step.

mod adopt;
mod apply;
mod children;
mod databases;
mod exposure;
mod fetch;
mod findings;
mod foreign;
mod load_balancer;
mod observe;
mod ownership;
mod publish;
mod replicas;
mod report;
mod secret_key;
pub mod secrets;
mod settling;
mod standby;
mod stored;
pub mod validate;

use std::sync::Arc;
use std::time::{Duration, Instant};

use futures::StreamExt as _;
use k8s_openapi::jiff::Timestamp;
use kube::api::Api;
use kube::{Client, Resource, ResourceExt as _};
use kube_runtime::controller::Action;
use kube_runtime::reflector::{self, ObjectRef};
use kube_runtime::{Config, Controller, WatchStreamExt as _, watcher};
use tokio::sync::{mpsc, watch};

use crate::api::v1alpha1::{MigrationState, PostService, PostServiceStatus};
use crate::build::{self, Settings, migration_job};
use crate::database::{DatabaseError, DatabaseFacts, Permit, Revoked};
use crate::lease::Fence;
use crate::registry::{Registry, RegistryError, RegistryImage};
use crate::rollout::replicas::Authority;
use crate::rollout::{self, Migration, Observed, Step, Workload};
use children::{Changes, Children};
use databases::Databases;
use observe::Observer;
use publish::{Publisher, Subject};
use secrets::{Credentials, SecretFault};
use settling::Settling;
use standby::Gate;
use stored::{Stored, Undecodable};
use validate::{Selector, Validated};

pub use standby::Role;

/// A pass that takes longer is given up and comes again: no lost answer holds an object for ever.
const PASS_LIMIT: Duration = Duration::from_mins(1);
/// Passes under way at once.
const CONCURRENCY: u16 = 16;

/// Where `PostService`s are looked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Scope {
    /// In every namespace.
    Cluster,
    /// In one namespace.
    Namespace(String),
}

impl Scope {
    fn api<K>(&self, client: &Client) -> Api<K>
    where
        K: Resource<DynamicType = (), Scope = kube::core::NamespaceResourceScope>,
    {
        match self {
            Self::Cluster => Api::all(client.clone()),
            Self::Namespace(namespace) => Api::namespaced(client.clone(), namespace),
        }
    }
}

/// What every pass uses.
pub struct Context {
    client: Client,
    registry: Arc<dyn Registry>,
    settings: Settings,
    fence: Fence,
    children: Children,
    publisher: Publisher,
    images: Arc<Observer<ImageQuestion, Result<RegistryImage, RegistryError>>>,
    databases: Databases,
    settling: Settling,
}

#[derive(Clone, PartialEq, Eq, Hash)]
struct ImageQuestion {
    repository: String,
    tag: String,
    /// A new retry token asks for a fresh look.
    retry: Option<String>,
}

/// Why a pass ended early. The next one comes by itself, later and later.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A read failed.
    #[error("could not read {what}: {source}")]
    Read {
        /// What was read.
        what: &'static str,
        /// The API server's or the connection's word.
        source: kube::Error,
    },
    /// A write failed.
    #[error("could not write {kind} {name}: {source}")]
    Write {
        /// Kind of the object.
        kind: String,
        /// Its name.
        name: String,
        /// The API server's or the connection's word.
        source: kube::Error,
    },
    /// A child's name is taken.
    #[error(
        "{kind} {name} exists and does not belong to this PostService: {}remove it, or rename the PostService",
        take_over(kind)
    )]
    ObjectConflict {
        /// Kind of the object.
        kind: String,
        /// Its name.
        name: String,
    },
    /// A typed value did not turn into JSON.
    #[error("could not encode an object: {0}")]
    Encode(serde_json::Error),
    /// The pass took longer than [`PASS_LIMIT`].
    #[error("the pass took longer than {} s", PASS_LIMIT.as_secs())]
    Slow,
    /// A watch ended for good.
    #[error("the cache of children ended")]
    CacheEnded(#[from] reflector::store::WriterDropped),
}

/// How an object of that kind could be taken over instead.
fn take_over(kind: &str) -> &'static str {
    match kind {
        "Deployment" => "name it in spec.adopt.deployment to take it over, ",
        "Service" => "name it in spec.adopt.service to take it over, ",
        "HorizontalPodAutoscaler" => {
            "name it in spec.adopt.horizontalPodAutoscaler to take it over, "
        }
        _ => "",
    }
}

impl Error {
    /// The reason of condition `Stalled`, when trying again alone mends nothing.
    fn stalls(&self) -> Option<&'static str> {
        match self {
            Self::ObjectConflict { .. } => Some("ObjectConflict"),
            Self::Read { source, .. } | Self::Write { source, .. } => match source {
                kube::Error::Api(status) if status.is_forbidden() => Some("AccessDenied"),
                kube::Error::Api(status) if matches!(status.code, 400 | 422) => Some("InvalidSpec"),
                _ => None,
            },
            Self::Encode(_) | Self::Slow | Self::CacheEnded(_) => None,
        }
    }

    fn write<K: Resource<DynamicType = ()>>(name: &str, source: kube::Error) -> Self {
        Self::Write {
            kind: K::kind(&()).into_owned(),
            name: name.to_owned(),
            source,
        }
    }
}

/// Runs the controller, in a process without rivals, until `shutdown`; passes under way are finished.
pub async fn run(
    client: Client,
    scope: Scope,
    registry: Arc<dyn Registry>,
    settings: Settings,
    shutdown: impl Future<Output = ()> + Send + Sync + 'static,
) {
    run_as(Role::alone(), client, scope, registry, settings, shutdown).await;
}

/// The same in one of several replicas: passes begin when `role` leads, with caches that are filled.
pub async fn run_as(
    role: Role,
    client: Client,
    scope: Scope,
    registry: Arc<dyn Registry>,
    settings: Settings,
    shutdown: impl Future<Output = ()> + Send + Sync + 'static,
) {
    let fence = role.fence.clone();
    let permit = Permit::new(move || fence.check().map_err(|_| Revoked));
    let (wake, woken) = mpsc::unbounded_channel();
    let (children, changes) = Children::watch(&client, &scope);
    let discoveries = children.discoveries();
    let context = Arc::new(Context {
        registry,
        settings,
        fence: role.fence,
        children,
        publisher: Publisher::new(client.clone()),
        images: Observer::new(wake.clone()),
        databases: Databases::new(client.clone(), wake, permit),
        settling: Settling::default(),
        client: client.clone(),
    });
    let (reader, writer) = reflector::store();
    let (filled, mut is_filled) = watch::channel(false);
    let objects = watcher(scope.api::<Stored>(&client), watcher::Config::default())
        .default_backoff()
        .modify(|object| object.managed_fields_mut().clear())
        .inspect(move |event| {
            if matches!(event, Ok(watcher::Event::InitDone)) {
                filled.send_replace(true);
            }
        })
        .reflect(writer)
        .applied_objects();
    standby::show_conditions(&role.health, reader.clone());
    let gate = Gate::new(role.leading, is_filled.clone());
    let changes = gate.hold_references(changes.map(stored).boxed());
    let discoveries = gate.hold_references(discoveries.boxed());
    let objects = gate.hold_objects(objects.boxed(), reader.clone());
    let controller = Controller::for_stream(objects, reader)
        .with_config(Config::default().concurrency(CONCURRENCY))
        .reconcile_on(changes)
        .reconcile_on(calls(woken).map(stored))
        .reconcile_all_on(discoveries)
        .graceful_shutdown_on(shutdown)
        .run(reconcile, on_error, context.clone())
        .for_each(|result| async move {
            match result {
                Ok((object, _)) => tracing::debug!(%object, "pass ended"),
                Err(error) => tracing::debug!(%error, "pass failed"),
            }
        });
    let say_ready = async {
        // Neither fails while the controller, which fills both, runs.
        if is_filled.wait_for(|filled| *filled).await.is_ok()
            && context.children.ready().await.is_ok()
        {
            role.health.set_ready();
        }
        std::future::pending::<()>().await;
    };
    tokio::select! {
        () = controller => {}
        () = say_ready => {}
    }
}

fn calls(woken: mpsc::UnboundedReceiver<ObjectRef<PostService>>) -> Changes {
    futures::stream::unfold(woken, |mut woken| async {
        woken.recv().await.map(|o| (o, woken))
    })
    .boxed()
}

/// The same object, as the controller's cache knows it.
fn stored(object: ObjectRef<PostService>) -> ObjectRef<Stored> {
    object.into_kind_unchecked(())
}

async fn reconcile(object: Arc<Stored>, ctx: Arc<Context>) -> Result<Action, Error> {
    if ctx.fence.check().is_err() {
        // Every object has a pass when this process begins to lead.
        return Ok(Action::await_change());
    }
    let started = Instant::now();
    let result = match &*object {
        Stored::Decoded(service) => Box::pin(limited_pass(service, &ctx)).await,
        Stored::Undecodable(object) => undecodable(object, &ctx).await,
    };
    let outcome = if result.is_ok() { "success" } else { "error" };
    metrics::counter!("post_operator_reconciles_total", "result" => outcome).increment(1);
    metrics::histogram!("post_operator_reconcile_duration_seconds").record(started.elapsed());
    result
}

async fn limited_pass(service: &PostService, ctx: &Context) -> Result<Action, Error> {
    let result = tokio::time::timeout(PASS_LIMIT, Box::pin(pass(service, ctx)))
        .await
        .unwrap_or(Err(Error::Slow));
    match result {
        Ok(action) => Ok(action),
        Err(error) => failed(service, error, ctx).await,
    }
}

/// Nothing but the status is written: what the object asks for is unknown.
async fn undecodable(object: &Undecodable, ctx: &Context) -> Result<Action, Error> {
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

    let (observed, job) = observe(
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
    inputs.load_balancer = fetch::load_balancer(service, balancer, ctx).await;
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
    let pass = report::Pass {
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
    let next = [poll, sooner, unsettled].into_iter().flatten().min();
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
    let asks_registry = matches!(spec.selector, Selector::Tag(_)) && !spec.spec.stopped;
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

/// The latest answers of registry and database, and where the wanted image's migration stands.
fn observe(
    spec: &Validated,
    status: &PostServiceStatus,
    inputs: &fetch::Inputs,
    credentials: &Result<Credentials, SecretFault>,
    building: Option<&build::Credentials>,
    ctx: &Context,
) -> (Observed, Option<String>) {
    let who = ObjectRef::new(&spec.id.name).within(&spec.id.namespace);
    let image = (!spec.spec.stopped)
        .then(|| ask_registry(spec, &who, ctx))
        .flatten();
    let after = migration_job::last_ended(&inputs.jobs);
    let database = credentials.as_ref().ok().and_then(|found| {
        let pace = ctx.settings.pace;
        ctx.databases.ask(spec, found, after, &who, pace)
    });
    let wanted = rollout::wanted(spec, status, image.as_ref());
    let job = wanted
        .zip(building)
        .map(|(image, credentials)| build::migration_job_name(spec, &image, credentials));
    let is_lost = schema_is_lost(status, credentials, database.as_ref());
    let observed = Observed {
        image,
        secrets_ready: credentials.is_ok(),
        database,
        running: inputs.running.clone(),
        migration: migration(spec, status, inputs, job.as_deref(), building, is_lost),
    };
    (observed, job)
}

fn ask_registry(
    spec: &Validated,
    who: &ObjectRef<PostService>,
    ctx: &Context,
) -> Option<Result<RegistryImage, RegistryError>> {
    let Selector::Tag(tag) = &spec.selector else {
        return None;
    };
    let question = ImageQuestion {
        repository: spec.spec.image.repository.clone(),
        tag: tag.clone(),
        retry: spec.retry.clone(),
    };
    let max_age = |answer: &Result<_, _>| match answer {
        Ok(_) => spec.scan_interval,
        Err(_) => ctx.settings.pace.poll_in_trouble,
    };
    ctx.images.ask(&question, who, max_age, || {
        ctx.registry
            .clone()
            .resolve(question.repository.clone(), question.tag.clone())
    })
}

fn migration(
    spec: &Validated,
    status: &PostServiceStatus,
    inputs: &fetch::Inputs,
    job: Option<&str>,
    building: Option<&build::Credentials>,
    is_lost: bool,
) -> Migration {
    if !spec.spec.database.migrations.enabled {
        return Migration::Disabled;
    }
    let (Some(name), Some(credentials)) = (job, building) else {
        return Migration::Pending;
    };
    let live = inputs.jobs.iter().find(|job| job.name_any() == name);
    match live.map(|job| (job, migration_job::state(job))) {
        Some((job, rollout::JobState::Failed))
            if migration_job::is_outdated(spec, credentials, job) =>
        {
            Migration::Retry
        }
        Some((_, rollout::JobState::Complete)) if is_lost => Migration::Retry,
        Some((_, state)) => Migration::Job(state),
        None if remembers_success(status, name) && !is_lost => {
            Migration::Job(rollout::JobState::Complete)
        }
        None => Migration::Pending,
    }
}

/// Whether the database had a schema and has none now: another, empty one answers at its address,
/// and what was migrated before is not migrated there.
fn schema_is_lost(
    status: &PostServiceStatus,
    credentials: &Result<Credentials, SecretFault>,
    answer: Option<&Result<DatabaseFacts, DatabaseError>>,
) -> bool {
    let (Ok(credentials), Some(Ok(facts))) = (credentials, answer) else {
        return false;
    };
    let known = status.database.as_ref();
    facts.schema_version.is_none()
        && known.is_some_and(|known| {
            known.name == credentials.place.name && known.schema_version.is_some()
        })
}

/// A Job that somebody removed after its success need not run again.
fn remembers_success(status: &PostServiceStatus, job: &str) -> bool {
    status
        .migration
        .as_ref()
        .is_some_and(|known| known.job == job && known.state == MigrationState::Complete)
}

/// Says in the status what only somebody else can mend; the error itself makes the pass come again.
async fn failed(service: &PostService, error: Error, ctx: &Context) -> Result<Action, Error> {
    let Some(reason) = error.stalls() else {
        return Err(error);
    };
    stall(&service.into(), reason, &error.to_string(), ctx).await?;
    Err(error)
}

#[expect(
    clippy::needless_pass_by_value,
    reason = "the signature that Controller::run asks for"
)]
fn on_error(service: Arc<Stored>, error: &Error, ctx: Arc<Context>) -> Action {
    tracing::warn!(
        namespace = service.namespace(),
        name = service.name_any(),
        %error,
        "pass failed, trying again"
    );
    Action::requeue(ctx.settings.pace.poll_in_trouble)
}
