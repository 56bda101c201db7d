//! What a pass does about what is remembered.

use std::sync::Arc;

use serde_json::json;

use super::super::machine::{self, Candidate, Memory, Seen, next};
use super::super::{
    Aim, JobState, Migration, MigrationJob, Observed, Plan, Running, Step, Workload, plan,
    wanted_image,
};
use super::{ask, at, crashed, digest, idle, judged, migrating, of, trying};
use crate::api::v1alpha1::{ImageRef, PostService, PostServiceStatus, RolloutStep};
use crate::build::revision::Content;
use crate::build::{PodInputs, Revision};
use crate::controller::validate::{self, Validated};
use crate::database::{DatabaseError, DatabaseFacts};
use crate::registry::{RegistryError, RegistryImage};
use crate::rollout::trial::Trial;

const REPOSITORY: &str = "123456789012.dkr.ecr.eu-west-1.amazonaws.com/p";

fn spec(rollout: &serde_json::Value, stopped: bool) -> Validated {
    let object: PostService = serde_json::from_value(json!({
        "apiVersion": "platform.hhottdogg.shop/v1alpha1", "kind": "PostService",
        "metadata": {"name": "post-service", "namespace": "ns", "uid": "u", "generation": 1},
        "spec": {
            "image": {"repository": REPOSITORY, "tag": "2"}, "rollout": rollout, "stopped": stopped,
        },
    }))
    .unwrap();
    validate::spec(&object).unwrap()
}

fn revision(candidate: &Candidate) -> Arc<Revision> {
    Arc::new(Revision {
        id: candidate.id.clone(),
        number: 1,
        digest: candidate.digest.clone(),
        content: Content {
            image: image(candidate),
            inputs: PodInputs::default(),
            fingerprint: candidate.id[1..].into(),
            account: None,
            env: None,
        },
        template: k8s_openapi::api::core::v1::PodTemplateSpec::default(),
    })
}

fn image(candidate: &Candidate) -> ImageRef {
    ImageRef {
        repository: Some(REPOSITORY.into()),
        tag: Some("2".into()),
        digest: candidate.digest.to_string(),
        pushed_at: None,
    }
}

fn registry_down() -> RegistryError {
    RegistryError::Unavailable {
        repository: REPOSITORY.into(),
        detail: String::new(),
    }
}

fn unreachable() -> DatabaseError {
    DatabaseError::Unreachable {
        host: "db".into(),
        port: 3306,
        detail: String::new(),
    }
}

/// a runs, everything is in order, and what shall run is migrated.
fn observed() -> Observed {
    Observed {
        image: None,
        secrets_ready: true,
        database: Some(Ok(DatabaseFacts::default())),
        running: Some(Running {
            revision: Some("a1".into()),
            complete: true,
            pods: 2,
            available: 2,
            progress_at: None,
        }),
        migration: Migration::Job(JobState::Complete),
    }
}

/// A service, what is wanted of it, and what is remembered.
struct Case {
    spec: Validated,
    memory: Memory,
    wanted: Option<Candidate>,
    observed: Observed,
    trial: Trial,
}

impl Case {
    /// `wanted` is asked for while a runs.
    fn of(wanted: Candidate) -> Self {
        Self {
            spec: spec(&json!({}), false),
            memory: idle(),
            wanted: Some(wanted),
            observed: observed(),
            trial: Trial::Waiting,
        }
    }

    /// What a pass remembers and plans.
    fn pass(self) -> (Memory, Plan) {
        let Self {
            spec,
            memory,
            wanted,
            observed,
            trial,
        } = self;
        let ask = ask(1);
        let target = machine::target(&memory, &ask, wanted.as_ref(), memory.good.as_ref());
        let live = observed.running.as_ref();
        let current = memory.current.as_ref();
        let seen = Seen {
            target: target.clone(),
            ask,
            hold: spec.spec.rollout.hold,
            rollback: spec.spec.rollout.rollback,
            bake: !spec.bake.is_zero(),
            ready: observed.is_ready(),
            migrated: observed.is_migrated(),
            serving: live.is_some_and(|live| live.available > 0),
            judged: current.and_then(|current| {
                let complete = live.is_some_and(|live| live.complete);
                judged(current, trial, complete)
            }),
            now: at(60),
        };
        let memory = next(&memory, &seen);
        let aim = Aim {
            image: wanted.as_ref().map(image),
            wanted: wanted.as_ref().map(revision),
            target,
            current: memory.current.as_ref().map(revision),
            unsettled: false,
        };
        let plan = plan(&spec, &memory, &aim, &observed);
        (memory, plan)
    }

