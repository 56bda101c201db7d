//! The way to the cluster, as kubectl finds it.

mod trouble;

use std::path::PathBuf;
use std::time::Duration;

use clap::Args;
use kube::api::ListParams;
use kube::config::{KubeConfigOptions, Kubeconfig, KubeconfigError};
use kube::{Api, Client, Config, ResourceExt};
use kube_runtime::watcher;

use crate::api::v1alpha1::PostService;
pub(super) use trouble::{Doing, Trouble, api_trouble};

/// An API server that has not taken the connection by then is away.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// Longer than a watch without news, which kube ends after 290 s; what is longer silent is broken.
const READ_TIMEOUT: Duration = Duration::from_mins(5);

/// Which object, in which cluster.
#[derive(Debug, Clone, Args)]
pub(super) struct Target {
    /// Name of the PostService.
    #[arg(value_name = "NAME")]
    pub name: String,
    /// Its namespace; by default that of the kubeconfig's context.
    #[arg(short, long, value_name = "NS")]
    namespace: Option<String>,
    /// Context of the kubeconfig; by default the current one.
    #[arg(long)]
    context: Option<String>,
    /// Path of the kubeconfig; by default KUBECONFIG, then ~/.kube/config, then the pod's own
    /// service account.
    #[arg(long, value_name = "FILE")]
    kubeconfig: Option<PathBuf>,
}

/// A `PostService` within reach.
#[derive(Clone)]
pub(super) struct Connection {
    /// For other kinds.
    pub client: Client,
    /// PostServices of the namespace.
    pub services: Api<PostService>,
    /// The namespace.
    pub namespace: String,
    /// The object's name.
    pub name: String,
    server: String,
}

impl Target {
    /// Finds the cluster; asks it nothing yet.
    pub async fn connect(&self) -> Result<Connection, Trouble> {
        let mut config = self.config().await?;
        config.connect_timeout = Some(CONNECT_TIMEOUT);
        config.read_timeout = Some(READ_TIMEOUT);
        let server = config.cluster_url.to_string();
        let namespace = self
            .namespace
            .clone()
            .unwrap_or_else(|| config.default_namespace.clone());
        let client = Client::try_from(config).map_err(|error| trouble::reach(error, &server))?;
        Ok(Connection {
            services: Api::namespaced(client.clone(), &namespace),
            client,
            namespace,
            name: self.name.clone(),
            server,
        })
    }

    /// The namespace, as far as it is known without a cluster.
    pub fn namespace(&self) -> Option<&str> {
        self.namespace.as_deref()
    }

    async fn config(&self) -> Result<Config, Trouble> {
        let options = KubeConfigOptions {
            context: self.context.clone(),
            ..KubeConfigOptions::default()
        };
        let read = match &self.kubeconfig {
            Some(path) => Kubeconfig::read_from(path),
            None => Kubeconfig::read(),
        };
        let kubeconfig = match read {
            Ok(kubeconfig) => kubeconfig,
            Err(error) if self.kubeconfig.is_none() && is_absent(&error) => {
                return Config::incluster().map_err(|_| Trouble::NoKubeconfig);
            }
            Err(error) => return Err(trouble::kubeconfig(error, Vec::new())),
        };
        let contexts = kubeconfig.contexts.iter().map(|each| each.name.clone());
        let contexts = contexts.collect();
        Config::from_custom_kubeconfig(kubeconfig, &options)
            .await
            .map_err(|error| trouble::kubeconfig(error, contexts))
    }
}

fn is_absent(error: &KubeconfigError) -> bool {
    match error {
        KubeconfigError::FindPath => true,
        KubeconfigError::ReadConfig(source, _) => source.kind() == std::io::ErrorKind::NotFound,
        _ => false,
    }
}

impl Connection {
    /// The object as it is now.
    pub async fn get(&self) -> Result<PostService, Trouble> {
        match self.services.get(&self.name).await {
            Ok(service) => Ok(service),
            Err(error) => Err(self.explain(error, Doing::Get).await),
        }
    }

    /// The error as a sentence; of a missing object, with the names of those that are there.
    pub async fn explain(&self, error: kube::Error, doing: Doing) -> Trouble {
        match self.trouble(error, doing) {
            Trouble::Missing { .. } => Trouble::Missing {
                name: self.name.clone(),
                namespace: self.namespace.clone(),
                others: self.others().await,
            },
            other => other,
        }
    }

    /// The error as a sentence.
    pub fn trouble(&self, error: kube::Error, doing: Doing) -> Trouble {
        match error {
            kube::Error::Api(status) => {
                api_trouble(&status, doing, &self.namespace, &self.name, &self.server)
            }
            other => trouble::reach(other, &self.server),
        }
    }

    /// What broke a watch, as a sentence; `None`, where it only begins anew.
    pub fn trouble_of_watch(&self, error: watcher::Error) -> Option<Trouble> {
        match error {
            watcher::Error::InitialListFailed(error)
            | watcher::Error::WatchStartFailed(error)
            | watcher::Error::WatchFailed(error) => Some(self.trouble(error, Doing::Watch)),
            watcher::Error::WatchError(_) | watcher::Error::NoResourceVersion => None,
        }
    }

    /// PostServices of the namespace, if they may be listed.
    async fn others(&self) -> Option<Vec<String>> {
        let all = self.services.list_metadata(&ListParams::default()).await;
        let all = all.ok()?.items;
        Some(all.iter().map(ResourceExt::name_any).collect())
    }
}
