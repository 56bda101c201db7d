use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;

use super::*;
use crate::cli::sample::{self, seen};

fn question(tag: &str) -> Question {
    Question {
        tag: Some(tag.into()),
        asked: true,
        generation: 3,
        uid: Some("uid".into()),
        answered_before: None,
    }
}

fn running(mut service: PostService, tag: &str) -> PostService {
    let status = service.status.as_mut().unwrap();
    status.image.current = Some(sample::image(tag));
    service
}

fn up_to_date() -> PostService {
    running(seen("2", &[("Ready", "True", "UpToDate")]), "2")
}

fn rolled_back() -> PostService {
    let conditions = [
        ("Ready", "False", "RolledBack"),
        ("Stalled", "True", "RolledBack"),
    ];
    running(seen("2", &conditions), "1")
}

fn reason(judgement: &Judgement) -> Option<&str> {
    match judgement {
        Judgement::Ready(cause)
        | Judgement::Failed(cause)
        | Judgement::Superseded(cause)
        | Judgement::Doubtful(cause) => Some(&cause.reason),
        Judgement::AsBefore(_) | Judgement::Undecided => None,
    }
}

#[test]
fn ready_is_ready_only_with_the_tag_that_is_asked_for() {
    assert!(matches!(
        judge(&up_to_date(), &question("2")),
        Judgement::Ready(_)
    ));
    let other = running(seen("2", &[("Ready", "True", "UpToDate")]), "1");
    assert_eq!(judge(&other, &question("2")), Judgement::Undecided);
    let any = Question::default();
    assert!(matches!(judge(&other, &any), Judgement::Ready(_)));
}

#[test]
fn what_was_said_of_an_earlier_spec_decides_nothing() {
    for mut service in [up_to_date(), rolled_back()] {
        service.metadata.generation = Some(4);
        assert_eq!(judge(&service, &question("2")), Judgement::Undecided);
    }
    assert_eq!(
        judge(&sample::service("2"), &question("2")),
        Judgement::Undecided
    );
}

#[test]
fn an_object_read_before_it_was_written_decides_nothing() {
    let later = Question {
        generation: 4,
        ..question("2")
    };
    assert_eq!(judge(&up_to_date(), &later), Judgement::Undecided);
    // Not even that another tag is wanted.
    assert_eq!(judge(&seen("1", &[]), &later), Judgement::Undecided);
}

#[test]
fn the_operator_s_verdict_counts_while_pods_are_still_coming_back() {
    let conditions = [
        ("Ready", "False", "RolledBack"),
        ("Reconciling", "True", "RollingBack"),
    ];
    let judgement = judge(&running(seen("2", &conditions), "1"), &question("2"));
    assert_eq!(
        judgement,
        Judgement::Failed(Cause::new("RolledBack", "because of RolledBack"))
    );
}

#[test]
fn a_stalled_object_has_failed_for_the_reason_it_says() {
    for why in [
        "InvalidSpec",
        "ObjectConflict",
        "MigrationFailed",
        "RolledBack",
        "AccessDenied",
    ] {
        let service = seen(
            "2",
            &[("Ready", "False", "Degraded"), ("Stalled", "True", why)],
        );
        let judgement = judge(&service, &question("2"));
        assert!(matches!(judgement, Judgement::Failed(_)), "{judgement:?}");
        assert_eq!(reason(&judgement), Some(why));
    }
}

#[test]
fn what_somebody_switched_off_will_not_come_by_itself() {
    for why in ["Suspended", "Held", "Stopped"] {
        let judgement = judge(&seen("2", &[("Ready", "False", why)]), &question("2"));
        assert!(matches!(judgement, Judgement::Failed(_)), "{judgement:?}");
    }
    let stopped = seen("2", &[("Ready", "True", "Stopped")]);
    assert!(matches!(
        judge(&stopped, &question("2")),
        Judgement::Failed(_)
    ));
    // It is what the spec asks for.
    assert!(matches!(
        judge(&stopped, &Question::default()),
        Judgement::Ready(_)
    ));
}

#[test]
fn an_image_that_is_not_there_may_still_come() {
    for why in ["TagNotFound", "NoMatchingTag"] {
        let conditions = [
            ("Ready", "False", "Degraded"),
            ("ImageResolved", "False", why),
        ];
        let judgement = judge(&seen("2", &conditions), &question("2"));
        assert!(matches!(judgement, Judgement::Doubtful(_)), "{judgement:?}");
        assert_eq!(reason(&judgement), Some(why));
    }
}

#[test]
fn trouble_that_passes_is_waited_out() {
    for trouble in [
        ("ImageResolved", "Unknown", "RegistryUnavailable"),
        ("DatabaseReady", "False", "Unreachable"),
        ("SecretsReady", "False", "Missing"),
        ("MigrationsComplete", "False", "Running"),
    ] {
        let service = seen("2", &[("Ready", "False", "Degraded"), trouble]);
        assert_eq!(
            judge(&service, &question("2")),
            Judgement::Undecided,
            "{trouble:?}"
        );
    }
}

#[test]
fn another_tag_digest_or_policy_supersedes() {
    let mut service = up_to_date();
    let superseded = judge(&service, &question("1"));
    assert!(
        matches!(superseded, Judgement::Superseded(_)),
        "{superseded:?}"
    );
    service.spec.image.tag = None;
    service.spec.image.digest = Some("sha256:0".into());
    let superseded = judge(&service, &question("2"));
    assert!(
        matches!(superseded, Judgement::Superseded(_)),
        "{superseded:?}"
    );
}

#[test]
fn a_tag_that_git_has_not_brought_yet_is_waited_for() {
    let mut question = Question {
        asked: false,
        ..question("3")
    };
    let mut service = up_to_date();
    assert!(question.notice(&service.spec.image).is_some());
    assert_eq!(judge(&service, &question), Judgement::Undecided);
    service.spec.image.tag = Some("3".into());
    assert_eq!(question.notice(&service.spec.image), None);
    service.spec.image.tag = Some("2".into());
    let superseded = judge(&service, &question);
    assert!(
        matches!(superseded, Judgement::Superseded(_)),
        "{superseded:?}"
    );
}

#[test]
fn a_deleted_object_has_failed_even_if_it_is_ready() {
    let mut ending = up_to_date();
    ending.metadata.deletion_timestamp = Some(Time(sample::now()));
    let mut another = up_to_date();
    another.metadata.uid = Some("other".into());
    for service in [ending, another] {
        assert_eq!(reason(&judge(&service, &question("2"))), Some("Deleted"));
    }
}

#[test]
fn a_verdict_from_before_a_retry_is_no_answer_to_it() {
    let mut service = rolled_back();
    let question = Question {
        answered_before: service.status.clone(),
        ..question("2")
    };
    assert!(matches!(judge(&service, &question), Judgement::AsBefore(_)));
    // Pods come and go, which says nothing about the retry.
    service.status.as_mut().unwrap().ready_replicas = Some(7);
    assert!(matches!(judge(&service, &question), Judgement::AsBefore(_)));
    // The same words, about another try.
    let status = service.status.as_mut().unwrap();
    status
        .quarantine
        .push(crate::api::v1alpha1::QuarantineEntry::default());
    assert!(matches!(judge(&service, &question), Judgement::Failed(_)));
}
