//! More requests at once than the database can take.

use crate::kit::{Answer, Service, database::Database, tokens, wait::until};
use futures::{StreamExt, stream::FuturesUnordered};
use reqwest::{Method, StatusCode};
use sqlx::{Connection, Executor, MySqlConnection};

#[tokio::test(flavor = "multi_thread")]
async fn writes_beyond_those_that_may_wait_are_refused_at_once_on_mysql() {
    let Some(database) = Database::mysql().await else {
        return;
    };
    let service = Service::on(database).await;
    let alice = tokens::alice();
    let id = service.publish(&alice, "a title", "news").await;
    let like = async |method: Method| {
        let request = service.request(method, &format!("/api/v1/posts/{id}/like"));
        Answer::of(request.bearer_auth(&alice)).await
    };
    let url = service.database().url_text();
    let mut holder = MySqlConnection::connect(&url).await.unwrap();
    holder.execute("BEGIN").await.unwrap();
    let lock = format!("SELECT 1 FROM posts WHERE id = '{id}' FOR UPDATE");
    holder.execute(lock.as_str()).await.unwrap();

    // Connections wait for the row, and requests for connections.
    let mut likes: FuturesUnordered<_> = (0..400).map(|_| like(Method::PUT)).collect();
    for _ in 0..100 {
        let refused = likes.next().await.expect("an answer");
        assert_eq!(refused.status, StatusCode::SERVICE_UNAVAILABLE);
        assert!(refused.header("retry-after").parse::<u32>().is_ok());
        assert!(
            refused.message().contains("요청이 너무 많습니다"),
            "{}",
            refused.text
        );
    }
    holder.execute("ROLLBACK").await.unwrap();

    let mut answered = 0;
    while let Some(answer) = likes.next().await {
        match answer.status {
            StatusCode::OK => answered += 1,
            StatusCode::SERVICE_UNAVAILABLE => {}
            status => panic!("{status}: {}", answer.text),
        }
    }
    assert!(answered > 0, "those who waited are answered");
    until("likes are answered again", async || {
        like(Method::PUT).await.json["data"]["like_count"] == 1
    })
    .await;
}
