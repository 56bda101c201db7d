//! Images of posts, in a folder and in a bucket whose signatures are checked.

use crate::kit::{
    Answer, Options, Service,
    database::Database,
    media::{Bucket, LATITUDE, MAX_FILE_SIZE, Mode, Wire, file, padded, photograph, picture},
    tokens,
    wait::until,
};
use image::ImageFormat;
use post_service::media::Pace;
use reqwest::{Method, StatusCode, multipart::Form};
use serde_json::Value;
use std::time::{Duration, Instant};
use tokio_util::sync::{CancellationToken, DropGuard};

/// Looks and retries quickly.
const QUICK: Pace = Pace {
    poll: Duration::from_millis(50),
    first_retry: Duration::from_secs(1),
    longest_retry: Duration::from_secs(2),
};

/// Deletes the service's objects until the guard is dropped.
fn deleting(service: &Service) -> DropGuard {
    let stop = CancellationToken::new();
    tokio::spawn(service.media.clone().delete_objects(QUICK, stop.clone()));
    stop.drop_guard()
}

/// The path of an entry's address on this service.
fn path(entry: &Value) -> String {
    let url = entry["s3_url"].as_str().expect("an address");
    let (_, path) = url.split_once("/api/v1/").expect("the API's base");
    format!("/api/v1/{path}")
}

async fn entries(service: &Service, post: &str) -> Vec<Value> {
    let read = service.get(&format!("/api/v1/posts/{post}")).await;
    let post = &read.json["data"];
    let entries = post["media_files"].as_array().expect("a list").clone();
    assert_eq!(post["media_count"], entries.len());
    entries
}

async fn fetch(service: &Service, path: &str) -> (StatusCode, Vec<u8>) {
    let request = service.request(Method::GET, path);
    let answer = request.send().await.expect("an answer");
    (
        answer.status(),
        answer.bytes().await.expect("a body").to_vec(),
    )
}

async fn gone(service: &Service, path: &str) {
    until("the object is gone", async || {
        service.get(path).await.status == StatusCode::NOT_FOUND
    })
    .await;
}

on_every_database! {
    async fn an_image_is_stored_listed_served_and_removed(service) {
        let alice = tokens::alice();
        let post = service.publish(&alice, "t", "c").await;
        let _deleting = deleting(service);
        for (format, kind, name) in [
            (ImageFormat::Png, "image/png", "고양이 사진.PNG"),
            (ImageFormat::Jpeg, "image/jpeg", "../../etc/passwd.jpeg"),
            (ImageFormat::Gif, "image/gif", &"한".repeat(300)),
            (ImageFormat::WebP, "image/webp", "..\\\\.."),
        ] {
            let uploaded = service.upload_file(&alice, &post, file(name, picture(format))).await;
            assert_eq!(uploaded.status, StatusCode::OK, "{}", uploaded.text);
            let entry = entries(service, &post).await.pop().expect("an entry");
            assert_eq!(entry["id"].as_str().expect("an id").len(), 36);
            assert_eq!((&entry["file_type"], &entry["content_type"]), (&"image".into(), &kind.into()));
            let key = entry["s3_key"].as_str().expect("a key");
            assert!(key.starts_with(&format!("image_files/images/{post}/")), "{key}");
            let plain = |c: char| c.is_ascii_alphanumeric() || "-_./".contains(c);
            assert!(key.chars().all(plain) && !key.contains(".."), "{key}");
            let served = service.request(Method::GET, &path(&entry)).send().await.expect("an answer");
            let header = |name: &str| served.headers()[name].to_str().expect("ASCII").to_owned();
            assert_eq!((header("content-type"), header("x-content-type-options")), (kind.into(), "nosniff".into()));
            assert!(header("content-disposition").starts_with("inline"));
            assert!(header("cache-control").contains("immutable"));
            let bytes = served.bytes().await.expect("a body");
            assert_eq!(entry["file_size"], bytes.len());
            assert_eq!(image::guess_format(&bytes).expect("an image"), format);
        }
        let all = entries(service, &post).await;
        for (index, entry) in all.iter().enumerate() {
            let delete = format!("/api/v1/posts/{post}/media/{}", entry["id"].as_str().expect("an id"));
            let request = service.request(Method::DELETE, &delete).bearer_auth(&alice);
            assert_eq!(Answer::of(request).await.status, StatusCode::OK);
            assert_eq!(entries(service, &post).await.len(), all.len() - 1 - index);
            gone(service, &path(entry)).await;
            let again = service.request(Method::DELETE, &delete).bearer_auth(&alice);
            assert_eq!(Answer::of(again).await.status, StatusCode::NOT_FOUND);
        }
    }
}

