//! The REST API: one file per resource, and what they share.
//!
//! A request passes, from outside in: request id, log and metrics ([`observe`]); CORS and other
//! headers, compression ([`limits`]); panics and the deadline turned into answers; the handler,
//! whose arguments are taken from the request by [`extract`] and whose errors are made into answers
//! by [`error`].

pub mod categories;
pub mod docs;
pub mod envelope;
pub mod error;
pub mod extract;
pub mod images;
pub mod limits;
pub mod media;
pub mod media_fault;
pub mod observe;
pub mod posts;
pub mod system;
pub mod uploads;

use crate::{
    auth::Authenticator,
    board::{Board, PageLimits},
    media::Media,
    shutdown::Readiness,
};
use axum::{Router, extract::FromRef, middleware};
use http::HeaderValue;
use utoipa::openapi::OpenApi;
use utoipa_axum::router::OpenApiRouter;

/// What handlers work with.
#[derive(Debug, Clone, FromRef)]
pub struct App {
    /// Posts and categories.
    pub board: Board,
    /// Who is calling.
    pub authenticator: Authenticator,
    /// Sizes of pages.
    pub pages: PageLimits,
    /// Whether requests should come here.
    pub readiness: Readiness,
    /// Images.
    pub media: Media,
}

/// The whole service's router.
pub fn router(app: App, cors_origins: &[HeaderValue]) -> Router {
    let (routes, api) = routes().split_for_parts();
    routes
        .merge(docs::router(api))
        .fallback(error::no_route)
        .method_not_allowed_fallback(error::wrong_method)
        .layer(middleware::from_fn(limits::deadline))
        .layer(limits::catch_panics())
        .layer(limits::compression())
        .layer(limits::no_sniffing())
        .layer(limits::cors(cors_origins))
        .layer(middleware::from_fn_with_state(
            app.readiness.clone(),
            observe::request,
        ))
        .with_state(app)
}

/// The OpenAPI document of everything that is routed.
pub fn openapi() -> OpenApi {
    routes().into_openapi()
}

fn routes() -> OpenApiRouter<App> {
    let api = OpenApiRouter::new()
        .merge(posts::router())
        .merge(categories::router())
        .merge(media::router())
        .merge(images::router())
        .merge(system::versioned_router());
    OpenApiRouter::with_openapi(docs::document())
        .nest("/api/v1", api)
        .merge(system::router())
}
