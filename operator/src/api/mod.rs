//! The custom resource: types, conditions and reasons. No logic lives here.

pub mod conditions;
pub mod v1alpha1;

/// Annotation whose changed value asks the operator to resolve the image again and to retry a failed step.
pub const RETRY_ANNOTATION: &str = "platform.hhottdogg.shop/retry";

/// Annotation whose changed value asks the operator to change the database's passwords now.
pub const ROTATE_ANNOTATION: &str = "platform.hhottdogg.shop/rotate";
