//! The objects that belong to `PostService`s, watched by label and kept in memory.

use futures::{Stream, StreamExt as _};
use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::autoscaling::v2::HorizontalPodAutoscaler;
use k8s_openapi::api::batch::v1::Job;
use k8s_openapi::api::core::v1::{Service, ServiceAccount};
use kube::api::Api;
use kube::{Client, Resource, ResourceExt as _};
use kube_runtime::reflector::{self, ObjectRef, Store};
use kube_runtime::{WatchStreamExt as _, watcher};
use serde::de::DeserializeOwned;
use tokio::sync::OnceCell;

use super::Scope;
use crate::api::v1alpha1::PostService;
use crate::build::{MANAGED_BY, MANAGER};

/// One store for each kind of child.
pub struct Children {
    /// Identities of the pods.
    pub service_accounts: Store<ServiceAccount>,
    /// Services.
    pub services: Store<Service>,
    /// Migration Jobs.
    pub jobs: Store<Job>,
    /// Deployments.
    pub deployments: Store<Deployment>,
    /// Autoscalers.
    pub autoscalers: Store<HorizontalPodAutoscaler>,
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
            services: store(scope.api(client), &mut changes),
            jobs: store(scope.api(client), &mut changes),
            deployments: store(scope.api(client), &mut changes),
            autoscalers: store(scope.api(client), &mut changes),
            filled: OnceCell::new(),
        };
        (children, futures::stream::select_all(changes).boxed())
    }

    /// Waits until every store holds the cluster's state once.
    ///
    /// Of all who wait only one asks the stores: `Store::wait_until_ready` wakes only the last task
    /// that polled it, others would wait for ever.
    pub async fn ready(&self) -> Result<(), reflector::store::WriterDropped> {
        let fill = || async {
            self.service_accounts.wait_until_ready().await?;
            self.services.wait_until_ready().await?;
            self.jobs.wait_until_ready().await?;
            self.deployments.wait_until_ready().await?;
            self.autoscalers.wait_until_ready().await
        };
        self.filled.get_or_try_init(fill).await.copied()
    }
}

fn store<K>(api: Api<K>, all_changes: &mut Vec<Changes>) -> Store<K>
where
    K: Resource<DynamicType = ()>
        + Clone
        + DeserializeOwned
        + std::fmt::Debug
        + Send
        + Sync
        + 'static,
{
    let (reader, writer) = reflector::store();
    let config = watcher::Config::default().labels(&format!("{MANAGED_BY}={MANAGER}"));
    let changes = watcher(api, config)
        .default_backoff()
        .modify(|object| object.managed_fields_mut().clear())
        .reflect(writer)
        .touched_objects();
    all_changes.push(owners(changes).boxed());
    reader
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

fn owner<K: Resource>(object: &K) -> Option<ObjectRef<PostService>> {
    let namespace = object.namespace()?;
    object
        .owner_references()
        .iter()
        .find(|owner| {
            owner.kind == PostService::kind(&())
                && owner.api_version == PostService::api_version(&())
        })
        .map(|owner| ObjectRef::new(&owner.name).within(&namespace))
}
