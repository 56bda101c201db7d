//! The operator's rules against what it used, by the API server's audit log: neither more nor less.

use std::collections::BTreeSet;
use std::path::Path;

use anyhow::{Context, Result, bail};
use k8s_openapi::api::rbac::v1::{ClusterRole, PolicyRule, Role};
use kube::api::Api;
use serde_json::Value;

use crate::cluster::control_plane;
use crate::install::{OPERATOR_NAMESPACE, RELEASE};
use crate::paths::Paths;

/// Something that may be done: group, resource (with its part), verb.
type Use = (String, String, String);

/// Rules that a run of the end-to-end tests need not use, and why the operator has them.
const RARE: [(&str, &[&str], &[&str], &str); 6] = [
    (
        "monitoring.coreos.com",
        &["servicemonitors"],
        &["get", "list", "watch", "create", "patch", "delete"],
        "the kind is not in the local cluster; operator/tests/cluster/foreign_kinds.rs has it",
    ),
    (
        "elbv2.k8s.aws",
        &["targetgroupbindings"],
        &["get", "list", "watch", "create", "patch", "delete"],
        "the kind is not in the local cluster; operator/tests/cluster/foreign_kinds.rs has it",
    ),
    (
        "",
        &["serviceaccounts", "services"],
        &["delete"],
        "they go when they get another name; operator/tests/cluster/children.rs",
    ),
    (
        "",
        &["secrets"],
        &["create", "patch", "delete"],
        "only where the operator makes an account or a key; operator/tests/cluster",
    ),
    (
        "",
        &["events"],
        &["list"],
        "only while a load balancer has no address, which the local one gives at once; operator/tests/cluster/load_balancer.rs",
    ),
    (
        "events.k8s.io",
        &["events"],
        &["patch"],
        "only where the same Event repeats; operator/tests/cluster/status.rs",
    ),
];

/// Further rules of that kind, whose deletions follow from what users turn off.
const RARE_DELETIONS: [(&str, &str); 3] = [
    ("batch", "jobs"),
    ("policy", "poddisruptionbudgets"),
    ("networking.k8s.io", "networkpolicies"),
];

/// Prints the difference, and fails if there is one. Call it after all other tests.
pub(super) async fn check(paths: &Paths, client: &kube::Client) -> Result<()> {
    let log = control_plane::audit_log(&paths.data);
    let used = used(&log)?;
    if used.is_empty() {
        bail!(
            "{} says nothing of the operator: was the cluster started by an older version? `cargo dev down`, then again",
            log.display()
        );
    }
    let roles: Api<ClusterRole> = Api::all(client.clone());
    let elections: Api<Role> = Api::namespaced(client.clone(), OPERATOR_NAMESPACE);
    let role = roles.get(RELEASE).await?;
    let election = elections.get(&format!("{RELEASE}-election")).await?;
    let both = [role.rules, election.rules].into_iter().flatten().flatten();
    let granted: BTreeSet<Use> = both.flat_map(|rule| uses(&rule)).collect();
    let difference = difference(&granted, &used);
    if difference.is_empty() {
        println!(
            "RBAC difference: none ({} verbs used of {}, the others are used where the local cluster does not get)",
            used.len(),
            granted.len()
        );
        return Ok(());
    }
    println!("RBAC difference:");
    for line in &difference {
        println!("  {line}");
    }
    bail!(
        "the chart's rules and what the operator did differ in {} points",
        difference.len()
    )
}

fn difference(granted: &BTreeSet<Use>, used: &BTreeSet<Use>) -> Vec<String> {
    let rare = rare();
    let text = |(group, resource, verb): &Use| format!("{verb} {resource} of {group:?}");
    let missing = used
        .difference(granted)
        .map(|one| format!("used and not granted: {}", text(one)));
    let unused = granted
        .iter()
        .filter(|one| !used.contains(*one) && !rare.contains(*one))
        .map(|one| format!("granted and not used: {}", text(one)));
    let stale = rare
        .difference(granted)
        .map(|one| format!("excused and not granted: {}", text(one)));
    missing.chain(unused).chain(stale).collect()
}

