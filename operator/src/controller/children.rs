//! The objects that belong to `PostService`s, watched by label and kept in memory.

use futures::{Stream, StreamExt as _};
use k8s_openapi::api::apps::v1::{ControllerRevision, Deployment};
use k8s_openapi::api::autoscaling::v2::HorizontalPodAutoscaler;
use k8s_openapi::api::batch::v1::Job;
use k8s_openapi::api::core::v1::{Service, ServiceAccount};
use k8s_openapi::api::networking::v1::NetworkPolicy;
use k8s_openapi::api::policy::v1::PodDisruptionBudget;
use kube::api::Api;
use kube::core::NamespaceResourceScope;
use kube::{Client, Resource, ResourceExt as _};
use kube_runtime::reflector::{self, ObjectRef, Store};
use kube_runtime::{WatchStreamExt as _, watcher};
use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::sync::OnceCell;

use super::foreign::Foreign;
use super::{Scope, ownership};
use crate::api::v1alpha1::PostService;
use crate::build::{INSTANCE, MANAGED_BY, MANAGER, revision};
use crate::foreign::{ServiceMonitor, TargetGroupBinding};

/// Objects that are listed at once. A decoded page is many times its pruned objects, and the memory
/// that it took does not go back: small pages keep the process small.
pub(super) const PAGE: u32 = 100;

/// One store for each kind of child.
pub struct Children {
    /// Identities of the pods.
    pub service_accounts: Store<ServiceAccount>,
    /// Network access of the pods.
    pub network_policies: Store<NetworkPolicy>,
    /// Services.
    pub services: Store<Service>,
    /// Bindings to target groups, where the cluster knows the kind.
    pub target_group_bindings: Foreign<TargetGroupBinding>,
    /// Migration Jobs.
    pub jobs: Store<Job>,
    /// What was, is and shall be rolled out.
    pub revisions: Store<ControllerRevision>,
    /// Deployments.
    pub deployments: Store<Deployment>,
    /// Protection of the pods against drains.
    pub disruption_budgets: Store<PodDisruptionBudget>,
    /// Autoscalers.
    pub autoscalers: Store<HorizontalPodAutoscaler>,
    /// Scraping of the pods, where the cluster knows the kind.
    pub service_monitors: Foreign<ServiceMonitor>,
    filled: OnceCell<()>,
}

/// Changes of children, each as a reference to the owner.
pub type Changes = futures::stream::BoxStream<'static, ObjectRef<PostService>>;

impl Children {
    /// Starts to watch; the stores fill while `Changes` is polled.
    pub fn watch(client: &Client, scope: &Scope) -> (Self, Changes) {
        let mut changes = Vec::new();
        let children = Self {
            service_accounts: store(scope.api(client), &mut changes),
            network_policies: store(scope.api(client), &mut changes),
            services: store(scope.api(client), &mut changes),
            target_group_bindings: Foreign::watch(client, scope, &mut changes),
            jobs: store(scope.api(client), &mut changes),
            revisions: revisions(scope.api(client), &mut changes),
            deployments: store(scope.api(client), &mut changes),
            disruption_budgets: store(scope.api(client), &mut changes),
            autoscalers: store(scope.api(client), &mut changes),
            service_monitors: Foreign::watch(client, scope, &mut changes),
            filled: OnceCell::new(),
        };
        (children, futures::stream::select_all(changes).boxed())
    }

    /// Whenever the cluster learns or forgets a kind.
    pub fn discoveries(&self) -> impl Stream<Item = ()> + Send + use<> {
        futures::stream::select(
            self.target_group_bindings.discoveries(),
            self.service_monitors.discoveries(),
        )
    }

    /// Waits until every store holds the cluster's state once.
    ///
    /// Of all who wait only one asks the stores: `Store::wait_until_ready` wakes only the last task
    /// that polled it, others would wait for ever.
    pub async fn ready(&self) -> Result<(), reflector::store::WriterDropped> {
        let fill = || async {
            self.service_accounts.wait_until_ready().await?;
            self.network_policies.wait_until_ready().await?;
            self.services.wait_until_ready().await?;
            self.target_group_bindings.asked().await;
            self.jobs.wait_until_ready().await?;
            self.revisions.wait_until_ready().await?;
            self.deployments.wait_until_ready().await?;
            self.disruption_budgets.wait_until_ready().await?;
            self.autoscalers.wait_until_ready().await?;
            self.service_monitors.asked().await;
            Ok(())
        };
        self.filled.get_or_try_init(fill).await.copied()
    }
}

fn store<K: Child>(api: Api<K>, all_changes: &mut Vec<Changes>) -> Store<K> {
    let (reader, changes) = watch(api);
    all_changes.push(changes);
    reader
}

fn revisions(
    api: Api<ControllerRevision>,
    all_changes: &mut Vec<Changes>,
) -> Store<ControllerRevision> {
    let (reader, changes) = watch_as(api, |object| {
        object.metadata.managed_fields = None;
        revision::compact(object);
    });
    all_changes.push(changes);
    reader
}

/// What every kind of child is.
pub trait Child:
    Resource<DynamicType = (), Scope = NamespaceResourceScope>
    + Clone
    + DeserializeOwned
    + Serialize
    + std::fmt::Debug
    + Send
    + Sync
    + 'static
{
}

impl<K> Child for K where
    K: Resource<DynamicType = (), Scope = NamespaceResourceScope>
        + Clone
        + DeserializeOwned
        + Serialize
        + std::fmt::Debug
        + Send
        + Sync
        + 'static
{
}

/// The children of one kind, and their changes.
pub(super) fn watch<K: Child>(api: Api<K>) -> (Store<K>, Changes) {
    watch_as(api, |object| ownership::prune(object.managed_fields_mut()))
}

/// The same, kept in the form that `prune` gives them.
fn watch_as<K: Child>(
    api: Api<K>,
    prune: impl FnMut(&mut K) + Send + 'static,
) -> (Store<K>, Changes) {
    let (reader, writer) = reflector::store();
    let config = watcher::Config::default()
        .labels(&format!("{MANAGED_BY}={MANAGER}"))
        .page_size(PAGE);
    let changes = watcher(api, config)
        .default_backoff()
        .modify(prune)
        .reflect(writer)
        .touched_objects();
    (reader, owners(changes).boxed())
}

fn owners<K: Resource<DynamicType = ()>>(
    changes: impl Stream<Item = Result<K, watcher::Error>> + Send + 'static,
) -> impl Stream<Item = ObjectRef<PostService>> + Send {
    changes.filter_map(|change| {
        futures::future::ready(match change {
            Ok(object) => owner(&object),
            Err(error) => {
                tracing::warn!(kind = %K::kind(&()), %error, "watch interrupted, starting again");
                None
            }
        })
    })
}

/// The owner; of an object without one, the `PostService` that it was made for.
fn owner<K: Resource>(object: &K) -> Option<ObjectRef<PostService>> {
    let namespace = object.namespace()?;
    if object.owner_references().is_empty() {
        let made_for = object.labels().get(INSTANCE)?;
        return Some(ObjectRef::new(made_for).within(&namespace));
    }
    object
        .owner_references()
        .iter()
        .find(|owner| {
            owner.kind == PostService::kind(&())
                && owner.api_version == PostService::api_version(&())
        })
        .map(|owner| ObjectRef::new(&owner.name).within(&namespace))
}
