//! The children of one kind, kept small and found by their owner.

use std::collections::HashMap;
use std::marker::PhantomData;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::Resource;
use kube_runtime::watcher::Event;
use serde::de::DeserializeOwned;
use tokio::sync::watch;

use super::ownership::Account;
use super::packed::{self, Packed};
use super::validate::Identity;
use crate::build::{INSTANCE, MANAGED_BY, MANAGER};

/// The children of one kind, as their watch tells. A clone is another handle of the same.
pub struct Store<K> {
    kept: Arc<Mutex<Kept>>,
    filled: watch::Receiver<bool>,
    kind: PhantomData<fn() -> K>,
}

/// Puts into a [`Store`] what its watch tells.
pub struct Writer<K> {
    kept: Arc<Mutex<Kept>>,
    /// What a list has given so far, while it is not at its end.
    listed: Kept,
    filled: watch::Sender<bool>,
    kind: PhantomData<fn() -> K>,
}

/// The watch behind a [`Store`] has ended.
#[derive(Debug, thiserror::Error)]
#[error("nobody watches any more")]
pub struct Ended;

/// What a look at an object of some name gives.
pub enum Look<T> {
    /// There is none; it may be too new.
    Unknown,
    /// It belongs to somebody else.
    OfOthers,
    /// What was seen of it.
    Seen(T),
}

/// An empty store.
pub fn store<K>() -> (Store<K>, Writer<K>) {
    let (sender, receiver) = watch::channel(false);
    let store = Store {
        kept: Arc::default(),
        filled: receiver,
        kind: PhantomData,
    };
    let writer = Writer {
        kept: store.kept.clone(),
        listed: Kept::default(),
        filled: sender,
        kind: PhantomData,
    };
    (store, writer)
}

impl<K> Clone for Store<K> {
    fn clone(&self) -> Self {
        Self {
            kept: self.kept.clone(),
            filled: self.filled.clone(),
            kind: PhantomData,
        }
    }
}

impl<K> Store<K> {
    /// Waits until it holds the cluster's state once.
    pub async fn filled(&self) -> Result<(), Ended> {
        let mut filled = self.filled.clone();
        let is_filled = filled.wait_for(|filled| *filled).await;
        is_filled.map(drop).map_err(|_| Ended)
    }

    /// Whether an object of that name belongs to `id`.
    pub fn has(&self, id: &Identity, name: &str) -> bool {
        matches!(self.look(id, name, |_| ()), Look::Seen(()))
    }

    /// What `look` sees of the object of that name, if it belongs to `id`.
    pub fn look<T>(
        &self,
        id: &Identity,
        name: &str,
        look: impl FnOnce(&mut Account) -> T,
    ) -> Look<T> {
        let mut kept = self.locked();
        let key = key(&id.namespace, name);
        let belongs = kept.of(id).any(|found| **found == *key);
        match kept.objects.get_mut(&*key) {
            Some(entry) if belongs => Look::Seen(look(&mut entry.account)),
            Some(_) => Look::OfOthers,
            None => Look::Unknown,
        }
    }

    fn locked(&self) -> MutexGuard<'_, Kept> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<K: Resource<DynamicType = ()> + DeserializeOwned> Store<K> {
    /// The object of that name, whomever it belongs to.
    pub fn get(&self, namespace: &str, name: &str) -> Option<Arc<K>> {
        let kept = self.locked();
        let entry = kept.objects.get(&*key(namespace, name))?;
        packed::unpacked(&entry.text).map(Arc::new)
    }

    /// The objects that have an owner of that uid and a name that is `wanted`.
    pub fn owned(&self, uid: &str, wanted: impl Fn(&str) -> bool) -> Vec<Arc<K>> {
        let kept = self.locked();
        let owned = kept.claims.get(uid).into_iter().flatten();
        kept.unpacked(owned.filter(|key| is_named(key, &wanted)))
    }

    /// The objects that belong to `id`, with an owner reference or without, and have a name that is
    /// `wanted`.
    pub fn of(&self, id: &Identity, wanted: impl Fn(&str) -> bool) -> Vec<Arc<K>> {
        let kept = self.locked();
        kept.unpacked(kept.of(id).filter(|key| is_named(key, &wanted)))
    }
}

