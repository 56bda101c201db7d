//! The rollout as a pure state machine: (memory, seen) → memory.
//!
//! Its whole memory is in the cluster: `.status.rollout`, `.status.quarantine` and the
//! `ControllerRevisions` that they name. A pass writes the new memory first and acts on it then, so
//! that a process killed between any two writes is followed by one that does the same.
//!
//! *current* is the revision that the Deployment is told to run, *good* the last one that went
//! through its trial, *pending* the one on its way, *target* what shall run: what the spec asks for,
//! or, where that is in quarantine, the last good image with the present secret values.
//!
//! | Step        | When                                                | Then                                   | To            |
//! |-------------|-----------------------------------------------------|----------------------------------------|---------------|
//! | `Idle`        | target ≠ current, may begin                         | pending = target                       | `Migrating`     |
//! | `Migrating`   | target ≠ pending, or held                           | pending is dropped                     | `Idle` ¹        |
//! | `Migrating`   | pending's migration succeeded, old pods serve       | current = pending                      | `Baking`        |
//! | `Migrating`   | the same; nothing serves, nothing is good yet, or no bake is asked for | current = pending   | `RollingOut`    |
//! | `Baking`      | trial passed                                        |                                        | `RollingOut`    |
//! | `Baking`      | target ≠ pending, may begin                         | superseded; current = good             | `RollingBack`   |
//! | `RollingOut`  | every pod runs current                              | good = current                         | `Idle`          |
//! | `RollingOut`  | target = good                                       | superseded; current = good             | `RollingBack`   |
//! | `RollingOut`  | another target, may begin                           | superseded; current stays, pending = target | `Migrating` |
//! | `Baking`, `RollingOut`, `Migrating` ² | trial failed, `rollback`, a good one is known | quarantine; current = good | `RollingBack` ³ |
//! | `RollingBack` | every pod runs current                              |                                        | `Idle`          |
//! | `RollingBack` | target ≠ current, may begin                         | pending = target                       | `Migrating`     |
//!
//! ¹ or `RollingOut` of what the Deployment runs, where that is not the good one.
//! ² of what the Deployment runs, while something else migrates. ³ or `Migrating`, in that case.
//! *May begin*: Secrets and database are ready and `rollout.hold` is not set; a first rollout is not
//! held, and neither is the return to the good revision.
//!
//! While the trial is paused (see [`super::trial`]) its clocks stand still.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use k8s_openapi::jiff::Timestamp;

use super::quarantine::{Ask, Quarantine};
use super::trial::{Evidence, Trial};
use crate::api::v1alpha1::{
    HistoryEntry, PostServiceStatus, RolloutResult, RolloutStatus, RolloutStep,
};
use crate::registry::Digest;

/// Rollouts that `.status.history` remembers.
const HISTORY: usize = 5;
/// A pass brings the machine to rest: no chain of transitions is longer.
const LONGEST_CHAIN: usize = 8;

/// A revision, as the machine knows it.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Candidate {
    /// Hash of image, template inputs and secret values.
    pub id: String,
    /// Its image.
    pub digest: Digest,
    /// The tag by which the image was found.
    pub tag: Option<String>,
    /// When the image was pushed.
    pub pushed_at: Option<Timestamp>,
}

/// What is remembered from pass to pass.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct Memory {
    /// Step of the machine.
    pub step: RolloutStep,
    /// When the rollout began.
    pub started_at: Option<Timestamp>,
    /// When it last came nearer to its end.
    pub progress_at: Option<Timestamp>,
    /// Since when its clocks stand still.
    pub paused_at: Option<Timestamp>,
    /// What the Deployment is told to run.
    pub current: Option<Candidate>,
    /// What to return to.
    pub good: Option<Candidate>,
    /// What is on its way.
    pub pending: Option<Candidate>,
    /// What is not tried again by itself.
    pub quarantine: Quarantine,
    /// The last rollouts, newest first.
    pub history: Vec<HistoryEntry>,
    /// Generation of the spec that the pass before knew.
    pub asked: Option<i64>,
}

