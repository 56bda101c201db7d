//! Follows an object until there is a verdict, the time is over, or somebody presses Ctrl-C.

use std::time::Duration;

use futures::StreamExt as _;
use k8s_openapi::jiff::Timestamp;
use kube_runtime::utils::Backoff;
use kube_runtime::{WatchStreamExt as _, watcher};
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::time::Instant;

use super::progress::Progress;
use super::stage::{Stage, stage};
use super::verdict::{Cause, Judgement, Question, judge};
use crate::api::v1alpha1::PostService;
use crate::cli::connection::{Connection, Trouble};

/// How long something may look failed that often mends itself: the image of a pipeline that deploys
/// right after its push, a right that an API server has not heard of yet.
const PATIENCE: Duration = Duration::from_secs(30);
/// How long the operator may take to look at a retry of which nothing comes.
const UNCHANGED: Duration = Duration::from_secs(10);
/// How long the operator may be silent before that is said.
const SILENCE: Duration = Duration::from_secs(30);
/// Bad answers within such a time of each other belong together: a connection that nobody takes is
/// one after 10 s.
const SERIES: Duration = Duration::from_secs(15);
/// Pause between attempts to watch.
const PAUSE: Duration = Duration::from_secs(1);

/// How the waiting ended.
#[derive(Debug)]
pub enum Ended {
    /// `Ready`, `Failed` or `Superseded`.
    Judged(Judgement),
    /// The time was over, in this stage.
    TimedOut(String),
    /// Somebody pressed Ctrl-C.
    Interrupted,
    /// Something is in the way.
    Trouble(Trouble),
}

/// What was seen last, and what it was.
pub struct Followed {
    /// How it ended.
    pub ended: Ended,
    /// The object as it was seen last.
    pub service: PostService,
}

/// Follows `service` until `question` is answered, until `deadline` at most.
pub async fn follow(
    connection: &Connection,
    service: PostService,
    mut question: Question,
    deadline: Instant,
    progress: &mut Progress,
) -> Followed {
    let mut interrupt = Interrupt::listen();
    let mut watch = Watch::new(service);
    let mut objects = watcher::watch_object(connection.services.clone(), &connection.name)
        .backoff(EverySecond)
        .boxed();
    let ended = loop {
        if let Some(ended) = watch.look(&mut question, progress) {
            break ended;
        }
        tokio::select! {
            biased;
            () = interrupt.pressed() => break Ended::Interrupted,
            () = tokio::time::sleep_until(deadline) => {
                break Ended::TimedOut(progress.last().to_owned());
            }
            seen = objects.next() => {
                if let Some(ended) = watch.hear(seen, connection, progress) {
                    break ended;
                }
            }
            () = tokio::time::sleep(watch.rest(progress)) => {}
        }
    };
    progress.end();
    Followed {
        ended,
        service: watch.service,
    }
}

/// Ctrl-C, heard from the moment on at which this is made.
struct Interrupt(Option<Signal>);

impl Interrupt {
    fn listen() -> Self {
        Self(signal(SignalKind::interrupt()).ok())
    }

    async fn pressed(&mut self) {
        match &mut self.0 {
            Some(signal) => _ = signal.recv().await,
            // Then it ends the process.
            None => std::future::pending().await,
        }
    }
}

/// What has been seen so far.
struct Watch {
    service: PostService,
    began: Instant,
    /// What looks failed, and since when.
    doubt: Option<(Cause, Instant)>,
    /// The first and the last of a series of bad answers of the API server.
    deaf: Option<(Instant, Instant)>,
    said_silence: bool,
}

impl Watch {
    fn new(service: PostService) -> Self {
        Self {
            service,
            began: Instant::now(),
            doubt: None,
            deaf: None,
            said_silence: false,
        }
    }

