//! One read for all who want the same.

use super::{Abandoned, Handed, count_request, count_run, lock, survived};
use futures::{FutureExt, future::BoxFuture};
use std::{
    collections::{HashMap, hash_map::Entry},
    fmt,
    hash::Hash,
    sync::{Arc, Mutex},
};
use tokio::{sync::watch, task::yield_now};
use tracing::{Instrument, Span};

/// Reads by key: of each key at most one runs, and those who ask meanwhile share the next.
///
/// A key is known as long as somebody waits for it, so that there are never more of them than
/// requests. Cheap to clone.
pub struct Shared<K, V> {
    name: &'static str,
    keys: Keys<K, V>,
}

/// The keys of which a read runs, and the read that begins when that one ends, if anybody waits.
type Keys<K, V> = Arc<Mutex<HashMap<K, Option<Batch<V>>>>>;

/// What a read will have come to.
type Answer<V> = watch::Receiver<Option<V>>;

/// A read that has not begun, for all who have joined it.
struct Batch<V> {
    read: BoxFuture<'static, V>,
    answer: watch::Sender<Option<V>>,
}

impl<K, V> Shared<K, V>
where
    K: Clone + Eq + Hash + Send + 'static,
    V: Clone + Send + Sync + 'static,
{
    /// Nothing is running yet. The name is for metrics.
    pub fn new(name: &'static str) -> Self {
        Self {
            name,
            keys: Arc::default(),
        }
    }

    /// What a read of this key comes to that begins now or later. Who finds no read to join makes
    /// one by `begin`, which must read what the key says and nothing else; or may answer at once that
    /// nothing can be read, so that nobody waits for it.
    ///
    /// # Errors
    /// If that read panics.
    pub async fn read<F>(
        &self,
        key: K,
        begin: impl FnOnce() -> Result<F, V>,
    ) -> Result<V, Abandoned>
    where
        F: Future<Output = V> + Send + 'static,
    {
        count_request(self.name);
        let (mut answer, own) = match self.join(key, begin) {
            Ok(joined) => joined,
            Err(answer) => return Ok(answer),
        };
        if let Some(own) = own {
            own.await;
        }
        let answer = answer.wait_for(Option::is_some).await;
        answer
            .ok()
            .and_then(|answer| answer.clone())
            .ok_or(Abandoned)
    }

    /// Where the answer will be; and the read, if it begins now.
    fn join<F>(
        &self,
        key: K,
        begin: impl FnOnce() -> Result<F, V>,
    ) -> Result<(Answer<V>, Option<Handed>), V>
    where
        F: Future<Output = V> + Send + 'static,
    {
        let mut keys = lock(&self.keys);
        Ok(match keys.entry(key) {
            Entry::Occupied(mut running) => match running.get_mut() {
                Some(next) => (next.answer.subscribe(), None),
                none => {
                    let (next, answer) = Batch::new(begin()?);
                    *none = Some(next);
                    (answer, None)
                }
            },
            Entry::Vacant(idle) => {
                let (first, answer) = Batch::new(begin()?);
                let (keys, key) = (Arc::clone(&self.keys), idle.key().clone());
                let own = Handed::over(run_first(self.name, keys, key, first));
                idle.insert(None);
                (answer, Some(own))
            }
        })
    }
}

/// The first read of a key, and in a task of their own those that others have asked for meanwhile.
async fn run_first<K, V>(name: &'static str, keys: Keys<K, V>, key: K, first: Batch<V>)
where
    K: Eq + Hash + Send + 'static,
    V: Send + Sync + 'static,
{
    count_run(name);
    first.run().await;
    if is_wanted(&keys, &key) {
        tokio::spawn(run(name, keys, key));
    }
}

/// Reads of one key, one after the other, as long as anybody asks. Before each of them all go first who can:
/// who has just been answered may ask again, and whose request has arrived may join.
async fn run<K, V>(name: &'static str, keys: Keys<K, V>, key: K)
where
    K: Eq + Hash,
{
    loop {
        yield_now().await;
        let Some(batch) = take_next(&keys, &key) else {
            return;
        };
        count_run(name);
        batch.run().await;
    }
}

/// Whether somebody waits for the next read. If nobody does, the key is forgotten.
fn is_wanted<K, V>(keys: &Keys<K, V>, key: &K) -> bool
where
    K: Eq + Hash,
{
    let mut keys = lock(keys);
    let is_wanted = keys.get(key).is_some_and(Option::is_some);
    if !is_wanted {
        keys.remove(key);
    }
    is_wanted
}

/// The read to begin now: nobody can join it any more. Without one the key is forgotten.
fn take_next<K, V>(keys: &Keys<K, V>, key: &K) -> Option<Batch<V>>
where
    K: Eq + Hash,
{
    let mut keys = lock(keys);
    let next = keys.get_mut(key).and_then(Option::take);
    if next.is_none() {
        keys.remove(key);
    }
    next
}

impl<V> Batch<V> {
    fn new(read: impl Future<Output = V> + Send + 'static) -> (Self, Answer<V>)
    where
        V: Send,
    {
        let (answer, waiting) = watch::channel(None);
        let read = read.instrument(Span::current()).boxed();
        (Self { read, answer }, waiting)
    }

    /// Reads for those who have joined; stops when none of them waits any more.
    async fn run(self) {
        let answer = tokio::select! {
            biased;
            answer = survived(self.read) => answer,
            () = self.answer.closed() => None,
        };
        if answer.is_some() {
            self.answer.send_replace(answer);
        }
    }
}

impl<K, V> Clone for Shared<K, V> {
    fn clone(&self) -> Self {
        Self {
            name: self.name,
            keys: Arc::clone(&self.keys),
        }
    }
}

impl<K, V> fmt::Debug for Shared<K, V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Shared")
            .field("name", &self.name)
            .field("running", &lock(&self.keys).len())
            .finish()
    }
}

#[cfg(test)]
mod tests;
