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
mod watch;
#[path = "../kit/world.rs"]
#[expect(dead_code, reason = "shared with other test programs")]
mod world;

use proxy::Fault;
use search::{Baseline, baselines, search};
use stage::on_stage;

/// Every write of every story, with each fault.
fn every(baselines: &[Baseline], faults: &[Fault]) -> Vec<(Baseline, usize, Fault)> {
    let mut attempts = Vec::new();
    for baseline in baselines {
        for n in 0..baseline.writes {
            attempts.extend(faults.iter().map(|fault| (baseline.clone(), n, *fault)));
        }
    }
    attempts
}

#[test]
fn an_operator_killed_at_any_write_comes_to_the_same_end() {
    on_stage(|stage| async move {
        let told = baselines(stage, scenarios::all()).await;
        for baseline in &told {
            println!("{}: {} writes", baseline.scenario.name, baseline.writes);
        }
        let attempts = every(&told, &[Fault::KillBefore, Fault::KillAfter]);
        let counts = search(stage, attempts).await;
        println!(
            "crash points tried {}, divergences {}",
            counts.tried,
            counts.divergences.len()
        );
        assert!(
            counts.divergences.is_empty(),
            "{}",
            counts.divergences.join("\n\n")
        );
    });
}
