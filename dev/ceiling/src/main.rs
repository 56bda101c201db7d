//! The least that could answer a request of the service: axum and sqlx, the one statement that a
//! request is worth, and the posts that it finds as the service writes them. `cargo dev bench service`
//! compares with it.
//!
//! `CEILING` names, as JSON, its address, the database and for each path the statement and the
//! length of the answer: blanks stand for what the service's envelope says besides. The query string's
//! values are bound in their order: `i` whole numbers, anything else text.
#![expect(clippy::unwrap_used, reason = "a broken yardstick shall be seen")]

use std::collections::HashMap;
use std::sync::Arc;

use axum::Router;
use axum::extract::{Path, RawQuery, State};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use serde::{Deserialize, Serialize};
use serde_json::Value;
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

/// Posts on a page; statements find one more, which tells whether there is another page.
const PAGE: usize = 10;

/// A post's columns, as statements begin with them.
type Columns = (
    i64,
    String,
    i64,
    String,
    String,
    String,
    Option<String>,
    String,
    i64,
    i64,
    i64,
    Option<String>,
    String,
    String,
);

/// A post as the service writes it.
#[derive(Serialize)]
struct Post {
    id: String,
    title: String,
    content: String,
    username: String,
    user_id: Option<String>,
    category: String,
    view_count: i64,
    like_count: i64,
    comment_count: i64,
    media_count: usize,
    media_files: Vec<Value>,
    created_at: String,
    updated_at: String,
    version: i64,
}

impl From<Columns> for Post {
    fn from(columns: Columns) -> Self {
        let (
            version,
            id,
            _number,
            title,
            content,
            username,
            user_id,
            category,
            view_count,
            like_count,
            comment_count,
            media,
            created_at,
            updated_at,
        ) = columns;
        let media_files: Vec<Value> =
            media.map_or_else(Vec::new, |media| serde_json::from_str(&media).unwrap());
        Self {
            id,
            title,
            content,
            username,
            user_id,
            category,
            view_count,
            like_count,
            comment_count,
            media_count: media_files.len(),
            media_files,
            created_at,
            updated_at,
            version,
        }
    }
}

#[derive(Clone)]
enum Pool {
    MySql(MySqlPool),
    Sqlite(SqlitePool),
}

/// Binds the values to the statement and reads the posts that it finds.
macro_rules! read {
    ($pool:expr, $statement:expr, $values:expr) => {{
        let query = $values.fold(sqlx::query_as($statement), |query, (kind, value)| {
            if kind == "i" {
                query.bind(value.parse::<i64>().unwrap_or(0))
            } else {
                query.bind(value.into_owned())
            }
        });
        query.fetch_all($pool).await
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

    async fn read(&self, statement: &str, values: &str) -> Result<Vec<Columns>, sqlx::Error> {
        let values = url::form_urlencoded::parse(values.as_bytes());
        match self {
            Self::MySql(pool) => read!(pool, statement, values),
            Self::Sqlite(pool) => read!(pool, statement, values),
        }
    }
}

#[derive(Clone)]
struct App {
    pool: Pool,
    routes: Arc<HashMap<String, Route>>,
}

#[tokio::main]
async fn main() {
    let setting: Setting = serde_json::from_str(&std::env::var("CEILING").unwrap()).unwrap();
    let pool = Pool::open(&setting.database, setting.connections)
        .await
        .unwrap();
    let app = App {
        pool,
        routes: Arc::new(setting.routes),
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
    let Some(route) = app.routes.get(&name) else {
        return StatusCode::NOT_FOUND.into_response();
    };
    let mut posts = Vec::new();
    if let Some(statement) = &route.statement {
        let values = values.unwrap_or_default();
        match app.pool.read(statement, &values).await {
            Ok(found) => posts.extend(found.into_iter().take(PAGE).map(Post::from)),
            Err(error) => {
                return (StatusCode::INTERNAL_SERVER_ERROR, error.to_string()).into_response();
            }
        }
    }
    let mut answer = serde_json::to_vec(&posts).unwrap();
    answer.resize(answer.len().max(route.bytes), b' ');
    ([(header::CONTENT_TYPE, "application/json")], answer).into_response()
}
