//! Slow reads of the outside world (registry, database), done beside the passes.
//!
//! A pass never waits for them: it uses the latest answer, and is called again when a new one
//! differs from it.

use std::collections::{HashMap, HashSet};
use std::future::Future;
use std::hash::Hash;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use kube_runtime::reflector::ObjectRef;
use tokio::sync::{Semaphore, mpsc};

use crate::api::v1alpha1::PostService;

/// Calls a `PostService`'s next pass.
pub type Wake = mpsc::UnboundedSender<ObjectRef<PostService>>;

/// Reads under way at once.
const CONCURRENCY: usize = 32;
/// Answers nobody asked for during this time are forgotten.
const FORGET_AFTER: Duration = Duration::from_mins(30);
/// How often such answers are looked for.
const SWEEP_EVERY: Duration = Duration::from_mins(1);

/// The latest answer `A` to each question `Q`.
pub struct Observer<Q, A> {
    slots: Mutex<Slots<Q, A>>,
    permits: Semaphore,
    wake: Wake,
}

struct Slots<Q, A> {
    by_question: HashMap<Q, Slot<A>>,
    swept: Instant,
}

impl<Q, A> Slots<Q, A> {
    /// Forgets what nobody asks for. Not at each question: it looks at all of them.
    fn sweep(&mut self, now: Instant) {
        if now - self.swept < SWEEP_EVERY {
            return;
        }
        self.swept = now;
        self.by_question
            .retain(|_, slot| slot.in_flight || now - slot.asked < FORGET_AFTER);
    }
}

struct Slot<A> {
    answer: Option<A>,
    answered: Instant,
    asked: Instant,
    in_flight: bool,
    /// Something happened that the answer, or the one on its way, may not know of.
    outdated: bool,
    interested: HashSet<ObjectRef<PostService>>,
}

impl<Q, A> Observer<Q, A>
where
    Q: Clone + Eq + Hash + Send + 'static,
    A: Clone + PartialEq + Send + 'static,
{
    /// An observer that calls passes by `wake`.
    pub fn new(wake: Wake) -> Arc<Self> {
        Arc::new(Self {
            slots: Mutex::new(Slots {
                by_question: HashMap::new(),
                swept: Instant::now(),
            }),
            permits: Semaphore::new(CONCURRENCY),
            wake,
        })
    }

    /// The latest answer to `question`, if any; when there is none, or `max_age` says that it is
    /// too old, `read` is started (once for all who ask) and `who` is called after it.
    pub fn ask<F>(
        self: &Arc<Self>,
        question: &Q,
        who: &ObjectRef<PostService>,
        max_age: impl Fn(&A) -> Duration,
        read: impl FnOnce() -> F,
    ) -> Option<A>
    where
        F: Future<Output = A> + Send + 'static,
    {
        let now = Instant::now();
        let mut slots = self.slots.lock().unwrap_or_else(PoisonError::into_inner);
        slots.sweep(now);
        let slot = slots
            .by_question
            .entry(question.clone())
            .or_insert_with(|| Slot {
                answer: None,
                answered: now,
                asked: now,
                in_flight: false,
                outdated: false,
                interested: HashSet::new(),
            });
        slot.asked = now;
        if !slot.interested.contains(who) {
            slot.interested.insert(who.clone());
        }
        let fresh = !slot.outdated
            && slot
                .answer
                .as_ref()
                .is_some_and(|a| now - slot.answered < max_age(a));
        if !fresh && !slot.in_flight {
            slot.in_flight = true;
            slot.outdated = false;
            tokio::spawn(self.clone().refresh(question.clone(), read()));
        }
        slot.answer.clone()
    }

    /// The latest answer to `question`, if any; nothing is asked.
    pub fn latest(&self, question: &Q) -> Option<A> {
        let slots = self.slots.lock().unwrap_or_else(PoisonError::into_inner);
        slots.by_question.get(question)?.answer.clone()
    }

    /// Has questions of this kind asked again, by the passes of those who asked them, at once.
    pub fn outdate(&self, concerned: impl Fn(&Q) -> bool) {
        let mut slots = self.slots.lock().unwrap_or_else(PoisonError::into_inner);
        for (question, slot) in &mut slots.by_question {
            if concerned(question) {
                slot.outdated = true;
                self.call(&slot.interested);
            }
        }
    }

    fn call<'a>(&self, all: impl IntoIterator<Item = &'a ObjectRef<PostService>>) {
        for who in all {
            // The controller has ended when nobody receives: there is no pass to call.
            let _ = self.wake.send(who.clone());
        }
    }

    async fn refresh<F>(self: Arc<Self>, question: Q, read: F)
    where
        F: Future<Output = A> + Send + 'static,
    {
        let permit = self.permits.acquire().await;
        let answer = read.await;
        drop(permit);
        let mut slots = self.slots.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(slot) = slots.by_question.get_mut(&question) else {
            return;
        };
        let called_for = slot.outdated || slot.answer.as_ref() != Some(&answer);
        slot.answer = Some(answer);
        slot.answered = Instant::now();
        slot.in_flight = false;
        if called_for {
            // Who still wants to know asks again.
            self.call(&std::mem::take(&mut slot.interested));
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;

    fn who() -> ObjectRef<PostService> {
        ObjectRef::new("post-service").within("post-service")
    }

    #[tokio::test]
    async fn the_first_question_is_answered_later_and_wakes_the_asker_once() {
        let (wake, mut woken) = mpsc::unbounded_channel();
        let observer = Observer::<&str, u32>::new(wake);
        let reads = Arc::new(AtomicUsize::new(0));
        let ask = |max_age: Duration| {
            let reads = reads.clone();
            observer.ask(
                &"tag",
                &who(),
                |_| max_age,
                move || async move {
                    reads.fetch_add(1, Ordering::SeqCst);
                    7
                },
            )
        };
        assert_eq!(ask(Duration::from_mins(1)), None);
        assert_eq!(woken.recv().await, Some(who()));
        assert_eq!(ask(Duration::from_mins(1)), Some(7));
        assert_eq!(reads.load(Ordering::SeqCst), 1);
    }

    #[tokio::test]
    async fn an_outdated_answer_is_asked_again_by_those_who_wait_for_it() {
        let (wake, mut woken) = mpsc::unbounded_channel();
        let observer = Observer::<&str, usize>::new(wake);
        let reads = Arc::new(AtomicUsize::new(0));
        let ask = || {
            let reads = reads.clone();
            let read = || async move { reads.fetch_add(1, Ordering::SeqCst) };
            observer.ask(&"listing", &who(), |_| Duration::from_hours(1), read)
        };
        assert_eq!(ask(), None);
        assert_eq!(woken.recv().await, Some(who()));
        assert_eq!(ask(), Some(0));
        observer.outdate(|question| *question == "another");
        observer.outdate(|question| *question == "listing");
        assert_eq!(woken.recv().await, Some(who()));
        assert_eq!(ask(), Some(0));
        // Outdated while the answer is on its way: it is called for once more.
        observer.outdate(|_| true);
        assert_eq!(woken.recv().await, Some(who()));
        assert_eq!(woken.recv().await, Some(who()));
        assert_eq!(observer.latest(&"listing"), Some(1));
        ask();
        assert_eq!(woken.recv().await, Some(who()));
        assert_eq!(observer.latest(&"listing"), Some(2));
        assert!(woken.try_recv().is_err());
    }
}
