//! Views: counted in batches, beside the requests that cause them.
//!
//! A read puts its view into a bounded queue and goes on. One writer takes whatever has gathered and
//! stores it, ordered by posts, in transactions of a bounded size; meanwhile others gather. A view is
//! stored with its viewer's hash and day, so that a repeated batch, or another process, counts nobody
//! twice. In a crowd readers go first: the writer rests as long as it has worked, until half of the
//! queue is full.

use super::{Store, StoreError};
use crate::board::View;
use async_trait::async_trait;
use jiff::civil::Date;
use std::{
    collections::VecDeque,
    fmt,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};
use tokio::{
    sync::mpsc::{self, Receiver, Sender},
    time::{Instant, sleep, sleep_until},
};

/// Views that wait to be counted, at most; more are not counted.
const QUEUE: usize = 50_000;
/// Views taken from the queue at once, at most. Ordered by posts, those of one post fall into as few
/// transactions as they can, each of which changes it once.
const GATHERED: usize = 8 * BATCH;
/// Views counted in one transaction, at most: few enough for the time that one may take.
const BATCH: usize = 1_024;
/// Views are taken so long after some that were not so many: a lone view does not wait, a stream of them
/// gathers.
const PACE: Duration = Duration::from_millis(50);
/// The longest rest after a transaction.
const REST: Duration = Duration::from_millis(250);
/// How long to wait after a failure before the batch is tried again.
const PATIENCE: Duration = Duration::from_secs(1);

/// Views in the database.
#[async_trait]
pub trait ViewStore {
    /// Counts those of these views (a thousand or so at most, all different, sorted) that are not counted
    /// yet; repeating it changes nothing.
    async fn record_views(&self, views: &[View]) -> Result<(), StoreError>;

    /// Forgets who viewed before this day; tells how many views that were.
    async fn purge_views(&self, before: Date) -> Result<u64, StoreError>;
}

/// The queue's entrance.
#[derive(Clone)]
pub struct Views(Arc<Entrance>);

struct Entrance {
    queue: Sender<View>,
    waiting: Waiting,
}

/// How many views are not stored yet.
#[derive(Debug, Clone, Default)]
pub struct Waiting(Arc<AtomicUsize>);

impl Waiting {
    /// The number at this moment.
    pub fn count(&self) -> usize {
        self.0.load(Ordering::Relaxed)
    }

    fn add(&self) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }

    fn take(&self, count: usize) {
        self.0.fetch_sub(count, Ordering::Relaxed);
    }
}

impl Views {
    /// A queue and its writer, which [`ViewWriter::run`] sets to work.
    pub fn new(store: Arc<dyn Store>) -> (Self, ViewWriter) {
        let (queue, views) = mpsc::channel(QUEUE);
        let waiting = Waiting::default();
        let writer = ViewWriter {
            views,
            store,
            waiting: waiting.clone(),
        };
        (Self(Arc::new(Entrance { queue, waiting })), writer)
    }

    /// Has a view counted soon; never waits. A full queue loses it, which is counted too.
    pub fn record(&self, view: View) {
        self.0.waiting.add();
        if self.0.queue.try_send(view).is_err() {
            self.0.waiting.take(1);
            metrics::counter!("views_lost_total").increment(1);
        }
    }
}

impl fmt::Debug for Views {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Views")
            .field("waiting", &self.0.waiting.count())
            .finish()
    }
}

/// The queue's exit.
pub struct ViewWriter {
    views: Receiver<View>,
    store: Arc<dyn Store>,
    waiting: Waiting,
}

impl ViewWriter {
    /// How many views wait for this writer.
    pub fn waiting(&self) -> Waiting {
        self.waiting.clone()
    }

    /// Stores views until every [`Views`] is gone and the queue is empty. What a database that is
    /// away does not take stays in the queue.
    pub async fn run(mut self) {
        let mut gathered = Vec::new();
        while self.views.recv_many(&mut gathered, GATHERED).await > 0 {
            let (begun, count) = (Instant::now(), gathered.len());
            gathered.sort_unstable();
            gathered.dedup();
            self.waiting.take(count - gathered.len());
            for batch in gathered.chunks(BATCH) {
                let begun = Instant::now();
                let lost = self.record(batch).await;
                self.waiting.take(batch.len());
                metrics::counter!("views_recorded_total").increment((batch.len() - lost) as u64);
                metrics::counter!("views_lost_total").increment(lost as u64);
                self.rest(begun.elapsed()).await;
            }
            gathered.clear();
            if count < GATHERED && !self.views.is_closed() {
                sleep_until(begun + PACE).await;
            }
        }
    }

