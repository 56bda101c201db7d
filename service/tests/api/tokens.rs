//! Tokens, with keys fetched from a real endpoint.

use crate::kit::{
    Answer, Service, client,
    cognito::{Pool, REGION},
    database::Database,
    forge::base64url,
    key_endpoint::{self, Endpoint},
    process::Served,
    tokens::{self, ALICE, KEY, id_claims},
};
use futures::StreamExt;
use post_service::auth::{Keys, development::SigningKey, jwks::MIN_FETCH_INTERVAL};
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use std::time::{Duration, Instant};

async fn create(service: &Service, token: &str) -> Answer {
    let body = json!({"title": "t", "content": "c", "category": "k"});
    service.post("/api/v1/posts", token, &body).await
}

#[tokio::test]
async fn each_bad_token_is_refused_with_its_reason() {
    let endpoint = Endpoint::default();
    endpoint.publish(&[&KEY]);
    let service = Service::with_keys(Keys::Cached(endpoint.cache().await)).await;
    let good = id_claims(ALICE, "alice");
    let changed =
        |name: &str, value: Value| tokens::signed(&tokens::with(good.clone(), name, value));
    let forged = |header: Value| {
        let part = |json: &Value| base64url(json.to_string().as_bytes());
        format!(
            "{}.{}.{}",
            part(&header),
            part(&good),
            base64url(b"signature")
        )
    };
    let impostors_key = tokens::IMPOSTOR.public_jwk().unwrap();
    let failed = "Token verification failed";
    for (token, expected) in [
        (changed("exp", json!(tokens::now() - 60)), "Token expired"),
        (
            changed(
                "iss",
                json!("https://cognito-idp.ap-northeast-2.amazonaws.com/ap-northeast-2_Tesu"),
            ),
            "Invalid token issuer",
        ),
        (
            changed("aud", json!("test-clienu")),
            "Invalid token audience",
        ),
        (changed("aud", json!(["test-client"])), failed),
        (changed("token_use", json!("access")), failed),
        (changed("exp", Value::Null), failed),
        (forged(json!({"alg": "none", "kid": "test-key"})), failed),
        (forged(json!({"alg": "HS256", "kid": "test-key"})), failed),
        (forged(json!({"alg": "PS256", "kid": "test-key"})), failed),
        (forged(json!({"alg": "RS256"})), failed),
        (forged(json!({"alg": "RS256", "kid": "test-key"})), failed),
        (
            forged(json!({"alg": "RS256", "kid": "x", "jwk": impostors_key})),
            failed,
        ),
        (
            forged(json!({"alg": "RS256", "kid": "x", "jku": "http://127.0.0.1:1/"})),
            failed,
        ),
        (tokens::IMPOSTOR.sign(&good).unwrap(), failed),
        ("x".repeat(7000), "Invalid token format"),
    ] {
        let answer = create(&service, &token).await;
        assert_eq!(answer.status, StatusCode::UNAUTHORIZED, "{token}");
        assert_eq!(answer.json["error"], expected, "{token}");
        assert!(!answer.message().is_empty());
    }
    assert_eq!(
        create(&service, &tokens::signed(&good)).await.status,
        StatusCode::CREATED
    );
}

#[tokio::test]
async fn unknown_keys_are_fetched_for_once_per_interval_however_many_ask() {
    let endpoint = Endpoint::default();
    endpoint.publish(&[&KEY]);
    let service = Service::with_keys(Keys::Cached(endpoint.cache().await)).await;
    let stranger = SigningKey::generate("stranger").unwrap();
    let token = stranger.sign(&id_claims(ALICE, "alice")).unwrap();
    let flood = (0..64).map(|_| create(&service, &token));
    for answer in futures::future::join_all(flood).await {
        assert_eq!(answer.json["error"], "Token verification failed");
    }
    assert_eq!(endpoint.fetches(), 1);
    assert_eq!(
        create(&service, &tokens::alice()).await.status,
        StatusCode::CREATED
    );
    assert_eq!(endpoint.fetches(), 1);
}

#[tokio::test]
async fn a_rotated_key_is_found_and_old_keys_serve_while_the_endpoint_is_down() {
    let endpoint = Endpoint::default();
    endpoint.publish(&[&KEY]);
    let cache = endpoint.cache().await;
    assert!(
        cache
            .keys_for("test-key")
            .await
            .unwrap()
            .get("test-key")
            .is_some()
    );

    let next = SigningKey::generate("next").unwrap();
    endpoint.publish(&[&KEY, &next]);
    tokio::time::pause();
    assert!(
        cache.keys_for("next").await.unwrap().get("next").is_none(),
        "too soon"
    );
    tokio::time::advance(MIN_FETCH_INTERVAL).await;
    tokio::time::resume();
    assert!(cache.keys_for("next").await.unwrap().get("next").is_some());

    endpoint.break_down();
    tokio::time::pause();
    tokio::time::advance(MIN_FETCH_INTERVAL).await;
    tokio::time::resume();
    let keys = cache.keys_for("unknown").await.unwrap();
    assert!(keys.get("test-key").is_some() && keys.get("next").is_some());
    assert_eq!(endpoint.fetches(), 3);
}

