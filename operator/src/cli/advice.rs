//! What to do about a reason, as a sentence.

use crate::api::RETRY_ANNOTATION;

/// What to do about `reason` of `NAME` in `NS`; `None` where the message says it, or nothing is to
/// be done.
pub fn advice(reason: &str, namespace: &str, name: &str) -> Option<String> {
    let retry = format!("`post-operator retry {name} -n {namespace}`");
    Some(match reason {
        "RolledBack" => format!(
            "the version before it serves on; deploy another tag, or try this one again by {retry}"
        ),
        "MigrationFailed" | "FinishFailed" => format!(
            "the old pods serve on; mend what the migration says, then {retry}"
        ),
        "InvalidSpec" => "correct the field that is named".to_owned(),
        "ObjectConflict" => {
            "remove the object that is named, rename the PostService, or name it in spec.adopt".to_owned()
        }
        "AccessDenied" => {
            "grant the operator what the message names, in AWS, in the database or in its role".to_owned()
        }
        "TagNotFound" | "NoMatchingTag" => {
            format!("push the image or correct the tag; after a push, {retry} asks the registry at once")
        }
        "Suspended" => patch(namespace, name, r#"{"spec":{"suspend":false}}"#),
        "Stopped" => patch(namespace, name, r#"{"spec":{"stopped":false}}"#),
        "Held" => patch(namespace, name, r#"{"spec":{"rollout":{"hold":false}}}"#),
        "Deleted" => "create it again, if it should be there".to_owned(),
        "Superseded" => {
            format!("`post-operator status {name} -n {namespace}` shows what runs and what is wanted")
        }
        "Missing" | "Malformed" => {
            "create or correct the Secret's key; Secrets are read every 30 s".to_owned()
        }
        "Unreachable" => {
            "let the operator and the pods reach the database: security group, network policy, address".to_owned()
        }
        _ => return None,
    })
}

fn patch(namespace: &str, name: &str, patch: &str) -> String {
    format!(
        "nothing changes until it is switched back: `kubectl -n {namespace} patch postsvc {name} --type=merge -p '{patch}'`"
    )
}

/// What `retry` brings about.
pub fn retry_effect() -> String {
    format!(
        "annotation {RETRY_ANNOTATION} has a new value: the operator asks the registry for the image at once, and tries again what failed, a migration or a rollout that was undone"
    )
}