impl<K> Writer<K>
where
    Packed<K>: Resource<DynamicType = ()>,
{
    /// Takes over what the watch tells; returns the metadata of the object that it tells of.
    pub fn take(&mut self, event: Event<Packed<K>>) -> Option<ObjectMeta> {
        match event {
            Event::Init => {
                self.listed = Kept::default();
                None
            }
            Event::InitApply(mut object) => {
                let metadata = std::mem::take(object.meta_mut());
                self.listed.insert(&metadata, object);
                Some(metadata)
            }
            Event::InitDone => {
                *self.locked() = std::mem::take(&mut self.listed);
                self.filled.send_replace(true);
                None
            }
            Event::Apply(mut object) => {
                let metadata = std::mem::take(object.meta_mut());
                self.locked().insert(&metadata, object);
                Some(metadata)
            }
            Event::Delete(mut object) => {
                let metadata = std::mem::take(object.meta_mut());
                self.locked().remove(&key_of(&metadata));
                Some(metadata)
            }
        }
    }

    fn locked(&self) -> MutexGuard<'_, Kept> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// `namespace/name` of an object.
type Key = Arc<str>;

#[derive(Default)]
struct Kept {
    objects: HashMap<Key, Entry>,
    /// By the uid of the owner; of those without one by `namespace/name` of the `PostService` that
    /// they were made for. No uid has a slash.
    claims: HashMap<Box<str>, Vec<Key>>,
}

struct Entry {
    account: Account,
    text: Arc<str>,
}

impl Kept {
    fn insert<K>(&mut self, metadata: &ObjectMeta, object: Packed<K>) {
        let key: Key = key_of(metadata).into();
        self.remove(&key);
        for claim in claims(metadata) {
            let keys = self.claims.entry(claim).or_default();
            keys.reserve_exact(1);
            keys.push(key.clone());
        }
        let Packed { account, text, .. } = object;
        self.objects.insert(key, Entry { account, text });
    }

    fn remove(&mut self, key: &str) {
        let Some(entry) = self.objects.remove(key) else {
            return;
        };
        // It was read when it came.
        let metadata = packed::metadata(&entry.text).unwrap_or_default();
        for claim in claims(&metadata) {
            if let Some(keys) = self.claims.get_mut(&claim) {
                keys.retain(|known| &**known != key);
                if keys.is_empty() {
                    self.claims.remove(&claim);
                }
            }
        }
    }

    fn of(&self, id: &Identity) -> impl Iterator<Item = &Key> {
        let made_for = key(&id.namespace, &id.name);
        [id.uid.as_str(), &made_for]
            .map(|claim| self.claims.get(claim))
            .into_iter()
            .flatten()
            .flatten()
    }

    fn unpacked<'a, K>(&self, keys: impl Iterator<Item = &'a Key>) -> Vec<Arc<K>>
    where
        K: Resource<DynamicType = ()> + DeserializeOwned,
    {
        keys.filter_map(|key| packed::unpacked(&self.objects.get(key)?.text).map(Arc::new))
            .collect()
    }
}

/// Whether the name in a key is `wanted`.
fn is_named(key: &str, wanted: impl Fn(&str) -> bool) -> bool {
    key.split_once('/').is_some_and(|(_, name)| wanted(name))
}

fn key(namespace: &str, name: &str) -> String {
    format!("{namespace}/{name}")
}

fn key_of(metadata: &ObjectMeta) -> String {
    let part = |part: &Option<String>| part.clone().unwrap_or_default();
    key(&part(&metadata.namespace), &part(&metadata.name))
}

fn claims(metadata: &ObjectMeta) -> Vec<Box<str>> {
    let owners = metadata.owner_references.iter().flatten();
    let mut claims: Vec<Box<str>> = owners.map(|owner| owner.uid.as_str().into()).collect();
    if claims.is_empty()
        && let Some(name) = made_for(metadata)
    {
        let namespace = metadata.namespace.as_deref().unwrap_or_default();
        claims.push(key(namespace, name).into());
    }
    claims
}