    fn plan(self) -> Plan {
        self.pass().1
    }
}

/// The id of what the Deployment is told to run, and whether it bakes.
fn told(plan: &Plan) -> Option<(&str, bool)> {
    match &plan.workload {
        Workload::Run { revision, baking } => Some((&revision.id, *baking)),
        Workload::Keep => None,
    }
}

#[test]
fn no_pod_of_an_image_is_planned_before_its_migration_completed() {
    for (migration, step) in [
        (Migration::Pending, Step::Migrating),
        (Migration::Job(JobState::Running), Step::Migrating),
        (Migration::Job(JobState::Failed), Step::MigrationFailed),
        (Migration::Retry, Step::Migrating),
    ] {
        let mut case = Case::of(of('b', 1));
        case.observed.migration = migration;
        let plan = case.plan();
        assert_eq!((plan.step, told(&plan)), (step, Some(("a1", false))));
    }
}

#[test]
fn a_migration_that_failed_runs_again_when_somebody_asks() {
    let mut case = Case::of(of('b', 1));
    case.observed.migration = Migration::Retry;
    assert_eq!(case.plan().migration, MigrationJob::Remove(digest('b')));
    let mut case = Case::of(of('b', 1));
    case.observed.migration = Migration::Pending;
    assert_eq!(case.plan().migration, MigrationJob::Run(digest('b')));
}

#[test]
fn without_migrations_pods_start_at_once() {
    let mut case = Case::of(of('b', 1));
    case.observed.migration = Migration::Disabled;
    let plan = case.plan();
    assert_eq!(told(&plan), Some(("b1", true)));
    assert_eq!(plan.migration, MigrationJob::Keep);
}

#[test]
fn a_completed_migration_starts_the_bake_and_complete_pods_end_the_rollout() {
    let plan = Case::of(of('b', 1)).plan();
    assert_eq!((plan.step, told(&plan)), (Step::Baking, Some(("b1", true))));

    let mut case = Case::of(of('b', 1));
    case.memory = trying(RolloutStep::RollingOut, of('b', 1));
    let (memory, plan) = case.pass();
    assert_eq!((plan.step, told(&plan)), (Step::Idle, Some(("b1", false))));
    assert_eq!(memory.good, Some(of('b', 1)));
}

#[test]
fn without_a_bake_all_pods_are_replaced() {
    let mut case = Case::of(of('b', 1));
    case.spec = spec(&json!({"bake": {"duration": "0s"}}), false);
    let plan = case.plan();
    assert_eq!(
        (plan.step, told(&plan)),
        (Step::RollingOut, Some(("b1", false)))
    );
}

#[test]
fn a_failed_trial_tells_the_deployment_of_the_good_one_in_the_same_pass() {
    let mut case = Case::of(of('b', 1));
    case.memory = trying(RolloutStep::Baking, of('b', 1));
    case.trial = Trial::Failed(crashed());
    case.observed.running.as_mut().unwrap().complete = false;
    let (memory, plan) = case.pass();
    assert_eq!(
        (plan.step, told(&plan)),
        (Step::RollingBack, Some(("a1", false)))
    );

    let mut case = Case::of(of('b', 1));
    case.memory = memory;
    let plan = case.plan();
    assert_eq!(
        (plan.step, told(&plan)),
        (Step::RolledBack, Some(("a1", false)))
    );
}

#[test]
fn an_unknown_image_leaves_what_runs() {
    let mut case = Case::of(of('b', 1));
    case.wanted = None;
    let plan = case.plan();
    assert_eq!(
        (plan.step, told(&plan)),
        (Step::Resolving, Some(("a1", false)))
    );
    assert_eq!(plan.migration, MigrationJob::Keep);
}

/// The status of a service whose image was a.
fn reported() -> PostServiceStatus {
    let mut status = PostServiceStatus::default();
    status.image.desired = Some(image(&of('a', 1)));
    status
}

