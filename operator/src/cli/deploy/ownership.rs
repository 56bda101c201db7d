//! Whose `spec.image.tag` is. Pure.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::ManagedFieldsEntry;

/// The field manager of `deploy`: what it owns is the tag, and nothing else.
pub const MANAGER: &str = "post-operator-deploy";

/// Managers that own the tag, but for ourselves.
pub fn others(entries: &[ManagedFieldsEntry]) -> Vec<String> {
    entries
        .iter()
        .filter(|entry| entry.subresource.as_deref().unwrap_or_default().is_empty())
        .filter(|entry| {
            let fields = entry.fields_v1.as_ref().map(|fields| &fields.0);
            fields.is_some_and(|fields| fields["f:spec"]["f:image"].get("f:tag").is_some())
        })
        .filter_map(|entry| entry.manager.clone())
        .filter(|manager| manager != MANAGER)
        .collect()
}

/// Why the tag is left alone, and what to do.
pub fn refusal(owners: &[String], tag: Option<&str>) -> String {
    let now = tag.map(|tag| format!(" ({tag} now)")).unwrap_or_default();
    let Some(owner) = owners.first() else {
        return format!(
            "spec.image.tag{now} was changed by another at the same time; look who it was (`kubectl get postsvc -o yaml --show-managed-fields`) and try again"
        );
    };
    match keeper(owner) {
        Some(Keeper { who, place }) => format!(
            "spec.image.tag{now} belongs to {who} (field manager {owner}): change it {place}. --force takes it over, until {who} writes it again"
        ),
        None if is_hand(owner) => format!(
            "spec.image.tag{now} was set by hand (field manager {owner}): --force takes it over"
        ),
        None => format!(
            "spec.image.tag{now} belongs to field manager {owner}: change it there. --force takes it over, as long as {owner} does not write it again"
        ),
    }
}

/// Something that keeps the tag as it is written elsewhere.
struct Keeper {
    who: &'static str,
    place: &'static str,
}

fn keeper(manager: &str) -> Option<Keeper> {
    let (who, place) = match manager {
        "argocd-controller" | "argocd-application-controller" => (
            "Argo CD",
            "in Git (or take the tag out of Git and name /spec/image/tag in the Application's ignoreDifferences)",
        ),
        "kustomize-controller" => ("Flux", "in Git (or take the tag out of Git)"),
        "helm-controller" => ("Flux", "in the values of the HelmRelease"),
        "helm" => ("Helm", "in the values of the release"),
        "Terraform" | "OpenTofu" => ("Terraform", "in its configuration"),
        "kubectl-client-side-apply" | "kubectl" => {
            ("`kubectl apply`", "in the file that is applied")
        }
        _ => return None,
    };
    Some(Keeper { who, place })
}

/// Commands that somebody types, after which nothing comes again by itself.
fn is_hand(manager: &str) -> bool {
    let verbs = ["create", "edit", "patch", "replace", "set", "scale"];
    let verb = manager.strip_prefix("kubectl-");
    verb.is_some_and(|verb| verbs.contains(&verb))
}

#[cfg(test)]
mod tests {
    use k8s_openapi::apimachinery::pkg::apis::meta::v1::FieldsV1;
    use serde_json::json;

    use super::*;

    fn entry(manager: &str, fields: serde_json::Value) -> ManagedFieldsEntry {
        ManagedFieldsEntry {
            manager: Some(manager.into()),
            fields_v1: Some(FieldsV1(fields)),
            ..ManagedFieldsEntry::default()
        }
    }

    fn tag() -> serde_json::Value {
        json!({"f:spec": {"f:image": {".": {}, "f:tag": {}}}})
    }

    #[test]
    fn owners_are_those_of_the_tag_and_not_of_its_neighbours() {
        let status = ManagedFieldsEntry {
            subresource: Some("status".into()),
            ..entry("post-operator", tag())
        };
        let entries = [
            entry("helm", json!({"f:spec": {"f:image": {"f:repository": {}}}})),
            entry("flux", json!({"f:spec": {"f:api": {}}})),
            entry("empty", json!({})),
            entry(MANAGER, tag()),
            entry("argocd-controller", tag()),
            status,
        ];
        assert_eq!(others(&entries), ["argocd-controller"]);
    }

    #[test]
    fn a_refusal_names_the_owner_and_the_place_to_change_it() {
        for (manager, who, place) in [
            ("argocd-controller", "Argo CD", "in Git"),
            ("kustomize-controller", "Flux", "in Git"),
            ("helm-controller", "Flux", "HelmRelease"),
            ("helm", "Helm", "values"),
            (
                "kubectl-client-side-apply",
                "`kubectl apply`",
                "in the file",
            ),
            ("kubectl", "`kubectl apply`", "in the file"),
            ("kubectl-edit", "by hand", "--force"),
            ("deploy-bot", "deploy-bot", "change it there"),
        ] {
            let refusal = refusal(&[manager.to_owned()], Some("1.4.2"));
            for part in [who, place, manager, "1.4.2", "--force"] {
                assert!(refusal.contains(part), "{manager}: {refusal}");
            }
        }
    }
}
