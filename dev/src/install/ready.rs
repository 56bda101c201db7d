//! Waiting for the PostService with its conditions as progress.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use anyhow::{Result, bail};
use kube::api::{Api, DynamicObject};
use serde_json::Value;

use super::{NAME, NAMESPACE, post_service};
use crate::progress::Step;

/// Longest wait; a first pull and migration take seconds.
const DEADLINE: Duration = Duration::from_mins(5);

/// Waits for condition Ready=True of the present generation and, where one is given, of the image
/// with this digest; says each change of a condition.
pub async fn wait(client: &kube::Client, digest: Option<&str>, step: &Step) -> Result<()> {
    let api: Api<DynamicObject> = Api::namespaced_with(client.clone(), NAMESPACE, &post_service());
    let began = Instant::now();
    let mut said = BTreeMap::new();
    loop {
        let object = api.get(NAME).await?;
        let conditions = conditions(&object);
        for condition in &conditions {
            let line = condition.to_string();
            if said.insert(condition.kind.clone(), line.clone()).as_ref() != Some(&line) {
                step.say(line);
            }
        }
        if is_ready(&object, &conditions) && runs(&object, digest) {
            return Ok(());
        }
        if began.elapsed() > DEADLINE {
            let seen = conditions
                .iter()
                .filter(|c| c.status != "True")
                .map(ToString::to_string);
            let seen: Vec<String> = seen.collect();
            let seen = if seen.is_empty() {
                "no conditions at all: is the operator running?".to_owned()
            } else {
                seen.join("\n    ")
            };
            bail!(
                "{NAMESPACE}/{NAME} is not Ready after {} s:\n    {seen}\n  look closer with `cargo dev logs operator` and `cargo dev kubectl describe postsvc -n {NAMESPACE}`",
                DEADLINE.as_secs()
            );
        }
        tokio::time::sleep(Duration::from_millis(250)).await;
    }
}

/// A condition as an operator reports it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Condition {
    /// Its type.
    pub kind: String,
    /// `True`, `False` or `Unknown`.
    pub status: String,
    /// CamelCase reason.
    pub reason: String,
    /// For people.
    pub message: String,
    /// Generation that it speaks of.
    pub observed_generation: Option<i64>,
}

impl std::fmt::Display for Condition {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}={} ({})", self.kind, self.status, self.reason)?;
        if self.status != "True" && !self.message.is_empty() {
            write!(f, ": {}", self.message)?;
        }
        Ok(())
    }
}

/// The conditions of an object.
pub fn conditions(object: &DynamicObject) -> Vec<Condition> {
    let text = |value: &Value, key: &str| value[key].as_str().unwrap_or_default().to_owned();
    let list = object.data["status"]["conditions"].as_array();
    list.into_iter()
        .flatten()
        .map(|value| Condition {
            kind: text(value, "type"),
            status: text(value, "status"),
            reason: text(value, "reason"),
            message: text(value, "message"),
            observed_generation: value["observedGeneration"].as_i64(),
        })
        .collect()
}

/// Whether the image that serves is the wanted one.
fn runs(object: &DynamicObject, digest: Option<&str>) -> bool {
    let current = object.data["status"]["image"]["current"]["digest"].as_str();
    digest.is_none_or(|wanted| current == Some(wanted))
}

fn is_ready(object: &DynamicObject, conditions: &[Condition]) -> bool {
    let current = |condition: &Condition| {
        condition
            .observed_generation
            .is_none_or(|seen| Some(seen) == object.metadata.generation)
    };
    let ready = conditions
        .iter()
        .any(|c| c.kind == "Ready" && c.status == "True" && current(c));
    ready
        && !conditions
            .iter()
            .any(|c| c.kind == "Reconciling" && c.status == "True")
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn object(conditions: &Value) -> DynamicObject {
        serde_json::from_value(json!({
            "metadata": {"name": "a", "generation": 2}, "status": {"conditions": conditions},
        }))
        .unwrap()
    }

    fn is_ready(object: &DynamicObject) -> bool {
        super::is_ready(object, &conditions(object))
    }

    #[test]
    fn an_old_generations_word_does_not_count() {
        let ready = |generation: i64| {
            object(&json!([{"type": "Ready", "status": "True", "observedGeneration": generation}]))
        };
        assert!(is_ready(&ready(2)));
        assert!(!is_ready(&ready(1)));
        assert!(!is_ready(&object(&json!([]))));
    }

    #[test]
    fn the_image_before_does_not_count() {
        let mut object = object(&json!([]));
        object.data["status"]["image"] = json!({"current": {"digest": "sha256:a"}});
        assert!(runs(&object, Some("sha256:a")) && runs(&object, None));
        assert!(!runs(&object, Some("sha256:b")));
    }

    #[test]
    fn while_something_rolls_out_the_wait_goes_on() {
        assert!(!is_ready(&object(&json!([
            {"type": "Ready", "status": "True", "observedGeneration": 2},
            {"type": "Reconciling", "status": "True", "reason": "RollingOut"},
        ]))));
    }

    #[test]
    fn a_condition_that_is_not_true_says_why() {
        let all = conditions(&object(&json!([
            {"type": "DatabaseReady", "status": "False", "reason": "Unreachable", "message": "no route"},
            {"type": "SecretsReady", "status": "True", "reason": "Found", "message": "both"},
        ])));
        assert_eq!(
            all[0].to_string(),
            "DatabaseReady=False (Unreachable): no route"
        );
        assert_eq!(all[1].to_string(), "SecretsReady=True (Found)");
    }
}
