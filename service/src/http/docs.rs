//! The OpenAPI document and Swagger UI, served from this binary.

use super::{
    App,
    error::{ErrorEnvelope, PlainError},
    etag::ETag,
    problem::ProblemDetails,
    rendered::Rendered,
};
use axum::{Router, routing::get};
use http::{HeaderMap, HeaderName, HeaderValue};
use tower_http::set_header::SetResponseHeaderLayer;
use utoipa::{
    Modify, OpenApi,
    openapi::security::{Http, HttpAuthScheme, SecurityScheme},
};
use utoipa_swagger_ui::{Config, SwaggerUi};

/// Where the document is.
const DOCUMENT: &str = "/api/openapi.json";
/// What Swagger UI needs and nothing more; its own styles are inline.
const CONTENT_SECURITY_POLICY: HeaderValue = HeaderValue::from_static(
    "default-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; \
     frame-ancestors 'none'",
);

#[derive(OpenApi)]
#[openapi(
    info(
        title = "Post Service",
        description = "Posts of a community board. Times are naive Korean local time.",
        license(name = "Apache-2.0", identifier = "Apache-2.0"),
    ),
    tags(
        (name = "posts", description = "Posts and lists of them"),
        (name = "likes", description = "Who likes a post"),
        (name = "media", description = "Images of posts"),
        (name = "categories", description = "Groups of posts, made on first use"),
        (name = "users", description = "The caller's account"),
        (name = "system", description = "Whether the service lives and works"),
    ),
    servers((url = "/", description = "This service")),
    components(schemas(ErrorEnvelope, PlainError, ProblemDetails)),
    modifiers(&Bearer),
)]
struct Document;

struct Bearer;

impl Modify for Bearer {
    fn modify(&self, document: &mut utoipa::openapi::OpenApi) {
        let components = document.components.get_or_insert_default();
        components.add_security_scheme(
            "bearer",
            SecurityScheme::Http(Http::new(HttpAuthScheme::Bearer)),
        );
    }
}

/// The document without any path yet.
pub fn document() -> utoipa::openapi::OpenApi {
    Document::openapi()
}

/// Swagger UI at `/api/docs` over the document at `/api/openapi.json`.
pub fn router(document: &utoipa::openapi::OpenApi) -> Router<App> {
    let policy = SetResponseHeaderLayer::overriding(
        HeaderName::from_static("content-security-policy"),
        CONTENT_SECURITY_POLICY,
    );
    let interface = SwaggerUi::new("/api/docs").config(Config::from(DOCUMENT));
    let document = written(document);
    let answer = async move |headers: HeaderMap| document.unless_known(&headers);
    Router::from(interface)
        .route(DOCUMENT, get(answer))
        .layer(policy)
}

/// The document as it is answered: as a tree it would take twenty times as much memory.
fn written(document: &utoipa::openapi::OpenApi) -> Rendered {
    let tag = ETag::of(&document.to_json().unwrap_or_default());
    Rendered::new(tag, document)
}
