//! Images of posts, in a folder and in S3.

use crate::kit::{
    Answer, Options, Service,
    database::Database,
    media::{Bucket, Form, LATITUDE, MAX_FILE_SIZE, padded, photograph, picture},
    tokens,
    wait::until,
};
use image::ImageFormat;
use post_service::media::{Backend, Config, Pace};
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use std::time::{Duration, Instant};
use tokio_util::sync::CancellationToken;

/// A worker that does not keep a test waiting.
pub const PACE: Pace = Pace {
    poll: Duration::from_millis(50),
    first_retry: Duration::from_millis(100),
    longest_retry: Duration::from_millis(200),
};

/// A service on this database with images in this backend.
pub async fn service_on(database: Database, config: Config, backend: Option<Backend>) -> Service {
    let options = Options {
        media: Some((config, backend)),
        ..Options::default()
    };
    Service::on_with(database, options).await
}

/// Defines a test that runs with images in a folder (SQLite) and in S3 (MySQL and MariaDB).
macro_rules! in_every_place {
    (async fn $name:ident($service:ident) $body:block) => {
        mod $name {
            use super::*;

            async fn test($service: &Service) $body

            #[tokio::test(flavor = "multi_thread")]
            async fn on_sqlite_and_a_folder() {
                test(&Service::on(Database::sqlite()).await).await;
            }

            async fn on_server_and_s3(database: Option<Database>) {
                let (Some(database), Some(bucket)) = (database, Bucket::open().await) else {
                    return;
                };
                let (config, backend) = (bucket.config.clone(), bucket.backend());
                test(&service_on(database, config, Some(backend)).await).await;
            }

            #[tokio::test(flavor = "multi_thread")]
            async fn on_mysql_and_s3() {
                on_server_and_s3(Database::mysql().await).await;
            }

            #[tokio::test(flavor = "multi_thread")]
            async fn on_mariadb_and_s3() {
                on_server_and_s3(Database::mariadb().await).await;
            }
        }
    };
}

/// A post by alice.
pub async fn post(service: &Service) -> (String, String) {
    let alice = tokens::alice();
    let post = service.publish(&alice, "그림", "자유").await;
    (alice, post)
}

/// The post as it is read.
pub async fn read(service: &Service, post: &str) -> Value {
    let mut answer = service.get(&format!("/api/v1/posts/{post}")).await;
    assert_eq!(answer.status, StatusCode::OK, "{}", answer.text);
    answer.json["data"].take()
}

/// The path in an entry's address.
pub fn path(entry: &Value) -> &str {
    let url = entry["s3_url"].as_str().expect("an address");
    &url[url.find("/api/v1/images/").expect("an image's address")..]
}

/// An image as it is served, with these headers.
pub async fn fetch(service: &Service, path: &str, headers: &[(&str, &str)]) -> (Answer, Vec<u8>) {
    let mut request = service.request(Method::GET, path);
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    let response = request.send().await.expect("an answer");
    let (status, headers) = (response.status(), response.headers().clone());
    let content = response.bytes().await.expect("a whole answer").to_vec();
    let json = serde_json::from_slice(&content).unwrap_or_default();
    let text = String::new();
    let answer = Answer {
        status,
        headers,
        text,
        json,
    };
    (answer, content)
}

in_every_place! {
    async fn an_image_is_listed_and_served_as_it_was_sent(service) {
        let (alice, post) = post(service).await;
        for (format, kind) in [
            (ImageFormat::Png, "image/png"),
            (ImageFormat::Jpeg, "image/jpeg"),
            (ImageFormat::Gif, "image/gif"),
            (ImageFormat::WebP, "image/webp"),
        ] {
            let sent = picture(format);
            // The name lies about the kind.
            let answer = service.upload(&alice, &post, Form::file("고양이 1.gif", &sent)).await;
            assert_eq!(answer.status, StatusCode::OK, "{}", answer.text);
            assert_eq!(answer.message(), "파일이 성공적으로 업로드되었습니다");
            let entry = &answer.json["data"];
            assert_eq!(entry["file_name"], "고양이 1.gif");
            assert_eq!(entry["content_type"], kind);
            assert_eq!(entry["file_type"], "image");
            assert_eq!(entry["file_size"], sent.len());
            let id = entry["id"].as_str().expect("an id");
            assert!(uuid::Uuid::parse_str(id).is_ok() && id.len() == 36, "{id}");
            let key = entry["s3_key"].as_str().expect("a key");
            let prefix = &service.media.config().prefix;
            assert!(key.starts_with(&format!("{prefix}/images/{post}/{id}-")), "{key}");
            let rest = key.strip_prefix(&format!("{prefix}/")).expect("a prefix");
            assert_eq!(entry["s3_url"], format!("{}/api/v1/images/{rest}", service.base));

            let (served, content) = fetch(service, path(entry), &[]).await;
            assert_eq!(served.status, StatusCode::OK);
            assert_eq!(content, sent);
            assert_eq!(served.header("content-type"), kind);
            assert_eq!(served.header("content-length"), sent.len().to_string());
            assert_eq!(served.header("content-disposition"), "inline");
            assert_eq!(served.header("x-content-type-options"), "nosniff");
            assert_eq!(served.header("cache-control"), "public, max-age=31536000, immutable");
        }
        let listed = read(service, &post).await;
        assert_eq!(listed["media_count"], 4);
        assert_eq!(listed["media_files"].as_array().map(Vec::len), Some(4));
    }
}

