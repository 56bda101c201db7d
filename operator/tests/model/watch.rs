//! What must not happen, seen without a look at how the machine decides.

use post_operator::api::v1alpha1::RolloutStep;
use post_operator::rollout::machine;
use post_operator::rollout::trial::Trial;

use crate::operator::{Decision, rev};
use crate::world::{Asked, IMAGES, Rev, WANTED, World};

/// Something that must not happen.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Breach {
    /// More is on its way than one revision, or something is where nothing should be.
    TwoRollouts,
    /// Old pods went while a first pod had its trial.
    NotAlone,
    /// Nothing serves any more.
    Empty,
    /// Pods of an image run whose migration has not succeeded.
    NotMigrated,
    /// A revision became the good one without a trial.
    Untried,
    /// What failed was started again, and nobody asked.
    Again,
    /// A revision was called bad, and nothing was to be seen of that.
    Blamed,
    /// What was on its way was left, and nobody asked.
    Backwards,
    /// The Deployment was told of what was not written down.
    Unwritten,
    /// A second look at the same would have brought another memory.
    Restless,
}

/// What was seen on the way to a state.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Default)]
pub struct Witness {
    /// Images whose migration has succeeded.
    pub migrated: [bool; IMAGES as usize],
    /// Pods have served.
    pub served: bool,
    /// All pods were of what the Deployment is told, and served.
    complete: Option<Rev>,
    /// It passed its bake.
    passed: Option<Rev>,
    /// It needs none: nothing served when it began.
    excused: Option<Rev>,
    /// What failed, whether others with that image fail with it, and who had asked.
    failed: Vec<(Rev, bool, Asked)>,
}

impl Witness {
    /// Whether `rev` failed for who asks now.
    pub fn has_failed(&self, rev: Rev, asked: Asked) -> bool {
        self.failed.iter().any(|(failed, image, by)| {
            *by == asked && (*failed == rev || *image && failed.image == rev.image)
        })
    }
}

impl World {
    /// Looks at the cluster.
    pub fn watch(&mut self) {
        let serves = self.serving() > 0;
        if self.witness.served && !serves {
            self.accuse(Breach::Empty);
        }
        self.witness.served |= serves;
        let unmigrated = |rev: &Rev| !self.witness.migrated[usize::from(rev.image)];
        if Rev::all().any(|rev| unmigrated(&rev) && self.pods[rev.index()].live() > 0) {
            self.accuse(Breach::NotMigrated);
        }
        if !self.note.is_one_rollout() {
            self.accuse(Breach::TwoRollouts);
        }
        let Some(live) = self.deployment else {
            return;
        };
        let told = self.pods[live.told.index()];
        if self.witness.complete.is_some_and(|rev| rev != live.told) {
            self.witness.complete = None;
        }
        let total: u8 = self.pods.iter().map(|pods| pods.live()).sum();
        if told.ready == WANTED && total == WANTED && !live.baking {
            self.witness.complete = Some(live.told);
        }
        if self.baked && self.note.step == RolloutStep::Baking {
            self.witness.passed = self.note.current;
        }
    }

    /// The first breach is the one that is reported.
    pub fn accuse(&mut self, breach: Breach) {
        self.breach.get_or_insert(breach);
    }
}

/// A pass has decided: nothing is written yet.
pub fn decision(world: &mut World, decision: &Decision) {
    let (seen, memory) = (&decision.seen, &decision.memory);
    if machine::next(memory, seen) != *memory {
        world.accuse(Breach::Restless);
    }
    let named = |candidate: &Option<machine::Candidate>| candidate.as_ref().map(|c| rev(&c.id));
    let (current, good) = (named(&memory.current), named(&memory.good));
    let wanted = seen.target.as_ref().map(|target| rev(&target.id));
    let failed = seen.judged.as_ref().filter(|judged| {
        matches!(judged.trial, Trial::Failed(_)) && world.note.current == Some(rev(&judged.id))
    });
    let verdict = failed.is_some() && world.note.good.is_some() && !world.is_proven();
    if let (true, Some(failed), Some(good)) = (verdict, world.note.current, world.note.good) {
        let is_wanted = seen
            .target
            .as_ref()
            .is_some_and(|target| rev(&target.id) == failed);
        let asked = Asked {
            // Who asks for something else has not asked for what failed before it was seen.
            generation: match world.report.generation {
                Some(before) if !is_wanted => before,
                _ => world.asked.generation,
            },
            ..world.asked
        };
        let entry = (failed, failed.image != good.image, asked);
        if !world.witness.failed.contains(&entry) {
            world.witness.failed.push(entry);
        }
    }
    let banned = |rev| {
        let mut bans = world.note.quarantine.iter();
        bans.any(|ban| ban.rev == rev)
    };
    let mut bans = memory.quarantine.entries.iter();
    if !verdict && bans.any(|ban| !banned(rev(&ban.id))) {
        world.accuse(Breach::Blamed);
    }
    let tried = |rev| {
        let witness = &world.witness;
        let baked = [witness.passed, witness.excused].contains(&Some(rev));
        baked && witness.complete == Some(rev)
    };
    if good != world.note.good && good.is_some_and(|good| !tried(good)) {
        world.accuse(Breach::Untried);
    }
    // What was written down, but whose revision was never made, was never begun.
    let lost = |rev: Rev| world.kept & rev.bit() == 0;
    if current != world.note.current {
        let asked = world.note.current.is_none_or(lost) || wanted != world.note.current;
        if !asked && !verdict {
            world.accuse(Breach::Backwards);
        }
        if let Some(current) = current.filter(|_| current != good)
            && world.witness.has_failed(current, world.asked)
        {
            world.accuse(Breach::Again);
        }
        world.witness.passed = None;
        let alone = world.deployment.is_some_and(|live| live.available > 0) && seen.serving;
        world.witness.excused = current.filter(|_| !alone || good.is_none());
    }
}

/// The Deployment is about to be told to run `told`.
pub fn telling(world: &mut World, told: Rev) {
    if world.note.current != Some(told) {
        world.accuse(Breach::Unwritten);
    }
}
