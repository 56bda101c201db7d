use super::*;
use crate::rollout::JobState;

const DRAIN: Duration = Duration::from_secs(10);
const BAKE: Duration = Duration::from_secs(20);

fn terms() -> Terms {
    Terms {
        adopt: Adopt {
            deployment: Some("old".into()),
            service: Some("front".into()),
            horizontal_pod_autoscaler: Some("scaler".into()),
        },
        drain_delay: DRAIN,
        bake: BAKE,
        bounds: Some((1, 3)),
    }
}

fn time(seconds: i64) -> Timestamp {
    Timestamp::from_second(1_700_000_000 + seconds).unwrap()
}

fn memory(step: Step, since: i64) -> AdoptionStatus {
    AdoptionStatus {
        step,
        since: Some(Time(time(since))),
        message: String::new(),
        objects: terms().adopt,
    }
}

fn old(replicas: i32) -> OldDeployment {
    OldDeployment {
        replicas,
        ready: replicas,
        retired: false,
        is_ours: false,
    }
}

/// Two old pods serve; three new ones are ready.
fn seen() -> Seen {
    Seen {
        service: OldService::Old,
        deployment: Some(old(2)),
        autoscaler: Some(OldAutoscaler {
            target: "Deployment old".into(),
            is_ours: false,
        }),
        pods: Vec::new(),
        ours: Ours {
            up_to_date: true,
            available: 3,
            wanted: 3,
            floor: Some(2),
        },
        finish: Migration::Pending,
        finish_failure: None,
    }
}

/// The Service has moved, the old Deployment is at zero and its pods are gone.
fn retired() -> Seen {
    Seen {
        service: OldService::Moved,
        deployment: Some(OldDeployment {
            retired: true,
            ..old(0)
        }),
        ..seen()
    }
}

fn plan(memory: Option<&AdoptionStatus>, seen: &Seen, now: i64) -> Plan {
    next(&terms(), memory, seen, time(now)).unwrap()
}

/// Step and action at second `now`, after `at` has held since second 0.
fn at(step: Step, seen: &Seen, now: i64) -> (Step, Action) {
    let plan = plan(Some(&memory(step, 0)), seen, now);
    (plan.status.step, plan.action)
}

#[test]
fn nothing_named_is_no_adoption() {
    let terms = Terms {
        adopt: Adopt::default(),
        ..terms()
    };
    assert_eq!(next(&terms, None, &seen(), time(0)), None);
}

#[test]
fn the_service_moves_when_as_many_new_pods_serve_as_old_ones() {
    let mut seen = seen();
    for (available, up_to_date, expected) in [
        (0, false, (Step::Preparing, Action::Wait)),
        (1, true, (Step::Preparing, Action::Wait)),
        (2, false, (Step::Preparing, Action::Wait)),
        (2, true, (Step::Switching, Action::Switch)),
    ] {
        seen.ours.available = available;
        seen.ours.up_to_date = up_to_date;
        assert_eq!(at(Step::Preparing, &seen, 5), expected, "{available}");
    }
}

#[test]
fn the_old_load_is_bounded_by_the_autoscaler_and_keeps_its_minimum_up() {
    let mut seen = seen();
    for (old_pods, floor) in [(0, 1), (2, 2), (9, 3)] {
        seen.deployment = Some(old(old_pods));
        assert_eq!(
            plan(None, &seen, 0).floor,
            Some(floor),
            "{old_pods} old pods"
        );
    }
    // While the load moves the minimum stays; at the end it is the spec's again.
    let moved = retired();
    assert_eq!(
        plan(Some(&memory(Step::Baking, 0)), &moved, 1).floor,
        Some(2)
    );
    assert_eq!(
        plan(Some(&memory(Step::Complete, 0)), &moved, 1).floor,
        None
    );
}

#[test]
fn without_an_autoscaler_the_pods_that_shall_be_suffice() {
    let terms = Terms {
        bounds: None,
        ..terms()
    };
    let mut seen = seen();
    seen.deployment = Some(old(5));
    let plan = next(&terms, None, &seen, time(0)).unwrap();
    assert_eq!((plan.action, plan.floor), (Action::Switch, None));
}