#[tokio::test]
async fn without_any_key_a_token_is_neither_good_nor_bad() {
    let endpoint = Endpoint::default();
    let service = Service::with_keys(Keys::Cached(endpoint.cache().await)).await;
    let answer = create(&service, &tokens::alice()).await;
    assert_eq!(answer.status, StatusCode::SERVICE_UNAVAILABLE);
    assert!(!answer.header("retry-after").is_empty());
    let read = service
        .request(Method::GET, "/api/v1/posts")
        .bearer_auth(tokens::alice());
    assert_eq!(Answer::of(read).await.status, StatusCode::OK);
}

#[tokio::test]
async fn the_author_is_the_tokens_user_whatever_the_body_says() {
    let service = Service::on(Database::sqlite()).await;
    let body = json!({
        "title": "t", "content": "c", "category": "k", "user_id": tokens::BOB, "username": "bob",
    });
    let token = tokens::signed(&tokens::access_claims(ALICE, &"긴".repeat(120)));
    let created = service.post("/api/v1/posts", &token, &body).await;
    assert_eq!(created.status, StatusCode::CREATED);
    assert_eq!(created.json["data"]["username"], "긴".repeat(100));
    let read = service.get(created.header("location")).await;
    assert_eq!(read.json["data"]["user_id"], ALICE);
}

/// Lets the time between two fetches pass. The service closes connections that were idle for so
/// long: the client begins new ones.
async fn pass_interval(service: &mut Service) {
    service.client = client();
    tokio::time::pause();
    tokio::time::advance(MIN_FETCH_INTERVAL).await;
    tokio::time::resume();
}

#[tokio::test]
async fn a_flood_of_unknown_keys_is_no_flood_at_the_endpoint() {
    let endpoint = Endpoint::default();
    endpoint.publish(&[&KEY]);
    let service = Service::with_keys(Keys::Cached(endpoint.cache().await)).await;
    let part = |json: Value| base64url(json.to_string().as_bytes());
    let payload = part(id_claims(ALICE, "alice"));
    let begun = Instant::now();
    let flood = futures::stream::iter(0..2_000).map(|number| {
        let head = part(json!({"alg": "RS256", "kid": format!("unknown-{number}")}));
        let mine = service.request(Method::GET, "/api/v1/posts/my");
        Answer::of(mine.bearer_auth(format!("{head}.{payload}.AAAA")))
    });
    let mut refused = flood.buffer_unordered(64);
    while let Some(answer) = refused.next().await {
        assert_eq!(answer.json["error"], "Token verification failed");
    }
    let intervals = begun.elapsed().as_secs() / MIN_FETCH_INTERVAL.as_secs();
    let fetches = u64::try_from(endpoint.fetches()).unwrap();
    assert!((1..=1 + intervals).contains(&fetches), "{fetches}");
    let good = create(&service, &tokens::alice()).await;
    assert_eq!(good.status, StatusCode::CREATED);
}

#[tokio::test]
async fn a_key_that_is_withdrawn_verifies_nothing_any_more() {
    let endpoint = Endpoint::default();
    endpoint.publish(&[&KEY]);
    let mut service = Service::with_keys(Keys::Cached(endpoint.cache().await)).await;
    let next = SigningKey::generate("next").unwrap();
    let new_token = next.sign(&id_claims(ALICE, "alice")).unwrap();
    let old_token = tokens::alice();
    assert_eq!(
        create(&service, &old_token).await.status,
        StatusCode::CREATED
    );
    endpoint.publish(&[&next]);
    pass_interval(&mut service).await;
    assert_eq!(
        create(&service, &new_token).await.status,
        StatusCode::CREATED
    );
    let refused = create(&service, &old_token).await;
    assert_eq!(refused.json["error"], "Token verification failed");
}