    /// Leaves the database to the readers for as long as it was kept busy, if the queue has room and
    /// more views may come.
    async fn rest(&self, worked: Duration) {
        if self.views.len() < QUEUE / 2 && !self.views.is_closed() {
            sleep(worked.min(REST)).await;
        }
    }
}

impl ViewWriter {
    /// Stores a batch, however long the database is away. What it refuses for good (a counter at its
    /// end, say) must not keep the others waiting, nor what it cannot store now (a locked post), and what
    /// takes it too long must become less: a batch that failed is halved, and the halves wait behind the
    /// others. Tells how many views were refused, each by itself, and are lost.
    async fn record(&self, batch: &[View]) -> usize {
        let mut pieces = VecDeque::from([batch]);
        let mut lost = 0;
        while let Some(piece) = pieces.pop_front() {
            let Err(error) = self.store.record_views(piece).await else {
                continue;
            };
            let is_refused = !matches!(error, StoreError::Unavailable(_));
            if is_refused && piece.len() == 1 {
                tracing::error!(%error, "cannot count a view");
                lost += 1;
                continue;
            }
            pieces.extend(piece.chunks(piece.len().div_ceil(2)));
            if !is_refused {
                tracing::warn!(%error, views = piece.len(), "cannot count views, trying again");
                sleep(PATIENCE).await;
            }
        }
        lost
    }
}

impl fmt::Debug for ViewWriter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ViewWriter").finish_non_exhaustive()
    }
}

/// Few different lengths, so that statements with that many placeholders are prepared once each.
const LENGTHS: [usize; 9] = [256, 128, 64, 32, 16, 8, 4, 2, 1];

/// Splits into pieces of these lengths, or of `longest` where there are so many.
pub(super) fn pieces<T>(mut items: &[T], longest: usize) -> impl Iterator<Item = &[T]> {
    std::iter::from_fn(move || {
        let mut lengths = std::iter::once(longest).chain(LENGTHS);
        let length = lengths.find(|length| *length <= items.len())?;
        let (piece, rest) = items.split_at(length);
        items = rest;
        Some(piece)
    })
}

/// The items and the last of them again, up to one of these lengths (of too many, as they are): for
/// one statement instead of several.
pub(super) fn padded<T>(items: &[T]) -> Vec<&T> {
    let mut lengths = LENGTHS.into_iter().rev();
    let length = lengths.find(|length| *length >= items.len());
    let padding = length.unwrap_or_default().saturating_sub(items.len());
    let last = items.last().into_iter();
    items.iter().chain(last.cycle().take(padding)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn padding_repeats_the_last_up_to_one_of_few_lengths() {
        let padded = |length: i32| {
            padded(&(1..=length).collect::<Vec<_>>())
                .into_iter()
                .copied()
                .collect::<Vec<_>>()
        };
        assert_eq!(padded(1), [1]);
        assert_eq!(padded(3), [1, 2, 3, 3]);
        assert_eq!(
            [4, 5, 16, 17, 64].map(|length| padded(length).len()),
            [4, 8, 16, 32, 64]
        );
        assert_eq!(padded(5)[4..], [5; 4]);
        assert!(padded(0).is_empty());
    }

    #[test]
    fn pieces_have_few_lengths_and_lose_nothing() {
        let items: Vec<_> = (0..150).collect();
        let lengths = |longest| pieces(&items, longest).map(<[_]>::len).collect::<Vec<_>>();
        assert_eq!(lengths(64), [64, 64, 16, 4, 2]);
        assert_eq!(lengths(100), [100, 32, 16, 2]);
        let all = pieces(&items, 64).flatten().copied();
        assert_eq!(all.collect::<Vec<_>>(), items);
        assert_eq!(pieces::<u8>(&[], 64).count(), 0);
    }
}
