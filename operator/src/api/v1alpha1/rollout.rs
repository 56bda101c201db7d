use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::rules;

/// When pod-template changes of a newer operator version take effect.
#[derive(JsonSchema, Serialize, Deserialize, Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum TemplateUpdates {
    /// With the next rollout that the user causes.
    #[default]
    Deferred,
    /// At once.
    Immediate,
}

/// How a new image is rolled out.
#[derive(JsonSchema, Serialize, Deserialize, Clone, Debug, PartialEq)]
#[serde(rename_all = "camelCase", default)]
pub struct Rollout {
    /// Reconcile everything, start no rollout.
    pub hold: bool,
    /// The trial of the first new pod.
    pub bake: Bake,
    /// Pods beyond the wanted number during a rollout, after the bake: a share or a count.
    #[schemars(length(max = 8), regex(pattern = "^[0-9]+%?$"))]
    pub max_surge: String,
    /// Time without progress after which a rollout has failed, a Go duration.
    #[schemars(length(max = 16), extend("x-kubernetes-validations" = [rules::duration()]))]
    pub progress_deadline: String,
    /// How long a deleted pod goes on serving before SIGTERM, a Go duration. Absent:
    /// `deregistrationDelaySeconds + 15s` behind a load balancer, `5s` without one.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 16), extend("x-kubernetes-validations" = [rules::duration()]))]
    pub drain_delay: Option<String>,
    /// Return to the last good image when a rollout fails.
    pub rollback: bool,
}

impl Default for Rollout {
    fn default() -> Self {
        Self {
            hold: false,
            bake: Bake::default(),
            max_surge: "100%".into(),
            progress_deadline: "10m".into(),
            drain_delay: None,
            rollback: true,
        }
    }
}

/// The first new pod runs alone beside all old ones for a while before the rest follow.
#[derive(JsonSchema, Serialize, Deserialize, Clone, Debug, PartialEq)]
#[serde(rename_all = "camelCase", default)]
pub struct Bake {
    /// Length of the trial, a Go duration.
    #[schemars(length(max = 16), extend("x-kubernetes-validations" = [rules::duration()]))]
    pub duration: String,
    /// Highest share of answers with status 5xx.
    #[schemars(length(max = 4), regex(pattern = "^(100|[0-9]{1,2})%$"))]
    pub max_error_rate: String,
    /// Requests below which the share says nothing.
    #[schemars(range(min = 0, max = 1_000_000))]
    pub min_requests: i32,
}

impl Default for Bake {
    fn default() -> Self {
        Self {
            duration: "2m".into(),
            max_error_rate: "5%".into(),
            min_requests: 50,
        }
    }
}
