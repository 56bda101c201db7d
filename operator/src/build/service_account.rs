use k8s_openapi::api::core::v1::ServiceAccount;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;

use super::metadata;
use crate::controller::validate::Validated;

/// The pods' identity towards AWS. They never talk to Kubernetes: no token is mounted.
pub(super) fn build(spec: &Validated) -> ServiceAccount {
    let annotations = &spec.spec.service_account.annotations;
    ServiceAccount {
        metadata: ObjectMeta {
            annotations: (!annotations.is_empty()).then(|| annotations.clone()),
            ..metadata(spec, &spec.pod.service_account)
        },
        automount_service_account_token: Some(false),
        ..ServiceAccount::default()
    }
}
