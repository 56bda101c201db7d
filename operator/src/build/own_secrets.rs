//! Secrets that the operator makes: never watched or listed, read and written by name.

use k8s_openapi::api::core::v1::Secret;

use super::metadata;
use crate::controller::validate::Validated;

/// Name of the Secret with the database's accounts.
pub fn database_name(name: &str) -> String {
    format!("{name}-database")
}

/// Name of the Secret with a generated `secret-key`.
pub fn secret_key_name(name: &str) -> String {
    format!("{name}-secret-key")
}

/// A Secret of this name without values: metadata by which it belongs to the `PostService`.
pub fn empty(spec: &Validated, name: &str) -> Secret {
    Secret {
        metadata: metadata(spec, name),
        type_: Some("Opaque".into()),
        ..Secret::default()
    }
}
