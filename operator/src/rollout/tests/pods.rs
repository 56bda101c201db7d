//! What a pod shows.

use k8s_openapi::api::core::v1::Pod;
use serde_json::{Value, json};

use super::super::pods::{PodSeen, REVISION, Trouble};
use super::super::trial::Evidence;

fn pod(status: &Value) -> Pod {
    let object = json!({
        "metadata": {"name": "p", "labels": {REVISION: "b1"}},
        "status": status,
    });
    serde_json::from_value(object).unwrap()
}

/// A pod whose container is in this state.
fn with(container: &Value) -> PodSeen {
    let mut container = container.clone();
    let rest = json!({"name": "c", "image": "i", "imageID": "", "ready": false, "restartCount": 0});
    let rest = rest.as_object().unwrap().clone();
    container.as_object_mut().unwrap().extend(rest);
    PodSeen::of(&pod(&json!({"containerStatuses": [container]})))
}

fn waiting(reason: &str, message: &str) -> Value {
    json!({"state": {"waiting": {"reason": reason, "message": message}}})
}

fn ended(reason: &str, code: i32) -> Value {
    json!({"terminated": {"reason": reason, "exitCode": code, "message": "last words\n"}})
}

#[derive(Debug, PartialEq)]
enum Kind {
    Fatal,
    Unschedulable,
    Passing,
}

fn kind(seen: &PodSeen) -> Option<(Kind, &str, Option<i32>)> {
    let trouble = seen.trouble.as_ref()?;
    let kind = match trouble {
        Trouble::Fatal(_) => Kind::Fatal,
        Trouble::Unschedulable(_) => Kind::Unschedulable,
        Trouble::Passing(_) => Kind::Passing,
    };
    let evidence = trouble.evidence();
    Some((kind, &evidence.reason, evidence.exit_code))
}

#[test]
fn any_end_of_a_container_is_fatal_also_with_exit_code_0() {
    let crash_loop = json!({
        "state": {"waiting": {"reason": "CrashLoopBackOff", "message": "back-off"}},
        "lastState": ended("Error", 101),
    });
    let out_of_memory = json!({
        "state": {"waiting": {"reason": "CrashLoopBackOff"}}, "lastState": ended("OOMKilled", 137),
    });
    let restarted = json!({"state": {"running": {}}, "lastState": ended("Completed", 0)});
    let cases = [
        (json!({"state": ended("Completed", 0)}), "Completed", 0),
        (json!({"state": ended("Error", 1)}), "Error", 1),
        (json!({"state": ended("OOMKilled", 137)}), "OOMKilled", 137),
        (
            json!({"state": ended("StartError", 128)}),
            "StartError",
            128,
        ),
        (crash_loop, "CrashLoopBackOff", 101),
        (out_of_memory, "OOMKilled", 137),
        (restarted, "Completed", 0),
    ];
    for (container, reason, code) in cases {
        let seen = with(&container);
        assert_eq!(kind(&seen), Some((Kind::Fatal, reason, Some(code))));
        assert_eq!(seen.trouble.unwrap().evidence().message, "last words");
    }
}

#[test]
fn only_what_the_registry_will_not_answer_otherwise_is_fatal_of_pulls() {
    let cases = [
        ("ErrImagePull", "r/p@sha256:0: not found", Kind::Fatal),
        (
            "ImagePullBackOff",
            "no match for platform in manifest",
            Kind::Fatal,
        ),
        ("ErrImagePull", "pull access denied", Kind::Fatal),
        (
            "ErrImagePull",
            "unexpected status: 401 Unauthorized",
            Kind::Fatal,
        ),
        ("ErrImagePull", "dial tcp: i/o timeout", Kind::Passing),
        ("ImagePullBackOff", "Back-off pulling image", Kind::Passing),
        (
            "CreateContainerConfigError",
            "secret \"s\" is missing",
            Kind::Fatal,
        ),
        ("CreateContainerError", "", Kind::Fatal),
        ("RunContainerError", "", Kind::Fatal),
        ("InvalidImageName", "", Kind::Fatal),
        ("SomethingNew", "", Kind::Passing),
    ];
    for (reason, message, expected) in cases {
        let seen = with(&waiting(reason, message));
        assert_eq!(kind(&seen), Some((expected, reason, None)), "{message}");
    }
}

