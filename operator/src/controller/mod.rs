//! The controller: what it watches and what calls a pass. One pass is a page in `pass.rs`.

mod adopt;
mod apply;
mod children;
mod databases;
mod error;
mod exposure;
mod fetch;
mod findings;
mod foreign;
mod images;
mod load_balancer;
mod mask;
mod observe;
mod observer;
mod ownership;
mod packed;
mod pass;
mod publish;
mod replicas;
mod report;
mod retention;
mod revisions;
mod rollouts;
mod secret_key;
pub mod secrets;
mod selector;
mod settling;
mod standby;
mod store;
mod stored;
mod survey;
mod traffic;
mod turn;
pub mod validate;
mod warnings;

use std::sync::Arc;
use std::time::Instant;

use futures::{FutureExt as _, StreamExt as _};
use kube::api::Api;
use kube::{Client, Resource, ResourceExt as _};
use kube_runtime::controller::Action;
use kube_runtime::reflector::{self, ObjectRef};
use kube_runtime::{Config, Controller, WatchStreamExt as _, watcher};
use tokio::sync::{mpsc, watch};

use crate::api::v1alpha1::PostService;
use crate::build::Settings;
use crate::database::{Permit, Revoked};
use crate::lease::Fence;
use crate::registry::{Address, Registry};
use children::{Changes, Children};
use databases::Databases;
use images::Images;
use publish::Publisher;
use settling::Settling;
use standby::Gate;
use stored::{Read, Stored};
use warnings::ServiceWarnings;

pub use error::Error;
pub use standby::Role;

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
    settings: Settings,
    fence: Fence,
    children: Children,
    publisher: Publisher,
    images: Images,
    databases: Databases,
    pods: traffic::Pods,
    settling: Settling,
    warnings: ServiceWarnings,
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
    let leading = role.leading.shared();
    let fence = role.fence.clone();
    let permit = Permit::new(move || fence.check().map_err(|_| Revoked));
    let (wake, woken) = mpsc::unbounded_channel();
    let (children, changes) = Children::watch(&client, &scope);
    let discoveries = children.discoveries();
    let follow = registry.clone();
    let context = Arc::new(Context {
        settings,
        fence: role.fence,
        children,
        publisher: Publisher::new(client.clone()),
        images: Images::new(registry, wake.clone()),
        pods: traffic::Pods::new(wake.clone()),
        warnings: ServiceWarnings::new(client.clone(), wake.clone()),
        databases: Databases::new(client.clone(), wake, permit),
        settling: Settling::default(),
        client: client.clone(),
    });
    let (reader, writer) = reflector::store();
    let (filled, mut is_filled) = watch::channel(false);
    let pages = watcher::Config::default().page_size(children::PAGE);
    let objects = watcher(scope.api::<Stored>(&client), pages)
        .default_backoff()
        .modify(Stored::forget_metadata)
        .inspect(move |event| {
            if matches!(event, Ok(watcher::Event::InitDone)) {
                filled.send_replace(true);
            }
        })
        .reflect(writer)
        .applied_objects();
    standby::show_conditions(&role.health, reader.clone());
    let gate = Gate::new(leading.clone().boxed(), is_filled.clone());
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
    let images = context.clone();
    let follow_changes = async {
        // Only who leads takes messages from a queue: a standby would keep them from it.
        leading.await;
        let ask_again = move |repository: &Address| images.images.outdate(repository);
        follow.follow(Box::new(ask_again)).await;
    };
    tokio::select! {
        () = controller => {}
        () = say_ready => {}
        () = follow_changes => {}
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
    let result = match stored::read(&object) {
        Read::Decoded(service) => Box::pin(pass::limited(&service, &ctx)).await,
        Read::Undecodable(object) => pass::undecodable(&object, &ctx).await,
    };
    let outcome = if result.is_ok() { "success" } else { "error" };
    metrics::counter!("post_operator_reconciles_total", "result" => outcome).increment(1);
    metrics::histogram!("post_operator_reconcile_duration_seconds").record(started.elapsed());
    result
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
