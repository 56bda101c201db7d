use serde_json::json;

use super::*;
use crate::api::v1alpha1::PostService;
use crate::controller::validate;

fn digest(character: char) -> Digest {
    Digest::parse(&format!("sha256:{}", character.to_string().repeat(64))).unwrap()
}

fn spec(hold: bool) -> Validated {
    let object: PostService = serde_json::from_value(json!({
        "apiVersion": "platform.hhottdogg.shop/v1alpha1", "kind": "PostService",
        "metadata": {"name": "post-service", "namespace": "ns", "uid": "u"},
        "spec": {
            "image": {"repository": "123456789012.dkr.ecr.eu-west-1.amazonaws.com/p", "tag": "2"},
            "rollout": {"hold": hold}
        },
    }))
    .unwrap();
    validate::spec(&object).unwrap()
}

/// Digest b is wanted, a runs, database and Secrets are ready, b's migration succeeded.
fn observed() -> Observed {
    Observed {
        image: Some(Ok(RegistryImage {
            digest: digest('b'),
            tag: Some("2".into()),
            pushed_at: None,
        })),
        secrets_ready: true,
        database: Some(Ok(DatabaseFacts {
            schema_version: Some(1),
            ..DatabaseFacts::default()
        })),
        running: Some(Running {
            digest: Some(digest('a')),
            complete: true,
            pods: 1,
        }),
        migration: Migration::Job(JobState::Complete),
    }
}

fn unreachable() -> Result<DatabaseFacts, DatabaseError> {
    Err(DatabaseError::Unreachable {
        host: "db".into(),
        port: 3306,
        detail: String::new(),
    })
}

fn status_of(character: char) -> PostServiceStatus {
    let image = ImageRef {
        repository: Some("123456789012.dkr.ecr.eu-west-1.amazonaws.com/p".into()),
        tag: Some("2".into()),
        digest: digest(character).to_string(),
        pushed_at: None,
    };
    let mut status = PostServiceStatus::default();
    status.image.desired = Some(image.clone());
    status.image.last_good = Some(image);
    status
}

#[test]
fn no_pod_of_an_image_is_planned_before_its_migration_completed() {
    for migration in [
        Migration::Pending,
        Migration::Job(JobState::Running),
        Migration::Job(JobState::Failed),
        Migration::Retry,
    ] {
        let plan = next(
            &spec(false),
            &PostServiceStatus::default(),
            &Observed {
                migration,
                ..observed()
            },
        );
        assert_eq!(plan.workload, Workload::Keep);
    }
}

#[test]
fn a_completed_migration_starts_the_rollout_and_complete_pods_end_it() {
    let plan = next(&spec(false), &PostServiceStatus::default(), &observed());
    assert_eq!(plan.step, Step::RollingOut);
    assert!(matches!(plan.workload, Workload::Run(image) if image.digest == digest('b')));

    let running = Some(Running {
        digest: Some(digest('b')),
        complete: true,
        pods: 1,
    });
    let plan = next(
        &spec(false),
        &PostServiceStatus::default(),
        &Observed {
            running,
            ..observed()
        },
    );
    assert_eq!(plan.step, Step::Idle);
}

#[test]
fn an_unknown_tag_leaves_what_runs() {
    let image = Some(Err(RegistryError::TagNotFound {
        repository: "r".into(),
        tag: "2".into(),
    }));
    let plan = next(
        &spec(false),
        &status_of('a'),
        &Observed {
            image,
            ..observed()
        },
    );
    assert_eq!(
        (plan.step, plan.workload),
        (Step::Resolving, Workload::Keep)
    );
}

#[test]
fn a_registry_outage_degrades_nothing() {
    let image = Some(Err(RegistryError::Unavailable {
        repository: "r".into(),
        detail: String::new(),
    }));
    let observed = Observed {
        image,
        running: Some(Running {
            digest: Some(digest('a')),
            complete: true,
            pods: 1,
        }),
        ..observed()
    };
    let plan = next(&spec(false), &status_of('a'), &observed);
    assert_eq!(plan.step, Step::Idle);
}

#[test]
fn a_database_outage_rolls_nothing_out_and_takes_nothing_away() {
    let out = Observed {
        database: Some(unreachable()),
        ..observed()
    };
    let plan = next(&spec(false), &status_of('a'), &out);
    assert_eq!(
        (plan.step, plan.workload),
        (Step::Bootstrapping, Workload::Keep)
    );

    let deleted = Observed {
        running: None,
        ..out
    };
    let plan = next(&spec(false), &status_of('a'), &deleted);
    assert!(matches!(plan.workload, Workload::Run(image) if image.digest == digest('a')));
}

#[test]
fn missing_secrets_keep_running_pods() {
    let plan = next(
        &spec(false),
        &status_of('a'),
        &Observed {
            secrets_ready: false,
            ..observed()
        },
    );
    assert_eq!(
        (plan.step, plan.workload),
        (Step::Bootstrapping, Workload::Keep)
    );
}

#[test]
fn a_held_service_starts_no_rollout() {
    let plan = next(&spec(true), &status_of('a'), &observed());
    assert_eq!((plan.step, plan.workload), (Step::Held, Workload::Keep));
    assert_eq!(plan.migration, MigrationJob::Keep);
}
