//! A stand-in of the Flask service for end-to-end tests: little of its API, but the very statements
//! that it sends. It ends as gunicorn does: requests under way are finished, idle connections closed.
#![expect(clippy::unwrap_used, reason = "a broken stand-in shall be seen")]

#[path = "../../service/tests/api/adoption/flask.rs"]
mod flask;

use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::routing::{get, post};
use axum::{Json, Router};
use serde_json::{Value, json};
use sqlx::mysql::{MySqlPool, MySqlPoolOptions};
use sqlx::{Executor as _, Row as _};
use tokio::signal::unix::{SignalKind, signal};

const ADDRESS: &str = "0.0.0.0:8082";
/// Two requests that meet fail, with the same number or in a deadlock. The real service answers 500;
/// tests that count failures want none that the product has no part in.
const ATTEMPTS: usize = 50;

type Answer = Result<(StatusCode, Json<Value>), (StatusCode, String)>;

#[tokio::main]
async fn main() {
    let url = std::env::var("DATABASE_URL").unwrap();
    let options = MySqlPoolOptions::new().max_connections(8);
    let pool = options.connect(&url).await.unwrap();
    for table in flask::SCHEMA {
        // As `create_all` does: what is there already stays. Another pod may be at it too.
        if let Err(error) = pool.execute(table).await {
            assert!(error.to_string().contains("already exists"), "{error}");
        }
    }
    let router = Router::new()
        .route("/health", get(async || Json(json!({"status": "healthy"}))))
        .route("/api/v1/posts", get(list).post(create))
        .route("/api/v1/posts/{id}/like", post(toggle_like))
        .with_state(pool);
    let listener = tokio::net::TcpListener::bind(ADDRESS).await.unwrap();
    let mut terminate = signal(SignalKind::terminate()).unwrap();
    let ended = async move {
        terminate.recv().await;
    };
    axum::serve(listener, router)
        .with_graceful_shutdown(ended)
        .await
        .unwrap();
}

async fn list(State(pool): State<MySqlPool>) -> Answer {
    answer(StatusCode::OK, || read(&pool)).await
}

async fn read(pool: &MySqlPool) -> sqlx::Result<Value> {
    let mut transaction = pool.begin().await?;
    let total: i64 = transaction.fetch_one(flask::COUNT).await?.get(0);
    let posts = transaction.fetch_all(flask::latest().as_str()).await?;
    transaction.commit().await?;
    let ids: Vec<String> = posts.iter().map(|post| post.get(0)).collect();
    Ok(json!({"success": true, "data": ids, "meta": {"total": total}}))
}

async fn create(State(pool): State<MySqlPool>, Json(body): Json<Value>) -> Answer {
    let title = body["title"].as_str().unwrap_or_default();
    answer(StatusCode::CREATED, || write(&pool, title)).await
}

async fn write(pool: &MySqlPool, title: &str) -> sqlx::Result<Value> {
    let id = uuid::Uuid::new_v4().simple().to_string();
    let mut transaction = pool.begin().await?;
    let highest: Option<i32> = transaction.fetch_one(flask::HIGHEST).await?.get(0);
    let number = highest.unwrap_or(0) + 1;
    let insert = flask::insert(&id, number, "flask", title);
    transaction.execute(insert.as_str()).await?;
    transaction.commit().await?;
    Ok(json!({"success": true, "data": {"id": id, "No": number}}))
}

async fn toggle_like(
    State(pool): State<MySqlPool>,
    Path(id): Path<String>,
    Json(body): Json<Value>,
) -> Answer {
    let user = body["user_id"].as_str().unwrap_or_default();
    answer(StatusCode::OK, || like(&pool, &id, user)).await
}

async fn like(pool: &MySqlPool, post: &str, user: &str) -> sqlx::Result<Value> {
    let mut transaction = pool.begin().await?;
    transaction.fetch_one(flask::one(post).as_str()).await?;
    let find = flask::find_like(post, user);
    let change = if let Some(like) = transaction.fetch_optional(find.as_str()).await? {
        let delete = flask::delete_like(like.get(0));
        transaction.execute(delete.as_str()).await?;
        "- 1"
    } else {
        let like = uuid::Uuid::new_v4().simple().to_string();
        let insert = flask::insert_like(&like, post, user);
        transaction.execute(insert.as_str()).await?;
        "+ 1"
    };
    let count = flask::count_like(post, change);
    transaction.execute(count.as_str()).await?;
    transaction.commit().await?;
    Ok(json!({"success": true}))
}

async fn answer<W>(status: StatusCode, work: impl Fn() -> W) -> Answer
where
    W: Future<Output = sqlx::Result<Value>>,
{
    let mut attempt = 1;
    loop {
        match work().await {
            Ok(body) => return Ok((status, Json(body))),
            Err(sqlx::Error::Database(_)) if attempt < ATTEMPTS => attempt += 1,
            Err(error) => return Err((StatusCode::INTERNAL_SERVER_ERROR, error.to_string())),
        }
    }
}
