//! What every pod of the service has in common, serving or migrating.

use k8s_openapi::api::core::v1::{
    Capabilities, Container, LocalObjectReference, PodSecurityContext, PodSpec, SeccompProfile,
    SecurityContext,
};

use super::PodInputs;
use crate::registry::Digest;

/// What every pod has in common: identity, security, and where it may run.
pub(super) fn spec(inputs: &PodInputs, container: Container) -> PodSpec {
    let placement = &inputs.pod;
    let pull_secrets = inputs.pull_secrets.iter();
    let pull_secrets: Vec<_> = pull_secrets
        .map(|name| LocalObjectReference { name: name.clone() })
        .collect();
    let priority = &placement.priority_class_name;
    PodSpec {
        service_account_name: Some(inputs.service_account.clone()),
        automount_service_account_token: Some(false),
        enable_service_links: Some(false),
        security_context: Some(security()),
        image_pull_secrets: (!pull_secrets.is_empty()).then_some(pull_secrets),
        node_selector: (!placement.node_selector.is_empty())
            .then(|| placement.node_selector.clone()),
        tolerations: (!placement.tolerations.is_empty()).then(|| placement.tolerations.clone()),
        priority_class_name: (!priority.is_empty()).then(|| priority.clone()),
        containers: vec![container],
        ..PodSpec::default()
    }
}

/// Pod level of the `restricted` Pod Security Standard.
fn security() -> PodSecurityContext {
    PodSecurityContext {
        run_as_non_root: Some(true),
        run_as_user: Some(65532),
        run_as_group: Some(65532),
        fs_group: Some(65532),
        seccomp_profile: Some(SeccompProfile {
            type_: "RuntimeDefault".into(),
            localhost_profile: None,
        }),
        ..PodSecurityContext::default()
    }
}

/// A container of the service's image, restricted (Pod Security Standards) and without a writable
/// root file system.
pub(super) fn container(inputs: &PodInputs, name: &str, digest: &Digest) -> Container {
    Container {
        name: name.into(),
        image: Some(format!("{}@{digest}", inputs.repository)),
        image_pull_policy: Some("IfNotPresent".into()),
        security_context: Some(SecurityContext {
            allow_privilege_escalation: Some(false),
            read_only_root_filesystem: Some(true),
            capabilities: Some(Capabilities {
                drop: Some(vec!["ALL".into()]),
                add: None,
            }),
            ..SecurityContext::default()
        }),
        termination_message_policy: Some("FallbackToLogsOnError".into()),
        ..Container::default()
    }
}