on_every_database! {
    async fn three_uploads_at_once_all_stay(service) {
        let alice = tokens::alice();
        let post = service.publish(&alice, "t", "c").await;
        let upload = || service.upload_file(&alice, &post, file("a.png", picture(ImageFormat::Png)));
        let (one, two, three) = tokio::join!(upload(), upload(), upload());
        for answer in [one, two, three] {
            assert_eq!(answer.status, StatusCode::OK, "{}", answer.text);
        }
        let all = entries(service, &post).await;
        assert_eq!(all.len(), 3);
        for entry in &all {
            assert_eq!(fetch(service, &path(entry)).await.0, StatusCode::OK);
        }
    }
}

on_every_database! {
    async fn of_several_files_each_is_judged_by_itself(service) {
        let alice = tokens::alice();
        let post = service.publish(&alice, "t", "c").await;
        let form = Form::new()
            .part("files[]", file("a.png", picture(ImageFormat::Png)))
            .part("files[]", file("b.png", b"no image".to_vec()))
            .part("files[]", file("c.jpg", picture(ImageFormat::Jpeg)));
        let uploaded = service.upload(&alice, &post, form).await;
        assert_eq!(uploaded.status, StatusCode::OK, "{}", uploaded.text);
        let data = &uploaded.json["data"];
        assert_eq!((&data["total_count"], &data["failed_count"]), (&2.into(), &1.into()));
        assert_eq!(data["uploaded_files"].as_array().map(Vec::len), Some(2));
        assert_eq!(entries(service, &post).await.len(), 2);
    }
}

on_every_database! {
    async fn a_deleted_posts_objects_are_removed(service) {
        let alice = tokens::alice();
        let post = service.publish(&alice, "t", "c").await;
        service.upload_file(&alice, &post, file("a.png", picture(ImageFormat::Png))).await;
        let entry = entries(service, &post).await.remove(0);
        let delete = service.request(Method::DELETE, &format!("/api/v1/posts/{post}"));
        assert_eq!(Answer::of(delete.bearer_auth(&alice)).await.status, StatusCode::OK);
        let _deleting = deleting(service);
        gone(service, &path(&entry)).await;
    }
}

#[tokio::test]
async fn the_largest_file_passes_and_one_byte_more_does_not() {
    let service = Service::on(Database::sqlite()).await;
    let alice = tokens::alice();
    let post = service.publish(&alice, "t", "c").await;
    for (size, status) in [
        (MAX_FILE_SIZE - 1, StatusCode::OK),
        (MAX_FILE_SIZE, StatusCode::OK),
        (MAX_FILE_SIZE + 1, StatusCode::PAYLOAD_TOO_LARGE),
    ] {
        let content = padded(size);
        assert_eq!(content.len(), size);
        let uploaded = service
            .upload_file(&alice, &post, file("a.png", content))
            .await;
        assert_eq!(uploaded.status, status, "{size}: {}", uploaded.text);
        if status != StatusCode::OK {
            assert!(uploaded.message().contains("5242880"), "{}", uploaded.text);
        }
    }
    assert_eq!(entries(&service, &post).await.len(), 2);
}

