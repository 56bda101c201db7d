//! A machine's memory as a state holds it: what the status says, without times and history.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use k8s_openapi::jiff::Timestamp;
use post_operator::api::v1alpha1::{PostServiceStatus, QuarantineEntry, RolloutStatus};
use post_operator::rollout::machine::Memory;

use crate::operator::{digest, id, rev};
use crate::world::{Asked, Ban, Note, Report, Rev};

/// The status that both stand for.
pub fn status(note: &Note, report: Report) -> PostServiceStatus {
    let then = Some(Time(Timestamp::UNIX_EPOCH));
    let name = |rev: Option<Rev>| rev.map(id);
    let entry = |ban: &Ban| QuarantineEntry {
        id: id(ban.rev),
        digest: digest(ban.rev.image).to_string(),
        cause: ban.cause,
        generation: Some(ban.asked.generation.into()),
        retry: Some(ban.asked.retry.to_string()),
        ..QuarantineEntry::default()
    };
    let present = note.pending.or(note.current);
    PostServiceStatus {
        observed_generation: report.generation.map(Into::into),
        rollout: present.map(|present| RolloutStatus {
            id: id(present),
            step: note.step,
            started_at: then.clone(),
            last_progress_at: then.clone(),
            paused_at: then.filter(|_| note.paused),
            current: name(note.current),
            last_good: name(note.good),
            pending: name(note.pending),
        }),
        quarantine: note.quarantine.iter().map(entry).collect(),
        ..PostServiceStatus::default()
    }
}

/// What [`Memory::write`] leaves of a memory, without times and history.
pub fn note(memory: &Memory) -> Note {
    let mut status = PostServiceStatus::default();
    memory.write(&mut status, |candidate| candidate.id.clone());
    let rollout = status.rollout.unwrap_or_default();
    let named = |name: &Option<String>| name.as_deref().map(rev);
    let number = |text: Option<&String>| text.unwrap().parse().unwrap();
    Note {
        step: rollout.step,
        current: named(&rollout.current),
        good: named(&rollout.last_good),
        pending: named(&rollout.pending),
        paused: rollout.paused_at.is_some(),
        quarantine: status
            .quarantine
            .iter()
            .map(|entry| Ban {
                rev: rev(&entry.id),
                cause: entry.cause,
                asked: Asked {
                    generation: entry.generation.unwrap().try_into().unwrap(),
                    retry: number(entry.retry.as_ref()),
                },
            })
            .collect(),
    }
}