    /// Judges what was seen last, and shows it where that decides nothing.
    fn look(&mut self, question: &mut Question, progress: &mut Progress) -> Option<Ended> {
        let other = question.notice(&self.service.spec.image);
        let judgement = judge(&self.service, question);
        let doubted = match &judgement {
            Judgement::Doubtful(cause) => Some((cause.clone(), PATIENCE)),
            Judgement::AsBefore(_) => Some((Cause::new("AsBefore", ""), UNCHANGED)),
            Judgement::Undecided => None,
            _ => return Some(Ended::Judged(judgement)),
        };
        let over = self.doubts(doubted);
        if over {
            return Some(Ended::Judged(match judgement {
                Judgement::Doubtful(cause) => Judgement::Failed(cause),
                Judgement::AsBefore(same) => *same,
                other => other,
            }));
        }
        if !self.is_deaf() {
            self.show(&judgement, other, progress);
        }
        None
    }

    /// A watch that goes on after bad answers says nothing until something changes.
    fn is_deaf(&self) -> bool {
        self.deaf.is_some_and(|(_, last)| last.elapsed() < SERIES)
    }

    fn show(&mut self, judgement: &Judgement, other: Option<Cause>, progress: &mut Progress) {
        let mut stage = stage(&self.service, Timestamp::now());
        if let Some(other) = other {
            stage.line = format!("waiting until that is asked for: {}", other.message);
        }
        if matches!(judgement, Judgement::AsBefore(_)) {
            "waiting for the operator to take it up".clone_into(&mut stage.line);
        }
        let silent = stage.clock.is_none() && self.is_unseen();
        if silent && !self.said_silence && self.began.elapsed() >= SILENCE {
            self.said_silence = true;
            progress.note(
                "the operator has not looked at it yet: is it running? (`kubectl get pods -A -l app.kubernetes.io/name=post-operator`)",
            );
        }
        progress.show(&stage);
    }

    /// The operator has not spoken of the present spec.
    fn is_unseen(&self) -> bool {
        let observed = self.service.status.as_ref();
        observed.and_then(|status| status.observed_generation) < self.service.metadata.generation
    }

    /// Whether the same doubt has lasted for its time.
    fn doubts(&mut self, doubted: Option<(Cause, Duration)>) -> bool {
        let Some((cause, patience)) = doubted else {
            self.doubt = None;
            return false;
        };
        let known = self
            .doubt
            .take()
            .filter(|(known, _)| known.reason == cause.reason);
        let since = known.map_or_else(Instant::now, |(_, since)| since);
        self.doubt = Some((cause, since));
        since.elapsed() >= patience
    }

    /// Takes in what the watch says.
    fn hear(
        &mut self,
        seen: Option<watcher::Result<Option<PostService>>>,
        connection: &Connection,
        progress: &mut Progress,
    ) -> Option<Ended> {
        match seen {
            Some(Ok(Some(service))) => {
                self.deaf = None;
                self.service = service;
                None
            }
            Some(Ok(None)) => {
                let cause = Cause::new("Deleted", "it was deleted");
                Some(Ended::Judged(Judgement::Failed(cause)))
            }
            Some(Err(error)) => self.miss(connection.trouble_of_watch(error)?, progress),
            None => Some(Ended::TimedOut(progress.last().to_owned())),
        }
    }

    /// Bears that the API server gives no good answer, for a while where waiting does not help.
    fn miss(&mut self, trouble: Trouble, progress: &mut Progress) -> Option<Ended> {
        let (first, now) = (self.deaf.filter(|_| self.is_deaf()), Instant::now());
        let since = first.map_or(now, |(first, _)| first);
        self.deaf = Some((since, now));
        if trouble.is_lasting() && since.elapsed() >= PATIENCE {
            return Some(Ended::Trouble(trouble));
        }
        let line = match trouble {
            Trouble::Unreachable { server, why } => {
                format!("{server} does not answer ({why}): tried again every second")
            }
            other => format!("{other} (tried again)"),
        };
        progress.show(&Stage { line, clock: None });
        None
    }

    /// How long nothing needs to be looked at, if nothing is heard.
    fn rest(&self, progress: &Progress) -> Duration {
        let is_timed =
            progress.is_living() || self.doubt.is_some() || self.deaf.is_some() || self.is_unseen();
        if is_timed { PAUSE } else { PATIENCE }
    }
}

/// An API server that comes back is noticed at once.
struct EverySecond;

impl Iterator for EverySecond {
    type Item = Duration;

    fn next(&mut self) -> Option<Duration> {
        Some(PAUSE)
    }
}

impl Backoff for EverySecond {
    fn reset(&mut self) {}
}
