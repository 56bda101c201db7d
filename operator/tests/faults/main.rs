//! Crash and fault search, in the manner of Sieve (OSDI '22) and Acto (SOSP '23): stories are told
//! undisturbed, then with the operator killed, or its requests disturbed, at every write; the end
//! must be the same. `cargo dev test operator`, with `--full` for every fault at every write.
#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a test fails by panicking"
)]

mod cluster;
mod controllers;
mod process;
mod proxy;
mod scenarios;
mod search;
mod snapshot;
mod stage;
mod transitions;
mod watch;
#[path = "../kit/world.rs"]
#[expect(dead_code, reason = "shared with other test programs")]
mod world;

use std::io::Write as _;
use std::time::Duration;

use proxy::Fault;
use search::{Baseline, Disturbance, baselines, search};
use stage::{Stage, on_stage};
use watch::{WatchFault, WatchKind};

const KILLS: &[Fault] = &[Fault::KillBefore, Fault::KillAfter];
const REFUSALS: &[Fault] = &[
    Fault::Answer(409),
    Fault::Answer(429),
    Fault::Answer(500),
    Fault::LoseRequest,
    Fault::LoseAnswer,
];
/// How stale a disturbed watch becomes.
const STALE: Duration = Duration::from_millis(700);
const WATCH_FAULTS: &[WatchKind] = &[
    WatchKind::Cut,
    WatchKind::Delay(STALE),
    WatchKind::Lose(STALE),
    WatchKind::Replay(STALE),
];
const WATCHED: &[&str] = &["postservices", "deployments", "jobs", "services"];

/// Every write of every story, with each fault.
fn at_every_write(told: &[Baseline], faults: &[Fault]) -> Vec<(Baseline, Disturbance)> {
    let mut attempts = Vec::new();
    for baseline in told {
        for n in 0..baseline.writes {
            let with = |fault: &Fault| (baseline.clone(), Disturbance::Write(n, *fault));
            attempts.extend(faults.iter().map(with));
        }
    }
    attempts
}

/// Every story with each fault of each watch.
fn at_every_watch(told: &[Baseline]) -> Vec<(Baseline, Disturbance)> {
    let mut attempts = Vec::new();
    for baseline in told {
        for plural in WATCHED {
            for kind in WATCH_FAULTS.iter().copied() {
                let fault = WatchFault { plural, kind };
                attempts.push((baseline.clone(), Disturbance::Watch(fault)));
            }
        }
    }
    attempts
}

/// Each `step`th attempt, the same ones in every run: what fits into an ordinary run.
fn sample(attempts: Vec<(Baseline, Disturbance)>, step: usize) -> Vec<(Baseline, Disturbance)> {
    attempts.into_iter().step_by(step).collect()
}

/// Not `println!`, which the test harness keeps from a test that passes.
fn say(counts: &str) {
    let _ = writeln!(std::io::stderr(), "faults: {counts}");
}

/// Walks `steps` steps from a seed: that of `FAULTS_SEED`, or always the same.
async fn expect_fresh(stage: &'static Stage, steps: usize) {
    let seed = std::env::var("FAULTS_SEED").map_or(7, |text| text.parse().unwrap());
    let divergences = transitions::compare(stage, seed, steps).await;
    say(&format!(
        "seed {seed}, transitions {steps}, divergences {}",
        divergences.len()
    ));
    assert!(divergences.is_empty(), "{}", divergences.join("\n\n"));
}

/// Searches and prints the counts as `label`.
async fn expect_the_same(
    stage: &'static Stage,
    attempts: Vec<(Baseline, Disturbance)>,
    label: &str,
) {
    let counts = search(stage, attempts).await;
    let divergences = &counts.divergences;
    say(&format!(
        "{label} {}, divergences {}",
        counts.tried,
        divergences.len()
    ));
    assert!(divergences.is_empty(), "{}", divergences.join("\n\n"));
}

#[test]
fn some_kills_and_faults_change_nothing_of_the_end() {
    on_stage(|stage| async move {
        let told = baselines(stage, scenarios::chosen()).await;
        let kills = sample(at_every_write(&told, KILLS), 3);
        expect_the_same(stage, kills, "crash points tried").await;
        let refusals = sample(at_every_write(&told, REFUSALS), 37);
        expect_the_same(stage, refusals, "faults injected").await;
        let watches = sample(at_every_watch(&told), 37);
        expect_the_same(stage, watches, "watch faults injected").await;
    });
}

#[test]
fn thirty_changes_in_a_row_come_to_what_a_fresh_install_is() {
    on_stage(|stage| expect_fresh(stage, 30));
}

#[test]
#[ignore = "minutes: `cargo dev test operator --full`"]
fn three_hundred_changes_in_a_row_come_to_what_a_fresh_install_is() {
    on_stage(|stage| expect_fresh(stage, 300));
}

#[test]
#[ignore = "minutes: `cargo dev test operator --full`"]
fn an_operator_killed_at_any_write_comes_to_the_same_end() {
    on_stage(|stage| async move {
        let told = baselines(stage, scenarios::chosen()).await;
        expect_the_same(stage, at_every_write(&told, KILLS), "crash points tried").await;
    });
}

#[test]
#[ignore = "minutes: `cargo dev test operator --full`"]
fn a_write_that_is_refused_or_lost_changes_nothing_of_the_end() {
    on_stage(|stage| async move {
        let told = baselines(stage, scenarios::chosen()).await;
        expect_the_same(stage, at_every_write(&told, REFUSALS), "faults injected").await;
    });
}

#[test]
#[ignore = "minutes: `cargo dev test operator --full`"]
fn watches_that_break_lag_or_step_back_change_nothing_of_the_end() {
    on_stage(|stage| async move {
        let told = baselines(stage, scenarios::chosen()).await;
        expect_the_same(stage, at_every_watch(&told), "watch faults injected").await;
    });
}

#[test]
fn a_restart_and_three_passes_with_nothing_to_do_write_nothing() {
    on_stage(|stage| async move {
        let mut case = stage.case().await;
        case.apply("1", &serde_json::json!({})).await;
        case.settle(Duration::from_millis(1500)).await;
        case.proxy.reset();
        case.restart().await;
        for _ in 0..3 {
            let written = case.writes_of_a_pass().await;
            assert!(written.is_empty(), "{written:?}");
        }
        case.close().await;
        say("writes of a restart and 3 passes 0");
    });
}