#[test]
fn a_registry_outage_degrades_nothing() {
    let spec = spec(&json!({}), false);
    let found = wanted_image(&spec, &reported(), Some(&Err(registry_down())));
    assert_eq!(found, Some(image(&of('a', 1))));
    let plan = Case::of(of('a', 1)).plan();
    assert_eq!((plan.step, told(&plan)), (Step::Idle, Some(("a1", false))));
}

#[test]
fn an_image_is_what_the_registry_says_or_said_of_the_same_tag() {
    let spec = spec(&json!({}), false);
    let found = |answer: Result<_, _>| {
        let image = wanted_image(&spec, &reported(), Some(&answer));
        image.map(|image| image.digest)
    };
    let there = RegistryImage {
        digest: digest('b'),
        tag: Some("2".into()),
        pushed_at: None,
    };
    assert_eq!(found(Ok(there)), Some(digest('b').to_string()));
    let missing = RegistryError::TagNotFound {
        repository: REPOSITORY.into(),
        tag: "2".into(),
    };
    assert_eq!(found(Err(missing)), None);
    let mut other = reported();
    other.image.desired.as_mut().unwrap().tag = Some("1".into());
    assert_eq!(
        wanted_image(&spec, &other, Some(&Err(registry_down()))),
        None
    );
}

#[test]
fn a_database_outage_rolls_nothing_out_and_takes_nothing_away() {
    let mut case = Case::of(of('b', 1));
    case.observed.database = Some(Err(unreachable()));
    let (memory, plan) = case.pass();
    assert_eq!(memory, idle());
    assert_eq!(
        (plan.step, told(&plan)),
        (Step::Bootstrapping, Some(("a1", false)))
    );
    assert_eq!(plan.migration, MigrationJob::Keep);
}

#[test]
fn a_deployment_that_somebody_deleted_comes_back_also_without_a_database() {
    for database in [Ok(DatabaseFacts::default()), Err(unreachable())] {
        let mut case = Case::of(of('a', 1));
        case.observed.database = Some(database);
        case.observed.running = None;
        let (memory, plan) = case.pass();
        assert_eq!(memory, idle(), "what was good is good");
        assert_eq!(
            (plan.step, told(&plan)),
            (Step::RollingOut, Some(("a1", false)))
        );
    }
}

#[test]
fn missing_secrets_keep_running_pods() {
    let mut case = Case::of(of('b', 1));
    case.observed.secrets_ready = false;
    let plan = case.plan();
    assert_eq!(
        (plan.step, told(&plan)),
        (Step::Bootstrapping, Some(("a1", false)))
    );

    let mut case = Case::of(of('b', 1));
    case.observed.secrets_ready = false;
    case.memory = migrating(of('b', 1));
    let plan = case.plan();
    assert_eq!(
        (plan.step, told(&plan)),
        (Step::Bootstrapping, Some(("a1", false)))
    );
}

#[test]
fn a_held_service_starts_no_rollout() {
    let mut case = Case::of(of('b', 1));
    case.spec = spec(&json!({"hold": true}), false);
    let plan = case.plan();
    assert_eq!((plan.step, told(&plan)), (Step::Held, Some(("a1", false))));
    assert_eq!(plan.migration, MigrationJob::Keep);
}

#[test]
fn a_stopped_service_is_left_as_it_is() {
    let stopped = spec(&json!({}), true);
    let aim = Aim {
        image: Some(image(&of('a', 1))),
        wanted: Some(revision(&of('a', 1))),
        target: Some(of('a', 1)),
        current: Some(revision(&of('a', 1))),
        unsettled: false,
    };
    let plan = plan(&stopped, &idle(), &aim, &observed());
    assert_eq!((plan.step, told(&plan)), (Step::Stopped, None));
    assert_eq!(plan.migration, MigrationJob::Keep);
}

#[test]
fn a_schema_that_is_lost_migrates_again_while_pods_serve() {
    let mut case = Case::of(of('a', 1));
    case.observed.migration = Migration::Pending;
    let plan = case.plan();
    assert_eq!(
        (plan.step, told(&plan)),
        (Step::Migrating, Some(("a1", false)))
    );
    assert_eq!(plan.migration, MigrationJob::Run(digest('a')));
}
