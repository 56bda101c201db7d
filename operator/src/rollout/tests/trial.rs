//! The verdict on new pods.

use std::time::Duration;

use k8s_openapi::jiff::Timestamp;

use super::super::machine::Memory;
use super::super::pods::{PodSeen, Trouble};
use super::super::trial::{Answers, Pause, Stage, Terms, Traffic, Trial, judge};
use super::{at, crashed, of, trying};
use crate::api::v1alpha1::RolloutStep;

const TERMS: Terms = Terms {
    bake: Duration::from_mins(2),
    deadline: Duration::from_mins(10),
    max_error_rate: 0.05,
    min_requests: 50,
};

fn starting(revision: &str) -> PodSeen {
    PodSeen {
        name: format!("{revision}-pod"),
        revision: Some(revision.into()),
        ..PodSeen::default()
    }
}

fn ready(revision: &str, since: i64) -> PodSeen {
    PodSeen {
        ready_since: Some(at(since)),
        ..starting(revision)
    }
}

fn broken(revision: &str) -> PodSeen {
    PodSeen {
        trouble: Some(Trouble::Fatal(crashed())),
        ..starting(revision)
    }
}

fn gated(revision: &str) -> PodSeen {
    PodSeen {
        gated: true,
        ..starting(revision)
    }
}

fn homeless(revision: &str) -> PodSeen {
    PodSeen {
        trouble: Some(Trouble::Unschedulable(crashed())),
        ..starting(revision)
    }
}

fn stage(pods: &[PodSeen], now: Timestamp) -> Stage<'_> {
    Stage {
        revision: "b1",
        pods,
        database: true,
        traffic: Traffic::default(),
        complete: false,
        progress_at: None,
        now,
    }
}

fn at_step(step: RolloutStep) -> Memory {
    trying(step, of('b', 1))
}

/// The verdict at a time on these pods of b, beside a ready one of a.
fn verdict(step: RolloutStep, new: &[PodSeen], now: i64) -> Trial {
    let mut pods = vec![ready("a1", -10_000)];
    pods.extend(new.iter().cloned());
    judge(&at_step(step), &TERMS, &stage(&pods, at(now)))
}

fn reason(trial: &Trial) -> &str {
    match trial {
        Trial::Failed(evidence) => &evidence.reason,
        _ => "",
    }
}

#[test]
fn the_bake_is_over_when_the_first_pod_has_been_ready_for_its_length() {
    let bake = |now| verdict(RolloutStep::Baking, &[ready("b1", 30)], now);
    assert_eq!(bake(149), Trial::Waiting);
    assert_eq!(bake(150), Trial::Passed);
}

#[test]
fn readiness_of_before_the_bake_does_not_shorten_it() {
    let bake = |now| verdict(RolloutStep::Baking, &[ready("b1", -500)], now);
    assert_eq!(bake(119), Trial::Waiting);
    assert_eq!(bake(120), Trial::Passed);
}

#[test]
fn a_clock_of_another_node_that_is_ahead_does_not_end_a_bake() {
    let bake = verdict(RolloutStep::Baking, &[ready("b1", 400)], 100);
    assert_eq!(bake, Trial::Waiting);
}

#[test]
fn a_pod_that_crashes_fails_the_trial_at_once() {
    for step in [RolloutStep::Baking, RolloutStep::RollingOut] {
        let failed = verdict(step, &[ready("b1", 5), broken("b1")], 10);
        assert_eq!(failed, Trial::Failed(crashed()));
    }
}

#[test]
fn a_pod_that_crashed_and_runs_again_fails_it_too() {
    let restarted = PodSeen {
        trouble: Some(Trouble::Fatal(crashed())),
        ..ready("b1", 100)
    };
    let failed = verdict(RolloutStep::Baking, &[restarted], 110);
    assert_eq!(failed, Trial::Failed(crashed()));
}

#[test]
fn what_may_come_right_is_waited_for_until_the_deadline() {
    let passing = PodSeen {
        trouble: Some(Trouble::Passing(crashed())),
        ..starting("b1")
    };
    for (pod, last) in [
        (passing, "CrashLoopBackOff"),
        (starting("b1"), "ProgressDeadlineExceeded"),
    ] {
        for step in [RolloutStep::Baking, RolloutStep::RollingOut] {
            assert_eq!(
                verdict(step, std::slice::from_ref(&pod), 600),
                Trial::Waiting
            );
            assert_eq!(
                reason(&verdict(step, std::slice::from_ref(&pod), 601)),
                last
            );
        }
    }
}

#[test]
fn pods_that_never_come_fail_it_at_the_deadline() {
    assert_eq!(verdict(RolloutStep::Baking, &[], 600), Trial::Waiting);
    let late = verdict(RolloutStep::Baking, &[], 601);
    assert_eq!(reason(&late), "ProgressDeadlineExceeded");
}

#[test]
fn lost_readiness_fails_it_after_a_while() {
    let lost = PodSeen {
        unready_since: Some(at(100)),
        ..starting("b1")
    };
    let word = |now| verdict(RolloutStep::Baking, std::slice::from_ref(&lost), now);
    assert_eq!(word(114), Trial::Waiting);
    assert_eq!(reason(&word(115)), "Unready");
}

