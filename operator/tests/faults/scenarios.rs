//! The stories that are told undisturbed and then with every fault.

use k8s_openapi::api::core::v1::Secret;
use kube::api::{Patch, PatchParams};
use post_operator::api::v1alpha1::PostService;
use serde_json::{Value, json};

use crate::stage::{Case, NAME, OWN_ACCOUNTS};

/// A story: what is there before, and what happens then.
#[derive(Clone, Debug)]
pub struct Scenario {
    /// For reports.
    pub name: &'static str,
    /// The spec, with tag `1`, that is settled before; `None`: nothing is there.
    before: Option<Value>,
    act: Act,
}

#[derive(Clone, Debug)]
enum Act {
    /// The spec is applied with this tag.
    Apply(&'static str, Value),
    /// Keys of a Secret get other values.
    Secret(&'static str, Value),
    /// A child is deleted.
    Delete(&'static str),
    /// The `PostService` is deleted.
    DeleteAll,
    /// The `PostService` is deleted and made anew at once.
    Recreate,
    /// An annotation gets another value.
    Annotate(&'static str),
}

fn update(name: &'static str, spec: Value) -> Scenario {
    Scenario {
        name,
        before: Some(json!({})),
        act: Act::Apply("1", spec),
    }
}

fn after(name: &'static str, before: Value, act: Act) -> Scenario {
    Scenario {
        name,
        before: Some(before),
        act,
    }
}

/// Every story, or those whose name contains what `FAULTS_STORY` says.
pub fn chosen() -> Vec<Scenario> {
    let part = std::env::var("FAULTS_STORY").unwrap_or_default();
    let mut stories = all();
    stories.retain(|story| story.name.contains(&part));
    stories
}

/// Every story. A new one is a line.
fn all() -> Vec<Scenario> {
    [creations(), images(), changes(), mishaps()].concat()
}

fn creations() -> Vec<Scenario> {
    let create = |name, spec| Scenario {
        name,
        before: None,
        act: Act::Apply("1", spec),
    };
    let own_accounts = json!({"database": OWN_ACCOUNTS});
    let no_job = json!({"database": {"migrations": {"enabled": false}}});
    vec![
        create("create", json!({})),
        create("create without migrations", no_job),
        create("create suspended", json!({"suspend": true})),
        create(
            "create without load balancer",
            json!({"service": {"loadBalancer": {"enabled": false}}}),
        ),
        create(
            "create with two pods",
            json!({"autoscaling": {"minReplicas": 2}}),
        ),
        create("create with accounts of its own", own_accounts.clone()),
        after("rotation", own_accounts.clone(), Act::Annotate("rotate")),
        after(
            "accounts of its own no more",
            own_accounts,
            Act::Apply("1", json!({})),
        ),
    ]
}

fn images() -> Vec<Scenario> {
    let settled = |name, act| after(name, json!({}), act);
    let hold = json!({"rollout": {"hold": true}});
    let suspend = json!({"suspend": true});
    vec![
        settled("another tag", Act::Apply("2", json!({}))),
        settled(
            "another tag and template",
            Act::Apply("2", json!({"api": {"maxPageSize": 40}})),
        ),
        settled("another tag, held", Act::Apply("2", hold.clone())),
        after("a held tag let go", hold, Act::Apply("2", json!({}))),
        after(
            "suspended no more",
            suspend.clone(),
            Act::Apply("1", json!({})),
        ),
        update("suspended", suspend),
    ]
}

fn changes() -> Vec<Scenario> {
    vec![
        update(
            "api settings",
            json!({"api": {"defaultPageSize": 20, "anonymousLikes": true}}),
        ),
        update("resources", json!({"resources": {"limits": {"cpu": "1"}}})),
        update(
            "autoscaling bounds",
            json!({"autoscaling": {"minReplicas": 2, "maxReplicas": 5}}),
        ),
        update(
            "load balancer settings",
            json!({"service": {"loadBalancer": {"crossZone": false, "preserveClientIP": true, "sourceRanges": ["10.0.0.0/8"]}}}),
        ),
        update(
            "deregistration delay",
            json!({"service": {"loadBalancer": {"deregistrationDelaySeconds": 60}}}),
        ),
        update(
            "load balancer off",
            json!({"service": {"loadBalancer": {"enabled": false}}}),
        ),
        update("service port", json!({"service": {"port": 8080}})),
        update(
            "pod additions",
            json!({"pod": {"env": [{"name": "EXTRA", "value": "1"}], "labels": {"team": "a"}}}),
        ),
        update(
            "service account",
            json!({"serviceAccount": {"name": "other"}}),
        ),
        update(
            "an invalid spec",
            json!({"pod": {"env": [{"name": "DATABASE_URL", "value": "x"}]}}),
        ),
        update("stopped", json!({"stopped": true})),
        after(
            "stopped no more",
            json!({"stopped": true}),
            Act::Apply("1", json!({})),
        ),
        update(
            "fixed replicas",
            json!({"autoscaling": {"enabled": false}, "replicas": 2}),
        ),
        after(
            "autoscaled again",
            json!({"autoscaling": {"enabled": false}, "replicas": 2}),
            Act::Apply("1", json!({})),
        ),
        update(
            "no disruption budget",
            json!({"podDisruptionBudget": {"enabled": false}}),
        ),
        update(
            "no network policy",
            json!({"networkPolicy": {"enabled": false}}),
        ),
    ]
}

fn mishaps() -> Vec<Scenario> {
    let settled = |name, act| after(name, json!({}), act);
    vec![
        settled(
            "secret values",
            Act::Secret("post-secrets", json!({"cognito-client-id": "other"})),
        ),
        settled("retry token", Act::Annotate("retry")),
        settled("deployment deleted", Act::Delete("Deployment")),
        settled("service deleted", Act::Delete("Service")),
        settled("autoscaler deleted", Act::Delete("HorizontalPodAutoscaler")),
        settled("service account deleted", Act::Delete("ServiceAccount")),
        settled("deleted", Act::DeleteAll),
        settled("deleted and made anew", Act::Recreate),
    ]
}

impl Scenario {
    /// Asks for what is there before; `false`: nothing is.
    pub async fn prepare(&self, case: &Case) -> bool {
        if let Some(spec) = &self.before {
            case.apply("1", spec).await;
        }
        self.before.is_some()
    }

    /// Whether the `PostService` has the same generation afterwards: its status does not tell
    /// whether the operator has heard of what happened.
    pub fn keeps_the_generation(&self) -> bool {
        matches!(
            self.act,
            Act::Secret(..) | Act::Delete(_) | Act::Annotate(_)
        )
    }

    /// Does what the story is about.
    pub async fn act(&self, case: &Case) {
        match &self.act {
            Act::Apply(tag, spec) => case.apply(tag, spec).await,
            Act::Secret(name, values) => {
                let patch = json!({"stringData": values});
                case.world
                    .api::<Secret>()
                    .patch(name, &PatchParams::default(), &Patch::Merge(patch))
                    .await
                    .unwrap();
                // Instead of the next poll.
                case.poke().await;
            }
            Act::Delete(kind) => case.delete(kind, NAME).await,
            Act::DeleteAll => case.delete("PostService", NAME).await,
            Act::Recreate => {
                case.delete("PostService", NAME).await;
                case.apply("1", self.before.as_ref().unwrap_or(&json!({})))
                    .await;
            }
            Act::Annotate(name) => {
                let name = format!("platform.hhottdogg.shop/{name}");
                let patch = json!({"metadata": {"annotations": {name: "again"}}});
                case.world
                    .api::<PostService>()
                    .patch(NAME, &PatchParams::default(), &Patch::Merge(patch))
                    .await
                    .unwrap();
                case.catch_up().await;
            }
        }
    }
}
