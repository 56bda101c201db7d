//! What the rollout promises, each by an example. Every order of events is in `tests/model`.

mod deployment;
mod machine;
mod plan;
mod pods;
mod quarantine;
mod supersession;
mod trial;

use k8s_openapi::jiff::{SignedDuration, Timestamp};

use super::machine::{Candidate, Judged, Memory, Seen};
use super::quarantine::Ask;
use super::trial::{Evidence, Trial};
use crate::api::v1alpha1::{RolloutResult, RolloutStep};
use crate::registry::Digest;

fn digest(image: char) -> Digest {
    Digest::parse(&format!("sha256:{}", image.to_string().repeat(64))).unwrap()
}

/// The revision of an image with secret values.
fn of(image: char, secrets: u8) -> Candidate {
    Candidate {
        id: format!("{image}{secrets}"),
        digest: digest(image),
        tag: Some(image.to_string()),
        pushed_at: None,
    }
}

fn at(seconds: i64) -> Timestamp {
    Timestamp::UNIX_EPOCH + SignedDuration::from_secs(1_000_000 + seconds)
}

fn ask(generation: i64) -> Ask {
    Ask {
        generation: Some(generation),
        ..Ask::default()
    }
}

fn crashed() -> Evidence {
    Evidence {
        pod: "p".into(),
        reason: "CrashLoopBackOff".into(),
        exit_code: Some(1),
        message: "no".into(),
    }
}

/// Image a runs and is good; nothing is under way.
fn idle() -> Memory {
    Memory {
        current: Some(of('a', 1)),
        good: Some(of('a', 1)),
        asked: Some(1),
        ..Memory::default()
    }
}

/// The trial of `candidate` is at `step`; a is the good one.
fn trying(step: RolloutStep, candidate: Candidate) -> Memory {
    Memory {
        step,
        started_at: Some(at(0)),
        progress_at: Some(at(0)),
        current: Some(candidate.clone()),
        pending: Some(candidate),
        ..idle()
    }
}

/// `candidate` waits for its migration while a runs.
fn migrating(candidate: Candidate) -> Memory {
    Memory {
        current: Some(of('a', 1)),
        ..trying(RolloutStep::Migrating, candidate)
    }
}

/// Everything is in order; b is wanted and migrated, pods serve, and of b's nothing is to be said.
fn seen(target: Candidate) -> Seen {
    Seen {
        judged: judged(&target, Trial::Waiting, false),
        target: Some(target),
        ask: ask(1),
        hold: false,
        rollback: true,
        bake: true,
        ready: true,
        migrated: true,
        serving: true,
        now: at(60),
    }
}

#[expect(clippy::unnecessary_wraps, reason = "as `Seen` has it")]
fn judged(candidate: &Candidate, trial: Trial, complete: bool) -> Option<Judged> {
    Some(Judged {
        id: candidate.id.clone(),
        trial,
        complete,
        progress_at: None,
    })
}

/// The same, with a word on b's pods.
fn shown(trial: Trial, complete: bool) -> Seen {
    Seen {
        judged: judged(&of('b', 1), trial, complete),
        ..seen(of('b', 1))
    }
}

fn ids(memory: &Memory) -> [Option<&str>; 3] {
    let all = [&memory.current, &memory.good, &memory.pending];
    all.map(|found| found.as_ref().map(|found| found.id.as_str()))
}

fn results(memory: &Memory) -> Vec<(&str, RolloutResult)> {
    let entries = memory.history.iter();
    entries.map(|e| (e.id.as_str(), e.result)).collect()
}
