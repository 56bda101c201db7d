//! The objects that belong to `PostService`s, watched by label and kept in memory.

use futures::{Stream, StreamExt as _};
use k8s_openapi::api::apps::v1::{ControllerRevision, Deployment};
use k8s_openapi::api::autoscaling::v2::HorizontalPodAutoscaler;
use k8s_openapi::api::batch::v1::Job;
use k8s_openapi::api::core::v1::{Service, ServiceAccount};
use k8s_openapi::api::networking::v1::NetworkPolicy;
use k8s_openapi::api::policy::v1::PodDisruptionBudget;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{ObjectMeta, OwnerReference};
use kube::api::Api;
use kube::core::NamespaceResourceScope;
use kube::{Client, Resource};
use kube_runtime::reflector::ObjectRef;
use kube_runtime::{WatchStreamExt as _, watcher};
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::Scope;
use super::foreign::Foreign;
use super::packed::Packed;
use super::store::{self, Ended, Store};
use crate::api::v1alpha1::PostService;
use crate::build::{MANAGED_BY, MANAGER};
use crate::foreign::{ServiceMonitor, TargetGroupBinding};

/// Objects that are listed at once. The memory that a page took does not all go back: small pages
/// keep the process small.
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
}

/// Changes of children, each as a reference to the owner.
pub type Changes = futures::stream::BoxStream<'static, ObjectRef<PostService>>;

impl Children {
    /// Starts to watch; the stores fill while `Changes` is polled.
    pub fn watch(client: &Client, scope: &Scope) -> (Self, Changes) {
        let mut changes = Vec::new();
        let children = Self {
            service_accounts: kind(scope.api(client), &mut changes),
            network_policies: kind(scope.api(client), &mut changes),
            services: kind(scope.api(client), &mut changes),
            target_group_bindings: Foreign::watch(client, scope, &mut changes),
            jobs: kind(scope.api(client), &mut changes),
            revisions: kind(scope.api(client), &mut changes),
            deployments: kind(scope.api(client), &mut changes),
            disruption_budgets: kind(scope.api(client), &mut changes),
            autoscalers: kind(scope.api(client), &mut changes),
            service_monitors: Foreign::watch(client, scope, &mut changes),
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
    pub async fn ready(&self) -> Result<(), Ended> {
        self.service_accounts.filled().await?;
        self.network_policies.filled().await?;
        self.services.filled().await?;
        self.target_group_bindings.asked().await;
        self.jobs.filled().await?;
        self.revisions.filled().await?;
        self.deployments.filled().await?;
        self.disruption_budgets.filled().await?;
        self.autoscalers.filled().await?;
        self.service_monitors.asked().await;
        Ok(())
    }
}

fn kind<K: Child>(api: Api<Packed<K>>, all_changes: &mut Vec<Changes>) -> Store<K> {
    let (store, changes) = watch(api);
    all_changes.push(changes);
    store
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
pub(super) fn watch<K: Child>(api: Api<Packed<K>>) -> (Store<K>, Changes) {
    let (store, mut writer) = store::store();
    let config = watcher::Config::default()
        .labels(&format!("{MANAGED_BY}={MANAGER}"))
        .page_size(PAGE);
    let changes = watcher(api, config)
        .default_backoff()
        .filter_map(move |event| {
            futures::future::ready(match event {
                Ok(event) => writer.take(event).as_ref().and_then(owner),
                Err(error) => {
                    tracing::warn!(kind = %K::kind(&()), %error, "watch interrupted, starting again");
                    None
                }
            })
        });
    (store, changes.boxed())
}

/// The owner; of an object without one, the `PostService` that it was made for.
fn owner(object: &ObjectMeta) -> Option<ObjectRef<PostService>> {
    let name = match object.owner_references.as_deref() {
        None | Some([]) => store::made_for(object)?,
        Some(owners) => {
            let is_ours = |owner: &&OwnerReference| {
                owner.kind == PostService::kind(&())
                    && owner.api_version == PostService::api_version(&())
            };
            &owners.iter().find(is_ours)?.name
        }
    };
    Some(ObjectRef::new(name).within(object.namespace.as_deref()?))
}
