//! The rows of the table in [`crate::rollout::machine`], and its clocks.

use super::super::machine::{Memory, Seen, next};
use super::super::trial::{Pause, Trial};
use super::{at, crashed, idle, ids, judged, migrating, of, results, seen, shown, trying};
use crate::api::v1alpha1::{PostServiceStatus, RolloutResult, RolloutStep};

#[test]
fn another_target_waits_for_its_migration() {
    let unmigrated = Seen {
        migrated: false,
        ..seen(of('b', 1))
    };
    let memory = next(&idle(), &unmigrated);
    assert_eq!(memory.step, RolloutStep::Migrating);
    assert_eq!(ids(&memory), [Some("a1"), Some("a1"), Some("b1")]);
    assert_eq!(memory.started_at, Some(at(60)));
    assert_eq!(memory.progress_at, Some(at(60)));
}

#[test]
fn nothing_begins_without_secrets_database_or_a_target() {
    let unready = Seen {
        ready: false,
        ..seen(of('b', 1))
    };
    let unknown = Seen {
        target: None,
        ..seen(of('b', 1))
    };
    for seen in [unready, unknown] {
        assert_eq!(next(&idle(), &seen), idle());
    }
}

#[test]
fn a_migrated_revision_bakes_where_others_serve() {
    let cases = [
        (true, true, RolloutStep::Baking),
        (true, false, RolloutStep::RollingOut),
        (false, true, RolloutStep::RollingOut),
    ];
    for (serving, bake, step) in cases {
        let seen = Seen {
            bake,
            serving,
            ..seen(of('b', 1))
        };
        let memory = next(&migrating(of('b', 1)), &seen);
        assert_eq!(memory.step, step, "serving: {serving}, bake: {bake}");
        assert_eq!(ids(&memory), [Some("b1"), Some("a1"), Some("b1")]);
    }
}

#[test]
fn a_migration_that_ends_while_the_database_is_away_starts_no_pod() {
    let away = Seen {
        ready: false,
        ..seen(of('b', 1))
    };
    let memory = next(&migrating(of('b', 1)), &away);
    assert_eq!(ids(&memory), [Some("a1"), Some("a1"), Some("b1")]);
}

#[test]
fn a_passed_bake_rolls_out_and_complete_pods_make_it_the_good_one() {
    let baking = trying(RolloutStep::Baking, of('b', 1));
    let memory = next(&baking, &shown(Trial::Passed, false));
    assert_eq!(memory.step, RolloutStep::RollingOut);
    assert_eq!(memory.progress_at, Some(at(60)));
    assert_eq!(ids(&memory), [Some("b1"), Some("a1"), Some("b1")]);

    let memory = next(&memory, &shown(Trial::Waiting, true));
    assert_eq!(memory.step, RolloutStep::Idle);
    assert_eq!(ids(&memory), [Some("b1"), Some("b1"), None]);
    assert_eq!(results(&memory), [("b1", RolloutResult::Succeeded)]);
}

#[test]
fn a_bake_is_not_over_because_the_deployment_says_complete() {
    let baking = trying(RolloutStep::Baking, of('b', 1));
    let memory = next(&baking, &shown(Trial::Waiting, true));
    assert_eq!(memory, baking);
}

#[test]
fn a_failed_trial_brings_the_good_one_back_and_is_not_tried_again_in_the_same_pass() {
    for step in [RolloutStep::Baking, RolloutStep::RollingOut] {
        let failed = shown(Trial::Failed(crashed()), false);
        let memory = next(&trying(step, of('b', 1)), &failed);
        assert_eq!(memory.step, RolloutStep::RollingBack, "{step:?}");
        assert_eq!(ids(&memory), [Some("a1"), Some("a1"), None]);
        assert_eq!(results(&memory), [("b1", RolloutResult::RolledBack)]);
        assert_eq!(memory.quarantine.entries.len(), 1);
        assert_eq!(memory.quarantine.entries[0].reason, crashed().to_string());
    }
}

#[test]
fn what_fails_while_something_else_migrates_makes_way_for_that() {
    let memory = Memory {
        current: Some(of('b', 1)),
        ..migrating(of('c', 1))
    };
    let failed = Seen {
        judged: judged(&of('b', 1), Trial::Failed(crashed()), false),
        migrated: false,
        ..seen(of('c', 1))
    };
    let memory = next(&memory, &failed);
    assert_eq!(memory.step, RolloutStep::Migrating);
    assert_eq!(ids(&memory), [Some("a1"), Some("a1"), Some("c1")]);
}