#[test]
fn names_that_lead_nowhere_block_before_anything_is_changed() {
    let stranger = OldAutoscaler {
        target: "Deployment other".into(),
        is_ours: false,
    };
    let own = OldDeployment {
        is_ours: true,
        ..old(2)
    };
    let wrong: [(&str, Seen); 6] = [
        (
            "spec.adopt.service",
            Seen {
                service: OldService::Absent,
                ..seen()
            },
        ),
        (
            "belongs to another object",
            Seen {
                service: OldService::OfOthers,
                ..seen()
            },
        ),
        (
            "spec.service.loadBalancer.scheme: internal",
            Seen {
                service: OldService::AnotherScheme("internal"),
                ..seen()
            },
        ),
        (
            "spec.adopt.deployment",
            Seen {
                deployment: None,
                ..seen()
            },
        ),
        (
            "this PostService's own",
            Seen {
                deployment: Some(own),
                ..seen()
            },
        ),
        (
            "scales Deployment other",
            Seen {
                autoscaler: Some(stranger),
                ..seen()
            },
        ),
    ];
    for (fault, seen) in wrong {
        let plan = plan(None, &seen, 0);
        assert!(
            plan.is_blocked() && plan.needs_help,
            "{fault}: {:?}",
            plan.status
        );
        assert_eq!(plan.action, Action::Wait);
        assert!(
            plan.status.message.contains(fault),
            "{}",
            plan.status.message
        );
    }
}

#[test]
fn the_old_pods_get_the_drain_delay_from_the_move_on() {
    let moved = Seen {
        service: OldService::Moved,
        ..seen()
    };
    let first = plan(Some(&memory(Step::Switching, 0)), &moved, 100);
    assert_eq!(first.status.step, Step::Draining);
    assert!(
        first.status.since.as_ref().unwrap().0 > time(100),
        "rounded up"
    );
    assert_eq!(
        at(Step::Draining, &moved, 9),
        (Step::Draining, Action::Wait)
    );
    assert_eq!(
        at(Step::Draining, &moved, 10),
        (Step::Retiring, Action::Retire)
    );
}

#[test]
fn finish_waits_for_the_last_old_pod() {
    let mut seen = retired();
    seen.pods = vec!["old-1".into()];
    let waiting = plan(Some(&memory(Step::Retiring, 0)), &seen, 1);
    assert_eq!(
        (waiting.status.step, waiting.action),
        (Step::Retiring, Action::Wait)
    );
    assert!(waiting.status.message.contains("old-1"));
    seen.pods.clear();
    assert_eq!(
        at(Step::Retiring, &seen, 1),
        (Step::Finishing, Action::Finish)
    );
}

#[test]
fn a_failed_finish_leaves_the_service_serving_and_is_tried_again_when_asked() {
    let mut seen = retired();
    seen.finish = Migration::Job(JobState::Failed);
    seen.finish_failure = Some("disk full".into());
    let failed = plan(Some(&memory(Step::Finishing, 0)), &seen, 1);
    assert_eq!(failed.status.step, Step::FinishFailed);
    assert!(failed.needs_help && failed.status.message.contains("disk full"));
    seen.finish = Migration::Retry;
    assert_eq!(
        at(Step::FinishFailed, &seen, 1),
        (Step::Finishing, Action::RemoveFinish)
    );
}

#[test]
fn an_old_deployment_that_somebody_scales_up_again_is_not_fought() {
    let mut seen = retired();
    seen.deployment = Some(OldDeployment {
        retired: true,
        ..old(1)
    });
    for step in [Step::Draining, Step::Retiring] {
        let plan = plan(Some(&memory(step, 0)), &seen, 60);
        assert_eq!(plan.action, Action::Wait);
        assert!(plan.needs_help && plan.status.message.contains("GitOps"));
    }
    for step in [
        Step::Finishing,
        Step::FinishFailed,
        Step::Baking,
        Step::Removing,
    ] {
        // What it writes makes the counters drift: they are recounted when it has ended.
        assert_eq!(
            at(step, &seen, 60),
            (Step::Retiring, Action::RemoveFinish),
            "{step:?}"
        );
    }
}

#[test]
fn without_a_new_pod_that_serves_the_old_ones_get_the_service_back() {
    let mut seen = Seen {
        service: OldService::Moved,
        ..seen()
    };
    seen.ours.available = 0;
    for step in [Step::Draining, Step::Retiring] {
        assert_eq!(
            at(step, &seen, 1),
            (Step::Preparing, Action::SwitchBack),
            "{step:?}"
        );
    }
}

#[test]
fn what_is_complete_stays_so_and_tells_of_a_deployment_that_came_back() {
    let mut seen = retired();
    seen.deployment = Some(old(2));
    let plan = plan(Some(&memory(Step::Complete, 0)), &seen, 9_999);
    assert_eq!(
        (plan.status.step, plan.action),
        (Step::Complete, Action::Wait)
    );
    assert!(plan.needs_help && plan.status.message.contains("there again"));
    assert_eq!(plan.status.since, Some(Time(time(0))));
    seen.deployment = None;
    assert!(
        !super::next(
            &terms(),
            Some(&memory(Step::Complete, 0)),
            &seen,
            time(9_999)
        )
        .is_none_or(|plan| plan.needs_help)
    );
}

