//! What the tests share: services on databases of their own, tokens, requests.

pub mod database;
pub mod media;
pub mod process;
pub mod tokens;

use database::Database;
use post_service::{
    auth::{Authenticator, Keys, verifier::Verifier},
    board::{Board, PageLimits, SystemClock},
    http::{self, App},
    media::{Backend, Media},
    server,
    shutdown::Readiness,
    store::{self, Store},
};
use reqwest::{Method, RequestBuilder, Response, StatusCode};
use serde_json::{Value, json};
use std::sync::Arc;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

/// Defines a test that runs on SQLite, and on MySQL where there is one.
macro_rules! on_every_database {
    ($(#[$attribute:meta])* async fn $name:ident($service:ident) $body:block) => {
        $(#[$attribute])*
        mod $name {
            use super::*;

            async fn test($service: &Service) $body

            #[tokio::test]
            async fn on_sqlite() {
                test(&Service::on(Database::sqlite()).await).await;
            }

            #[tokio::test(flavor = "multi_thread")]
            async fn on_mysql() {
                if let Some(database) = Database::mysql().await {
                    test(&Service::on(database).await).await;
                }
            }
        }
    };
}

/// The issuer that test services accept.
pub const ISSUER: &str = "https://cognito-idp.ap-northeast-2.amazonaws.com/ap-northeast-2_Test";
/// The client that test services accept.
pub const CLIENT_ID: &str = "test-client";
/// The origin that browsers of the tests call from.
pub const ORIGIN: &str = "https://hhottdogg.shop";

/// A service on a free port of this machine, with a client.
pub struct Service {
    pub base: String,
    pub client: reqwest::Client,
    pub readiness: Readiness,
    pub media: Media,
    stop: CancellationToken,
    _media_folder: Option<tempfile::TempDir>,
    // Dropped last.
    database: Option<Database>,
}

impl Service {
    /// A service on a migrated database, accepting the tokens of [`tokens`].
    pub async fn on(database: Database) -> Self {
        store::migrate(&database.url())
            .await
            .expect("migrations apply");
        let store = store::open(&database.url(), 8)
            .await
            .expect("the store opens");
        Self::with(
            store,
            Keys::Fixed(Arc::new(tokens::KEY.key_set())),
            Some(database),
        )
        .await
    }

    /// A service on SQLite with these token keys.
    pub async fn with_keys(keys: Keys) -> Self {
        let database = Database::sqlite();
        let store = store::open(&database.url(), 2)
            .await
            .expect("the store opens");
        Self::with(store, keys, Some(database)).await
    }

    /// A service on whatever store, with images in a folder.
    pub async fn with(store: Arc<dyn Store>, keys: Keys, database: Option<Database>) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let backend = Backend::folder(folder.path()).expect("a folder for images");
        let media = (media::config(), Some(backend));
        let mut service = Self::with_media(store, keys, database, media).await;
        service._media_folder = Some(folder);
        service
    }

    /// A service on whatever store, with images in this backend.
    pub async fn with_media(
        store: Arc<dyn Store>,
        keys: Keys,
        database: Option<Database>,
        (config, backend): (post_service::media::Config, Option<Backend>),
    ) -> Self {
        let clock = Arc::new(SystemClock);
        let readiness = Readiness::default();
        readiness.schema_is_good();
        let media = Media::new(config, backend, Arc::clone(&store), clock.clone());
        let app = App {
            board: Board::new(store, clock.clone()),
            authenticator: Authenticator::new(Verifier::new(ISSUER, CLIENT_ID), keys, clock),
            pages: PageLimits {
                default_size: 10,
                max_size: 50,
            },
            readiness: readiness.clone(),
            media: media.clone(),
        };
        let origins = [ORIGIN, "https://www.hhottdogg.shop"].map(|o| o.parse().expect("an origin"));
        let router = http::router(app, &origins);
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let base = format!("http://{}", listener.local_addr().expect("an address"));
        let stop = CancellationToken::new();
        tokio::spawn(server::serve(
            listener,
            router,
            stop.clone().cancelled_owned(),
        ));
        Self {
            base,
            client: client(),
            readiness,
            media,
            stop,
            _media_folder: None,
            database,
        }
    }

    /// A request to this path.
    pub fn request(&self, method: Method, path: &str) -> RequestBuilder {
        self.client.request(method, format!("{}{path}", self.base))
    }

    /// The answer to a GET.
    pub async fn get(&self, path: &str) -> Answer {
        Answer::of(self.request(Method::GET, path)).await
    }

    /// The answer to a POST of JSON with this token.
    pub async fn post(&self, path: &str, token: &str, body: &Value) -> Answer {
        Answer::of(
            self.request(Method::POST, path)
                .bearer_auth(token)
                .json(body),
        )
        .await
    }

    /// The service's database.
    pub fn database(&self) -> &Database {
        self.database.as_ref().expect("a database")
    }

    /// Runs a statement in the service's database, behind its back.
    pub async fn execute(&self, sql: &str) {
        self.database
            .as_ref()
            .expect("a database")
            .execute(sql)
            .await;
    }

    /// Publishes a post by this token's user and returns its id.
    pub async fn publish(&self, token: &str, title: &str, category: &str) -> String {
        let body = json!({"title": title, "content": "내용", "category": category});
        let answer = self.post("/api/v1/posts", token, &body).await;
        assert_eq!(answer.status, StatusCode::CREATED, "{}", answer.json);
        answer.json["data"]["id"]
            .as_str()
            .expect("an id")
            .to_owned()
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

/// A client that tells what it was sent, redirects included.
pub fn client() -> reqwest::Client {
    reqwest::Client::builder()
        .redirect(reqwest::redirect::Policy::none())
        .no_proxy()
        .build()
        .expect("a client")
}

/// An answer, read to its end.
#[derive(Debug)]
pub struct Answer {
    pub status: StatusCode,
    pub headers: reqwest::header::HeaderMap,
    pub text: String,
    /// `null` where the answer is not JSON.
    pub json: Value,
}

impl Answer {
    /// Sends the request.
    pub async fn of(request: RequestBuilder) -> Self {
        Self::read(request.send().await.expect("an answer")).await
    }

    async fn read(response: Response) -> Self {
        let (status, headers) = (response.status(), response.headers().clone());
        let text = response.text().await.expect("a whole answer");
        let json = serde_json::from_str(&text).unwrap_or_default();
        Self {
            status,
            headers,
            text,
            json,
        }
    }

    /// A header's text, empty if absent.
    pub fn header(&self, name: &str) -> &str {
        self.headers
            .get(name)
            .map(|value| value.to_str().expect("ASCII"))
            .unwrap_or_default()
    }

    /// The message of an answer.
    pub fn message(&self) -> &str {
        self.json["message"].as_str().unwrap_or_default()
    }
}