#[test]
fn an_image_that_fails_takes_its_other_settings_with_it() {
    let memory = Memory {
        current: Some(of('b', 1)),
        ..migrating(of('b', 2))
    };
    let failed = Seen {
        judged: judged(&of('b', 1), Trial::Failed(crashed()), false),
        ..seen(of('b', 2))
    };
    assert_eq!(ids(&next(&memory, &failed))[0], Some("a1"));
}

#[test]
fn pods_that_are_back_end_the_return() {
    let memory = Memory {
        step: RolloutStep::RollingBack,
        ..idle()
    };
    let back = |complete| Seen {
        judged: judged(&of('a', 1), Trial::Waiting, complete),
        ..seen(of('a', 1))
    };
    assert_eq!(next(&memory, &back(false)).step, RolloutStep::RollingBack);
    assert_eq!(next(&memory, &back(true)).step, RolloutStep::Idle);
}

#[test]
fn without_rollback_a_failed_trial_stays_where_it_is() {
    for step in [RolloutStep::Baking, RolloutStep::RollingOut] {
        let seen = Seen {
            rollback: false,
            ..shown(Trial::Failed(crashed()), false)
        };
        let before = trying(step, of('b', 1));
        assert_eq!(next(&before, &seen), before);
    }
}

#[test]
fn a_first_install_never_rolls_back_and_is_not_held() {
    let first = Seen {
        hold: true,
        serving: false,
        judged: None,
        ..seen(of('a', 1))
    };
    let memory = next(&Memory::default(), &first);
    assert_eq!(memory.step, RolloutStep::RollingOut);
    assert_eq!(ids(&memory), [Some("a1"), None, Some("a1")]);

    let failed = Seen {
        judged: judged(&of('a', 1), Trial::Failed(crashed()), false),
        ..first.clone()
    };
    assert_eq!(next(&memory, &failed), memory);

    let complete = Seen {
        judged: judged(&of('a', 1), Trial::Waiting, true),
        ..first
    };
    assert_eq!(
        ids(&next(&memory, &complete)),
        [Some("a1"), Some("a1"), None]
    );
}

#[test]
fn hold_starts_nothing_and_drops_what_has_no_pods_yet() {
    let held = |seen: Seen| Seen { hold: true, ..seen };
    assert_eq!(next(&idle(), &held(seen(of('b', 1)))), idle());
    let dropped = next(&migrating(of('b', 1)), &held(seen(of('b', 1))));
    assert_eq!(dropped.step, RolloutStep::Idle);
    assert_eq!(ids(&dropped), [Some("a1"), Some("a1"), None]);
}

#[test]
fn hold_neither_stops_a_trial_nor_the_return_to_the_good_one() {
    let baking = trying(RolloutStep::Baking, of('b', 1));
    let held = Seen {
        hold: true,
        ..shown(Trial::Passed, false)
    };
    assert_eq!(next(&baking, &held).step, RolloutStep::RollingOut);
    let other = Seen {
        hold: true,
        judged: judged(&of('b', 1), Trial::Waiting, false),
        ..seen(of('c', 1))
    };
    assert_eq!(next(&baking, &other), baking);
    let back = Seen {
        target: Some(of('a', 1)),
        ..other
    };
    assert_eq!(next(&baking, &back).step, RolloutStep::RollingBack);
}

/// Passes at these times with this word; what is remembered then of progress.
fn clock(passes: &[(i64, Trial)]) -> Memory {
    let baking = trying(RolloutStep::Baking, of('b', 1));
    passes.iter().fold(baking, |memory, (now, trial)| {
        let seen = Seen {
            now: at(*now),
            ..shown(trial.clone(), false)
        };
        next(&memory, &seen)
    })
}

#[test]
fn clocks_stand_still_while_paused_and_go_on_where_they_stopped() {
    for pause in [Pause::Database, Pause::LoadBalancer, Pause::Shared] {
        let paused = clock(&[(10, Trial::Waiting), (20, Trial::Paused(pause))]);
        assert_eq!(paused.paused_at, Some(at(20)));
        let longer = clock(&[(20, Trial::Paused(pause)), (500, Trial::Paused(pause))]);
        assert_eq!(longer.paused_at, Some(at(20)));
        let over = clock(&[(20, Trial::Paused(pause)), (500, Trial::Waiting)]);
        assert_eq!(over.paused_at, None);
        assert_eq!(over.progress_at, Some(at(480)), "20 s had gone by");
    }
}

