//! Searches that take long.

use crate::kit::{Service, database::Database, tokens, wait::until};
use futures::{StreamExt, stream::FuturesUnordered};
use reqwest::StatusCode;
use sqlx::{Connection, Executor, MySqlConnection};

#[tokio::test(flavor = "multi_thread")]
async fn a_flood_of_slow_searches_is_refused_and_stops_nothing_else_on_mysql() {
    let Some(database) = Database::mysql().await else {
        return;
    };
    let service = Service::on(database).await;
    service.publish(&tokens::alice(), "a title", "news").await;
    let url = service.database().url_text();
    let mut holder = MySqlConnection::connect(&url).await.unwrap();
    holder.execute("LOCK TABLES posts WRITE").await.unwrap();

    // Of one character each: no index helps.
    let search = async |number: u32| {
        let character = char::from_u32('가' as u32 + number).expect("a character");
        service.get(&format!("/api/v1/posts?q={character}")).await
    };
    let mut searches: FuturesUnordered<_> = (0..200).map(search).collect();
    // What cannot wait is refused while all others are held up.
    let refused = searches.next().await.expect("an answer");
    assert_eq!(refused.status, StatusCode::SERVICE_UNAVAILABLE);
    assert!(refused.header("retry-after").parse::<u32>().is_ok());
    assert!(
        refused.message().contains("두 글자 이상"),
        "{}",
        refused.text
    );
    let categories = service.get("/api/v1/categories").await;
    assert_eq!(categories.status, StatusCode::OK);

    holder.execute("UNLOCK TABLES").await.unwrap();
    let mut found = 0;
    while let Some(answer) = searches.next().await {
        match answer.status {
            StatusCode::OK => found += 1,
            StatusCode::SERVICE_UNAVAILABLE => {}
            status => panic!("{status}: {}", answer.text),
        }
    }
    assert!(found > 0, "those who waited are answered");
    until("searches are answered again", async || {
        service.get("/api/v1/posts?q=t").await.json["meta"]["total"] == 1
    })
    .await;
}