#[test]
fn a_container_that_is_being_made_is_in_no_trouble() {
    for reason in ["ContainerCreating", "PodInitializing"] {
        assert_eq!(with(&waiting(reason, "")).trouble, None);
    }
    assert_eq!(with(&json!({"state": {"running": {}}})).trouble, None);
}

#[test]
fn a_pod_without_a_node_says_why() {
    let message = "0/3 nodes are available: 3 Insufficient cpu.";
    let seen = PodSeen::of(&pod(&json!({"phase": "Pending", "conditions": [{
        "type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": message,
    }]})));
    assert_eq!(
        kind(&seen),
        Some((Kind::Unschedulable, "Unschedulable", None))
    );
    assert_eq!(seen.trouble.unwrap().evidence().message, message);
}

/// A pod that runs since 10:00:00, whose readiness changed at this time of day.
fn probed(ready: &str, containers_ready: &str, changed: &str) -> PodSeen {
    PodSeen::of(&pod(&json!({
        "phase": "Running",
        "podIP": "10.0.0.1",
        "conditions": [
            {"type": "Ready", "status": ready, "lastTransitionTime": format!("2026-01-01T{changed}Z")},
            {"type": "ContainersReady", "status": containers_ready},
        ],
        "containerStatuses": [{
            "name": "c", "image": "i", "imageID": "", "ready": ready == "True", "restartCount": 0,
            "state": {"running": {"startedAt": "2026-01-01T10:00:00Z"}},
        }],
    })))
}

#[test]
fn readiness_is_known_by_its_time() {
    let seen = probed("True", "True", "10:00:05");
    assert_eq!(
        seen.ready_since,
        Some("2026-01-01T10:00:05Z".parse().unwrap())
    );
    assert_eq!(
        (seen.unready_since, seen.gated, seen.trouble),
        (None, false, None)
    );
    assert_eq!(
        (seen.name.as_str(), seen.revision.as_deref()),
        ("p", Some("b1"))
    );
    assert_eq!((seen.ip.as_deref(), seen.ending), (Some("10.0.0.1"), false));
}

#[test]
fn a_pod_that_was_ready_and_is_not_has_lost_it_and_one_that_starts_has_not() {
    let lost = probed("False", "False", "10:07:00");
    assert_eq!(
        lost.unready_since,
        Some("2026-01-01T10:07:00Z".parse().unwrap())
    );
    let starts = probed("False", "False", "10:00:00");
    assert_eq!(starts.unready_since, None);
    assert!(!lost.gated && !starts.gated);
}

#[test]
fn only_the_gate_of_the_load_balancer_is_missing() {
    let gated = probed("False", "True", "10:07:00");
    assert!(gated.gated);
    assert_eq!((gated.ready_since, gated.unready_since), (None, None));
}

#[test]
fn a_pod_that_goes_or_has_ended_is_not_one_on_trial() {
    let mut going = pod(&json!({}));
    going.metadata.deletion_timestamp = serde_json::from_value(json!("2026-01-01T10:00:00Z")).ok();
    assert!(PodSeen::of(&going).ending);
    for phase in ["Failed", "Succeeded"] {
        assert!(PodSeen::of(&pod(&json!({"phase": phase}))).ending);
    }
    assert!(!PodSeen::of(&pod(&json!({}))).ending);
}

#[test]
fn a_word_of_evidence_fits_a_condition() {
    let evidence = Evidence {
        pod: "p".into(),
        reason: "Error".into(),
        exit_code: Some(1),
        message: "é".repeat(2000),
    };
    let text = evidence.to_string();
    assert!(text.starts_with("pod p: Error, exit code 1: é"));
    assert!(text.len() < 1100);
}

#[test]
fn a_job_s_container_that_has_ended_is_over_before_the_pod_s_phase_says_so() {
    let status = json!({"phase": "Running", "containerStatuses": [{
        "name": "c", "image": "i", "imageID": "", "ready": false, "restartCount": 0,
        "state": ended("Completed", 0)}]});
    let mut job = pod(&status);
    assert!(!PodSeen::of(&job).ending, "a serving pod starts again");
    let spec = json!({"containers": [], "restartPolicy": "Never"});
    job.spec = Some(serde_json::from_value(spec).unwrap());
    assert!(PodSeen::of(&job).ending);
}