#[test]
fn progress_during_a_pause_does_not_set_clocks_into_the_future() {
    let baking = trying(RolloutStep::Baking, of('b', 1));
    let mut paused = shown(Trial::Paused(Pause::Shared), false);
    (paused.now, paused.judged.as_mut().unwrap().progress_at) = (at(100), Some(at(95)));
    let memory = next(
        &Memory {
            paused_at: Some(at(10)),
            ..baking
        },
        &paused,
    );
    let over = Seen {
        now: at(110),
        ..shown(Trial::Waiting, false)
    };
    assert_eq!(next(&memory, &over).progress_at, Some(at(110)));
}

#[test]
fn a_trial_goes_on_with_its_clocks_while_something_else_migrates() {
    let memory = Memory {
        current: Some(of('b', 1)),
        ..migrating(of('c', 1))
    };
    let mut on = Seen {
        judged: judged(&of('b', 1), Trial::Waiting, false),
        migrated: false,
        ..seen(of('c', 1))
    };
    on.judged.as_mut().unwrap().progress_at = Some(at(50));
    assert_eq!(next(&memory, &on).progress_at, Some(at(50)));
}

#[test]
fn history_holds_the_last_five_rollouts_newest_first() {
    let mut memory = idle();
    for (index, image) in "bcdef01".chars().enumerate() {
        let rolling = Memory {
            history: memory.history.clone(),
            ..trying(RolloutStep::RollingOut, of(image, 1))
        };
        let trial = if index % 2 == 0 {
            Trial::Waiting
        } else {
            Trial::Failed(crashed())
        };
        let seen = Seen {
            judged: judged(&of(image, 1), trial, index % 2 == 0),
            ..seen(of(image, 1))
        };
        memory = next(&rolling, &seen);
    }
    let (good, back) = (RolloutResult::Succeeded, RolloutResult::RolledBack);
    let expected = [
        ("11", good),
        ("01", back),
        ("f1", good),
        ("e1", back),
        ("d1", good),
    ];
    assert_eq!(results(&memory), expected);
}

#[test]
fn a_pass_brings_the_machine_to_rest() {
    let trials = [
        Trial::Waiting,
        Trial::Passed,
        Trial::Failed(crashed()),
        Trial::Paused(Pause::Database),
    ];
    let memories = [
        Memory::default(),
        idle(),
        migrating(of('b', 1)),
        trying(RolloutStep::Baking, of('b', 1)),
        trying(RolloutStep::RollingOut, of('b', 1)),
    ];
    for memory in &memories {
        for trial in &trials {
            let seen = shown(trial.clone(), false);
            let once = next(memory, &seen);
            assert_eq!(next(&once, &seen), once, "{memory:?} {trial:?}");
        }
    }
}

#[test]
fn what_is_written_is_read_again() {
    let memory = Memory {
        paused_at: Some(at(3)),
        ..trying(RolloutStep::Baking, of('b', 1))
    };
    let mut status = PostServiceStatus {
        observed_generation: memory.asked,
        ..PostServiceStatus::default()
    };
    memory.write(&mut status, |candidate| format!("p-{}", candidate.id));
    let all = [of('a', 1), of('b', 1)];
    let find = |name: &str| {
        let id = name.strip_prefix("p-")?;
        all.iter().find(|candidate| candidate.id == id).cloned()
    };
    assert_eq!(Memory::of(&status, find), memory);
}

#[test]
fn a_pending_revision_that_is_gone_is_forgotten_and_begun_anew() {
    let mut status = PostServiceStatus::default();
    migrating(of('b', 1)).write(&mut status, |candidate| candidate.id.clone());
    let memory = Memory::of(&status, |id| (id == "a1").then(|| of('a', 1)));
    assert_eq!(memory.step, RolloutStep::Idle);
    assert_eq!(
        ids(&next(&memory, &seen(of('b', 1))))[2],
        Some("b1"),
        "the spec still asks for it"
    );
}

#[test]
fn what_runs_already_is_taken_over() {
    let mut memory = Memory::default();
    memory.take_over(Some(of('a', 1)), true);
    assert_eq!(
        (memory.step, ids(&memory)),
        (RolloutStep::Idle, [Some("a1"), Some("a1"), None])
    );

    let mut memory = Memory::default();
    memory.take_over(Some(of('a', 1)), false);
    let expected = [Some("a1"), None, Some("a1")];
    assert_eq!(
        (memory.step, ids(&memory)),
        (RolloutStep::RollingOut, expected)
    );
}
