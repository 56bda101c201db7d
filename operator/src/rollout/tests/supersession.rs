//! Something else is asked for while a rollout is under way.

use super::super::machine::{Memory, Seen, next};
use super::super::trial::Trial;
use super::{idle, ids, judged, migrating, of, results, seen, trying};
use crate::api::v1alpha1::{RolloutResult, RolloutStep};

/// `target` is wanted, not migrated yet; of b nothing is to be said.
fn instead(target: char) -> Seen {
    Seen {
        judged: judged(&of('b', 1), Trial::Waiting, false),
        migrated: false,
        ..seen(of(target, 1))
    }
}

#[test]
fn while_migrating_the_newer_one_is_pending_instead() {
    let memory = next(&migrating(of('b', 1)), &instead('c'));
    assert_eq!(memory.step, RolloutStep::Migrating);
    assert_eq!(ids(&memory), [Some("a1"), Some("a1"), Some("c1")]);
    assert_eq!(results(&memory), [], "it never had a pod");
}

#[test]
fn while_migrating_the_return_to_what_runs_ends_the_rollout() {
    let memory = next(&migrating(of('b', 1)), &instead('a'));
    assert_eq!((memory.step, ids(&memory)), (idle().step, ids(&idle())));
}

#[test]
fn while_baking_the_good_one_comes_back_and_the_newer_one_migrates() {
    let baking = trying(RolloutStep::Baking, of('b', 1));
    let memory = next(&baking, &instead('c'));
    assert_eq!(memory.step, RolloutStep::Migrating);
    assert_eq!(ids(&memory), [Some("a1"), Some("a1"), Some("c1")]);
    assert_eq!(results(&memory), [("b1", RolloutResult::Superseded)]);
}

#[test]
fn the_return_to_the_good_one_needs_neither_migration_nor_database() {
    for step in [RolloutStep::Baking, RolloutStep::RollingOut] {
        let seen = Seen {
            ready: false,
            ..instead('a')
        };
        let memory = next(&trying(step, of('b', 1)), &seen);
        assert_eq!(memory.step, RolloutStep::RollingBack, "{step:?}");
        assert_eq!(ids(&memory), [Some("a1"), Some("a1"), None]);
        assert_eq!(results(&memory), [("b1", RolloutResult::Superseded)]);
        assert!(memory.quarantine.entries.is_empty());
    }
}

#[test]
fn while_rolling_out_the_newer_one_migrates_and_then_takes_over() {
    let rolling = trying(RolloutStep::RollingOut, of('b', 1));
    let memory = next(&rolling, &instead('c'));
    assert_eq!(memory.step, RolloutStep::Migrating);
    assert_eq!(ids(&memory), [Some("b1"), Some("a1"), Some("c1")]);
    assert_eq!(results(&memory), [], "it may yet end well");

    let migrated = Seen {
        migrated: true,
        ..instead('c')
    };
    let memory = next(&memory, &migrated);
    assert_eq!(memory.step, RolloutStep::Baking);
    assert_eq!(ids(&memory), [Some("c1"), Some("a1"), Some("c1")]);
    assert_eq!(results(&memory), [("b1", RolloutResult::Superseded)]);
}

#[test]
fn what_ends_well_while_the_newer_one_migrates_is_good() {
    let memory = Memory {
        current: Some(of('b', 1)),
        ..migrating(of('c', 1))
    };
    let complete = Seen {
        judged: judged(&of('b', 1), Trial::Waiting, true),
        ..instead('c')
    };
    let memory = next(&memory, &complete);
    assert_eq!(memory.step, RolloutStep::Migrating);
    assert_eq!(ids(&memory), [Some("b1"), Some("b1"), Some("c1")]);
    assert_eq!(results(&memory), [("b1", RolloutResult::Succeeded)]);
}

#[test]
fn who_changes_back_while_the_newer_one_migrates_goes_on_where_it_was() {
    let memory = Memory {
        current: Some(of('b', 1)),
        ..migrating(of('c', 1))
    };
    let memory = next(&memory, &instead('b'));
    assert_eq!(memory.step, RolloutStep::RollingOut);
    assert_eq!(ids(&memory), [Some("b1"), Some("a1"), Some("b1")]);
}

#[test]
fn nothing_is_superseded_while_the_newer_one_could_not_begin() {
    let baking = trying(RolloutStep::Baking, of('b', 1));
    let unready = Seen {
        ready: false,
        ..instead('c')
    };
    assert_eq!(next(&baking, &unready), baking);
}

#[test]
fn a_return_makes_way_for_what_is_asked_for_meanwhile() {
    let memory = Memory {
        step: RolloutStep::RollingBack,
        ..idle()
    };
    let memory = next(&memory, &instead('c'));
    assert_eq!(memory.step, RolloutStep::Migrating);
    assert_eq!(ids(&memory), [Some("a1"), Some("a1"), Some("c1")]);
}
