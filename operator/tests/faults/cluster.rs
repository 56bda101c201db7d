//! What a cluster does by itself, where only an API server runs: a mirror of all objects, kept by
//! watches, and the controllers that act on them.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use futures::StreamExt as _;
use kube::api::{Api, ApiResource, DynamicObject, GroupVersionKind};
use kube::{Client, ResourceExt as _};
use kube_runtime::{WatchStreamExt as _, watcher};
use serde_json::Value;
use tokio::sync::watch;

use crate::{controllers, snapshot};

/// Kinds that are mirrored: `PostService`s and every kind of child.
const KINDS: &[(&str, &str, &str)] = &[
    ("platform.hhottdogg.shop", "v1alpha1", "PostService"),
    ("", "v1", "ServiceAccount"),
    ("", "v1", "Service"),
    ("", "v1", "Secret"),
    ("apps", "v1", "Deployment"),
    ("apps", "v1", "ControllerRevision"),
    ("batch", "v1", "Job"),
    ("autoscaling", "v2", "HorizontalPodAutoscaler"),
    ("policy", "v1", "PodDisruptionBudget"),
    ("networking.k8s.io", "v1", "NetworkPolicy"),
];

/// Kind and name.
pub type Key = (String, String);

/// All objects of the test's namespaces.
pub struct Cluster {
    /// The administrator's connection.
    pub client: Client,
    prefix: String,
    namespaces: Mutex<HashMap<String, Namespace>>,
    changes: watch::Sender<u64>,
}

/// What is in a namespace, and what was.
#[derive(Clone, Default)]
pub struct Namespace {
    /// The objects as they are.
    pub objects: BTreeMap<Key, Value>,
    /// What must not happen twice.
    pub history: History,
    /// When something changed last.
    pub changed: Option<Instant>,
}

/// What happened since the last [`Cluster::forget`].
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct History {
    /// How often an object of that kind and name came into being.
    pub created: BTreeMap<Key, usize>,
    /// Pod templates of the Deployments, in order: each change is a rollout.
    pub templates: Vec<String>,
}

impl Cluster {
    /// Mirrors the namespaces that begin with `prefix`, and starts the controllers.
    pub fn start(client: Client, prefix: String) -> Arc<Self> {
        let cluster = Arc::new(Self {
            client,
            prefix,
            namespaces: Mutex::default(),
            changes: watch::channel(0).0,
        });
        for (group, version, kind) in KINDS {
            tokio::spawn(cluster.clone().follow(resource(group, version, kind)));
        }
        cluster
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<String, Namespace>> {
        self.namespaces
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    /// The namespace as it is now.
    pub fn namespace(&self, name: &str) -> Namespace {
        self.lock().get(name).cloned().unwrap_or_default()
    }

    /// One object as it is now.
    pub fn object(&self, namespace: &str, kind: &str, name: &str) -> Option<Value> {
        let key = (kind.to_owned(), name.to_owned());
        self.lock().get(namespace)?.objects.get(&key).cloned()
    }

    /// Begins a new history.
    pub fn forget(&self, namespace: &str) {
        if let Some(namespace) = self.lock().get_mut(namespace) {
            let templates = namespace.history.templates.pop();
            namespace.history = History {
                templates: templates.into_iter().collect(),
                ..History::default()
            };
        }
    }

    /// Removes what is remembered of a namespace.
    pub fn drop_namespace(&self, namespace: &str) {
        self.lock().remove(namespace);
    }

    /// Waits until `ready` holds of the namespace; `false` if it does not within `patience`.
    pub async fn wait(
        &self,
        namespace: &str,
        patience: Duration,
        ready: impl Fn(&Namespace) -> bool,
    ) -> bool {
        let mut changes = self.changes.subscribe();
        let settled = async {
            loop {
                changes.borrow_and_update();
                if ready(&self.namespace(namespace)) {
                    return;
                }
                // The sender is part of `self`.
                let _ = changes.changed().await;
            }
        };
        tokio::time::timeout(patience, settled).await.is_ok()
    }

    async fn follow(self: Arc<Self>, resource: ApiResource) {
        let api = Api::<DynamicObject>::all_with(self.client.clone(), &resource);
        let events = watcher(api, watcher::Config::default()).default_backoff();
        let mut events = std::pin::pin!(events);
        while let Some(event) = events.next().await {
            match event {
                Ok(watcher::Event::Apply(object) | watcher::Event::InitApply(object)) => {
                    if self.is_ours(&object) {
                        self.note(&resource.kind, &object);
                        controllers::act(&self, &resource, &object).await;
                    }
                }
                Ok(watcher::Event::Delete(object)) if self.is_ours(&object) => {
                    self.note_gone(&resource.kind, &object);
                    controllers::collect(&self, &resource.kind, &object).await;
                }
                // A watch that ends is begun again by itself.
                Ok(_) | Err(_) => {}
            }
        }
    }

    fn is_ours(&self, object: &DynamicObject) -> bool {
        object
            .namespace()
            .is_some_and(|name| name.starts_with(&self.prefix))
    }

    fn note(&self, kind: &str, object: &DynamicObject) {
        let mut value = serde_json::to_value(object).unwrap();
        // The items of a list do not say what they are, those of a watch do.
        value.as_object_mut().unwrap().remove("kind");
        value.as_object_mut().unwrap().remove("apiVersion");
        let key = (kind.to_owned(), object.name_any());
        {
            let mut namespaces = self.lock();
            let namespace = namespaces
                .entry(object.namespace().unwrap_or_default())
                .or_default();
            let known = namespace.objects.insert(key.clone(), value.clone());
            let uid = |value: &Value| value["metadata"]["uid"].as_str().map(str::to_owned);
            if known.as_ref().and_then(uid) != uid(&value) {
                let key = (key.0, snapshot::without_id(&key.1));
                *namespace.history.created.entry(key).or_default() += 1;
            }
            if kind == "Deployment" {
                let template = value["spec"]["template"].to_string();
                if namespace.history.templates.last() != Some(&template) {
                    namespace.history.templates.push(template);
                }
            }
            namespace.changed = Some(Instant::now());
        }
        self.changes.send_modify(|version| *version += 1);
    }

    fn note_gone(&self, kind: &str, object: &DynamicObject) {
        let key = (kind.to_owned(), object.name_any());
        if let Some(namespace) = self.lock().get_mut(&object.namespace().unwrap_or_default()) {
            namespace.objects.remove(&key);
            namespace.changed = Some(Instant::now());
        }
        self.changes.send_modify(|version| *version += 1);
    }
}

/// How a kind is addressed.
pub fn resource(group: &str, version: &str, kind: &str) -> ApiResource {
    ApiResource::from_gvk(&GroupVersionKind::gvk(group, version, kind))
}

/// How a mirrored kind is addressed.
pub fn resource_of(kind: &str) -> ApiResource {
    let (group, version, kind) = KINDS.iter().find(|known| known.2 == kind).unwrap();
    resource(group, version, kind)
}