/// What a pass knows.
#[derive(Clone, Debug)]
pub struct Seen {
    /// What shall run, see [`target`]; `None`: unknown.
    pub target: Option<Candidate>,
    /// Who asked for it.
    pub ask: Ask,
    /// `rollout.hold`.
    pub hold: bool,
    /// `rollout.rollback`.
    pub rollback: bool,
    /// Whether a first pod has its trial alone.
    pub bake: bool,
    /// Secrets and database are ready.
    pub ready: bool,
    /// The target's migration succeeded, or none is asked for.
    pub migrated: bool,
    /// Pods serve.
    pub serving: bool,
    /// What is to be seen of the current revision's pods.
    pub judged: Option<Judged>,
    /// Time of the pass.
    pub now: Timestamp,
}

/// What is to be seen of a revision's pods.
#[derive(Clone, Debug)]
pub struct Judged {
    /// The revision.
    pub id: String,
    /// How its pods do.
    pub trial: Trial,
    /// The Deployment runs it, and nothing else, with as many pods as are asked for.
    pub complete: bool,
    /// When it last came nearer to that.
    pub progress_at: Option<Timestamp>,
}

/// What shall run: `wanted`, unless it is in quarantine; then `fallback`, the last good image and
/// settings with the present secret values.
pub fn target(
    memory: &Memory,
    ask: &Ask,
    wanted: Option<&Candidate>,
    fallback: Option<&Candidate>,
) -> Option<Candidate> {
    let wanted = wanted?;
    let is_free = |candidate: &&Candidate| !memory.quarantine.blocks(candidate, ask);
    Some(wanted)
        .filter(is_free)
        .or_else(|| fallback.filter(is_free))
        .or(memory.good.as_ref())
        .cloned()
}

/// The memory after a pass. Total, and at rest: with the same arguments it would not change again.
pub fn next(memory: &Memory, seen: &Seen) -> Memory {
    let mut memory = memory.clone();
    for _ in 0..LONGEST_CHAIN {
        let before = memory.clone();
        memory.judge(seen);
        memory.follow(seen);
        memory.begin(seen);
        memory.go_on(seen);
        if memory == before {
            break;
        }
    }
    memory.keep_time(seen);
    memory.asked = seen.ask.generation;
    memory
}

impl Memory {
    /// Whether what the Deployment runs has gone through its trial, or nothing runs.
    pub fn is_proven(&self) -> bool {
        self.current.is_none() || is_same(self.current.as_ref(), self.good.as_ref())
    }

