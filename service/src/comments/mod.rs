//! Comment counts: kept by another service, which is asked for them behind the back of reads.
//!
//! Reads name the posts they returned ([`Comments::seen`]); a bounded queue of them is worked off by
//! a few requests at a time. After an adoption a sweep (`sweep.rs`) asks for every post once. A count is
//! written only when it was told and differs: no failure ever changes one. While the comment
//! service fails, everybody waits longer and longer before asking again (`health.rs`).

mod health;
mod recent;
mod source;
mod sweep;

pub use source::{SourceError, is_usable};

use crate::{
    board::PostId,
    store::{Store, StoreError},
};
use futures::StreamExt;
use health::Health;
use recent::Recent;
use source::Source;
use std::{
    fmt,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};
use thiserror::Error;
use tokio::{
    sync::{Semaphore, mpsc},
    time::Instant,
};
use tokio_util::sync::CancellationToken;
use url::Url;

/// Posts that wait to be asked for, at most; more are dropped: the next read names them again.
const QUEUE: usize = 4_096;
/// Requests for posts that were read, at a time.
const CONCURRENT: usize = 4;
/// Requests on behalf of callers who wait for the answer, at a time.
const ON_DEMAND: usize = 16;

/// How often the comment service is asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Pace {
    /// A post that is read is asked for again after this long.
    pub interval: Duration,
    /// A request that takes longer has failed.
    pub patience: Duration,
    /// The first pause when the service fails repeatedly; it doubles from there.
    pub pause: Duration,
    /// The longest pause.
    pub longest_pause: Duration,
    /// How often the sweep looks whether an adoption has finished.
    pub look: Duration,
}

impl Default for Pace {
    fn default() -> Self {
        Self {
            interval: Duration::from_secs(30),
            patience: Duration::from_secs(3),
            pause: Duration::from_secs(1),
            longest_pause: Duration::from_mins(1),
            look: Duration::from_secs(30),
        }
    }
}

/// Why a count was not refreshed.
#[derive(Debug, Error)]
pub enum RefreshError {
    /// No visible post has this id.
    #[error("there is no such post")]
    NoPost,
    /// There is no comment service to ask.
    #[error("COMMENT_SERVICE_URL is not set")]
    NotConfigured,
    /// The comment service did not tell; the stored count stays.
    #[error("the comment service: {0}")]
    Source(#[from] SourceError),
    /// The store.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Refreshes comment counts. Cheap to clone.
#[derive(Clone)]
pub struct Comments {
    store: Arc<dyn Store>,
    refresher: Option<Arc<Refresher>>,
}

impl Comments {
    /// Without a comment service: counts stay as they are.
    pub fn unconfigured(store: Arc<dyn Store>) -> Self {
        let refresher = None;
        Self { store, refresher }
    }

    /// Asks the comment service at this URL, in the background until `stop`.
    pub fn start(
        store: Arc<dyn Store>,
        url: Url,
        pace: Pace,
        stop: &CancellationToken,
    ) -> Result<Self, reqwest::Error> {
        let (queue, waiting) = mpsc::channel(QUEUE);
        let refresher = Arc::new(Refresher {
            store: Arc::clone(&store),
            source: Source::new(url, pace.patience)?,
            pace,
            queue,
            recent: Mutex::new(Recent::new(pace.interval)),
            health: Mutex::new(Health::new(pace.pause, pace.longest_pause)),
            on_demand: Semaphore::new(ON_DEMAND),
        });
        let work = Arc::clone(&refresher).work_off(waiting);
        tokio::spawn(stop.clone().run_until_cancelled_owned(work));
        let sweep = sweep::run(Arc::clone(&refresher));
        tokio::spawn(stop.clone().run_until_cancelled_owned(sweep));
        let refresher = Some(refresher);
        Ok(Self { store, refresher })
    }

    /// Posts that a read returned: their counts are asked for soon, each at most once in
    /// [`Pace::interval`]. Never waits; what finds the queue full is left to a later read.
    pub fn seen<'a>(&self, ids: impl IntoIterator<Item = &'a PostId>) {
        let Some(refresher) = &self.refresher else {
            return;
        };
        let now = Instant::now();
        let mut recent = lock(&refresher.recent);
        for id in ids {
            if recent.contains(id, now) {
                continue;
            }
            let Ok(place) = refresher.queue.try_reserve() else {
                metrics::counter!("comment_count_refreshes_dropped_total").increment(1);
                return;
            };
            recent.insert(id, now);
            place.send(id.clone());
        }
    }

    /// Asks for this post's count now and stores it.
    pub async fn refresh(&self, id: &PostId) -> Result<u32, RefreshError> {
        // Before the comment service is bothered with ids that somebody made up.
        if self.store.comment_count(id).await?.is_none() {
            return Err(RefreshError::NoPost);
        }
        match &self.refresher {
            Some(refresher) => refresher.refresh_on_demand(id).await,
            None => Err(RefreshError::NotConfigured),
        }
    }
}

impl fmt::Debug for Comments {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let url = self.refresher.as_ref().map(|r| r.source.url().as_str());
        f.debug_struct("Comments")
            .field("url", &url)
            .finish_non_exhaustive()
    }
}

