//! Whatever clients send: the answer is a 4xx that names the field, and nothing is written.

use crate::kit::{Answer, Service, database::Database, tokens};
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

fn post(field: &str, value: Value) -> Value {
    let mut body = json!({"title": "t", "content": "c", "category": "k"});
    body[field] = value;
    body
}

on_every_database! {
    async fn every_field_has_its_limits(service) {
        let alice = tokens::alice();
        let cases = [
            ("title", "가".repeat(199), true),
            ("title", "𝄞".repeat(200), true),
            ("title", "가".repeat(201), false),
            ("title", "a\0".into(), false),
            ("content", "x".into(), true),
            ("content", "x".repeat(65_535), true),
            ("content", "x".repeat(65_536), true),
            ("content", "x".repeat(65_537), false),
            ("content", "가".repeat(21_846), false),
            ("content", " \n ".into(), false),
            ("content", "\0".into(), false),
            ("category", "가".repeat(49), true),
            ("category", "🍎".repeat(50), true),
            ("category", "가".repeat(51), false),
            ("category", "\u{3000}".into(), false),
        ];
        let mut stored = 0;
        for (field, text, good) in cases {
            let length = text.chars().count();
            let answer = service.post("/api/v1/posts", &alice, &post(field, json!(text))).await;
            if good {
                stored += 1;
                assert_eq!(answer.status, StatusCode::CREATED, "{field} of {length}");
            } else {
                assert_eq!(answer.status, StatusCode::BAD_REQUEST, "{field} of {length}");
                assert!(answer.message().starts_with(field), "{}", answer.text);
                assert_eq!(answer.json["error"], answer.json["message"]);
                assert_eq!(answer.json["success"], false);
            }
        }
        assert_eq!(service.get("/api/v1/posts").await.json["meta"]["total"], stored);
    }
}

on_every_database! {
    async fn a_field_of_the_wrong_type_is_named(service) {
        let alice = tokens::alice();
        for field in ["title", "content", "category"] {
            for value in [json!(1), json!(1.5e300), json!(true), json!([]), json!({"a": 1}), json!(null)] {
                let answer = service.post("/api/v1/posts", &alice, &post(field, value.clone())).await;
                assert_eq!(answer.status, StatusCode::BAD_REQUEST, "{field} {value}");
                assert!(answer.message().starts_with(field), "{}", answer.text);
            }
        }
        assert_eq!(service.get("/api/v1/posts").await.json["meta"]["total"], 0);
    }
}

#[tokio::test]
async fn bodies_that_are_no_json_object_are_refused() {
    let service = Service::on(Database::sqlite()).await;
    let send = async |kind: &str, body: Vec<u8>| {
        let request = service
            .request(Method::POST, "/api/v1/posts")
            .bearer_auth(tokens::alice());
        Answer::of(request.header("Content-Type", kind).body(body)).await
    };
    let json = "application/json";
    for (kind, body, status) in [
        (json, &b""[..], StatusCode::BAD_REQUEST),
        (json, b"null", StatusCode::BAD_REQUEST),
        (json, b"[\"t\", \"c\", \"k\"]", StatusCode::BAD_REQUEST),
        (json, b"{\"title\": \"t\",}", StatusCode::BAD_REQUEST),
        (json, b"{\"title\": \"\xff\xfe\"}", StatusCode::BAD_REQUEST),
        (json, b"{\"title\": \"\\ud800\"}", StatusCode::BAD_REQUEST),
        (json, b"{\"title\": NaN}", StatusCode::BAD_REQUEST),
        ("text/plain", b"{}", StatusCode::UNSUPPORTED_MEDIA_TYPE),
        ("", b"{}", StatusCode::UNSUPPORTED_MEDIA_TYPE),
        (
            "application/json; charset=utf-8",
            b"{}",
            StatusCode::BAD_REQUEST,
        ),
    ] {
        let answer = send(kind, body.to_vec()).await;
        assert_eq!(
            answer.status,
            status,
            "{kind} {}",
            String::from_utf8_lossy(body)
        );
        assert_eq!(answer.json["success"], false);
    }
    let deep = format!("{{\"title\": {}", "[".repeat(500_000));
    assert_eq!(
        send(json, deep.into_bytes()).await.status,
        StatusCode::BAD_REQUEST
    );
    let exactly = |length| {
        let (head, tail) = (r#"{"title": ""#, r#""}"#);
        format!(
            "{head}{}{tail}",
            "x".repeat(length - head.len() - tail.len())
        )
        .into_bytes()
    };
    let limit = 1024 * 1024;
    assert_eq!(
        send(json, exactly(limit)).await.status,
        StatusCode::BAD_REQUEST
    );
    let refused = send(json, exactly(limit + 1)).await;
    assert_eq!(refused.status, StatusCode::PAYLOAD_TOO_LARGE);
    // A client that does not wait for "100 Continue" sends it all and still sees the answer.
    let refused = send(json, exactly(50 * limit)).await;
    assert_eq!(refused.status, StatusCode::PAYLOAD_TOO_LARGE);
    assert_eq!(refused.json["success"], false);
}

on_every_database! {
    async fn numbers_in_the_query_are_numbers(service) {
        for (query, status, field) in [
            ("page=abc", 400, "page"),
            ("page=NaN", 400, "page"),
            ("page=1.5", 400, "page"),
            ("page=99999999999999999999", 400, "page"),
            ("per_page=ten", 400, "per_page"),
            ("size=ten", 400, "size"),
            ("page=1&page=2", 400, "page"),
            ("page=9223372036854775807&per_page=50", 200, ""),
            ("page=-9223372036854775808&per_page=9223372036854775807", 200, ""),
            ("page=&per_page=", 200, ""),
            ("q=%00", 200, ""),
            ("q=%FF%FE", 200, ""),
            ("user_id=%F0%9F%8D%8E", 200, ""),
        ] {
            let answer = service.get(&format!("/api/v1/posts?{query}")).await;
            assert_eq!(answer.status.as_u16(), status, "{query}: {}", answer.text);
            assert!(answer.message().contains(field), "{}", answer.text);
        }
    }
}

on_every_database! {
    async fn ids_that_cannot_be_are_no_posts(service) {
        for (id, status) in [
            ("nope", 404),
            ("%00", 404),
            ("%FF", 404),
            ("🍎", 404),
            ("0123456789ABCDEF0123456789ABCDEF", 404),
            ("00000000000000000000000000000000", 404),
            ("' OR 1=1 --", 404),
            ("null", 400),
            ("undefined", 400),
        ] {
            let answer = service.get(&format!("/api/v1/posts/{id}")).await;
            assert_eq!(answer.status.as_u16(), status, "{id}: {}", answer.text);
            assert_eq!(answer.json["error"]["code"], status);
        }
    }
}
