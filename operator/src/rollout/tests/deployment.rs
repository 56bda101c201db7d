//! The live Deployment, as a rollout sees it.

use k8s_openapi::api::apps::v1::Deployment;
use serde_json::json;

use super::super::replicas::Authority;
use super::super::running;

fn live(generation: i64, observed: i64, [pods, updated, available]: [i32; 3]) -> Deployment {
    serde_json::from_value(json!({
        "metadata": {
            "generation": generation, "annotations": {"platform.hhottdogg.shop/revision": "b1"},
        },
        "spec": {"replicas": 2, "selector": {}, "template": {}},
        "status": {
            "observedGeneration": observed, "replicas": pods, "updatedReplicas": updated,
            "availableReplicas": available,
        },
    }))
    .unwrap()
}

#[test]
fn a_deployment_is_complete_when_every_pod_is_new_and_serves() {
    let authority = Authority::Autoscaler { min: 2, max: 4 };
    let cases = [
        (live(2, 2, [2, 2, 2]), true),
        (live(3, 2, [2, 2, 2]), false),
        (live(2, 2, [3, 2, 2]), false),
        (live(2, 2, [2, 2, 1]), false),
        (live(2, 2, [2, 1, 2]), false),
    ];
    for (deployment, complete) in cases {
        let running = running(&deployment, authority, false);
        assert_eq!(running.complete, complete, "{deployment:?}");
        assert_eq!(running.revision.as_deref(), Some("b1"));
    }
    let scaled = live(3, 2, [2, 2, 2]);
    assert!(
        running(&scaled, authority, true).complete,
        "only the number can have changed"
    );
}