in_every_place! {
    async fn three_simultaneous_uploads_all_stay(service) {
        let (alice, post) = post(service).await;
        let before = read(service, &post).await;
        let upload = |number: usize| {
            let (alice, post) = (&alice, &post);
            async move {
                let form = Form::file(&format!("{number}.png"), &picture(ImageFormat::Png));
                service.upload(alice, post, form).await
            }
        };
        for answer in futures::future::join_all((0..3).map(upload)).await {
            assert_eq!(answer.status, StatusCode::OK, "{}", answer.text);
        }
        let after = read(service, &post).await;
        assert_eq!(after["media_count"], 3);
        let mut names: Vec<_> = after["media_files"]
            .as_array()
            .expect("a list")
            .iter()
            .map(|entry| entry["file_name"].as_str().expect("a name"))
            .collect();
        names.sort_unstable();
        assert_eq!(names, ["0.png", "1.png", "2.png"]);
        assert_eq!(after["updated_at"], before["updated_at"]);
    }
}

in_every_place! {
    async fn several_files_are_judged_one_by_one(service) {
        let (alice, post) = post(service).await;
        let png = picture(ImageFormat::Png);
        let form = Form::default()
            .and("files[]", "a.png", &png)
            .and("files[]", "b.png", b"<svg/>")
            .and("files", "c.png", &png);
        let answer = service.upload(&alice, &post, form).await;
        assert_eq!(answer.status, StatusCode::OK, "{}", answer.text);
        assert_eq!(answer.message(), "2개 파일이 성공적으로 업로드되었습니다");
        let data = &answer.json["data"];
        assert_eq!(data["uploaded_files"].as_array().map(Vec::len), Some(2));
        assert_eq!((&data["total_count"], &data["failed_count"]), (&json!(2), &json!(1)));
        assert_eq!(data["failed_files"][0]["index"], 1);

        let form = (0..12).fold(Form::default(), |form, _| form.and("files[]", "x.png", &png));
        let answer = service.upload(&alice, &post, form).await;
        assert_eq!(answer.json["data"]["total_count"], 10, "{}", answer.text);
        assert_eq!(read(service, &post).await["media_count"], 12);
    }
}

in_every_place! {
    async fn the_size_limit_is_exact(service) {
        let (alice, post) = post(service).await;
        let largest = padded(MAX_FILE_SIZE);
        assert_eq!(largest.len(), MAX_FILE_SIZE);
        let answer = service.upload(&alice, &post, Form::file("a.png", &largest)).await;
        assert_eq!(answer.status, StatusCode::OK, "{}", answer.text);
        let larger = padded(MAX_FILE_SIZE + 1);
        let answer = service.upload(&alice, &post, Form::file("a.png", &larger)).await;
        assert_eq!(answer.status, StatusCode::PAYLOAD_TOO_LARGE, "{}", answer.text);
        assert!(answer.message().contains("5242880"), "{}", answer.message());
        assert_eq!(read(service, &post).await["media_count"], 1);
    }
}