/// The name of the `PostService` that an object was made for, if it has lost its owner: somebody
/// removed the reference, or deleted the owner with `--cascade=orphan`. It is taken back.
pub fn made_for(metadata: &ObjectMeta) -> Option<&str> {
    let labels = metadata.labels.as_ref()?;
    let is_orphan = metadata.owner_references.iter().flatten().next().is_none()
        && labels
            .get(MANAGED_BY)
            .is_some_and(|manager| manager == MANAGER);
    labels
        .get(INSTANCE)
        .map(String::as_str)
        .filter(|_| is_orphan)
}

#[cfg(test)]
mod tests {
    use k8s_openapi::api::core::v1::ConfigMap;
    use k8s_openapi::apimachinery::pkg::apis::meta::v1::OwnerReference;
    use serde_json::{Value, json};

    use super::*;

    fn id(name: &str) -> Identity {
        Identity {
            name: name.into(),
            namespace: "ns".into(),
            workload: name.into(),
            uid: format!("uid-{name}"),
            generation: None,
            owner: OwnerReference::default(),
        }
    }

    fn child(name: &str, owners: &Value, made_for: &str) -> Packed<ConfigMap> {
        let object = json!({"metadata": {
            "name": name, "namespace": "ns", "ownerReferences": owners,
            "labels": {MANAGED_BY: MANAGER, INSTANCE: made_for},
        }});
        serde_json::from_str(&object.to_string()).unwrap()
    }

    fn owned_by(name: &str) -> Value {
        json!([{"apiVersion": "v1", "kind": "K", "name": name, "uid": format!("uid-{name}")}])
    }

    fn names(found: Vec<Arc<ConfigMap>>) -> Vec<String> {
        let names = found
            .into_iter()
            .filter_map(|found| found.metadata.name.clone());
        names.collect()
    }

    #[test]
    fn children_are_found_by_owner_and_orphans_by_whom_they_were_made_for() {
        let (store, mut writer) = store::<ConfigMap>();
        let (a, b) = (id("a"), id("b"));
        writer.take(Event::Apply(child("one", &owned_by("a"), "a")));
        writer.take(Event::Apply(child("two", &json!([]), "a")));
        writer.take(Event::Apply(child("three", &owned_by("b"), "a")));
        assert_eq!(names(store.of(&a, |_| true)), ["one", "two"]);
        assert_eq!(names(store.of(&a, |name| name != "one")), ["two"]);
        assert_eq!(names(store.owned(&a.uid, |_| true)), ["one"]);
        assert!(names(store.owned(&a.uid, |name| name != "one")).is_empty());
        assert!(store.has(&a, "two") && store.has(&b, "three") && !store.has(&a, "three"));
        assert!(matches!(store.look(&a, "three", |_| ()), Look::OfOthers));
        assert!(matches!(store.look(&a, "four", |_| ()), Look::Unknown));
    }

    #[test]
    fn what_changes_hands_or_goes_is_not_found_any_more() {
        let (store, mut writer) = store::<ConfigMap>();
        let (a, b) = (id("a"), id("b"));
        writer.take(Event::Apply(child("one", &owned_by("a"), "a")));
        writer.take(Event::Apply(child("one", &owned_by("b"), "a")));
        assert!(store.of(&a, |_| true).is_empty());
        assert_eq!(names(store.of(&b, |_| true)), ["one"]);
        let gone = writer.take(Event::Delete(child("one", &owned_by("b"), "a")));
        assert_eq!(gone.unwrap().name.as_deref(), Some("one"));
        assert!(store.of(&b, |_| true).is_empty() && store.get("ns", "one").is_none());
    }

    #[tokio::test]
    async fn a_list_replaces_everything_at_its_end_and_fills_the_store() {
        let (store, mut writer) = store::<ConfigMap>();
        let a = id("a");
        writer.take(Event::Apply(child("old", &owned_by("a"), "a")));
        writer.take(Event::Init);
        writer.take(Event::InitApply(child("new", &owned_by("a"), "a")));
        assert_eq!(names(store.of(&a, |_| true)), ["old"]);
        writer.take(Event::InitDone);
        assert_eq!(names(store.of(&a, |_| true)), ["new"]);
        store.filled().await.unwrap();
    }

    #[tokio::test]
    async fn a_store_that_nobody_fills_says_so() {
        let (store, writer) = store::<ConfigMap>();
        drop(writer);
        assert!(store.filled().await.is_err());
    }
}