#[tokio::test]
async fn what_is_no_image_is_refused_whatever_it_is_called() {
    let service = Service::on(Database::sqlite()).await;
    let alice = tokens::alice();
    let post = service.publish(&alice, "t", "c").await;
    let half = picture(ImageFormat::Png);
    for content in [
        b"<svg xmlns=\"http://www.w3.org/2000/svg\"><script>alert(1)</script></svg>".to_vec(),
        b"<!DOCTYPE html><script>alert(1)</script>".to_vec(),
        b"PK\x03\x04\x14\0\0\0\0\0".to_vec(),
        b"%PDF-1.7".to_vec(),
        b"\x89PNG\r\n\x1a\n<script>alert(1)</script>".to_vec(),
        b"GIF89a<script>alert(1)</script>".to_vec(),
        half[..half.len() / 2].to_vec(),
        Vec::new(),
    ] {
        let shown = String::from_utf8_lossy(&content[..content.len().min(12)]).into_owned();
        let uploaded = service
            .upload_file(&alice, &post, file("a.png", content))
            .await;
        let fair = [StatusCode::BAD_REQUEST, StatusCode::UNSUPPORTED_MEDIA_TYPE];
        assert!(
            fair.contains(&uploaded.status),
            "{shown}: {}",
            uploaded.text
        );
    }
    for (kind, body) in [
        ("application/json", "{}"),
        ("multipart/form-data", "x"),
        ("text/plain", "x"),
    ] {
        let request = service.request(Method::POST, &format!("/api/v1/posts/{post}/media"));
        let request = request
            .bearer_auth(&alice)
            .header("Content-Type", kind)
            .body(body);
        assert!(Answer::of(request).await.status.is_client_error(), "{kind}");
    }
    assert!(entries(&service, &post).await.is_empty());
}

#[tokio::test]
async fn a_picture_too_large_to_decode_is_refused_at_once() {
    let service = Service::on(Database::sqlite()).await;
    let alice = tokens::alice();
    let post = service.publish(&alice, "t", "c").await;
    // A PNG of 60,000 by 60,000 pixels that says so in its head and holds nearly nothing.
    let mut bomb = picture(ImageFormat::Png);
    bomb[16..24].copy_from_slice(&[0, 0, 0xea, 0x60, 0, 0, 0xea, 0x60]);
    let crc = crc32(&bomb[12..29]);
    bomb[29..33].copy_from_slice(&crc.to_be_bytes());
    let begun = Instant::now();
    let uploaded = service
        .upload_file(&alice, &post, file("a.png", bomb))
        .await;
    assert_eq!(
        uploaded.status,
        StatusCode::BAD_REQUEST,
        "{}",
        uploaded.text
    );
    assert!(begun.elapsed() < Duration::from_secs(5));
}

/// The checksum of PNG chunks (ISO 3309).
fn crc32(bytes: &[u8]) -> u32 {
    let step = |crc: u32, byte: &u8| {
        (0..8).fold(crc ^ u32::from(*byte), |crc, _| {
            if crc & 1 == 1 {
                (crc >> 1) ^ 0xedb8_8320
            } else {
                crc >> 1
            }
        })
    };
    !bytes.iter().fold(!0, step)
}

#[tokio::test]
async fn where_a_picture_was_taken_is_not_told() {
    let service = Service::on(Database::sqlite()).await;
    let alice = tokens::alice();
    let post = service.publish(&alice, "t", "c").await;
    let holds = |bytes: &[u8]| {
        bytes
            .windows(LATITUDE.len())
            .any(|window| window == LATITUDE)
    };
    let photograph = photograph();
    assert!(holds(&photograph));
    service
        .upload_file(&alice, &post, file("a.jpg", photograph))
        .await;
    let entry = entries(&service, &post).await.remove(0);
    let (status, served) = fetch(&service, &path(&entry)).await;
    assert_eq!(status, StatusCode::OK);
    assert!(!holds(&served));
}

#[tokio::test]
async fn only_the_author_changes_a_posts_images() {
    let service = Service::on(Database::sqlite()).await;
    let (alice, bob) = (tokens::alice(), tokens::bob());
    let post = service.publish(&alice, "t", "c").await;
    service
        .upload_file(&alice, &post, file("a.png", picture(ImageFormat::Png)))
        .await;
    let before = entries(&service, &post).await;
    let refused = service
        .upload_file(&bob, &post, file("a.png", picture(ImageFormat::Png)))
        .await;
    assert_eq!(refused.status, StatusCode::FORBIDDEN);
    let nowhere = "0".repeat(32);
    let refused = service
        .upload_file(&alice, &nowhere, file("a.png", picture(ImageFormat::Png)))
        .await;
    assert_eq!(refused.status, StatusCode::NOT_FOUND);
    let id = before[0]["id"].as_str().expect("an id");
    let path = format!("/api/v1/posts/{post}/media/{id}");
    let by_bob = service.request(Method::DELETE, &path).bearer_auth(&bob);
    assert_eq!(Answer::of(by_bob).await.status, StatusCode::FORBIDDEN);
    for (method, path) in [
        (Method::DELETE, path),
        (Method::POST, format!("/api/v1/posts/{post}/media")),
    ] {
        let refused = Answer::of(service.request(method, &path)).await;
        assert_eq!(refused.status, StatusCode::UNAUTHORIZED, "{path}");
    }
    assert_eq!(entries(&service, &post).await, before);
}

