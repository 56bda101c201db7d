//! Health, for load balancers and Kubernetes.

use super::App;
use crate::shutdown::Readiness;
use axum::{
    Json,
    extract::State,
    response::{IntoResponse, Response},
};
use http::StatusCode;
use serde::Serialize;
use utoipa::ToSchema;
use utoipa_axum::{router::OpenApiRouter, routes};

/// Routes at the root.
pub fn router() -> OpenApiRouter<App> {
    OpenApiRouter::new()
        .routes(routes!(health))
        .routes(routes!(livez))
        .routes(routes!(readyz))
}

/// Routes under the API's base.
pub fn versioned_router() -> OpenApiRouter<App> {
    OpenApiRouter::new().routes(routes!(versioned_health))
}

/// That the service serves.
#[derive(Debug, Serialize, ToSchema)]
struct Health {
    /// Always the same.
    #[schema(example = "Post Service API")]
    service: &'static str,
    /// Always the same.
    #[schema(example = "healthy")]
    status: &'static str,
    /// The API's version.
    #[schema(example = "1.0.0")]
    version: &'static str,
}

const HEALTHY: Health = Health {
    service: "Post Service API",
    status: "healthy",
    version: "1.0.0",
};

/// Tell that the service serves, also while it drains.
#[utoipa::path(get, path = "/health", tag = "system", responses((status = OK, body = Health)))]
async fn health() -> Json<Health> {
    Json(HEALTHY)
}

/// Tell that the service serves, also while it drains.
#[utoipa::path(get, path = "/health", tag = "system", responses((status = OK, body = Health)))]
async fn versioned_health() -> Json<Health> {
    Json(HEALTHY)
}

/// Tell that the process lives, whatever the database does.
#[utoipa::path(get, path = "/livez", tag = "system", responses((status = OK, body = String)))]
async fn livez() -> &'static str {
    "ok"
}

/// Tell whether requests should be sent here.
#[utoipa::path(
    get,
    path = "/readyz",
    tag = "system",
    responses(
        (status = OK, body = String),
        (status = SERVICE_UNAVAILABLE, body = String, description = "Not yet, or not any more"),
    )
)]
async fn readyz(State(readiness): State<Readiness>) -> Response {
    match readiness.check() {
        Ok(()) => "ok".into_response(),
        Err(reason) => (StatusCode::SERVICE_UNAVAILABLE, reason).into_response(),
    }
}
