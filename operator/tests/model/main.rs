//! Every order in which a rollout can go: the real state machine ([`post_operator::rollout`])
//! against a registry, a database, Secrets, a Deployment's controller, kubelets, people and an
//! operator that is killed after any of its writes, explored breadth first.
//!
//! Time is an event: "the bake is over" and "the deadline is over" happen when they can. Every state
//! in which something promised does not hold is a failure with the shortest path to it. That a
//! rollout ends is checked in each state too: with the surroundings at peace from there on, passes
//! come to rest, and where they must ([`peace`]).
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod cluster;
mod memory;
mod operator;
mod peace;
mod surroundings;
mod watch;
mod world;

use std::time::{Duration, Instant};

use stateright::{Checker as _, HasDiscoveries, Model, Property};

use operator::Operator;
use surroundings::Event;
use watch::Breach;
use world::{Budget, World};

/// The model: what the operator is, and from where it starts.
struct Rollouts {
    operator: Operator,
    starts: Vec<World>,
}

/// What happens in a step.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Action {
    /// A pass of the operator. `stale`: its cache does not know yet what became of the Deployment;
    /// `killed`: it ends after so many writes.
    Pass { stale: bool, killed: Option<u8> },
    /// Something outside of it.
    Event(Event),
}

impl Model for Rollouts {
    type State = World;
    type Action = Action;

    fn init_states(&self) -> Vec<World> {
        self.starts.clone()
    }

    fn actions(&self, world: &World, actions: &mut Vec<Action>) {
        if world.breach.is_some() {
            return;
        }
        for stale in [false, true] {
            let writes = self.operator.writes(world, stale);
            let killed = (1..writes).map(Some).chain([None]);
            actions.extend(killed.map(|killed| Action::Pass { stale, killed }));
        }
        actions.extend(surroundings::events(world).into_iter().map(Action::Event));
    }

    fn next_state(&self, world: &World, action: Action) -> Option<World> {
        let mut next = world.clone();
        match action {
            Action::Pass { stale, killed } => self.operator.pass(&mut next, stale, killed),
            Action::Event(event) => surroundings::happen(&mut next, event),
        }
        next.watch();
        (next != *world).then_some(next)
    }

    fn properties(&self) -> Vec<Property<Self>> {
        vec![
            Property::always("one rollout at a time", |_: &Self, w: &World| {
                w.lacks(Breach::TwoRollouts)
            }),
            Property::always(
                "a first pod bakes beside all old ones",
                |_: &Self, w: &World| w.lacks(Breach::NotAlone),
            ),
            Property::always("endpoints never run empty", |_: &Self, w: &World| {
                w.lacks(Breach::Empty)
            }),
            Property::always("no pod before its migration", |_: &Self, w: &World| {
                w.lacks(Breach::NotMigrated)
            }),
            Property::always("good only after a passed trial", |_: &Self, w: &World| {
                w.lacks(Breach::Untried)
            }),
            Property::always(
                "what failed does not start by itself",
                |_: &Self, w: &World| w.lacks(Breach::Again),
            ),
            Property::always(
                "nothing is blamed without a verdict",
                |_: &Self, w: &World| w.lacks(Breach::Blamed),
            ),
            Property::always(
                "never backwards without a change or a verdict",
                |_: &Self, w: &World| w.lacks(Breach::Backwards),
            ),
            Property::always("written down before it is done", |_: &Self, w: &World| {
                w.lacks(Breach::Unwritten)
            }),
            Property::always(
                "a pass brings the machine to rest",
                |_: &Self, w: &World| w.lacks(Breach::Restless),
            ),
            Property::always(
                "at peace, every rollout ends where it must",
                |m: &Self, w: &World| peace::verdict(&m.operator, w).is_none(),
            ),
            Property::sometimes("a bad image is undone", |_: &Self, w: &World| {
                w.has_undone(1)
            }),
            Property::sometimes("bad Secrets are undone", |_: &Self, w: &World| {
                w.has_undone(0)
            }),
            Property::sometimes("another image takes over", |_: &Self, w: &World| {
                w.has_taken_over()
            }),
        ]
    }
}

/// Steps of a path, instead of the test's own number of them.
const DEPTH: &str = "TEST_ROLLOUT_DEPTH";

/// Explores as far as `depth`, and prints how far that was.
fn explore(budgets: &[Budget], depth: usize) {
    let began = Instant::now();
    let depth = std::env::var(DEPTH).map_or(depth, |depth| depth.parse().unwrap());
    let model = Rollouts {
        operator: Operator::default(),
        starts: budgets.iter().flat_map(|b| World::starts(*b)).collect(),
    };
    let properties = model.properties().len();
    let checker = model
        .checker()
        .threads(2)
        .target_max_depth(depth)
        .finish_when(HasDiscoveries::AnyFailures)
        .timeout(Duration::from_mins(30))
        .spawn_bfs()
        .join();
    for property in checker.model().properties() {
        let path = checker.discovery(property.name);
        match (property.expectation.discovery_is_failure(), path) {
            (true, Some(path)) => {
                let last = path.last_state().clone();
                let end = peace::verdict(&checker.model().operator, &last);
                let actions = path.into_actions();
                panic!(
                    "not held: {}\n{actions:#?}\n{last:?}\nat peace: {end:?}",
                    property.name
                );
            }
            (false, None) => panic!("it never came to this: {}", property.name),
            _ => {}
        }
    }
    println!(
        "rollouts: {} states, {} of them unique, up to depth {}; {properties} properties held; {:.1} s",
        checker.state_count(),
        checker.unique_state_count(),
        checker.max_depth(),
        began.elapsed().as_secs_f64(),
    );
}

#[test]
fn every_rollout_keeps_its_promises() {
    explore(&Budget::SMALL, Budget::DEPTH);
}

#[test]
#[ignore = "minutes: `cargo dev test operator --full`"]
fn every_longer_rollout_keeps_its_promises() {
    explore(&Budget::LARGE, Budget::LARGE_DEPTH);
}