#[tokio::test]
async fn keys_serve_on_whatever_the_endpoint_does() {
    use key_endpoint::Answer as Told;
    let endpoint = Endpoint::default();
    endpoint.publish(&[&KEY]);
    let mut service = Service::with_keys(Keys::Cached(endpoint.cache().await)).await;
    let good = tokens::alice();
    assert_eq!(create(&service, &good).await.status, StatusCode::CREATED);
    let stranger = SigningKey::generate("stranger").unwrap();
    let bad = stranger.sign(&id_claims(ALICE, "alice")).unwrap();
    let set = json!({"keys": [stranger.public_jwk().unwrap()]});
    let huge = format!("{}{set}", " ".repeat(300_000));
    let text = |text: &str| Told::Text(text.to_owned());
    for (what, answer) in [
        ("500", Told::Status(500)),
        ("an empty answer", Told::Status(204)),
        ("a redirect", Told::Redirect(set)),
        ("too much", Told::Text(huge)),
        ("a page", text("<html>")),
        ("no keys", text(r#"{"keys": []}"#)),
        ("no list", text(r#"{"keys": {}}"#)),
        (
            "unusable keys",
            text(r#"{"keys": [{"kty": "oct", "kid": "test-key", "k": "AA"}]}"#),
        ),
        ("an answer that never ends", Told::Stuck),
        ("no answer", Told::Hung),
    ] {
        endpoint.answer(answer);
        pass_interval(&mut service).await;
        let fetches = endpoint.fetches();
        // Whoever holds a known key does not wait for the fetch that a stranger set off.
        let refused = create(&service, &bad);
        let served = async {
            let begun = Instant::now();
            let answer = create(&service, &good).await;
            (answer, begun.elapsed())
        };
        let (refused, (served, elapsed)) = tokio::join!(refused, served);
        assert_eq!(refused.json["error"], "Token verification failed", "{what}");
        assert_eq!(served.status, StatusCode::CREATED, "{what}");
        assert!(elapsed < Duration::from_secs(2), "{what}: {elapsed:?}");
        assert_eq!(endpoint.fetches(), fetches + 1, "{what}");
    }
    endpoint.shut_down();
    pass_interval(&mut service).await;
    assert_eq!(
        create(&service, &bad).await.status,
        StatusCode::UNAUTHORIZED
    );
    assert_eq!(create(&service, &good).await.status, StatusCode::CREATED);
}

#[tokio::test]
async fn public_reads_never_mind_a_token() {
    let service = Service::on(Database::sqlite()).await;
    let alice = tokens::alice();
    let id = service.publish(&alice, "글", "자유").await;
    let leaver = tokens::bob();
    service
        .post("/api/v1/users/me/deactivate", &leaver, &Value::Null)
        .await;
    let expired = tokens::with(id_claims(ALICE, "alice"), "exp", json!(tokens::now() - 60));
    let bad = [
        tokens::signed(&expired),
        tokens::IMPOSTOR.sign(&id_claims(ALICE, "alice")).unwrap(),
        leaver,
        "garbage".to_owned(),
        "x".repeat(8_000),
    ];
    let document = serde_json::to_value(post_service::http::openapi()).unwrap();
    let (mut public, mut private) = (0, 0);
    for (path, operations) in document["paths"].as_object().unwrap() {
        let Some(operation) = operations.get("get") else {
            continue;
        };
        // A requirement that is empty makes the others optional.
        let needs_token = operation["security"]
            .as_array()
            .is_some_and(|all| !all.iter().any(|one| one == &json!({})));
        let path = path.replace("{id}", &id);
        for token in &bad {
            let answer = Answer::of(service.request(Method::GET, &path).bearer_auth(token)).await;
            let refused = answer.status == StatusCode::UNAUTHORIZED;
            assert_eq!(refused, needs_token, "{path}: {}", answer.text);
        }
        *(if needs_token {
            &mut private
        } else {
            &mut public
        }) += 1;
    }
    assert!(
        public >= 4 && private >= 1,
        "{public} public, {private} private"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn tokens_of_a_real_pool_are_good_and_those_of_its_neighbours_are_not() {
    let (Some(pool), Some(neighbour)) = (Pool::create().await, Pool::create().await) else {
        return;
    };
    let folder = tempfile::tempdir().unwrap();
    let database = format!("sqlite://{}/posts.db", folder.path().display());
    let mut settings = pool.settings(&pool.endpoint);
    settings.push(("DATABASE_URL".to_owned(), database));
    let settings: Vec<_> = settings
        .iter()
        .map(|(name, value)| (name.as_str(), value.as_str()))
        .collect();
    let served = Served::start(&settings).await;
    let url = format!("http://{}/api/v1/posts", served.api);
    let draft = json!({"title": "t", "content": "c", "category": "k"});
    let create = async |token: &str| {
        let request = served.client.post(&url).bearer_auth(token).json(&draft);
        Answer::of(request).await
    };
    let mine = pool.user("alice").await;
    for token in [&mine.id, &mine.access] {
        let created = create(token).await;
        assert_eq!(created.status, StatusCode::CREATED, "{}", created.text);
        assert_eq!(created.json["data"]["username"], "alice");
    }
    // The stand-in signs for every pool with the same key: the issuer alone tells them apart.
    let other = neighbour.user("alice").await;
    for token in [&other.id, &other.access] {
        let refused = create(token).await;
        assert_eq!(refused.json["error"], "Invalid token issuer");
    }
    let issuer = format!("https://cognito-idp.{REGION}.amazonaws.com/{}", pool.id);
    let claims = tokens::with(id_claims(ALICE, "alice"), "iss", json!(issuer));
    let claims = tokens::with(claims, "aud", json!(pool.client_id));
    let impostor = SigningKey::generate("dummy").unwrap();
    let refused = create(&impostor.sign(&claims).unwrap()).await;
    assert_eq!(refused.json["error"], "Token verification failed");
}
