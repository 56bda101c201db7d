//! Registries other than Amazon ECR, by the OCI distribution specification: one tag at a time, and
//! without credentials.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use http::header::{ACCEPT, AUTHORIZATION, WWW_AUTHENTICATE};
use http::{HeaderMap, Method, Request, StatusCode, Uri};
use http_auth::parse_challenges;
use http_body_util::{BodyExt as _, Limited};
use kube::client::Body;
use kube::{Client, Config};
use serde::Deserialize;
use url::Url;

use super::{Digest, RegistryError, RegistryImage};

/// What a tag may stand for: an image, or an image for each of several platforms.
const MANIFESTS: &str = "application/vnd.oci.image.index.v1+json, \
    application/vnd.oci.image.manifest.v1+json, \
    application/vnd.docker.distribution.manifest.list.v2+json, \
    application/vnd.docker.distribution.manifest.v2+json";
/// The header with a manifest's digest (OCI distribution specification, "Checking if content exists").
const DIGEST: &str = "docker-content-digest";
const TIMEOUT: Duration = Duration::from_secs(5);
/// Longer answers of a token's issuer are none.
const LONGEST_ANSWER: usize = 64 * 1024;

/// Registries on the Internet.
#[derive(Default)]
pub struct Oci {
    plain: Option<String>,
    clients: Mutex<HashMap<String, Client>>,
}

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
enum Failure {
    #[error("{0}")]
    Client(#[from] kube::Error),
    #[error("{0}")]
    Request(#[from] http::Error),
    #[error("{0}")]
    Address(#[from] http::uri::InvalidUri),
    #[error("no answer within {} s", TIMEOUT.as_secs())]
    Slow,
    #[error("the issuer of tokens gave none")]
    NoToken,
    #[error("HTTP status {0}")]
    Status(StatusCode),
    #[error("the answer names no sha256 digest")]
    NoDigest,
}

impl Oci {
    /// The same, where `host` is spoken to without TLS. For tests.
    pub fn with_plain_http(host: Option<String>) -> Self {
        Self {
            plain: host,
            ..Self::default()
        }
    }

    /// The digest of `tag` of `repository` (with registry host).
    pub async fn resolve(
        &self,
        repository: &str,
        tag: &str,
    ) -> Result<RegistryImage, RegistryError> {
        let place = Place::of(repository);
        let answer = tokio::time::timeout(TIMEOUT, self.ask(&place, tag)).await;
        let (status, headers) = answer
            .unwrap_or(Err(Failure::Slow))
            .map_err(|failure| unavailable(repository, &failure))?;
        match status {
            StatusCode::OK => {
                let digest = headers.get(DIGEST).and_then(|digest| digest.to_str().ok());
                let digest = digest.and_then(Digest::parse);
                Ok(RegistryImage {
                    digest: digest.ok_or_else(|| unavailable(repository, &Failure::NoDigest))?,
                    tag: Some(tag.to_owned()),
                    pushed_at: None,
                })
            }
            StatusCode::NOT_FOUND => Err(RegistryError::TagNotFound {
                repository: repository.to_owned(),
                tag: tag.to_owned(),
            }),
            StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => Err(RegistryError::NotPublic {
                repository: repository.to_owned(),
            }),
            status => Err(unavailable(repository, &Failure::Status(status))),
        }
    }

    /// The answer to a request for the manifest, with a token where one is asked for.
    async fn ask(&self, place: &Place, tag: &str) -> Result<(StatusCode, HeaderMap), Failure> {
        let path = format!("/v2/{}/manifests/{tag}", place.name);
        let head = |token: Option<String>| {
            let request = Request::builder()
                .method(Method::HEAD)
                .uri(&path)
                .header(ACCEPT, MANIFESTS);
            match token {
                Some(token) => request.header(AUTHORIZATION, format!("Bearer {token}")),
                None => request,
            }
            .body(Body::empty())
        };
        let client = self.client(self.scheme(&place.host), &place.host)?;
        let answer = client.send(head(None)?).await?;
        let issuer = match answer.status() {
            StatusCode::UNAUTHORIZED => issuer(answer.headers(), &place.name),
            _ => None,
        };
        let Some(issuer) = issuer else {
            return Ok((answer.status(), answer.headers().clone()));
        };
        let token = self.token(&issuer).await?;
        let answer = client.send(head(Some(token))?).await?;
        Ok((answer.status(), answer.headers().clone()))
    }

    /// A token for anybody, from where the registry says
    /// (<https://distribution.github.io/distribution/spec/auth/token/>).
    async fn token(&self, issuer: &Url) -> Result<String, Failure> {
        let host = issuer.authority();
        // What is told without TLS is heard by others.
        if issuer.scheme() != self.scheme(host) {
            return Err(Failure::NoToken);
        }
        let client = self.client(issuer.scheme(), host)?;
        let path = format!("{}?{}", issuer.path(), issuer.query().unwrap_or_default());
        let answer = client.send(Request::get(path).body(Body::empty())?).await?;
        let body = Limited::new(answer.into_body(), LONGEST_ANSWER);
        let body = body.collect().await.map_err(|_| Failure::NoToken)?;
        let token: Token =
            serde_json::from_slice(&body.to_bytes()).map_err(|_| Failure::NoToken)?;
        token.token.or(token.access_token).ok_or(Failure::NoToken)
    }

    fn scheme(&self, host: &str) -> &'static str {
        if self.plain.as_deref() == Some(host) {
            "http"
        } else {
            "https"
        }
    }

    /// kube's client is the HTTP client that is there already.
    fn client(&self, scheme: &str, host: &str) -> Result<Client, Failure> {
        let address = format!("{scheme}://{host}");
        let mut clients = self.clients.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(client) = clients.get(&address) {
            return Ok(client.clone());
        }
        let mut config = Config::new(address.parse::<Uri>()?);
        config.connect_timeout = Some(TIMEOUT);
        config.read_timeout = Some(TIMEOUT);
        let client = Client::try_from(config)?;
        clients.insert(address, client.clone());
        Ok(client)
    }
}

#[derive(Deserialize)]
struct Token {
    token: Option<String>,
    access_token: Option<String>,
}

fn unavailable(repository: &str, failure: &Failure) -> RegistryError {
    RegistryError::Unavailable {
        repository: repository.to_owned(),
        detail: failure.to_string(),
    }
}

/// Where tokens for `name` are issued, if the registry asks for one.
fn issuer(headers: &HeaderMap, name: &str) -> Option<Url> {
    let challenges = headers.get(WWW_AUTHENTICATE)?.to_str().ok()?;
    let challenges = parse_challenges(challenges).ok()?;
    let bearer = challenges
        .iter()
        .find(|challenge| challenge.scheme.eq_ignore_ascii_case("Bearer"))?;
    let parameter = |wanted: &str| {
        let mut all = bearer.params.iter();
        let (_, value) = all.find(|(name, _)| name.eq_ignore_ascii_case(wanted))?;
        Some(value.to_unescaped())
    };
    let mut url = Url::parse(&parameter("realm")?).ok()?;
    let scope = parameter("scope").unwrap_or_else(|| format!("repository:{name}:pull"));
    url.query_pairs_mut().append_pair("scope", &scope);
    if let Some(service) = parameter("service") {
        url.query_pairs_mut().append_pair("service", &service);
    }
    Some(url)
}

/// Where a repository is.
#[derive(Debug, PartialEq, Eq)]
struct Place {
    host: String,
    name: String,
}

impl Place {
    /// What container runtimes make of a name: without a host it is Docker Hub's, whose registry has
    /// another host than its names, and whose own images are in `library`
    /// (<https://pkg.go.dev/github.com/distribution/reference>).
    fn of(repository: &str) -> Self {
        let is_host = |text: &str| text.contains(['.', ':']) || text == "localhost";
        let (host, name) = match repository.split_once('/') {
            Some((host, name)) if is_host(host) => (host, name),
            _ => ("docker.io", repository),
        };
        let (host, name) = match host {
            "docker.io" | "index.docker.io" if !name.contains('/') => {
                ("registry-1.docker.io", format!("library/{name}"))
            }
            "docker.io" | "index.docker.io" => ("registry-1.docker.io", name.to_owned()),
            host => (host, name.to_owned()),
        };
        Self {
            host: host.to_owned(),
            name,
        }
    }
}

#[cfg(test)]
mod tests;
