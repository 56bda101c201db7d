//! The REST API: one file per resource, and what they share.
//!
//! A request passes, from outside in: who is calling ([`caller`]); request id, log and metrics
//! ([`observe`]); CORS and other headers, compression ([`limits`]); the [`guard`]: errors in the shape
//! the client asked for ([`problem`]), how often it may come ([`rate`]), the deadline, panics turned
//! into answers; the handler, whose arguments are taken from the request by [`extract`] and whose
//! errors are made into answers by [`error`].

pub mod caller;
pub mod categories;
pub mod client;
pub mod comments;
pub mod complete;
pub mod docs;
pub mod envelope;
pub mod error;
pub mod etag;
pub mod extract;
pub mod guard;
pub mod images;
pub mod likes;
pub mod limits;
pub mod media;
pub mod media_fault;
pub mod observe;
mod params;
pub mod posts;
pub mod problem;
pub mod rate;
pub mod reads;
mod refusals;
pub mod rendered;
pub mod system;
pub mod uploads;
pub mod users;

use crate::{
    auth::Authenticator,
    board::{Board, PageLimits},
    comments::Comments,
    deactivation::Deactivations,
    media::Media,
    shutdown::Readiness,
};
use axum::{Router, body::Body, extract::FromRef};
use caller::Recogniser;
use guard::GuardLayer;
use http::HeaderValue;
use ipnet::IpNet;
use observe::ObserveLayer;
use rate::Limits;
use reads::Reads;
use secrecy::SecretString;
use std::{ops::Deref, sync::Arc};
use tower::util::MapRequestLayer;
use tower_http::map_response_body::MapResponseBodyLayer;
use utoipa::openapi::OpenApi;
use utoipa_axum::router::OpenApiRouter;

/// What handlers work with. Cheap to clone: the router does so more than once a request.
#[derive(Debug, Clone)]
pub struct App(Arc<AppParts>);

/// The parts of an [`App`].
#[derive(Debug)]
pub struct AppParts {
    /// Posts and categories.
    pub board: Board,
    /// Reads of it that requests share.
    pub reads: Reads,
    /// Who is calling.
    pub authenticator: Authenticator,
    /// How many comments posts have.
    pub comments: Comments,
    /// Users who leave.
    pub deactivations: Deactivations,
    /// Sizes of pages.
    pub pages: PageLimits,
    /// Whether requests without a token may like.
    pub anonymous_likes: likes::AnonymousLikes,
    /// Whether requests should come here.
    pub readiness: Readiness,
    /// Images.
    pub media: Media,
}

impl From<AppParts> for App {
    fn from(parts: AppParts) -> Self {
        Self(Arc::new(parts))
    }
}

impl Deref for App {
    type Target = AppParts;

    fn deref(&self) -> &AppParts {
        &self.0
    }
}

/// Lets handlers ask for one part.
macro_rules! parts {
    ($($name:ident: $part:ty),+ $(,)?) => {
        $(impl FromRef<App> for $part {
            fn from_ref(app: &App) -> Self {
                app.$name.clone()
            }
        })+
    };
}

parts! {
    board: Board,
    reads: Reads,
    authenticator: Authenticator,
    comments: Comments,
    deactivations: Deactivations,
    pages: PageLimits,
    anonymous_likes: likes::AnonymousLikes,
    readiness: Readiness,
    media: Media,
}

/// What is settled before any handler is reached.
#[derive(Clone)]
pub struct Gate {
    /// Origins that browsers may call from.
    pub cors_origins: Vec<HeaderValue>,
    /// Networks whose word on the client's address is believed.
    pub trusted_proxies: Vec<IpNet>,
    /// How many requests one user or client may make.
    pub limits: Limits,
    /// Seconds that browsers shall use nothing but HTTPS; 0: not said.
    pub hsts_max_age: u32,
    /// Keys the hashes of users in the log.
    pub secret_key: SecretString,
}

/// The whole service's router.
pub fn router(app: App, gate: &Gate) -> Router {
    let (routes, mut api) = routes().split_for_parts();
    complete::complete(&mut api);
    let recogniser = Arc::new(Recogniser {
        authenticator: app.authenticator.clone(),
        trusted_proxies: gate.trusted_proxies.clone(),
    });
    routes
        .merge(docs::router(&api))
        .fallback(error::no_route)
        .method_not_allowed_fallback(error::wrong_method)
        // From outside in. One layer of many parts: each layer of a router's costs every request
        // allocations.
        .layer((
            MapRequestLayer::new(move |request| caller::recognise(&recogniser, request)),
            ObserveLayer::new(app.readiness.clone(), &gate.secret_key),
            limits::https_only(gate.hsts_max_age),
            limits::no_sniffing(),
            limits::cors(&gate.cors_origins),
            // What compresses is kept in the body, in kilobytes, even of answers that stay as they are.
            MapResponseBodyLayer::new(Body::new),
            limits::compression(),
            GuardLayer(gate.limits.clone()),
        ))
        .with_state(app)
}

/// The OpenAPI document of everything that is routed.
pub fn openapi() -> OpenApi {
    let mut api = routes().into_openapi();
    complete::complete(&mut api);
    api
}

fn routes() -> OpenApiRouter<App> {
    let api = OpenApiRouter::new()
        .merge(posts::router())
        .merge(likes::router())
        .merge(categories::router())
        .merge(comments::router())
        .merge(users::router())
        .merge(media::router())
        .merge(images::router())
        .merge(system::versioned_router());
    OpenApiRouter::with_openapi(docs::document())
        .nest("/api/v1", api)
        .merge(system::router())
}
