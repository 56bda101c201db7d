//! Rollouts that failed and are not tried again by themselves. Pure.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use k8s_openapi::jiff::Timestamp;

use super::machine::Candidate;
use super::trial::Evidence;
use crate::api::v1alpha1::{PostServiceStatus, QuarantineCause, QuarantineEntry};

/// Entries that `.status.quarantine` holds.
const ENTRIES: usize = 16;

/// Who asked: another generation of the spec, or another retry token, asks for another try.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Default)]
pub struct Ask {
    /// Generation of the spec.
    pub generation: Option<i64>,
    /// Value of the retry annotation.
    pub retry: Option<String>,
    /// Whether a policy selected the image, and not a person.
    pub by_policy: bool,
}

/// What is not tried again.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct Quarantine {
    /// Newest first.
    pub entries: Vec<QuarantineEntry>,
    /// Push time of the newest image that there was no room for.
    pub watermark: Option<Timestamp>,
}

impl Quarantine {
    /// Reads what an earlier pass wrote.
    pub fn of(status: &PostServiceStatus) -> Self {
        Self {
            entries: status.quarantine.clone(),
            watermark: status.quarantine_watermark.as_ref().map(|time| time.0),
        }
    }

    /// Writes it down.
    pub fn write(&self, status: &mut PostServiceStatus) {
        status.quarantine.clone_from(&self.entries);
        status.quarantine_watermark = self.watermark.map(Time);
    }

    /// Why `candidate` is not tried, if it is not.
    pub fn entry(&self, candidate: &Candidate, ask: &Ask) -> Option<&QuarantineEntry> {
        self.entries.iter().find(|entry| {
            entry.generation == ask.generation
                && entry.retry == ask.retry
                && concerns(entry, candidate)
        })
    }

    /// Whether `candidate` is not tried.
    pub fn blocks(&self, candidate: &Candidate, ask: &Ask) -> bool {
        let forgotten = || {
            ask.by_policy && candidate.pushed_at.is_some() && candidate.pushed_at <= self.watermark
        };
        self.entry(candidate, ask).is_some() || forgotten()
    }

    /// Forgets what was said against what has proved good.
    pub(super) fn release(&mut self, good: &Candidate) {
        self.entries.retain(|entry| !concerns(entry, good));
    }

    /// Adds what has failed, and who asked for it. `good` is what comes back: with the same image
    /// the blame is not its.
    pub(super) fn add(
        &mut self,
        failed: &Candidate,
        good: &Candidate,
        evidence: &Evidence,
        ask: Ask,
        now: Timestamp,
    ) {
        let cause = if failed.digest == good.digest {
            QuarantineCause::Configuration
        } else {
            QuarantineCause::Image
        };
        self.entries.retain(|entry| entry.id != failed.id);
        self.entries.insert(
            0,
            QuarantineEntry {
                id: failed.id.clone(),
                digest: failed.digest.to_string(),
                pushed_at: failed.pushed_at.map(Time),
                cause,
                reason: evidence.to_string(),
                at: Some(Time(now)),
                generation: ask.generation,
                retry: ask.retry,
            },
        );
        for dropped in self.entries.drain(ENTRIES.min(self.entries.len())..) {
            let pushed_at = dropped.pushed_at.map(|time| time.0);
            self.watermark = self.watermark.max(pushed_at);
        }
    }
}

/// Whether an entry is of `candidate`, or of its image.
fn concerns(entry: &QuarantineEntry, candidate: &Candidate) -> bool {
    let blames_image = entry.cause == QuarantineCause::Image;
    entry.id == candidate.id || blames_image && entry.digest == candidate.digest.as_str()
}