#[tokio::test]
async fn images_are_served_in_parts_and_not_again() {
    let service = Service::on(Database::sqlite()).await;
    parts(&service).await;
}

async fn parts(service: &Service) {
    let alice = tokens::alice();
    let post = service.publish(&alice, "t", "c").await;
    let uploaded = service
        .upload_file(&alice, &post, file("a.png", padded(10_000)))
        .await;
    assert_eq!(uploaded.status, StatusCode::OK, "{}", uploaded.text);
    let path = path(&entries(service, &post).await[0]);
    let get = async |name: &str, value: &str| {
        let request = service.request(Method::GET, &path).header(name, value);
        let answer = request.send().await.expect("an answer");
        let header = |name: &str| {
            let value = answer
                .headers()
                .get(name)
                .map(|value| value.to_str().expect("ASCII"));
            value.unwrap_or_default().to_owned()
        };
        let (status, range, tag) = (
            answer.status().as_u16(),
            header("content-range"),
            header("etag"),
        );
        (status, range, tag, answer.bytes().await.expect("a body"))
    };
    let (_, _, tag, whole) = get("X-Nothing", "x").await;
    let size = whole.len();
    for (range, expected) in [
        ("bytes=0-0", Some(0..1)),
        ("bytes=100-199", Some(100..200)),
        ("bytes=100-", Some(100..size)),
        ("bytes=-5", Some(size - 5..size)),
        ("bytes=999999-", None),
    ] {
        let (status, told, _, part) = get("Range", range).await;
        match expected {
            Some(expected) => {
                let end = expected.end - 1;
                assert_eq!(
                    (status, told),
                    (206, format!("bytes {}-{end}/{size}", expected.start)),
                    "{range}"
                );
                assert_eq!(part, whole[expected]);
            }
            None => assert_eq!((status, told), (416, format!("bytes */{size}"))),
        }
    }
    let (status, _, again, nothing) = get("If-None-Match", &tag).await;
    assert_eq!((status, again, nothing.len()), (304, tag, 0));
    let head = service
        .request(Method::HEAD, &path)
        .send()
        .await
        .expect("an answer");
    assert_eq!(
        (head.status(), head.headers()["content-length"].as_bytes()),
        (StatusCode::OK, size.to_string().as_bytes())
    );
}

#[tokio::test]
async fn no_path_leads_out_of_the_images() {
    let service = Service::on(Database::sqlite()).await;
    let post = service.publish(&tokens::alice(), "t", "c").await;
    for path in [
        "images/../../posts.db",
        "images/%2e%2e/%2e%2e/posts.db",
        "..%2f..%2fposts.db",
        &format!("images/{post}/..%2f..%2f..%2fposts.db"),
        &format!("images/{post}/%00"),
        &format!("images/{post}"),
        "images",
        "",
        &format!("images/{post}/nothing.png"),
    ] {
        let answer = service.get(&format!("/api/v1/images/{path}")).await;
        assert_eq!(
            answer.status,
            StatusCode::NOT_FOUND,
            "{path}: {}",
            answer.text
        );
    }
}

