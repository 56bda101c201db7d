//! What the tests share: services on databases of their own, tokens, requests.

pub mod browser;
pub mod cognito;
pub mod comment_service;
pub mod database;
pub mod forge;
pub mod key_endpoint;
pub mod media;
pub mod mysqld;
pub mod process;
pub mod proxy;
pub mod switchboard;
pub mod tokens;
pub mod wait;

use database::Database;
use post_service::{
    auth::{Authenticator, Keys, denied::Denied, verifier::Verifier},
    board::{Board, PageLimits, SystemClock, ViewerHash},
    comments::{Comments, Pace},
    config::Deactivation,
    deactivation::Deactivations,
    http::{self, AppParts, Gate, likes::AnonymousLikes, rate::Limits, reads::Reads},
    media::{Backend, Media},
    server,
    shutdown::Readiness,
    store::{self, Store, Views},
};
use reqwest::{Method, RequestBuilder, Response, StatusCode};
use serde_json::{Value, json};
use std::{io::Write, sync::Arc};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use url::Url;

/// Defines a test that runs on SQLite, and on MySQL and on MariaDB where there is one.
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

            #[tokio::test(flavor = "multi_thread")]
            async fn on_mariadb() {
                if let Some(database) = Database::mariadb().await {
                    test(&Service::on(database).await).await;
                }
            }
        }
    };
}

/// What the environment names for a test that needs more than this program, such as a server;
/// where it is absent, a line that counts as a skipped test.
pub fn variable(name: &str) -> Option<String> {
    let value = std::env::var(name).ok().filter(|value| !value.is_empty());
    if value.is_none() {
        let test = std::thread::current().name().unwrap_or("a test").to_owned();
        say(&format!("skipped: {test}: {name} is not set"));
    }
    value
}

/// Writes a line that is seen even when the test passes.
pub fn say(line: &str) {
    // Not eprintln!, which the test harness would swallow.
    std::io::stderr()
        .write_all(format!("{line}\n").as_bytes())
        .expect("standard error");
}

/// The issuer that test services accept.
pub const ISSUER: &str = "https://cognito-idp.ap-northeast-2.amazonaws.com/ap-northeast-2_Test";
/// The client that test services accept.
pub const CLIENT_ID: &str = "test-client";
/// The origin that browsers of the tests call from.
pub const ORIGIN: &str = "https://hhottdogg.shop";

/// Settings of a test's service that differ from the usual.
pub struct Options {
    /// Whether requests without a token may like.
    pub anonymous_likes: bool,
    /// What stands before every request.
    pub gate: Gate,
    /// The comment service.
    pub comments: Option<Url>,
    /// Where images are kept, and how; a temporary folder if it is not said.
    pub media: Option<(post_service::media::Config, Option<Backend>)>,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            anonymous_likes: false,
            gate: gate(),
            comments: None,
            media: None,
        }
    }
}

/// A gate without limits, for the tests' origins.
pub fn gate() -> Gate {
    let origins = [ORIGIN, "https://www.hhottdogg.shop"].map(|o| o.parse().expect("an origin"));
    Gate {
        cors_origins: origins.into(),
        trusted_proxies: Vec::new(),
        limits: Limits::per_minute(0, 0),
        hsts_max_age: 0,
        secret_key: "test".into(),
    }
}

/// A service on a free port of this machine, with a client.
pub struct Service {
    pub base: String,
    pub client: reqwest::Client,
    pub readiness: Readiness,
    pub media: Media,
    stop: CancellationToken,
    _media_folder: tempfile::TempDir,
    // Dropped last.
    database: Option<Database>,
}

impl Service {
    /// A service on a migrated database, accepting the tokens of [`tokens`].
    pub async fn on(database: Database) -> Self {
        Self::on_with(database, Options::default()).await
    }

    /// The same with some settings.
    pub async fn on_with(database: Database, options: Options) -> Self {
        store::migrate(&database.url())
            .await
            .expect("migrations apply");
        let store = store::open(&database.url(), None, 8)
            .await
            .expect("the store opens");
        let keys = Keys::Fixed(Arc::new(tokens::KEY.key_set()));
        Self::with(store, keys, Some(database), options).await
    }

    /// Another service, as another process would be, on the same database.
    pub async fn beside(&self) -> Self {
        let store = store::open(&self.database().url(), None, 8)
            .await
            .expect("the store opens");
        let keys = Keys::Fixed(Arc::new(tokens::KEY.key_set()));
        Self::with(store, keys, None, Options::default()).await
    }

    /// A service on SQLite with these token keys.
    pub async fn with_keys(keys: Keys) -> Self {
        let database = Database::sqlite();
        let store = store::open(&database.url(), None, 2)
            .await
            .expect("the store opens");
        Self::with(store, keys, Some(database), Options::default()).await
    }

    /// A service on SQLite behind this gate.
    pub async fn behind(gate: Gate) -> Self {
        let options = Options {
            gate,
            ..Options::default()
        };
        Self::on_with(Database::sqlite(), options).await
    }

    /// A service on whatever store.
    pub async fn with(
        store: Arc<dyn Store>,
        keys: Keys,
        database: Option<Database>,
        options: Options,
    ) -> Self {
        let clock = Arc::new(SystemClock);
        let stop = CancellationToken::new();
        let readiness = Readiness::default();
        readiness.schema_is_good();
        let (views, writer) = Views::new(Arc::clone(&store));
        tokio::spawn(writer.run());
        let viewers = ViewerHash::new("secret");
        let folder = tempfile::tempdir().expect("a folder");
        let (config, backend) = options.media.unwrap_or_else(|| {
            let backend = Backend::folder(folder.path()).expect("a folder for images");
            (media::config(), Some(backend))
        });
        let media = Media::new(config, backend, Arc::clone(&store), clock.clone());
        let board = Board::new(Arc::clone(&store), clock.clone(), viewers, views);
        let app = AppParts {
            reads: Reads::new(board.clone()),
            board,
            anonymous_likes: AnonymousLikes(options.anonymous_likes),
            comments: match options.comments {
                Some(url) => Comments::start(store.clone(), url, Pace::default(), &stop)
                    .expect("a comment service"),
                None => Comments::unconfigured(store.clone()),
            },
            deactivations: Deactivations::new(
                store.clone(),
                clock.clone(),
                Deactivation::Delete,
                None,
            ),
            authenticator: Authenticator::new(
                Verifier::new(ISSUER, CLIENT_ID),
                keys,
                clock,
                Denied::listed_in(store),
            ),
            pages: PageLimits {
                default_size: 10,
                max_size: 50,
            },
            readiness: readiness.clone(),
            media: media.clone(),
        };
        let router = http::router(app.into(), &options.gate);
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let base = format!("http://{}", listener.local_addr().expect("an address"));
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
            _media_folder: folder,
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
