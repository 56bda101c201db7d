use axum::Router;
use axum::extract::{Query, State};
use axum::http::HeaderMap;
use axum::response::{IntoResponse, Response};
use axum::routing::{get, head};
use tokio::net::TcpListener;

use super::*;

const IMAGE: &str = "sha256:44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a";

/// A registry that gives whoever asks a token for one repository, as Docker Hub does.
async fn registry() -> (Oci, String) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let host = listener.local_addr().unwrap().to_string();
    let issue = |Query(query): Query<HashMap<String, String>>| async move {
        let granted = query["service"] == "tests" && query["scope"] == "repository:team/p:pull";
        format!(r#"{{"token": "{}"}}"#, if granted { "good" } else { "bad" })
    };
    let router = Router::new()
        .route("/token", get(issue))
        .route("/v2/team/p/manifests/{tag}", head(manifest))
        .route("/v2/team/private/manifests/{tag}", head(manifest))
        .route(
            "/v2/team/broken/manifests/{tag}",
            head(|| async { StatusCode::BAD_GATEWAY }),
        )
        .with_state(host.clone());
    tokio::spawn(async move { axum::serve(listener, router).await });
    (Oci::with_plain_http(Some(host.clone())), host)
}

async fn manifest(
    State(host): State<String>,
    axum::extract::Path(tag): axum::extract::Path<String>,
    headers: HeaderMap,
) -> Response {
    assert!(headers[ACCEPT].to_str().unwrap().contains("image.index"));
    if headers
        .get(AUTHORIZATION)
        .is_none_or(|given| given != "Bearer good")
    {
        let challenge = format!(r#"Bearer realm="http://{host}/token",service="tests""#);
        return (StatusCode::UNAUTHORIZED, [(WWW_AUTHENTICATE, challenge)]).into_response();
    }
    match tag.as_str() {
        "1" => [(DIGEST, IMAGE)].into_response(),
        "2" => StatusCode::OK.into_response(),
        _ => StatusCode::NOT_FOUND.into_response(),
    }
}

#[tokio::test]
async fn a_tag_is_resolved_with_a_token_for_anybody() {
    let (oci, host) = registry().await;
    let image = oci.resolve(&format!("{host}/team/p"), "1").await.unwrap();
    assert_eq!(image.digest.as_str(), IMAGE);
    assert_eq!(image.tag.as_deref(), Some("1"));
}

#[tokio::test]
async fn what_is_not_there_or_not_public_or_broken_is_told_apart() {
    let (oci, host) = registry().await;
    let ask = async |name: &str, tag: &str| {
        let repository = format!("{host}/team/{name}");
        oci.resolve(&repository, tag).await.unwrap_err()
    };
    assert!(matches!(
        ask("p", "9").await,
        RegistryError::TagNotFound { .. }
    ));
    assert!(matches!(
        ask("private", "1").await,
        RegistryError::NotPublic { .. }
    ));
    let broken = ask("broken", "1").await.to_string();
    assert!(broken.contains("502"), "{broken}");
    let nameless = ask("p", "2").await.to_string();
    assert!(nameless.contains("no sha256 digest"), "{nameless}");
}

#[tokio::test]
async fn a_token_is_not_fetched_without_tls_for_a_registry_with_it() {
    let issuer = Url::parse("http://127.0.0.1:1/token").unwrap();
    let refused = Oci::default().token(&issuer).await;
    assert!(matches!(refused, Err(Failure::NoToken)), "{refused:?}");
}

#[test]
fn names_are_read_as_container_runtimes_read_them() {
    for (repository, host, name) in [
        ("docker.io/mysql", "registry-1.docker.io", "library/mysql"),
        ("team/p", "registry-1.docker.io", "team/p"),
        ("ghcr.io/team/p", "ghcr.io", "team/p"),
        ("localhost:5000/p", "localhost:5000", "p"),
    ] {
        let (host, name) = (host.to_owned(), name.to_owned());
        assert_eq!(Place::of(repository), Place { host, name }, "{repository}");
    }
}