/// A service whose images lie in a bucket behind a wire.
async fn on_bucket(database: Database, bucket: &Bucket) -> (Service, Wire) {
    let wire = Wire::to(bucket.address()).await;
    let options = Options {
        media: Some((bucket.config.clone(), Some(bucket.backend_over(&wire)))),
        ..Options::default()
    };
    (Service::on_with(database, options).await, wire)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bucket_serves_like_a_folder() {
    let Some(bucket) = Bucket::open().await else {
        return;
    };
    for database in [Database::mysql().await, Database::mariadb().await]
        .into_iter()
        .flatten()
    {
        let (service, _wire) = on_bucket(database, &bucket).await;
        parts(&service).await;
        let alice = tokens::alice();
        let post = service.publish(&alice, "t", "c").await;
        let upload =
            || service.upload_file(&alice, &post, file("a.png", picture(ImageFormat::Png)));
        tokio::join!(upload(), upload(), upload());
        let all = entries(&service, &post).await;
        assert_eq!(all.len(), 3);
        let keys = bucket.keys().await;
        for entry in &all {
            assert!(keys.iter().any(|key| entry["s3_key"] == key.as_str()));
        }
        let _deleting = deleting(&service);
        let delete = service.request(Method::DELETE, &format!("/api/v1/posts/{post}"));
        assert_eq!(
            Answer::of(delete.bearer_auth(&alice)).await.status,
            StatusCode::OK
        );
        until("the objects are gone", async || {
            let keys = bucket.keys().await;
            !all.iter()
                .any(|entry| keys.iter().any(|key| entry["s3_key"] == key.as_str()))
        })
        .await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bucket_that_is_away_costs_uploads_and_nothing_else() {
    let (Some(bucket), Some(database)) = (Bucket::open().await, Database::mysql().await) else {
        return;
    };
    let (service, wire) = on_bucket(database, &bucket).await;
    let alice = tokens::alice();
    let post = service.publish(&alice, "t", "c").await;
    let upload = || service.upload_file(&alice, &post, file("a.png", picture(ImageFormat::Png)));
    assert_eq!(upload().await.status, StatusCode::OK);
    let entry = entries(&service, &post).await.remove(0);
    for mode in [Mode::Cut, Mode::Hung] {
        wire.set(mode);
        let uploading = async {
            let begun = Instant::now();
            let refused = upload().await;
            assert_eq!(
                refused.status,
                StatusCode::SERVICE_UNAVAILABLE,
                "{mode:?}: {}",
                refused.text
            );
            assert!(refused.header("retry-after").parse::<u32>().is_ok());
            assert!(begun.elapsed() < Duration::from_secs(14), "{mode:?}");
        };
        let reading = async {
            for _ in 0..20 {
                let begun = Instant::now();
                assert_eq!(entries(&service, &post).await.len(), 1);
                assert_eq!(service.get("/api/v1/posts").await.status, StatusCode::OK);
                assert!(
                    begun.elapsed() < Duration::from_secs(2),
                    "{mode:?} slows reads"
                );
            }
        };
        tokio::join!(uploading, reading);
        assert_eq!(
            service.get(&path(&entry)).await.status,
            StatusCode::SERVICE_UNAVAILABLE
        );
    }
    // Deleted while the bucket is away: removed when it is back, with what failed uploads left.
    let _deleting = deleting(&service);
    let id = entry["id"].as_str().expect("an id");
    let delete = service.request(Method::DELETE, &format!("/api/v1/posts/{post}/media/{id}"));
    assert_eq!(
        Answer::of(delete.bearer_auth(&alice)).await.status,
        StatusCode::OK
    );
    assert!(entries(&service, &post).await.is_empty());
    assert!(
        bucket
            .keys()
            .await
            .iter()
            .any(|key| entry["s3_key"] == key.as_str())
    );
    wire.set(Mode::Open);
    until("the object is gone", async || {
        !bucket
            .keys()
            .await
            .iter()
            .any(|key| entry["s3_key"] == key.as_str())
    })
    .await;
    assert_eq!(upload().await.status, StatusCode::OK);
}

#[tokio::test]
async fn without_a_place_for_images_uploads_say_so() {
    let options = Options {
        media: Some((crate::kit::media::config(), None)),
        ..Options::default()
    };
    let service = Service::on_with(Database::sqlite(), options).await;
    let alice = tokens::alice();
    let post = service.publish(&alice, "t", "c").await;
    let refused = service
        .upload_file(&alice, &post, file("a.png", picture(ImageFormat::Png)))
        .await;
    assert_eq!(refused.status, StatusCode::SERVICE_UNAVAILABLE);
    assert!(
        refused.message().contains("이미지 저장소"),
        "{}",
        refused.text
    );
}