/// What works in the background, and what it works with.
struct Refresher {
    store: Arc<dyn Store>,
    source: Source,
    pace: Pace,
    queue: mpsc::Sender<PostId>,
    recent: Mutex<Recent>,
    health: Mutex<Health>,
    on_demand: Semaphore,
}

impl Refresher {
    /// Refreshes what is queued, for ever.
    async fn work_off(self: Arc<Self>, mut waiting: mpsc::Receiver<PostId>) {
        futures::stream::poll_fn(move |context| waiting.poll_recv(context))
            .for_each_concurrent(CONCURRENT, |id| {
                let refresher = Arc::clone(&self);
                async move {
                    refresher.wait_until_healthy().await;
                    if let Err(error) = refresher.refresh(&id).await {
                        tracing::debug!(%id, %error, "comment count not refreshed");
                    }
                }
            })
            .await;
    }

    /// Waits while the comment service is given a rest.
    async fn wait_until_healthy(&self) {
        loop {
            let resume_at = lock(&self.health).resume_at(Instant::now());
            match resume_at {
                Some(instant) => tokio::time::sleep_until(instant).await,
                None => return,
            }
        }
    }

    /// Like [`Self::refresh`], but few at a time; who waits too long for a turn is told so.
    async fn refresh_on_demand(&self, id: &PostId) -> Result<u32, RefreshError> {
        let turn = tokio::time::timeout(self.pace.patience, self.on_demand.acquire()).await;
        let Ok(Ok(_turn)) = turn else {
            return Err(SourceError::Busy.into());
        };
        self.refresh(id).await
    }

    /// Asks for a post's count and stores it where it differs.
    async fn refresh(&self, id: &PostId) -> Result<u32, RefreshError> {
        let told = self.source.count(id).await;
        self.judge(&told);
        let count = told?;
        if self.store.set_comment_count(id, count).await? {
            Ok(count)
        } else {
            Err(RefreshError::NoPost)
        }
    }

    /// Remembers how the comment service does.
    fn judge(&self, told: &Result<u32, SourceError>) {
        let outcome = match told {
            Ok(_) => "ok",
            Err(error) => error.kind(),
        };
        metrics::counter!("comment_count_refreshes_total", "result" => outcome).increment(1);
        let mut health = lock(&self.health);
        match told {
            Ok(_) => {
                if health.succeeded() {
                    tracing::info!("the comment service answers again");
                }
            }
            Err(error) if error.concerns_one_post() => {}
            Err(error) => {
                if health.failed(Instant::now()) {
                    tracing::warn!(%error, "the comment service fails: comment counts stay as they are");
                }
            }
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