#[test]
fn a_service_alone_is_taken_over_without_finish() {
    let mut terms = terms();
    terms.adopt.deployment = None;
    terms.adopt.horizontal_pod_autoscaler = None;
    let memory = AdoptionStatus {
        objects: terms.adopt.clone(),
        ..memory(Step::Draining, 0)
    };
    let seen = Seen {
        service: OldService::Moved,
        deployment: None,
        autoscaler: None,
        ..seen()
    };
    let plan = next(&terms, Some(&memory), &seen, time(60)).unwrap();
    assert_eq!(
        (plan.status.step, plan.action),
        (Step::Complete, Action::Wait)
    );
    assert!(
        plan.status.message.contains("--finish"),
        "{}",
        plan.status.message
    );
}

#[test]
fn other_names_are_another_adoption() {
    let mut memory = memory(Step::Complete, 0);
    memory.objects.deployment = Some("typo".into());
    assert_eq!(plan(Some(&memory), &seen(), 1).action, Action::Switch);
}

/// A cluster in which everything goes well, and when the Service moved.
#[derive(Clone)]
struct World {
    seen: Seen,
    status: Option<AdoptionStatus>,
    now: i64,
    moved_at: Option<i64>,
    retired_times: usize,
    finished_times: usize,
}

impl World {
    fn carry_out(&mut self, action: Action) {
        match action {
            Action::Wait => {}
            Action::Switch => {
                self.seen.service = OldService::Moved;
                self.seen.pods = vec!["old-1".into(), "old-2".into()];
                self.moved_at = Some(self.now);
            }
            Action::SwitchBack | Action::RemoveFinish => panic!("{action:?} of a good world"),
            Action::Retire => {
                let drained = self.now - self.moved_at.expect("moved first");
                assert!(drained >= DRAIN.as_secs().try_into().unwrap());
                self.seen.deployment = Some(OldDeployment {
                    retired: true,
                    ..old(0)
                });
                self.retired_times += 1;
            }
            Action::Finish => {
                assert!(self.seen.pods.is_empty(), "an old writer is left");
                self.seen.finish = Migration::Job(JobState::Running);
                self.finished_times += 1;
            }
            Action::Delete => {
                assert!(!decide::old_runs(&self.seen));
                assert_eq!(self.seen.finish, Migration::Job(JobState::Complete));
                self.seen.deployment = None;
                self.seen.autoscaler = None;
            }
        }
    }

    /// What controllers do meanwhile.
    fn go_on(&mut self) {
        self.now += 3;
        if self.seen.deployment.is_some_and(|old| old.replicas == 0) {
            self.seen.pods.pop();
        }
        if self.seen.finish == Migration::Job(JobState::Running) {
            self.seen.finish = Migration::Job(JobState::Complete);
        }
    }

    fn is_complete(&self) -> bool {
        self.status
            .as_ref()
            .is_some_and(|status| status.step == Step::Complete)
    }
}

/// Ends of every course in which up to `kills` passes end before they act or before they report.
fn run(world: World, kills: usize, ends: &mut Vec<World>) {
    if world.is_complete() {
        ends.push(world);
        return;
    }
    assert!(world.now < 1_000, "never complete: {:?}", world.status);
    let plan = plan(world.status.as_ref(), &world.seen, world.now);
    assert!(!plan.needs_help, "{}", plan.status.message);
    let mut acted = world.clone();
    acted.carry_out(plan.action);
    if kills > 0 && plan.action != Action::Wait {
        let mut killed_after = acted.clone();
        killed_after.go_on();
        run(killed_after, kills - 1, ends);
        let mut killed_before = world;
        killed_before.go_on();
        run(killed_before, kills - 1, ends);
    }
    acted.status = Some(plan.status);
    acted.go_on();
    run(acted, kills, ends);
}

#[test]
fn killed_at_any_two_writes_it_ends_the_same_and_does_nothing_twice() {
    let world = World {
        seen: seen(),
        status: None,
        now: 0,
        moved_at: None,
        retired_times: 0,
        finished_times: 0,
    };
    let mut ends = Vec::new();
    run(world, 2, &mut ends);
    assert!(ends.len() > 10, "{}", ends.len());
    for end in ends {
        assert_eq!((end.retired_times, end.finished_times), (1, 1));
        assert!(end.seen.deployment.is_none() && end.seen.autoscaler.is_none());
        let message = end.status.unwrap().message;
        assert!(message.contains("taken over"), "{message}");
    }
}
