//! What happens outside of the operator.

use post_operator::api::v1alpha1::RolloutStep;

use crate::cluster;
use crate::world::{IMAGES, Job, Rev, SECRETS, World};

/// Something outside of the operator.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Event {
    /// Somebody asks for another image.
    Image(u8),
    /// Values of Secrets change.
    Secrets(u8),
    /// Somebody changes what makes no other revision.
    Generation,
    /// Somebody asks for another try.
    Retry,
    /// Somebody holds rollouts, or lets them go.
    Hold,
    /// The Deployment's controller takes a step.
    Control,
    /// A pod comes up.
    Ready(Rev),
    /// A pod of a bad revision crashes.
    Break(Rev),
    /// The first pod answers with errors.
    Err,
    /// A migration ends.
    Migration(u8, bool),
    /// The first pod has served for long enough.
    Baked,
    /// The deadline is over.
    Late,
    /// Something is out of order, or again in order.
    Registry,
    Database,
    Gate,
    Ailing,
}

/// Whether the clocks of a trial run.
fn is_on_trial(world: &World) -> bool {
    !world.note.paused && !world.is_proven() && !world.ailing && world.database
}

/// Whether the deadline may pass now.
pub fn may_be_late(world: &World) -> bool {
    let under_way = matches!(
        world.note.step,
        RolloutStep::Baking | RolloutStep::RollingOut
    );
    let ready = world.note.current.is_some_and(|current| {
        let pods = world.pods[current.index()];
        pods.ready > 0 && pods.ready == pods.live()
    });
    let baking = world.note.step == RolloutStep::Baking;
    under_way && is_on_trial(world) && !world.gated && !world.late && !(baking && ready)
}

/// Whether the bake may be over now.
pub fn may_be_baked(world: &World) -> bool {
    let served = |current: Rev| {
        let pods = world.pods[current.index()];
        pods.ready > 0 && pods.ready == pods.live()
    };
    world.note.step == RolloutStep::Baking
        && is_on_trial(world)
        && !world.baked
        && !world.erring
        && world.note.current.is_some_and(served)
}

/// What can happen.
pub fn events(world: &World) -> Vec<Event> {
    let mut events = vec![Event::Control];
    if world.left.changes > 0 {
        events.extend((0..IMAGES).map(Event::Image));
        events.extend((0..SECRETS).map(Event::Secrets));
        events.push(Event::Hold);
        // Where nothing has failed there is nothing to try again.
        let failed = |job: &Option<Job>| matches!(job, Some(Job::Failed(..)));
        if !world.note.quarantine.is_empty() || world.jobs.iter().any(failed) {
            events.extend([Event::Generation, Event::Retry]);
        }
    }
    let troubles = [
        (Event::Registry, world.registry),
        (Event::Database, world.database),
        (Event::Gate, !world.gated),
        (Event::Ailing, !world.ailing),
    ];
    let may = |(_, fine): &(Event, bool)| !fine || world.left.troubles > 0;
    events.extend(troubles.into_iter().filter(may).map(|(event, _)| event));
    for rev in Rev::all() {
        let pods = world.pods[rev.index()];
        if pods.starting > 0 && !world.gated && world.database {
            events.push(Event::Ready(rev));
        }
        // The last pod that serves does not die: no operator could help that.
        let spare = pods.starting > 0 || pods.ready > 0 && world.serving() > 1;
        if world.is_bad(rev) && spare {
            events.push(Event::Break(rev));
        }
    }
    for image in 0..IMAGES {
        if let Some(Job::Running(..)) = world.jobs[usize::from(image)] {
            let ends = [true, false].map(|well| Event::Migration(image, well));
            events.extend(ends.into_iter().filter(|end| {
                let fails = *end == Event::Migration(image, false);
                world.database && (!fails || world.left.troubles > 0)
            }));
        }
    }
    let bad = world.note.current.is_some_and(|rev| world.is_bad(rev));
    if bad && may_be_baked(world) {
        events.push(Event::Err);
    }
    if may_be_baked(world) {
        events.push(Event::Baked);
    }
    if may_be_late(world) && world.left.troubles > 0 {
        events.push(Event::Late);
    }
    events
}

/// It happens.
pub fn happen(world: &mut World, event: Event) {
    let at_first = world.clone();
    match event {
        Event::Image(image) => world.wanted.image = image,
        Event::Secrets(secrets) => world.wanted.secrets = secrets,
        Event::Generation => {}
        Event::Retry => world.asked.retry += 1,
        Event::Hold => world.hold = !world.hold,
        Event::Control => cluster::control(world),
        Event::Ready(rev) => {
            let pods = &mut world.pods[rev.index()];
            (pods.starting, pods.ready) = (pods.starting - 1, pods.ready + 1);
            refresh(world);
        }
        Event::Break(rev) => {
            let pods = &mut world.pods[rev.index()];
            let from = if pods.starting > 0 {
                &mut pods.starting
            } else {
                &mut pods.ready
            };
            *from -= 1;
            pods.broken += 1;
            refresh(world);
        }
        Event::Err => world.erring = true,
        Event::Migration(image, well) => end_migration(world, image, well),
        Event::Baked => world.baked = true,
        Event::Late => world.late = true,
        Event::Registry => world.registry = !world.registry,
        Event::Database => world.database = !world.database,
        Event::Gate => world.gated = !world.gated,
        Event::Ailing => world.ailing = !world.ailing,
    }
    pay(world, &at_first, event);
}

/// The controller sees at once what becomes of pods, once it has seen what it is told.
fn refresh(world: &mut World) {
    if world.deployment.is_some_and(|live| live.observed) {
        cluster::report(world);
    }
}

fn end_migration(world: &mut World, image: u8, well: bool) {
    let job = &mut world.jobs[usize::from(image)];
    match (well, *job) {
        (true, _) => {
            *job = Some(Job::Complete);
            world.witness.migrated[usize::from(image)] = true;
        }
        (false, Some(Job::Running(asked, secrets))) => *job = Some(Job::Failed(asked, secrets)),
        (false, _) => {}
    }
}

/// What happened leaves less to happen.
fn pay(world: &mut World, at_first: &World, event: Event) {
    let trouble = at_first.registry && !world.registry
        || at_first.database && !world.database
        || !at_first.gated && world.gated
        || !at_first.ailing && world.ailing
        || !at_first.late && world.late
        || matches!(event, Event::Migration(_, false));
    if trouble {
        world.left.troubles -= 1;
    }
    let asks = match event {
        Event::Image(_) => world.wanted != at_first.wanted,
        Event::Generation | Event::Hold => true,
        _ => false,
    };
    if asks {
        world.asked.generation += 1;
    }
    if asks || world.asked != at_first.asked || world.wanted != at_first.wanted {
        world.left.changes -= 1;
    }
}