fn rare() -> BTreeSet<Use> {
    let listed = RARE
        .iter()
        .flat_map(|(group, resources, verbs, _)| product(&[*group], resources, verbs));
    let deletions = RARE_DELETIONS
        .iter()
        .flat_map(|(group, resource)| product(&[*group], &[*resource], &["delete"]));
    listed.chain(deletions).collect()
}

fn product<T: AsRef<str>, U: AsRef<str>, V: AsRef<str>>(
    groups: &[T],
    resources: &[U],
    verbs: &[V],
) -> Vec<Use> {
    let mut all = Vec::new();
    for group in groups {
        for resource in resources {
            for verb in verbs {
                let own = |text: &str| text.to_owned();
                all.push((
                    own(group.as_ref()),
                    own(resource.as_ref()),
                    own(verb.as_ref()),
                ));
            }
        }
    }
    all
}

fn uses(rule: &PolicyRule) -> Vec<Use> {
    let none = Vec::new();
    product(
        rule.api_groups.as_ref().unwrap_or(&none),
        rule.resources.as_ref().unwrap_or(&none),
        &rule.verbs,
    )
}

fn used(log: &Path) -> Result<BTreeSet<Use>> {
    let text = std::fs::read_to_string(log)
        .with_context(|| format!("cannot read the audit log {}", log.display()))?;
    // The last line may be in the making.
    let entries = text
        .lines()
        .filter_map(|line| serde_json::from_str::<Value>(line).ok());
    Ok(entries.flat_map(|entry| used_by(&entry)).collect())
}

/// What one entry of the log says was used; nothing if it was refused.
fn used_by(entry: &Value) -> Vec<Use> {
    let object = &entry["objectRef"];
    let allowed = entry["annotations"]["authorization.k8s.io/decision"] == "allow";
    let (Some(resource), Some(verb)) = (object["resource"].as_str(), entry["verb"].as_str()) else {
        return vec![];
    };
    if !allowed {
        return vec![];
    }
    let group = object["apiGroup"].as_str().unwrap_or_default();
    let resource = match object["subresource"].as_str() {
        Some(part) => format!("{resource}/{part}"),
        None => resource.to_owned(),
    };
    // A server-side apply that made the object was allowed both.
    let created = verb == "patch" && entry["responseStatus"]["code"] == 201;
    let verbs: &[&str] = if created {
        &["patch", "create"]
    } else {
        &[verb]
    };
    product(&[group], &[resource], verbs)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn entry(verb: &str, code: u16, decision: &str) -> Value {
        json!({
            "verb": verb, "objectRef": {"apiGroup": "apps", "resource": "deployments"},
            "responseStatus": {"code": code},
            "annotations": {"authorization.k8s.io/decision": decision},
        })
    }

    #[test]
    fn an_apply_that_made_something_used_two_verbs_and_a_refusal_none() {
        assert_eq!(used_by(&entry("patch", 200, "allow")).len(), 1);
        let verbs: Vec<_> = used_by(&entry("patch", 201, "allow"))
            .into_iter()
            .map(|one| one.2)
            .collect();
        assert_eq!(verbs, ["patch", "create"]);
        assert!(used_by(&entry("delete", 403, "forbid")).is_empty());
    }

    #[test]
    fn a_rule_too_many_and_a_rule_too_few_are_differences() {
        let mut granted = rare();
        let used: BTreeSet<Use> = [("apps", "deployments", "patch")]
            .map(|(g, r, v)| (g.to_owned(), r.to_owned(), v.to_owned()))
            .into();
        assert_eq!(
            difference(&granted, &used),
            [r#"used and not granted: patch deployments of "apps""#]
        );
        granted.extend(used.clone());
        assert!(difference(&granted, &used).is_empty());
        assert_eq!(
            difference(&granted, &BTreeSet::new()),
            [r#"granted and not used: patch deployments of "apps""#]
        );
    }

    #[test]
    fn an_excuse_for_what_the_chart_does_not_grant_is_a_difference() {
        let lines = difference(&BTreeSet::new(), &BTreeSet::new());
        assert_eq!(lines.len(), rare().len());
        assert!(
            lines
                .iter()
                .all(|line| line.starts_with("excused and not granted"))
        );
    }
}
