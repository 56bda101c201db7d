//! Images while their store is slow, hangs or is away.

use crate::{
    kit::{
        Answer, Service,
        database::Database,
        media::{Bucket, Form, Mode, Wire, picture},
        wait::until,
    },
    media::{PACE, fetch, path, post, read, service_on},
};
use image::ImageFormat;
use reqwest::{Method, StatusCode};
use serde_json::Value;
use std::time::{Duration, Instant};
use tokio_util::sync::CancellationToken;

/// What S3 does, and what a client sees of it.
#[tokio::test(flavor = "multi_thread")]
async fn an_s3_that_is_slow_hangs_or_is_away_hurts_nobody_else() {
    let Some(bucket) = Bucket::open().await else {
        return;
    };
    let wire = Wire::to(bucket.address()).await;
    let backend = Bucket::backend_over(&wire);
    let service = service_on(Database::sqlite(), bucket.config.clone(), Some(backend)).await;
    let (alice, post) = post(&service).await;
    let png = picture(ImageFormat::Png);
    let answer = service
        .upload(&alice, &post, Form::file("a.png", &png))
        .await;
    assert_eq!(answer.status, StatusCode::OK, "{}", answer.text);
    let path = path(&answer.json["data"]).to_owned();

    wire.set(Mode::Slow(Duration::from_millis(500)));
    assert_eq!(fetch(&service, &path, &[]).await.0.status, StatusCode::OK);

    for mode in [Mode::Hung, Mode::Cut] {
        wire.set(mode);
        let begun = Instant::now();
        let waiting = async {
            let uploads = (0..4).map(|_| service.upload(&alice, &post, Form::file("a.png", &png)));
            let reads = (0..8).map(|_| fetch(&service, &path, &[]));
            tokio::join!(
                futures::future::join_all(uploads),
                futures::future::join_all(reads)
            )
        };
        let reading = async {
            let mut slowest = Duration::ZERO;
            for _ in 0..20 {
                let begun = Instant::now();
                read(&service, &post).await;
                slowest = slowest.max(begun.elapsed());
            }
            slowest
        };
        let ((uploads, reads), slowest) = tokio::join!(waiting, reading);
        let reads = reads.into_iter().map(|(answer, _)| answer);
        for answer in uploads.into_iter().chain(reads) {
            assert_eq!(answer.status, StatusCode::SERVICE_UNAVAILABLE, "{mode:?}");
            assert!(!answer.header("retry-after").is_empty(), "{mode:?}");
        }
        assert!(
            begun.elapsed() < Duration::from_secs(10),
            "{mode:?}: {:?}",
            begun.elapsed()
        );
        assert!(slowest < Duration::from_secs(1), "{mode:?}: {slowest:?}");
    }

    wire.set(Mode::Open);
    until("S3 is used again", async || {
        fetch(&service, &path, &[]).await.0.status == StatusCode::OK
    })
    .await;
    assert_eq!(read(&service, &post).await["media_count"], 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn objects_go_after_s3_was_away_and_what_a_post_shows_stays() {
    let Some(bucket) = Bucket::open().await else {
        return;
    };
    let wire = Wire::to(bucket.address()).await;
    let backend = Bucket::backend_over(&wire);
    let service = service_on(Database::sqlite(), bucket.config.clone(), Some(backend)).await;
    let (alice, post) = post(&service).await;
    let mut entries = Vec::new();
    for _ in 0..3 {
        let form = Form::file("a.png", &picture(ImageFormat::Png));
        let answer = service.upload(&alice, &post, form).await;
        entries.push(answer.json["data"].clone());
    }
    let text = |entry: &Value, field: &str| entry[field].as_str().expect("text").to_owned();
    let kept = text(&entries[2], "s3_key");
    // A row too many, as a lost acknowledgement may leave it.
    let sql = format!(
        "INSERT INTO object_deletions (object_key, due_at) VALUES ('{kept}', '2026-01-01T00:00:00')"
    );
    service.execute(&sql).await;

    wire.set(Mode::Cut);
    let stop = CancellationToken::new();
    let worker = tokio::spawn(service.media.clone().delete_objects(PACE, stop.clone()));
    for entry in &entries[..2] {
        let path = format!("/api/v1/posts/{post}/media/{}", text(entry, "id"));
        let delete = service.request(Method::DELETE, &path).bearer_auth(&alice);
        assert_eq!(Answer::of(delete).await.status, StatusCode::OK);
    }
    until("an attempt has failed", async || {
        attempts(&service).await > 0
    })
    .await;
    assert_eq!(bucket.keys().await.len(), 3);

    wire.set(Mode::Open);
    until("the objects are gone", async || {
        bucket.keys().await.len() == 1
    })
    .await;
    until("nothing is left to do", async || {
        deletions(&service).await == 0
    })
    .await;
    assert_eq!(bucket.keys().await, [kept]);
    stop.cancel();
    worker.await.expect("an end");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_object_whose_entry_was_never_written_is_listed_for_deletion() {
    let Some(bucket) = Bucket::open().await else {
        return;
    };
    let wire = Wire::to(bucket.address()).await;
    let backend = Bucket::backend_over(&wire);
    let service = service_on(Database::sqlite(), bucket.config.clone(), Some(backend)).await;
    let (alice, post) = post(&service).await;
    let form = || Form::file("a.png", &picture(ImageFormat::Png));
    assert_eq!(
        service.upload(&alice, &post, form()).await.status,
        StatusCode::OK
    );
    assert_eq!(deletions(&service).await, 0, "taken back with the entry");
    wire.set(Mode::Cut);
    let answer = service.upload(&alice, &post, form()).await;
    assert_eq!(answer.status, StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(deletions(&service).await, 1, "whatever S3 made of it");
}

async fn number(service: &Service, sql: &str) -> i64 {
    use sqlx::Connection;
    let url = service.database().url_text();
    let mut file = sqlx::SqliteConnection::connect(&url).await.expect("a file");
    sqlx::query_scalar(sql)
        .fetch_one(&mut file)
        .await
        .expect("a number")
}

async fn deletions(service: &Service) -> i64 {
    number(service, "SELECT COUNT(*) FROM object_deletions").await
}

async fn attempts(service: &Service) -> i64 {
    number(
        service,
        "SELECT COALESCE(MAX(attempts), 0) FROM object_deletions",
    )
    .await
}
