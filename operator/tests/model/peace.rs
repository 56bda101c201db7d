//! How a rollout ends once the surroundings are at peace.

use post_operator::api::v1alpha1::RolloutStep;
use post_operator::rollout::Step;
use post_operator::rollout::trial::Trial;

use crate::cluster;
use crate::operator::{Operator, runs_only};
use crate::surroundings::{Event, happen, may_be_baked, may_be_late};
use crate::world::{Budget, Job, Rev, World};

/// Rounds in which everything has come to rest.
const ROUNDS: usize = 40;

/// What is wrong with the end that comes from `world` on; `None`: nothing.
pub fn verdict(operator: &Operator, world: &World) -> Option<(&'static str, Box<World>)> {
    if world.breach.is_some() {
        return None;
    }
    let mut world = World {
        registry: true,
        database: true,
        gated: false,
        ailing: false,
        left: Budget {
            changes: 0,
            troubles: u8::MAX,
            disturbances: 0,
        },
        ..world.clone()
    };
    for _ in 0..ROUNDS {
        let before = world.clone();
        round(operator, &mut world);
        if world == before {
            let fault = wrong(operator, &world)?;
            return Some((fault, Box::new(world)));
        }
    }
    Some(("it never rests", Box::new(world)))
}

/// Everybody does what there is to do.
fn round(operator: &Operator, world: &mut World) {
    operator.pass(world, false, None);
    for job in 0..world.jobs.len() {
        if let (Some(Job::Running(..)), Ok(image)) = (world.jobs[job], u8::try_from(job)) {
            happen(world, Event::Migration(image, true));
        }
    }
    for _ in 0..ROUNDS {
        let before = world.clone();
        cluster::control(world);
        for rev in Rev::all().filter(|rev| before.pods[rev.index()].starting > 0) {
            let bad = world.is_bad(rev);
            while world.pods[rev.index()].starting > 0 {
                happen(
                    world,
                    if bad {
                        Event::Break(rev)
                    } else {
                        Event::Ready(rev)
                    },
                );
            }
        }
        if *world == before {
            break;
        }
    }
    if may_be_baked(world) {
        happen(world, Event::Baked);
    }
    world.watch();
    let mut rested = world.clone();
    operator.pass(&mut rested, false, None);
    if rested == *world && may_be_late(world) {
        world.late = true;
    }
}

/// What is wrong with a state in which nothing moves.
fn wrong(operator: &Operator, world: &World) -> Option<&'static str> {
    let decision = operator.decide(world, false);
    let failed = decision.seen.judged.as_ref();
    let failed = failed.is_some_and(|judged| matches!(judged.trial, Trial::Failed(_)));
    if world.breach.is_some() {
        return Some("a promise was broken on the way");
    }
    if world.note.good.is_some_and(|good| world.is_bad(good)) {
        // It went through its trial, and pods of it die now: what it comes to is not promised.
        return None;
    }
    match decision.plan.step {
        Step::Baking | Step::RollingOut if failed && world.note.good.is_none() => None,
        Step::Held if world.hold && runs_good(world) => None,
        Step::Idle | Step::RolledBack if !runs_good(world) => Some("the good one does not run"),
        Step::Idle if world.note.good != Some(world.wanted) => Some("the wanted one is not good"),
        Step::RolledBack if !has_reason(world) => Some("another runs, and nothing failed"),
        Step::Idle | Step::RolledBack | Step::MigrationFailed => None,
        _ => Some("it waits for nothing"),
    }
}

/// Every pod is of the good revision.
fn runs_good(world: &World) -> bool {
    let good = world
        .note
        .good
        .filter(|_| world.note.step == RolloutStep::Idle);
    good.is_some_and(|good| good == world.note.current.unwrap_or(good) && runs_only(world, good))
}

/// What is wanted failed for who asks for it.
fn has_reason(world: &World) -> bool {
    world.witness.has_failed(world.wanted, world.asked)
}
