//! What failed is not tried again, until somebody asks.

use super::super::machine::{Candidate, Memory, Seen, next, target};
use super::super::quarantine::{Ask, Quarantine};
use super::super::trial::Trial;
use super::{ask, at, crashed, idle, ids, judged, of, seen, trying};
use crate::api::v1alpha1::{PostServiceStatus, QuarantineCause, RolloutStep};

/// What is remembered after `failed` failed its trial, asked for by generation 1.
fn after(failed: Candidate) -> Memory {
    let seen = Seen {
        judged: judged(&failed, Trial::Failed(crashed()), false),
        ..seen(failed.clone())
    };
    next(&trying(RolloutStep::Baking, failed), &seen)
}

fn id_of(target: Option<Candidate>) -> String {
    target.map(|target| target.id).unwrap_or_default()
}

#[test]
fn a_bad_image_is_not_tried_with_other_secrets_either() {
    let memory = after(of('b', 1));
    assert_eq!(memory.quarantine.entries[0].cause, QuarantineCause::Image);
    assert!(memory.quarantine.blocks(&of('b', 2), &ask(1)));
    let rotated = target(&memory, &ask(1), Some(&of('b', 2)), Some(&of('a', 2)));
    assert_eq!(
        id_of(rotated),
        "a2",
        "the good image with the present secrets"
    );
}

#[test]
fn a_bad_password_is_blamed_on_itself_alone() {
    let memory = after(of('a', 2));
    assert_eq!(
        memory.quarantine.entries[0].cause,
        QuarantineCause::Configuration
    );
    let with = |secrets| {
        target(
            &memory,
            &ask(1),
            Some(&of('a', secrets)),
            Some(&of('a', secrets)),
        )
    };
    assert_eq!(
        id_of(with(2)),
        "a1",
        "what ran before, with the secrets of then"
    );
    assert_eq!(id_of(with(3)), "a3");
}

#[test]
fn a_bad_image_and_a_bad_password_leave_what_ran() {
    let mut memory = after(of('b', 1));
    memory
        .quarantine
        .entries
        .extend(after(of('a', 2)).quarantine.entries);
    let found = target(&memory, &ask(1), Some(&of('b', 2)), Some(&of('a', 2)));
    assert_eq!(id_of(found), "a1");
}

#[test]
fn a_new_generation_or_retry_token_tries_again() {
    let memory = after(of('b', 1));
    let token = Ask {
        retry: Some("again".into()),
        ..ask(1)
    };
    let cases = [(ask(1), "a1"), (ask(2), "b1"), (token, "b1")];
    for (ask, expected) in cases {
        let found = target(&memory, &ask, Some(&of('b', 1)), Some(&of('a', 1)));
        assert_eq!(id_of(found), expected, "{ask:?}");
    }
}

#[test]
fn a_spec_that_comes_with_the_verdict_is_not_what_failed() {
    let mended = Candidate {
        id: "b-mended".into(),
        ..of('b', 1)
    };
    let both_at_once = Seen {
        ask: ask(2),
        judged: judged(&of('b', 1), Trial::Failed(crashed()), false),
        ..seen(mended)
    };
    let memory = next(&trying(RolloutStep::Baking, of('b', 1)), &both_at_once);
    assert_eq!(memory.quarantine.entries[0].generation, Some(1));
    let mended = Some("b-mended");
    assert_eq!(ids(&memory), [mended, Some("a1"), mended]);
}

#[test]
fn what_is_in_quarantine_begins_no_rollout() {
    let memory = Memory {
        step: RolloutStep::Idle,
        ..after(of('b', 1))
    };
    assert_eq!(next(&memory, &seen(of('b', 1))), memory);
}

#[test]
fn an_unknown_target_is_not_replaced_by_another() {
    assert_eq!(target(&idle(), &ask(1), None, Some(&of('a', 2))), None);
}

#[test]
fn what_proved_good_leaves_the_quarantine() {
    let quarantine = after(of('b', 1)).quarantine;
    let rolling = Memory {
        quarantine,
        ..trying(RolloutStep::RollingOut, of('b', 1))
    };
    let again = Seen {
        ask: ask(2),
        judged: judged(&of('b', 1), Trial::Waiting, true),
        ..seen(of('b', 1))
    };
    let memory = next(&rolling, &again);
    assert_eq!(ids(&memory), [Some("b1"), Some("b1"), None]);
    assert!(!memory.quarantine.blocks(&of('b', 2), &ask(1)));
}

/// b to q have failed in this order, each pushed a second after the one before.
fn seventeen() -> (Quarantine, Vec<Candidate>) {
    let images: Vec<_> = (0..17)
        .map(|index| Candidate {
            id: format!("i{index}"),
            digest: crate::registry::Digest::parse(&format!("sha256:{index:064}")).unwrap(),
            tag: None,
            pushed_at: Some(at(index)),
        })
        .collect();
    let mut quarantine = Quarantine::default();
    for image in &images {
        quarantine.add(image, &of('a', 1), &crashed(), ask(1), at(60));
    }
    (quarantine, images)
}

#[test]
fn what_there_is_no_room_for_is_not_selected_by_a_policy() {
    let (quarantine, images) = seventeen();
    assert_eq!(quarantine.entries.len(), 16);
    assert_eq!(quarantine.entries[0].id, "i16", "newest first");
    assert_eq!(quarantine.watermark, Some(at(0)));
    let policy = Ask {
        by_policy: true,
        ..ask(2)
    };
    assert!(quarantine.blocks(&images[0], &policy));
    assert!(
        !quarantine.blocks(&images[1], &policy),
        "another generation asks"
    );
    assert!(!quarantine.blocks(&images[0], &ask(2)), "a person asks");
}

#[test]
fn the_watermark_never_falls() {
    let (mut quarantine, _) = seventeen();
    quarantine.watermark = Some(at(100));
    quarantine.add(&of('c', 1), &of('a', 1), &crashed(), ask(1), at(60));
    assert_eq!(quarantine.watermark, Some(at(100)));
}

#[test]
fn what_fails_again_has_one_entry() {
    let mut quarantine = after(of('b', 1)).quarantine;
    quarantine.add(&of('b', 1), &of('a', 1), &crashed(), ask(2), at(60));
    assert_eq!(quarantine.entries.len(), 1);
    assert_eq!(quarantine.entries[0].generation, Some(2));
}

#[test]
fn what_is_written_is_read_again() {
    let (quarantine, _) = seventeen();
    let mut status = PostServiceStatus::default();
    quarantine.write(&mut status);
    assert_eq!(Quarantine::of(&status), quarantine);
}