in_every_place! {
    async fn where_a_photograph_was_taken_is_not_told(service) {
        let (alice, post) = post(service).await;
        let sent = photograph();
        let holds = |file: &[u8]| file.windows(LATITUDE.len()).any(|window| window == LATITUDE);
        assert!(holds(&sent));
        let answer = service.upload(&alice, &post, Form::file("a.jpg", &sent)).await;
        assert_eq!(answer.status, StatusCode::OK, "{}", answer.text);
        let (_, content) = fetch(service, path(&answer.json["data"]), &[]).await;
        assert!(!holds(&content));
        assert_eq!(content, picture(ImageFormat::Jpeg));
    }
}

in_every_place! {
    async fn parts_and_known_images_are_answered_as_such(service) {
        let (alice, post) = post(service).await;
        let sent = picture(ImageFormat::Png);
        let answer = service.upload(&alice, &post, Form::file("a.png", &sent)).await;
        let path = path(&answer.json["data"]);
        let size = sent.len();
        let (whole, _) = fetch(service, path, &[]).await;
        let tag = whole.header("etag");
        assert!(tag.starts_with('"') && tag.len() > 4, "{tag}");

        for (range, part) in [
            ("bytes=0-3", 0..4),
            ("bytes=20-", 20..size),
            ("bytes=-5", size - 5..size),
            ("bytes=0-99999999", 0..size),
        ] {
            let (answer, content) = fetch(service, path, &[("Range", range)]).await;
            assert_eq!(answer.status, StatusCode::PARTIAL_CONTENT, "{range}");
            assert_eq!(content, sent[part.clone()], "{range}");
            let expected = format!("bytes {}-{}/{size}", part.start, part.end - 1);
            assert_eq!(answer.header("content-range"), expected);
            assert_eq!(answer.header("content-type"), "image/png");
            assert_eq!(answer.header("etag"), tag);
        }
        let beyond = format!("bytes={size}-");
        let (answer, _) = fetch(service, path, &[("Range", &beyond)]).await;
        assert_eq!(answer.status, StatusCode::RANGE_NOT_SATISFIABLE);
        assert_eq!(answer.header("content-range"), format!("bytes */{size}"));
        let changed = [("Range", "bytes=0-3"), ("If-Range", "\"other\"")];
        let (answer, content) = fetch(service, path, &changed).await;
        assert_eq!((answer.status, content.len()), (StatusCode::OK, size));

        for known in [tag, &format!("\"x\", {tag}"), &format!("W/{tag}"), "*"] {
            let (answer, content) = fetch(service, path, &[("If-None-Match", known)]).await;
            assert_eq!(answer.status, StatusCode::NOT_MODIFIED, "{known}");
            assert_eq!(answer.header("etag"), tag);
            assert!(content.is_empty());
        }
        let (answer, _) = fetch(service, path, &[("If-None-Match", "\"other\"")]).await;
        assert_eq!(answer.status, StatusCode::OK);
        let head = Answer::of(service.request(Method::HEAD, path)).await;
        assert_eq!((head.status, head.text.as_str()), (StatusCode::OK, ""));
        assert_eq!(head.header("content-length"), size.to_string());
        assert_eq!(head.header("content-type"), "image/png");
    }
}

in_every_place! {
    async fn only_images_of_posts_are_served(service) {
        let (_, post) = post(service).await;
        let file = format!("{}-a.png", uuid::Uuid::new_v4());
        for path in [
            format!("images/{post}/{file}"),
            format!("images/{post}/..%2f..%2f..%2fetc%2fpasswd"),
            format!("images/{post}/%2e%2e"),
            format!("images/{post}/.."),
            format!("images/{post}/%00"),
            format!("images/{post}/%ff"),
            format!("images/{post}/a%0ab"),
            "images/%2e%2e/posts.db".to_owned(),
            "..%2f..%2fposts.db".to_owned(),
            "images".to_owned(),
            "x/y".to_owned(),
        ] {
            let answer = service.get(&format!("/api/v1/images/{path}")).await;
            assert_eq!(answer.status, StatusCode::NOT_FOUND, "{path}: {}", answer.text);
        }
        let answer = service.get(&format!("/api/v1/images/images/{post}/{file}")).await;
        assert_eq!(answer.message(), "이미지를 찾을 수 없습니다");
        assert_eq!(answer.json["error"]["code"], 404);
    }
}

