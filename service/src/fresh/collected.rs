//! One read for many who want one row each.

use super::{Abandoned, Handed, count_request, count_run, lock, survived};
use futures::{FutureExt, future::BoxFuture};
use std::{
    collections::{BTreeMap, VecDeque},
    fmt,
    sync::{Arc, Mutex},
};
use tokio::{sync::oneshot, task::yield_now};
use tracing::{Instrument, Span};

/// How much is read at once.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// Keys in one batch.
    pub keys: usize,
    /// Batches in flight.
    pub batches: usize,
}

/// Reads of single keys, collected into batches: at most so many are in flight, and the keys that are
/// asked for meanwhile go into the next. Cheap to clone.
pub struct Collected<K, V>(Arc<Inner<K, V>>);

struct Inner<K, V> {
    name: &'static str,
    limits: Limits,
    read: Box<Read<K, V>>,
    queue: Mutex<Queue<K, V>>,
}

/// Reads different keys, in order; returns a value for each, in the same order.
type Read<K, V> = dyn Fn(Vec<K>) -> BoxFuture<'static, Vec<V>> + Send + Sync;

struct Queue<K, V> {
    waiting: VecDeque<Waiting<K, V>>,
    in_flight: usize,
}

/// Somebody waits for a key whose read has not begun.
struct Waiting<K, V> {
    key: K,
    answer: oneshot::Sender<V>,
    /// Of the request.
    span: Span,
}

impl<K, V> Collected<K, V>
where
    K: Ord + Send + 'static,
    V: Clone + Send + 'static,
{
    /// Reads in this way; nothing is running yet. The name is for metrics.
    pub fn new<F>(
        name: &'static str,
        limits: Limits,
        read: impl Fn(Vec<K>) -> F + Send + Sync + 'static,
    ) -> Self
    where
        F: Future<Output = Vec<V>> + Send + 'static,
    {
        Self(Arc::new(Inner {
            name,
            limits,
            read: Box::new(move |keys| read(keys).boxed()),
            queue: Mutex::new(Queue {
                waiting: VecDeque::new(),
                in_flight: 0,
            }),
        }))
    }

    /// What a read of this key comes to that begins now or later.
    ///
    /// # Errors
    /// If that read panics, or returns no value for the key.
    pub async fn read(&self, key: K) -> Result<V, Abandoned> {
        count_request(self.0.name);
        let (answer, answered) = oneshot::channel();
        let span = Span::current();
        if let Some(batch) = self.0.enter(Waiting { key, answer, span }) {
            Handed::over(run_first(Arc::clone(&self.0), batch)).await;
        }
        answered.await.map_err(|_| Abandoned)
    }
}

impl<K: Ord, V> Inner<K, V> {
    /// Queues up; a batch to be run if one may be.
    fn enter(&self, waiting: Waiting<K, V>) -> Option<Batch<K, V>> {
        let mut queue = lock(&self.queue);
        if queue.waiting.len() == queue.waiting.capacity() {
            // Before it grows: those who have gone away are not waited for.
            queue.waiting.retain(|waiting| !waiting.answer.is_closed());
        }
        queue.waiting.push_back(waiting);
        if queue.in_flight == self.limits.batches {
            return None;
        }
        let batch = self.next_batch(&mut queue)?;
        queue.in_flight += 1;
        Some(batch)
    }

    /// Whether anybody waits when a batch has ended. If nobody does, its place is free.
    fn is_wanted(&self) -> bool {
        let mut queue = lock(&self.queue);
        let is_wanted = !queue.waiting.is_empty();
        if !is_wanted {
            queue.in_flight -= 1;
        }
        is_wanted
    }

    /// The batch to begin after one has ended. If nobody waits any more, its place is free.
    fn follow(&self) -> Option<Batch<K, V>> {
        let mut queue = lock(&self.queue);
        let batch = self.next_batch(&mut queue);
        if batch.is_none() {
            queue.in_flight -= 1;
        }
        batch
    }

    /// The keys of those who have waited longest: nobody can join them any more.
    fn next_batch(&self, queue: &mut Queue<K, V>) -> Option<Batch<K, V>> {
        let mut answers = BTreeMap::<K, Vec<oneshot::Sender<V>>>::new();
        let mut first_span = None;
        while answers.len() < self.limits.keys
            && let Some(Waiting { key, answer, span }) = queue.waiting.pop_front()
        {
            if !answer.is_closed() {
                answers.entry(key).or_default().push(answer);
                first_span.get_or_insert(span);
            }
        }
        first_span.map(|span| Batch { answers, span })
    }
}

/// A batch, and in a task of their own those that others have asked for meanwhile.
async fn run_first<K, V>(collected: Arc<Inner<K, V>>, first: Batch<K, V>)
where
    K: Ord + Send + 'static,
    V: Clone + Send + 'static,
{
    count_run(collected.name);
    first.run(&*collected.read).await;
    if collected.is_wanted() {
        tokio::spawn(run(collected));
    }
}

/// Batches, one after the other, as long as anybody waits. Before each of them all go first who can, as in
/// [`Shared`](super::Shared).
async fn run<K: Ord, V: Clone>(collected: Arc<Inner<K, V>>) {
    loop {
        yield_now().await;
        let Some(batch) = collected.follow() else {
            return;
        };
        count_run(collected.name);
        batch.run(&*collected.read).await;
    }
}

/// Keys to be read and all who wait for each.
struct Batch<K, V> {
    answers: BTreeMap<K, Vec<oneshot::Sender<V>>>,
    /// Of the request that came first.
    span: Span,
}

impl<K, V: Clone> Batch<K, V> {
    async fn run(self, read: &Read<K, V>) {
        let (keys, answers): (Vec<_>, Vec<_>) = self.answers.into_iter().unzip();
        let values = async { read(keys).await }.instrument(self.span);
        let values = survived(values).await.unwrap_or_default();
        for (value, mut answers) in values.into_iter().zip(answers) {
            let last = answers.pop();
            for answer in answers {
                // Who went away takes nothing.
                let _ = answer.send(value.clone());
            }
            if let Some(last) = last {
                let _ = last.send(value);
            }
        }
    }
}

impl<K, V> Clone for Collected<K, V> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

impl<K, V> fmt::Debug for Collected<K, V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let queue = lock(&self.0.queue);
        f.debug_struct("Collected")
            .field("name", &self.0.name)
            .field("waiting", &queue.waiting.len())
            .field("in_flight", &queue.in_flight)
            .finish()
    }
}

#[cfg(test)]
mod tests;
