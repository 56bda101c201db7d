//! The least that could answer a request of the service: axum and sqlx, the one statement that a
//! request is worth, and as many bytes as the answer. `cargo dev bench service` compares with it.
//!
//! `CEILING` names, as JSON, its address, the database and for each path the statement and the
//! length of the answer. The query string's values are bound in their order: `i` whole numbers,
//! anything else text.
#![expect(clippy::unwrap_used, reason = "a broken yardstick shall be seen")]

use std::collections::HashMap;
use std::sync::Arc;

use axum::Router;
use axum::body::Bytes;
use axum::extract::{Path, RawQuery, State};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use serde::Deserialize;
use sqlx::mysql::{MySqlPool, MySqlPoolOptions};
use sqlx::sqlite::{SqlitePool, SqlitePoolOptions};

#[derive(Deserialize)]
struct Setting {
    address: String,
    database: String,
    connections: u32,
    routes: HashMap<String, Route>,
}

#[derive(Deserialize)]
struct Route {
    /// None: answered without the database.
    statement: Option<String>,
    bytes: usize,
}

struct Ready {
    statement: Option<String>,
    answer: Bytes,
}

#[derive(Clone)]
enum Pool {
    MySql(MySqlPool),
    Sqlite(SqlitePool),
}

/// Binds the values to the statement and runs it.
macro_rules! run {
    ($pool:expr, $statement:expr, $values:expr) => {{
        let query = $values.fold(sqlx::query($statement), |query, (kind, value)| {
            if kind == "i" {
                query.bind(value.parse::<i64>().unwrap_or(0))
            } else {
                query.bind(value.into_owned())
            }
        });
        query.fetch_all($pool).await.map(drop)
    }};
}

impl Pool {
    async fn open(url: &str, connections: u32) -> Result<Self, sqlx::Error> {
        Ok(if url.starts_with("sqlite:") {
            let pool = SqlitePoolOptions::new().max_connections(connections);
            Self::Sqlite(pool.test_before_acquire(false).connect(url).await?)
        } else {
            let pool = MySqlPoolOptions::new().max_connections(connections);
            Self::MySql(pool.test_before_acquire(false).connect(url).await?)
        })
    }

    async fn run(&self, statement: &str, values: &str) -> Result<(), sqlx::Error> {
        let values = url::form_urlencoded::parse(values.as_bytes());
        match self {
            Self::MySql(pool) => run!(pool, statement, values),
            Self::Sqlite(pool) => run!(pool, statement, values),
        }
    }
}

#[derive(Clone)]
struct App {
    pool: Pool,
    routes: Arc<HashMap<String, Ready>>,
}

#[tokio::main]
async fn main() {
    let setting: Setting = serde_json::from_str(&std::env::var("CEILING").unwrap()).unwrap();
    let pool = Pool::open(&setting.database, setting.connections)
        .await
        .unwrap();
    let ready = |route: Route| Ready {
        statement: route.statement,
        answer: vec![b'x'; route.bytes].into(),
    };
    let routes = setting.routes.into_iter();
    let routes = routes.map(|(name, route)| (name, ready(route))).collect();
    let app = App {
        pool,
        routes: Arc::new(routes),
    };
    let server = Router::new().route("/{name}", get(answer)).with_state(app);
    let listener = tokio::net::TcpListener::bind(setting.address)
        .await
        .unwrap();
    axum::serve(listener, server).await.unwrap();
}

async fn answer(
    State(app): State<App>,
    Path(name): Path<String>,
    RawQuery(values): RawQuery,
) -> Response {
    let Some(ready) = app.routes.get(&name) else {
        return StatusCode::NOT_FOUND.into_response();
    };
    if let Some(statement) = &ready.statement {
        let values = values.unwrap_or_default();
        if let Err(error) = app.pool.run(statement, &values).await {
            return (StatusCode::INTERNAL_SERVER_ERROR, error.to_string()).into_response();
        }
    }
    let json = [(header::CONTENT_TYPE, "application/json")];
    (json, ready.answer.clone()).into_response()
}