    /// What is to be seen of the present revision.
    fn judged<'a>(&self, seen: &'a Seen) -> Option<&'a Judged> {
        let current = self.current.as_ref()?;
        seen.judged
            .as_ref()
            .filter(|judged| judged.id == current.id)
    }

    /// Ends the trial of what the Deployment runs.
    fn judge(&mut self, seen: &Seen) {
        let Some(judged) = self.judged(seen) else {
            return;
        };
        if judged.complete && self.step == RolloutStep::RollingBack {
            self.step = RolloutStep::Idle;
        }
        if self.is_proven() {
            return;
        }
        match &judged.trial {
            Trial::Failed(evidence) if seen.rollback && self.good.is_some() => {
                self.roll_back(evidence, seen);
            }
            Trial::Failed(_) => {}
            _ if judged.complete && self.step != RolloutStep::Baking => self.succeed(seen),
            _ => {}
        }
    }

    fn roll_back(&mut self, evidence: &Evidence, seen: &Seen) {
        let (Some(failed), Some(good)) = (self.current.take(), self.good.clone()) else {
            return;
        };
        // A spec that asks for something else since this pass has not asked for what failed.
        let ask = Ask {
            generation: if is_same(seen.target.as_ref(), Some(&failed)) {
                seen.ask.generation
            } else {
                self.asked
            },
            ..seen.ask.clone()
        };
        self.quarantine.add(&failed, &good, evidence, ask, seen.now);
        self.remember(&failed, RolloutResult::RolledBack, seen);
        self.current = Some(good);
        if is_same(self.pending.as_ref(), Some(&failed)) {
            self.pending = None;
            self.step = RolloutStep::RollingBack;
        }
    }

    fn succeed(&mut self, seen: &Seen) {
        self.good.clone_from(&self.current);
        if let Some(done) = self.current.clone() {
            self.quarantine.release(&done);
            self.remember(&done, RolloutResult::Succeeded, seen);
        }
        if is_same(self.pending.as_ref(), self.current.as_ref()) || self.pending.is_none() {
            self.pending = None;
            self.step = RolloutStep::Idle;
        }
    }

    /// What shall run. Not what a verdict of this very pass has put in quarantine.
    fn target<'a>(&self, seen: &'a Seen) -> Option<&'a Candidate> {
        let target = seen.target.as_ref()?;
        let is_good = is_same(self.good.as_ref(), Some(target));
        (is_good || !self.quarantine.blocks(target, &seen.ask)).then_some(target)
    }

    /// Something else is wanted than what is on its way.
    fn follow(&mut self, seen: &Seen) {
        let Some(target) = self.target(seen) else {
            return;
        };
        let changed = self.pending.is_some() && !is_same(self.pending.as_ref(), Some(target));
        match self.step {
            RolloutStep::Migrating if changed || !self.is_free(target, seen) => {
                self.pending = None;
                self.rest();
            }
            RolloutStep::Baking | RolloutStep::RollingOut
                if changed && self.may_begin(target, seen) =>
            {
                self.pending = None;
                let back = is_same(self.good.as_ref(), Some(target));
                if self.good.is_some() && (back || self.step == RolloutStep::Baking) {
                    self.supersede(seen);
                    self.current.clone_from(&self.good);
                    self.step = RolloutStep::RollingBack;
                } else {
                    self.pending = Some(target.clone());
                    self.migrate(seen);
                }
            }
            _ => {}
        }
    }

    /// What the Deployment runs will not end its trial.
    fn supersede(&mut self, seen: &Seen) {
        if !self.is_proven()
            && let Some(superseded) = self.current.take()
        {
            self.remember(&superseded, RolloutResult::Superseded, seen);
        }
    }

    /// With nothing on its way: what the Deployment runs must still go through its trial, or not.
    fn rest(&mut self) {
        if self.is_proven() {
            self.step = RolloutStep::Idle;
        } else {
            self.pending.clone_from(&self.current);
            self.step = RolloutStep::RollingOut;
        }
    }

    fn begin(&mut self, seen: &Seen) {
        let Some(target) = self.target(seen) else {
            return;
        };
        let is_there = is_same(self.current.as_ref(), Some(target));
        if self.pending.is_none() && !is_there && self.may_begin(target, seen) {
            self.pending = Some(target.clone());
            self.migrate(seen);
        }
    }

    fn migrate(&mut self, seen: &Seen) {
        self.step = RolloutStep::Migrating;
        self.started_at = Some(seen.now);
        self.progress_at = Some(seen.now);
        self.paused_at = None;
    }

    /// The way forward, while nothing else is wanted.
    fn go_on(&mut self, seen: &Seen) {
        match self.step {
            RolloutStep::Migrating if seen.ready && seen.migrated => {
                if !is_same(self.pending.as_ref(), self.target(seen)) {
                    return;
                }
                self.supersede(seen);
                self.current.clone_from(&self.pending);
                let alone = seen.bake && seen.serving && self.good.is_some();
                self.enter(
                    if alone {
                        RolloutStep::Baking
                    } else {
                        RolloutStep::RollingOut
                    },
                    seen,
                );
            }
            RolloutStep::Baking => {
                let passed = |judged: &Judged| matches!(judged.trial, Trial::Passed);
                if self.judged(seen).is_some_and(passed) {
                    self.enter(RolloutStep::RollingOut, seen);
                }
            }
            _ => {}
        }
    }

    fn enter(&mut self, step: RolloutStep, seen: &Seen) {
        self.step = step;
        self.progress_at = Some(seen.now);
        self.paused_at = None;
    }

    fn is_free(&self, target: &Candidate, seen: &Seen) -> bool {
        !seen.hold || self.current.is_none() || is_same(self.good.as_ref(), Some(target))
    }

    fn may_begin(&self, target: &Candidate, seen: &Seen) -> bool {
        let back = !self.is_proven() && is_same(self.good.as_ref(), Some(target));
        (seen.ready || back) && self.is_free(target, seen)
    }

    /// Clocks stand still while the trial is paused.
    fn keep_time(&mut self, seen: &Seen) {
        let judged = self.judged(seen).filter(|_| !self.is_proven());
        let paused = judged.is_some_and(|judged| matches!(judged.trial, Trial::Paused(_)));
        match (self.paused_at, paused) {
            (None, true) => self.paused_at = Some(seen.now),
            (Some(since), false) => {
                let stood_still = seen.now.duration_since(since);
                // What came nearer during the pause did so at its end.
                let shifted = |at: Timestamp| (at + stood_still).min(seen.now);
                self.progress_at = self.progress_at.map(shifted);
                self.paused_at = None;
            }
            _ => {}
        }
        if let Some(at) = judged.and_then(|judged| judged.progress_at) {
            self.progress_at = self.progress_at.max(Some(at));
        }
    }

    fn remember(&mut self, candidate: &Candidate, result: RolloutResult, seen: &Seen) {
        self.history.insert(
            0,
            HistoryEntry {
                id: candidate.id.clone(),
                tag: candidate.tag.clone(),
                digest: candidate.digest.to_string(),
                result,
                at: Some(Time(seen.now)),
            },
        );
        self.history.truncate(HISTORY);
    }

    /// Reads what an earlier pass wrote; `find` knows the revisions by name.
    pub fn of(status: &PostServiceStatus, find: impl Fn(&str) -> Option<Candidate>) -> Self {
        let rollout = status.rollout.clone().unwrap_or_default();
        let named = |name: &Option<String>| name.as_deref().and_then(&find);
        let time = |time: &Option<Time>| time.as_ref().map(|time| time.0);
        let mut memory = Self {
            step: rollout.step,
            started_at: time(&rollout.started_at),
            progress_at: time(&rollout.last_progress_at),
            paused_at: time(&rollout.paused_at),
            current: named(&rollout.current),
            good: named(&rollout.last_good),
            pending: named(&rollout.pending),
            quarantine: Quarantine::of(status),
            history: status.history.clone(),
            asked: status.observed_generation,
        };
        if memory.pending.is_none() && memory.step != RolloutStep::RollingBack {
            // Its revision was removed by somebody, or there is none.
            memory.rest();
        }
        memory
    }

    /// Begins with what a Deployment runs of which nothing is remembered.
    pub fn take_over(&mut self, running: Option<Candidate>, is_good: bool) {
        self.current = running;
        if is_good {
            self.good.clone_from(&self.current);
        }
        self.pending = None;
        self.rest();
    }

    /// Writes it down; `name` names a revision.
    pub fn write(&self, status: &mut PostServiceStatus, name: impl Fn(&Candidate) -> String) {
        let named = |candidate: &Option<Candidate>| candidate.as_ref().map(&name);
        let present = self.pending.as_ref().or(self.current.as_ref());
        status.rollout = present.map(|present| RolloutStatus {
            id: present.id.clone(),
            step: self.step,
            started_at: self.started_at.map(Time),
            last_progress_at: self.progress_at.map(Time),
            paused_at: self.paused_at.map(Time),
            current: named(&self.current),
            last_good: named(&self.good),
            pending: named(&self.pending),
        });
        self.quarantine.write(status);
        status.history.clone_from(&self.history);
    }
}

fn is_same(one: Option<&Candidate>, other: Option<&Candidate>) -> bool {
    one.map(|one| &one.id) == other.map(|other| &other.id)
}
