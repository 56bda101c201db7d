//! How many posts an author has: told by a counter, once every post is in it.

use crate::kit::{Answer, Service, database::Database, tokens, wait::until};
use post_service::store::{self, Titles};
use reqwest::{Method, StatusCode};

/// The total of Alice's list.
async fn total(service: &Service) -> u64 {
    let list = service
        .get(&format!("/api/v1/posts?user_id={}", tokens::ALICE))
        .await;
    list.json["meta"]["total"].as_u64().expect("a total")
}

async fn delete(service: &Service, id: &str) {
    let request = service.request(Method::DELETE, &format!("/api/v1/posts/{id}"));
    let deleted = Answer::of(request.bearer_auth(tokens::alice())).await;
    assert_eq!(deleted.status, StatusCode::OK, "{}", deleted.text);
}

async fn finish(service: &Service) {
    store::finish(&service.database().url(), Titles::Missing, |_| ())
        .await
        .expect("the rest of the work");
}

on_every_database! {
    async fn an_authors_total_follows_what_is_written_and_deleted(service) {
        let (alice, bob) = (tokens::alice(), tokens::bob());
        assert_eq!(total(service).await, 0);
        let first = service.publish(&alice, "a", "c").await;
        service.publish(&alice, "b", "d").await;
        service.publish(&bob, "c", "c").await;
        assert_eq!(total(service).await, 2);
        let both = format!("/api/v1/posts?user_id={}&category=d", tokens::ALICE);
        assert_eq!(service.get(&both).await.json["meta"]["total"], 1);
        delete(service, &first).await;
        assert_eq!(total(service).await, 1);
        if let Database::MySql { .. } = service.database() {
            // A new board's totals are complete from the start: nothing is counted.
            service.execute("UPDATE author_totals SET visible = 7").await;
            assert_eq!(total(service).await, 7);
        }
    }
}

on_every_database! {
    async fn authors_that_were_not_counted_have_the_right_total_before_and_after_finish(service) {
        let alice = tokens::alice();
        let mut posts = Vec::new();
        for title in ["a", "b", "c"] {
            posts.push(service.publish(&alice, title, "c").await);
        }
        let is_mysql = matches!(service.database(), Database::MySql { .. });
        if is_mysql {
            // As a version leaves it that does not know the table.
            service.execute("DELETE FROM author_totals").await;
            service.execute("UPDATE adoption SET authors_counted_at = NULL").await;
        }
        let newer = service.beside().await;
        assert_eq!(total(&newer).await, 3);
        delete(&newer, &posts[0]).await;
        assert_eq!(total(&newer).await, 2);
        finish(service).await;
        assert_eq!(total(&newer).await, 2);
        delete(&newer, &posts[1]).await;
        newer.publish(&alice, "d", "c").await;
        newer.publish(&alice, "e", "c").await;
        assert_eq!(total(&newer).await, 3);
        if is_mysql {
            service.execute("UPDATE author_totals SET visible = 7").await;
            until("the counter tells", async || total(&newer).await == 7).await;
            finish(service).await;
            assert_eq!(total(&newer).await, 3);
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn totals_of_authors_are_incomplete_where_an_earlier_version_may_be_writing_on_mysql() {
    let Some(database) = Database::mysql().await else {
        return;
    };
    let migrate = async || store::migrate(&database.url()).await.expect("migrations");
    migrate().await;
    for undone in [
        "DELETE FROM _sqlx_migrations WHERE version >= 28",
        "UPDATE _sqlx_migrations SET installed_on = installed_on - INTERVAL 1 HOUR",
        "UPDATE adoption SET authors_counted_at = NULL",
    ] {
        database.execute(undone).await;
    }
    assert!(!migrate().await.is_complete);
    let finished = store::finish(&database.url(), Titles::Missing, |_| ()).await;
    finished.expect("the rest of the work");
    assert!(migrate().await.is_complete);
}
