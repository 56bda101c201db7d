//! Secrets that the operator makes: never watched or listed, read and written by name.

use k8s_openapi::api::core::v1::Secret;

use super::{metadata, truncated};
use crate::controller::validate::Validated;

/// Name of the Secret with the database's accounts.
pub fn database_name(name: &str) -> String {
    format!("{name}-database")
}

/// Name of the Secret with a generated `secret-key`.
pub fn secret_key_name(name: &str) -> String {
    format!("{name}-secret-key")
}

/// Name of the Secret with the values that pods of a revision read.
pub fn env_name(name: &str, revision: &str) -> String {
    format!("{}-env-{revision}", truncated(name))
}

/// A Secret of this name without values: metadata by which it belongs to the `PostService`.
pub fn empty(spec: &Validated, name: &str) -> Secret {
    Secret {
        metadata: metadata(spec, name),
        type_: Some("Opaque".into()),
        ..Secret::default()
    }
}