#[test]
fn pods_that_go_are_not_judged() {
    let going = PodSeen {
        ending: true,
        ..broken("b1")
    };
    let word = verdict(RolloutStep::Baking, &[going, ready("b1", 5)], 10);
    assert_eq!(word, Trial::Waiting);
}

fn answers(requests: u64, errors: u64) -> Answers {
    Answers { requests, errors }
}

#[test]
fn too_many_errors_of_enough_answers_fail_a_bake() {
    let cases = [
        (answers(50, 3), answers(0, 0), true),
        (answers(100, 5), answers(0, 0), false),
        (answers(49, 49), answers(0, 0), false),
        (answers(0, 0), answers(0, 0), false),
        (answers(50, 10), answers(10, 1), false),
        (answers(50, 10), answers(100, 5), true),
    ];
    let pods = [ready("a1", -500), ready("b1", 0)];
    for (new, old, fails) in cases {
        let stage = Stage {
            traffic: Traffic { new, old },
            ..stage(&pods, at(60))
        };
        let word = judge(&at_step(RolloutStep::Baking), &TERMS, &stage);
        let expected = if fails { "TooManyErrors" } else { "" };
        assert_eq!(reason(&word), expected, "new {new:?}, old {old:?}");
        let word = judge(&at_step(RolloutStep::RollingOut), &TERMS, &stage);
        assert_eq!(word, Trial::Waiting, "only a bake counts them");
    }
}

#[test]
fn without_a_database_nothing_is_held_against_the_image() {
    let cases = [
        vec![broken("b1")],
        vec![ready("b1", 0)],
        vec![starting("b1")],
        vec![],
    ];
    for pods in cases {
        for step in [RolloutStep::Baking, RolloutStep::RollingOut] {
            let stage = Stage {
                database: false,
                ..stage(&pods, at(5_000))
            };
            let word = judge(&at_step(step), &TERMS, &stage);
            assert_eq!(word, Trial::Paused(Pause::Database), "{step:?} {pods:?}");
        }
    }
}

#[test]
fn trouble_of_old_pods_is_shared() {
    for old in [
        broken("a1"),
        PodSeen {
            revision: None,
            ..broken("a1")
        },
    ] {
        for new in [broken("b1"), starting("b1")] {
            let pods = [old.clone(), new];
            let word = judge(
                &at_step(RolloutStep::Baking),
                &TERMS,
                &stage(&pods, at(5_000)),
            );
            assert_eq!(word, Trial::Paused(Pause::Shared));
        }
    }
}

#[test]
fn an_old_pod_that_crashed_long_ago_shares_no_trouble() {
    let old = |since| PodSeen {
        trouble: Some(Trouble::Fatal(crashed())),
        ..ready("a1", since)
    };
    let word = |since| {
        let pods = [old(since), broken("b1")];
        judge(
            &at_step(RolloutStep::Baking),
            &TERMS,
            &stage(&pods, at(100)),
        )
    };
    assert_eq!(
        word(90),
        Trial::Paused(Pause::Shared),
        "it only just came back"
    );
    assert_eq!(word(-5_000), Trial::Failed(crashed()));
}

#[test]
fn the_load_balancers_gate_alone_stops_the_clocks() {
    let gate = Trial::Paused(Pause::LoadBalancer);
    for step in [RolloutStep::Baking, RolloutStep::RollingOut] {
        assert_eq!(verdict(step, &[gated("b1")], 5_000), gate);
        assert_eq!(verdict(step, &[ready("b1", 0), gated("b1")], 5_000), gate);
        let both = [gated("b1"), starting("b1")];
        assert_eq!(
            reason(&verdict(step, &both, 5_000)),
            "ProgressDeadlineExceeded"
        );
    }
}

#[test]
fn a_cluster_without_room_stops_the_clocks() {
    let word = verdict(RolloutStep::RollingOut, &[homeless("b1")], 5_000);
    assert_eq!(word, Trial::Paused(Pause::Unschedulable));
}

#[test]
fn a_clock_that_stood_still_is_set_before_it_counts_again() {
    let stopped = |step| Memory {
        paused_at: Some(at(10)),
        ..at_step(step)
    };
    let baked = [ready("b1", 0)];
    let word = judge(
        &stopped(RolloutStep::Baking),
        &TERMS,
        &stage(&baked, at(5_000)),
    );
    assert_eq!(word, Trial::Waiting);
    let late = [starting("b1")];
    let word = judge(
        &stopped(RolloutStep::RollingOut),
        &TERMS,
        &stage(&late, at(5_000)),
    );
    assert_eq!(word, Trial::Waiting);
}

#[test]
fn what_came_nearer_while_nobody_looked_is_not_late() {
    let pods = [ready("b1", 0), starting("b1")];
    let word = |progress_at, complete| {
        let stage = Stage {
            complete,
            progress_at,
            ..stage(&pods, at(5_000))
        };
        judge(&at_step(RolloutStep::RollingOut), &TERMS, &stage)
    };
    assert_eq!(reason(&word(None, false)), "ProgressDeadlineExceeded");
    assert_eq!(word(Some(at(4_900)), false), Trial::Waiting);
    assert_eq!(word(Some(at(100)), true), Trial::Waiting);
}