in_every_place! {
    async fn an_image_is_deleted_by_its_author_and_its_object_later(service) {
        let (alice, post) = post(service).await;
        let answer = service
            .upload(&alice, &post, Form::file("a.png", &picture(ImageFormat::Png)))
            .await;
        let entry = answer.json["data"].clone();
        let media = format!("/api/v1/posts/{post}/media/{}", entry["id"].as_str().expect("an id"));
        let delete = |token: Option<String>| {
            let request = service.request(Method::DELETE, &media);
            Answer::of(match token {
                Some(token) => request.bearer_auth(token),
                None => request,
            })
        };
        assert_eq!(delete(None).await.status, StatusCode::UNAUTHORIZED);
        let answer = delete(Some(tokens::bob())).await;
        assert_eq!(answer.status, StatusCode::FORBIDDEN);
        assert_eq!(answer.message(), "권한이 없습니다");
        let answer = delete(Some(alice.clone())).await;
        assert_eq!(answer.status, StatusCode::OK, "{}", answer.text);
        assert_eq!(answer.json["data"], Value::Null);
        assert_eq!(delete(Some(alice)).await.status, StatusCode::NOT_FOUND);
        let left = read(service, &post).await;
        assert_eq!((&left["media_count"], &left["media_files"]), (&json!(0), &json!([])));

        // Two workers side by side, as two processes have them.
        let stop = CancellationToken::new();
        let worker = || tokio::spawn(service.media.clone().delete_objects(PACE, stop.clone()));
        let workers = [worker(), worker()];
        until("the object is gone", async || {
            fetch(service, path(&entry), &[]).await.0.status == StatusCode::NOT_FOUND
        })
        .await;
        stop.cancel();
        for worker in workers {
            worker.await.expect("an end");
        }
    }
}

in_every_place! {
    async fn the_objects_of_a_deleted_post_are_removed(service) {
        let (alice, post) = post(service).await;
        let upload = || service.upload(&alice, &post, Form::file("a.png", &picture(ImageFormat::Png)));
        let mut entries = Vec::new();
        for _ in 0..2 {
            entries.push(upload().await.json["data"].clone());
        }
        let delete = service.request(Method::DELETE, &format!("/api/v1/posts/{post}"));
        assert_eq!(Answer::of(delete.bearer_auth(&alice)).await.status, StatusCode::OK);
        let stop = CancellationToken::new();
        let worker = tokio::spawn(service.media.clone().delete_objects(PACE, stop.clone()));
        for entry in &entries {
            until("the object is gone", async || {
                fetch(service, path(entry), &[]).await.0.status == StatusCode::NOT_FOUND
            })
            .await;
        }
        stop.cancel();
        worker.await.expect("an end");
    }
}

in_every_place! {
    async fn uploads_are_for_the_author_of_a_post(service) {
        let (alice, post) = post(service).await;
        // Larger than what fits into the buffers on the way: it is read, and not kept.
        let large = vec![b'x'; 4 * 1024 * 1024];
        let path = format!("/api/v1/posts/{post}/media");
        let anonymous = service.request(Method::POST, &path);
        let answer = Answer::of(Form::file("a.png", &large).send_in(anonymous)).await;
        assert_eq!(answer.status, StatusCode::UNAUTHORIZED);
        let answer = service.upload(&tokens::bob(), &post, Form::file("a.png", &large)).await;
        assert_eq!(answer.status, StatusCode::FORBIDDEN);
        assert_eq!(answer.message(), "권한이 없습니다");
        let other = "0".repeat(32);
        let answer = service.upload(&alice, &other, Form::file("a.png", &large)).await;
        assert_eq!(answer.status, StatusCode::NOT_FOUND);
        assert_eq!(read(service, &post).await["media_count"], 0);
    }
}

in_every_place! {
    async fn odd_entries_of_the_old_service_harm_nobody(service) {
        let (alice, post) = post(service).await;
        for column in ["NULL", "'null'", "'{}'", "'7'", "'[{}, null, {\"file_name\": \"x\"}]'"] {
            let sql = format!("UPDATE posts SET media_files = {column} WHERE id = '{post}'");
            service.execute(&sql).await;
            let listed = read(service, &post).await;
            let count = listed["media_files"].as_array().expect("a list").len();
            assert_eq!(listed["media_count"], count, "{column}");
        }
        let form = Form::file("a.png", &picture(ImageFormat::Png));
        let answer = service.upload(&alice, &post, form).await;
        assert_eq!(answer.status, StatusCode::OK, "{}", answer.text);
        let listed = read(service, &post).await;
        assert_eq!(listed["media_count"], 4);
        assert_eq!(listed["media_files"][2], json!({"file_name": "x"}));
    }
}

