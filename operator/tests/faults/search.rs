//! The search: every story is told once undisturbed, then with a fault at each of its writes.

use std::time::Duration;

use futures::StreamExt as _;

use crate::cluster::History;
use crate::proxy::{Class, Fault};
use crate::scenarios::Scenario;
use crate::snapshot;
use crate::stage::{Case, Stage};

/// No write for this long ends an undisturbed story.
const QUIET: Duration = Duration::from_millis(1500);
/// No write for this long ends a story whose end is as expected.
const STILL: Duration = Duration::from_millis(250);

/// An undisturbed story.
#[derive(Clone, Debug)]
pub struct Baseline {
    /// The story.
    pub scenario: Scenario,
    /// Writes that count.
    pub writes: usize,
    end: String,
    history: History,
}

/// What a disturbed story came to.
#[derive(Debug, PartialEq, Eq)]
pub enum Verdict {
    /// As the undisturbed one.
    Same,
    /// It ended before its write was reached.
    NotReached,
    /// Otherwise, and how.
    Diverged(String),
}

/// Counts of a search.
#[derive(Debug, Default)]
pub struct Counts {
    /// Faults that struck.
    pub tried: usize,
    /// What went otherwise.
    pub divergences: Vec<String>,
}

/// Tells each story undisturbed.
pub async fn baselines(stage: &'static Stage, scenarios: Vec<Scenario>) -> Vec<Baseline> {
    futures::stream::iter(scenarios)
        .map(|scenario| tokio::spawn(baseline(stage, scenario)))
        .buffered(64)
        .map(|told| told.unwrap())
        .collect()
        .await
}

async fn baseline(stage: &'static Stage, scenario: Scenario) -> Baseline {
    let case = stage.case().await;
    scenario.prepare(&case).await;
    scenario.act(&case).await;
    case.settle(QUIET).await;
    let writes = case.proxy.writes();
    let baseline = Baseline {
        scenario,
        writes: writes.iter().filter(|write| write.class == Class::Main).count(),
        end: case.snapshot(),
        history: case.namespace().history,
    };
    case.close().await;
    baseline
}

/// Tells each story with its fault.
pub async fn search(
    stage: &'static Stage,
    attempts: Vec<(Baseline, usize, Fault)>,
) -> Counts {
    let verdicts: Vec<_> = futures::stream::iter(attempts)
        .map(|(baseline, n, fault)| {
            tokio::spawn(async move {
                let verdict = disturbed(stage, &baseline, n, fault).await;
                (baseline.scenario.name, n, fault, verdict)
            })
        })
        .buffered(64)
        .map(|told| told.unwrap())
        .collect()
        .await;
    let mut counts = Counts::default();
    for (name, n, fault, verdict) in verdicts {
        match verdict {
            Verdict::NotReached => {}
            Verdict::Same => counts.tried += 1,
            Verdict::Diverged(how) => {
                counts.tried += 1;
                counts
                    .divergences
                    .push(format!("{name}, write {n}, {fault:?}: {how}"));
            }
        }
    }
    counts
}

async fn disturbed(stage: &'static Stage, baseline: &Baseline, n: usize, fault: Fault) -> Verdict {
    let mut case = stage.case().await;
    baseline.scenario.prepare(&case).await;
    case.proxy.arm(n, fault);
    baseline.scenario.act(&case).await;
    if fault.kills() {
        let struck = tokio::select! {
            _ = case.proxy.struck() => true,
            _ = case.becomes(&baseline.end) => false,
        };
        if struck {
            case.restart().await;
        }
    }
    let came = case.becomes(&baseline.end).await;
    let verdict = match case.proxy.has_struck() {
        None => Verdict::NotReached,
        Some(write) => judge(&case, baseline, &write, came).await,
    };
    case.close().await;
    verdict
}

async fn judge(case: &Case, baseline: &Baseline, write: &str, came: bool) -> Verdict {
    let diverged = |how: String| {
        Verdict::Diverged(format!("{write}: {how}\n{}", case.log()))
    };
    if !came {
        let difference = snapshot::difference(&baseline.end, &case.snapshot());
        return diverged(format!("another end:\n{difference}"));
    }
    case.settle(STILL).await;
    let end = case.snapshot();
    if end != baseline.end {
        let difference = snapshot::difference(&baseline.end, &end);
        return diverged(format!("left the end again:\n{difference}"));
    }
    let history = case.namespace().history;
    if history.created != baseline.history.created {
        return diverged(format!(
            "objects made: {:?} instead of {:?}",
            history.created, baseline.history.created
        ));
    }
    if history.templates.len() != baseline.history.templates.len() {
        return diverged(format!(
            "{} pod templates instead of {}",
            history.templates.len(),
            baseline.history.templates.len()
        ));
    }
    Verdict::Same
}
