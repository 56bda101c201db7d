//! The search: every story is told once undisturbed, then with a fault at each of its writes.

use std::time::Duration;

use futures::StreamExt as _;

use crate::cluster::History;
use crate::proxy::{Class, Fault};
use crate::scenarios::Scenario;
use crate::snapshot;
use crate::stage::{Case, Stage};
use crate::watch::WatchFault;

/// No write for this long ends an undisturbed story.
pub const QUIET: Duration = Duration::from_millis(1500);
/// No write for this long ends a story whose end is as expected.
const STILL: Duration = Duration::from_millis(250);

/// An undisturbed story.
#[derive(Clone, Debug)]
pub struct Baseline {
    /// The story.
    pub scenario: Scenario,
    /// Writes that count.
    pub writes: usize,
    before: Option<String>,
    end: String,
    history: History,
}

/// What disturbs a story.
#[derive(Clone, Debug)]
pub enum Disturbance {
    /// A fault at a write, counted from 0.
    Write(usize, Fault),
    /// A fault at the next event of a watch.
    Watch(WatchFault),
}

impl Disturbance {
    fn kills(&self) -> bool {
        matches!(self, Self::Write(_, fault) if fault.kills())
    }

    fn arm(&self, case: &Case) {
        match self {
            Self::Write(n, fault) => case.proxy.arm(*n, *fault),
            Self::Watch(fault) => case.proxy.disturb(fault.clone()),
        }
    }

    /// What was hit, if anything was.
    fn hit(&self, case: &Case) -> Option<String> {
        match self {
            Self::Write(..) => case.proxy.has_struck(),
            Self::Watch(fault) => case
                .proxy
                .is_undisturbed()
                .then(|| format!("watch of {}", fault.plural)),
        }
    }
}

/// What a disturbed story reached to.
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
    let before = if scenario.prepare(&case).await {
        case.settle(QUIET).await;
        case.forget();
        Some(case.snapshot())
    } else {
        None
    };
    let reads = case.proxy.secret_reads();
    scenario.act(&case).await;
    if scenario.keeps_the_generation() {
        // Quiet, and observed, is also what an operator has not yet heard of.
        case.passed(reads).await;
    }
    case.settle(QUIET).await;
    let writes = case.proxy.writes();
    let baseline = Baseline {
        scenario,
        before,
        writes: writes
            .iter()
            .filter(|write| write.class == Class::Main)
            .count(),
        end: case.snapshot(),
        history: case.namespace().history,
    };
    case.close().await;
    baseline
}

/// Tells each story with its fault.
pub async fn search(stage: &'static Stage, attempts: Vec<(Baseline, Disturbance)>) -> Counts {
    let verdicts: Vec<_> = futures::stream::iter(attempts)
        .map(|(baseline, disturbance)| {
            tokio::spawn(async move {
                let verdict = disturbed(stage, &baseline, &disturbance).await;
                (baseline.scenario.name, disturbance, verdict)
            })
        })
        .buffered(64)
        .map(|told| told.unwrap())
        .collect()
        .await;
    let mut counts = Counts::default();
    for (name, disturbance, verdict) in verdicts {
        match verdict {
            Verdict::NotReached => {}
            Verdict::Same => counts.tried += 1,
            Verdict::Diverged(how) => {
                counts.tried += 1;
                counts
                    .divergences
                    .push(format!("{name}, {disturbance:?}: {how}"));
            }
        }
    }
    counts
}

async fn disturbed(
    stage: &'static Stage,
    baseline: &Baseline,
    disturbance: &Disturbance,
) -> Verdict {
    let mut case = stage.case().await;
    baseline.scenario.prepare(&case).await;
    if let Some(before) = &baseline.before {
        if !case.becomes(before).await {
            let difference = snapshot::difference(before, &case.snapshot());
            return Verdict::Diverged(format!("another beginning:\n{difference}"));
        }
        case.settle(STILL).await;
        case.forget();
    }
    disturbance.arm(&case);
    baseline.scenario.act(&case).await;
    if disturbance.kills() {
        let undisturbed = async {
            case.becomes(&baseline.end).await;
            case.settle(STILL).await;
        };
        let struck = tokio::select! {
            _ = case.proxy.struck() => true,
            () = undisturbed => false,
        };
        if struck {
            case.restart().await;
        }
    }
    let reached = case.becomes(&baseline.end).await;
    let verdict = match disturbance.hit(&case) {
        None => Verdict::NotReached,
        Some(write) => judge(&case, baseline, &write, reached).await,
    };
    case.close().await;
    verdict
}

async fn judge(case: &Case, baseline: &Baseline, write: &str, reached: bool) -> Verdict {
    let diverged = |how: String| Verdict::Diverged(format!("{write}: {how}\n{}", case.log()));
    if !reached {
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