#[tokio::test]
async fn what_is_no_image_is_refused_with_a_reason() {
    let service = Service::on(Database::sqlite()).await;
    let (alice, post) = post(&service).await;
    let bomb = {
        let mut png = picture(ImageFormat::Png);
        // The width and height in the head; its checksum is wrong then, which nobody gets to see.
        png[16..24].copy_from_slice(&[0, 0, 0xff, 0xff, 0, 0, 0xff, 0xff]);
        png
    };
    let (unsupported, bad) = (StatusCode::UNSUPPORTED_MEDIA_TYPE, StatusCode::BAD_REQUEST);
    for (content, status) in [
        (
            &b"<svg xmlns='http://www.w3.org/2000/svg'/>"[..],
            unsupported,
        ),
        (b"<!doctype html><script>alert(1)</script>", unsupported),
        (b"PK\x03\x04", unsupported),
        (b"", unsupported),
        (b"\x89PNG\r\n\x1a\n<svg/>", bad),
        (b"GIF89a<script>", bad),
        (&bomb, bad),
    ] {
        let begun = Instant::now();
        let answer = service
            .upload(&alice, &post, Form::file("a.png", content))
            .await;
        assert_eq!(answer.status, status, "{}", answer.text);
        assert!(answer.message().contains("이미지"), "{}", answer.message());
        assert!(begun.elapsed() < Duration::from_secs(2));
    }
    let answer = service.upload(&alice, &post, Form::default()).await;
    assert_eq!(answer.status, bad);
    let json = json!({"file": "x"});
    let answer = service
        .post(&format!("/api/v1/posts/{post}/media"), &alice, &json)
        .await;
    assert_eq!(answer.status, unsupported);
    assert_eq!(read(&service, &post).await["media_count"], 0);
}

#[tokio::test]
async fn names_of_files_are_shown_and_do_no_harm() {
    let service = Service::on(Database::sqlite()).await;
    let (alice, post) = post(&service).await;
    let long = format!("{}.png", "가".repeat(2_000));
    for (sent, shown) in [
        ("고양이 사진.png", "고양이 사진.png"),
        ("../../etc/passwd", "passwd"),
        (r"C:\photos\a.png", "a.png"),
        ("a\u{85}\u{202e}b.png", "ab.png"),
        ("..", "image.png"),
        ("\u{1f431}.png", "\u{1f431}.png"),
        (&long, &long[..255 * "가".len()]),
    ] {
        let form = Form::file(sent, &picture(ImageFormat::Png));
        let answer = service.upload(&alice, &post, form).await;
        assert_eq!(answer.status, StatusCode::OK, "{sent}: {}", answer.text);
        let entry = &answer.json["data"];
        assert_eq!(entry["file_name"], shown);
        let key = entry["s3_key"].as_str().expect("a key");
        assert!(
            key.len() < 300 && key.is_ascii() && !key.contains(".."),
            "{key}"
        );
        let (served, _) = fetch(&service, path(entry), &[]).await;
        assert_eq!(served.status, StatusCode::OK, "{sent}");
    }
}

#[tokio::test]
async fn without_a_place_uploads_say_so() {
    let (config, database) = (crate::kit::media::config(), Database::sqlite());
    let service = service_on(database, config, None).await;
    let (alice, post) = post(&service).await;
    let form = Form::file("a.png", &picture(ImageFormat::Png));
    let answer = service.upload(&alice, &post, form).await;
    assert_eq!(answer.status, StatusCode::SERVICE_UNAVAILABLE);
    assert!(answer.message().contains("설정"), "{}", answer.message());
}

#[tokio::test]
async fn addresses_begin_with_the_public_one() {
    let folder = tempfile::tempdir().expect("a folder");
    let backend = Backend::folder(folder.path()).expect("a backend");
    let config = Config {
        public_base: Some("https://api.example.com".to_owned()),
        ..crate::kit::media::config()
    };
    let service = service_on(Database::sqlite(), config, Some(backend)).await;
    let (alice, post) = post(&service).await;
    let form = Form::file("a.png", &picture(ImageFormat::Png));
    let answer = service.upload(&alice, &post, form).await;
    let url = answer.json["data"]["s3_url"].as_str().expect("an address");
    let begin = format!("https://api.example.com/api/v1/images/images/{post}/");
    assert!(url.starts_with(&begin), "{url}");
}
