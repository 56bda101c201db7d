//! Tokens of ill will: signed by the right key with a wrong content, or the other way round.

use crate::kit::{
    Answer, CLIENT_ID, ISSUER, Service,
    forge::{Forge, base64url, message, sign_by_secret, with_next_digit},
    key_endpoint::Endpoint,
    tokens::{ALICE, access_claims, id_claims, now},
};
use aws_lc_rs::{
    hmac,
    rand::SystemRandom,
    signature::{
        ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair as _, RSA_PKCS1_SHA384,
        RSA_PKCS1_SHA512, RSA_PSS_SHA256,
    },
};
use post_service::auth::Keys;
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

const FAILED: &str = "Token verification failed";
const FORMAT: &str = "Invalid token format";

/// A service that knows these keys.
async fn service_of(keys: &[Value]) -> Service {
    let endpoint = Endpoint::default();
    endpoint.publish_jwks(keys);
    Service::with_keys(Keys::Cached(endpoint.cache().await)).await
}

async fn try_token(service: &Service, token: &str) -> Answer {
    let mine = service.request(Method::GET, "/api/v1/posts/my");
    Answer::of(mine.bearer_auth(token)).await
}

async fn assert_refused(service: &Service, token: &str, error: &str, what: &str) {
    let answer = try_token(service, token).await;
    assert_eq!(answer.status, StatusCode::UNAUTHORIZED, "{what}");
    assert_eq!(answer.json["error"], error, "{what}");
    assert!(!answer.message().is_empty(), "{what}");
}

async fn assert_accepted(service: &Service, token: &str, what: &str) {
    let answer = try_token(service, token).await;
    assert_eq!(answer.status, StatusCode::OK, "{what}: {}", answer.text);
}

fn good() -> Value {
    id_claims(ALICE, "alice")
}

fn bytes(json: &Value) -> Vec<u8> {
    json.to_string().into_bytes()
}

/// The value with some of its members replaced or added.
fn with(mut value: Value, changes: &Value) -> Value {
    for (name, change) in changes.as_object().expect("changes") {
        value[name] = change.clone();
    }
    value
}

fn without(mut value: Value, name: &str) -> Value {
    value.as_object_mut().expect("an object").remove(name);
    value
}

#[tokio::test]
async fn no_algorithm_but_rs256_is_believed_whatever_the_signature() {
    let key = Forge::new("key");
    let service = service_of(&[key.jwk()]).await;
    let payload = bytes(&good());
    let header = |alg: Value| json!({"alg": alg, "kid": "key"}).to_string();
    for alg in [
        "none", "None", "NONE", "nOnE", "none ", "", "rs256", "RS256 ", "RSA256", "RS1",
    ] {
        let message = message(&header(json!(alg)), &payload);
        let signed = key.sign(&header(json!(alg)), &payload);
        for token in [format!("{message}."), format!("{message}.AAAA"), signed] {
            assert_refused(&service, &token, FAILED, alg).await;
        }
    }
    for alg in [
        json!(null),
        json!(1),
        json!(["RS256"]),
        json!({"alg": "RS256"}),
    ] {
        let token = key.sign(&header(alg.clone()), &payload);
        assert_refused(&service, &token, FAILED, &alg.to_string()).await;
    }
    let no_alg = key.sign(r#"{"kid": "key"}"#, &payload);
    assert_refused(&service, &no_alg, FAILED, "no alg").await;
    for secret in key.public_forms() {
        for (name, algorithm) in [
            ("HS256", hmac::HMAC_SHA256),
            ("HS384", hmac::HMAC_SHA384),
            ("HS512", hmac::HMAC_SHA512),
            ("RS256", hmac::HMAC_SHA256),
        ] {
            let token = sign_by_secret(algorithm, &secret, &header(json!(name)), &payload);
            assert_refused(&service, &token, FAILED, name).await;
        }
    }
    for (name, token) in [
        (
            "PS256",
            key.sign_by(&RSA_PSS_SHA256, &header(json!("PS256")), &payload),
        ),
        (
            "RS384",
            key.sign_by(&RSA_PKCS1_SHA384, &header(json!("RS384")), &payload),
        ),
        (
            "RS512",
            key.sign_by(&RSA_PKCS1_SHA512, &header(json!("RS512")), &payload),
        ),
        (
            "PS256 as RS256",
            key.sign_by(&RSA_PSS_SHA256, &header(json!("RS256")), &payload),
        ),
        (
            "RS384 as RS256",
            key.sign_by(&RSA_PKCS1_SHA384, &header(json!("RS256")), &payload),
        ),
        ("ES256", key.sign(&header(json!("ES256")), &payload)),
        ("EdDSA", key.sign(&header(json!("EdDSA")), &payload)),
    ] {
        assert_refused(&service, &token, FAILED, name).await;
    }
    assert_accepted(
        &service,
        &key.sign(&header(json!("RS256")), &payload),
        "RS256",
    )
    .await;
}

#[tokio::test]
async fn a_key_of_another_kind_in_the_set_verifies_nothing_and_harms_nobody() {
    let (key, random) = (Forge::new("key"), SystemRandom::new());
    let pkcs8 = EcdsaKeyPair::generate_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &random).unwrap();
    let curve = EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, pkcs8.as_ref()).unwrap();
    let point = curve.public_key().as_ref();
    let ec = json!({
        "kty": "EC", "crv": "P-256", "alg": "ES256", "use": "sig", "kid": "ec",
        "x": base64url(&point[1..33]), "y": base64url(&point[33..]),
    });
    let secret = json!({"kty": "oct", "alg": "HS256", "kid": "oct", "k": base64url(b"secret")});
    let service = service_of(&[ec, secret, json!(null), json!({"kty": "new"}), key.jwk()]).await;
    let payload = bytes(&good());
    let message = message(r#"{"alg": "ES256", "kid": "ec"}"#, &payload);
    let signature = curve.sign(&random, message.as_bytes()).unwrap();
    let token = format!("{message}.{}", base64url(signature.as_ref()));
    assert_refused(&service, &token, FAILED, "ES256").await;
    let header = r#"{"alg": "HS256", "kid": "oct"}"#;
    let token = sign_by_secret(hmac::HMAC_SHA256, b"secret", header, &payload);
    assert_refused(&service, &token, FAILED, "HS256").await;
    let token = key.sign(&key.header().to_string(), &payload);
    assert_accepted(&service, &token, "RS256").await;
}

#[tokio::test]
async fn two_keys_of_one_id_are_both_good() {
    let (one, other, stranger) = (Forge::new("same"), Forge::new("same"), Forge::new("same"));
    let service = service_of(&[one.jwk(), other.jwk()]).await;
    for (key, good) in [(&one, true), (&other, true), (&stranger, false)] {
        let token = key.sign(&key.header().to_string(), &bytes(&self::good()));
        if good {
            assert_accepted(&service, &token, "a published key").await;
        } else {
            assert_refused(&service, &token, FAILED, "another key").await;
        }
    }
}

#[tokio::test]
async fn the_key_id_is_a_name_and_nothing_else() {
    let (key, other) = (Forge::new("key"), Forge::new("other"));
    let service = service_of(&[key.jwk(), other.jwk()]).await;
    let payload = bytes(&good());
    for kid in [
        json!(null),
        json!(""),
        json!("k"),
        json!("KEY"),
        json!("key "),
        json!(" key"),
        json!("key\u{0}"),
        json!("k\u{435}y"),
        json!("other"),
        json!("x".repeat(5_000)),
        json!("../../../../dev/null"),
        json!("/proc/sys/kernel/randomize_va_space"),
        json!("file:///etc/hostname"),
        json!("http://127.0.0.1:1/jwks.json"),
        json!("key' UNION SELECT 'key"),
        json!("key'; DROP TABLE posts; --"),
        json!("key|id"),
        json!(["key"]),
        json!({"kid": "key"}),
        json!(0),
        json!(true),
    ] {
        let header = json!({"alg": "RS256", "kid": kid}).to_string();
        let what = format!("{kid:.40}");
        assert_refused(&service, &key.sign(&header, &payload), FAILED, &what).await;
    }
    let none = key.sign(r#"{"alg": "RS256"}"#, &payload);
    assert_refused(&service, &none, FAILED, "no kid").await;
    let header = r#"{"alg": "RS256", "kid": "k\u0065y"}"#;
    assert_accepted(&service, &key.sign(header, &payload), "the same name").await;
}

#[tokio::test]
async fn keys_that_a_token_brings_along_are_ignored() {
    let (key, attacker) = (Forge::new("key"), Forge::new("key"));
    // The attacker's own endpoint, which nobody may ask.
    let endpoint = Endpoint::default();
    endpoint.publish_jwks(&[attacker.jwk()]);
    let url = endpoint.start().await;
    let service = service_of(&[key.jwk()]).await;
    let payload = bytes(&good());
    for brought in [
        json!({"jku": url}),
        json!({"x5u": url}),
        json!({"jwk": attacker.jwk()}),
        json!({"x5c": [base64url(&attacker.public_forms()[1])]}),
        json!({"x5t": "AAAA", "x5t#S256": "AAAA"}),
        json!({"jwk": attacker.jwk(), "jku": url, "x5u": url}),
    ] {
        let what = format!("{brought:.40}");
        for kid in ["key", "stranger"] {
            let header = with(with(attacker.header(), &brought), &json!({"kid": kid}));
            let token = attacker.sign(&header.to_string(), &payload);
            assert_refused(&service, &token, FAILED, &what).await;
        }
        let header = with(key.header(), &brought).to_string();
        assert_accepted(&service, &key.sign(&header, &payload), &what).await;
    }
    assert_eq!(endpoint.fetches(), 0);
}

#[tokio::test]
async fn a_header_that_is_ambiguous_or_must_be_understood_is_refused() {
    let key = Forge::new("key");
    let service = service_of(&[key.jwk()]).await;
    let payload = bytes(&good());
    let deep = format!(
        r#"{{"alg": "RS256", "kid": "key", "x": {}{}}}"#,
        "[".repeat(1_000),
        "]".repeat(1_000)
    );
    for header in [
        r#"{"alg": "none", "alg": "RS256", "kid": "key"}"#,
        r#"{"alg": "RS256", "alg": "none", "kid": "key"}"#,
        r#"{"alg": "RS256", "a\u006cg": "none", "kid": "key"}"#,
        r#"{"alg": "RS256", "kid": "x", "kid": "key"}"#,
        r#"{"alg": "RS256", "kid": "key", "crit": ["exp"], "exp": 1}"#,
        r#"{"alg": "RS256", "kid": "key", "crit": ["b64"], "b64": false}"#,
        r#"{"alg": "RS256", "kid": "key", "crit": []}"#,
        r#"{"alg": "RS256", "kid": "key", "crit": "b64"}"#,
        r#"["RS256", "key"]"#,
        r#"{"alg": "RS256", "kid": "key"} {}"#,
        r#"{"alg": "RS256", "kid": "key","#,
        "\u{feff}{\"alg\": \"RS256\", \"kid\": \"key\"}",
        "",
        "null",
        &deep,
    ] {
        let token = key.sign(header, &payload);
        assert_refused(&service, &token, FAILED, &format!("{header:.60}")).await;
    }
}

#[tokio::test]
async fn every_claim_must_be_there_once_and_right() {
    let key = Forge::new("key");
    let service = service_of(&[key.jwk()]).await;
    let header = key.header().to_string();
    let sign = |claims: &Value| key.sign(&header, &bytes(claims));
    let (expired, audience, issuer) = (
        "Token expired",
        "Invalid token audience",
        "Invalid token issuer",
    );
    let access = access_claims(ALICE, "alice");
    let upper = ISSUER.to_uppercase();
    let cases = [
        (json!({"iss": format!("{ISSUER}/")}), issuer),
        (json!({"iss": &ISSUER[..ISSUER.len() - 1]}), issuer),
        (json!({"iss": format!("{ISSUER}x")}), issuer),
        (json!({"iss": ISSUER.replace("https", "http")}), issuer),
        (json!({"iss": ISSUER.replace('_', "-")}), issuer),
        (json!({"iss": format!(" {ISSUER}")}), issuer),
        (json!({"iss": upper}), issuer),
        (json!({"iss": ""}), issuer),
        (json!({"iss": [ISSUER]}), FAILED),
        (json!({"iss": null}), FAILED),
        (json!({"aud": "test-clienu"}), audience),
        (json!({"aud": "TEST-CLIENT"}), audience),
        (json!({"aud": ""}), audience),
        (json!({"aud": null}), audience),
        (json!({"aud": [CLIENT_ID]}), FAILED),
        (json!({"aud": [CLIENT_ID, "other"]}), FAILED),
        (json!({"aud": []}), FAILED),
        (json!({"aud": {"0": CLIENT_ID}}), FAILED),
        (json!({"token_use": "access"}), FAILED),
        (json!({"token_use": "ID"}), FAILED),
        (json!({"token_use": "refresh"}), FAILED),
        (json!({"token_use": null}), FAILED),
        (json!({"token_use": ["id"]}), FAILED),
        (json!({"exp": now() - 6}), expired),
        (json!({"exp": 0}), expired),
        (json!({"exp": -1}), expired),
        (json!({"exp": i64::MIN}), expired),
        (json!({"exp": null}), FAILED),
        (json!({"exp": "never"}), FAILED),
        (json!({"exp": (now() + 60).to_string()}), FAILED),
        (json!({"exp": 4_000_000_000.5}), FAILED),
        (json!({"exp": 1e300}), FAILED),
        (json!({"exp": u64::MAX}), FAILED),
        (json!({"exp": [now() + 60]}), FAILED),
        (json!({"exp": true}), FAILED),
        (json!({"nbf": now() + 60}), FAILED),
        (json!({"nbf": i64::MAX}), FAILED),
        (json!({"nbf": "0"}), FAILED),
        (json!({"sub": ""}), FAILED),
        (json!({"sub": null}), FAILED),
        (json!({"sub": 1}), FAILED),
        (json!({"sub": [ALICE]}), FAILED),
        (json!({"sub": "a\u{0}b"}), FAILED),
        (json!({"sub": "x".repeat(37)}), FAILED),
        (json!({"cognito:username": ["alice"]}), FAILED),
    ];
    for (changes, error) in cases {
        assert_refused(
            &service,
            &sign(&with(good(), &changes)),
            error,
            &changes.to_string(),
        )
        .await;
    }
    for name in ["iss", "exp", "token_use", "sub"] {
        assert_refused(&service, &sign(&without(good(), name)), FAILED, name).await;
    }
    assert_refused(&service, &sign(&without(good(), "aud")), audience, "no aud").await;
    // An access token as an id token, and the reverse.
    let as_id = with(access.clone(), &json!({"token_use": "id"}));
    assert_refused(&service, &sign(&as_id), audience, "access as id").await;
    let as_access = with(good(), &json!({"token_use": "access"}));
    assert_refused(&service, &sign(&as_access), FAILED, "id as access").await;
    for changes in [
        json!({"client_id": "other"}),
        json!({"client_id": null, "aud": CLIENT_ID}),
    ] {
        let token = sign(&with(access.clone(), &changes));
        assert_refused(&service, &token, FAILED, &changes.to_string()).await;
    }
    assert_accepted(&service, &sign(&access), "an access token").await;
}

#[tokio::test]
async fn what_does_not_matter_is_not_held_against_a_token() {
    let key = Forge::new("key");
    let service = service_of(&[key.jwk()]).await;
    let header = key.header().to_string();
    for changes in [
        json!({}),
        // Whoever issued it has a clock that is ahead of ours; the key says it is genuine.
        json!({"iat": now() + 3600, "auth_time": now() + 3600}),
        json!({"nbf": now()}),
        json!({"exp": i64::MAX}),
        json!({"exp": now() - 3}),
        json!({"cognito:username": "\u{202e}앨리스🍎\u{0}\"'<script>"}),
        json!({"cognito:groups": ["admin"], "custom:x": {"deep": [[[]]]}}),
        json!({"name": "긴".repeat(500)}),
    ] {
        let token = key.sign(&header, &bytes(&with(good(), &changes)));
        assert_accepted(&service, &token, &format!("{changes:.80}")).await;
    }
    // What nobody asked for is passed over without recursion.
    let deep = format!(r#"{{"x": {}{},"#, "[".repeat(1_500), "]".repeat(1_500));
    let payload = good().to_string().replacen('{', &deep, 1);
    assert_accepted(&service, &key.sign(&header, payload.as_bytes()), "nesting").await;
}

#[tokio::test]
async fn a_payload_that_is_ambiguous_or_no_json_is_refused() {
    let key = Forge::new("key");
    let service = service_of(&[key.jwk()]).await;
    let header = key.header().to_string();
    let text = good().to_string();
    let twice = |claim: &str| text.replacen('{', &format!("{{{claim},"), 1);
    for payload in [
        twice(r#""sub": "22222222-2222-2222-2222-222222222222""#),
        twice(r#""s\u0075b": "22222222-2222-2222-2222-222222222222""#),
        twice(r#""exp": 99999999999"#),
        twice(r#""iss": "https://evil.example""#),
        twice(r#""aud": "test-client""#),
        twice(r#""token_use": "id""#),
        twice(r#""cognito:username": "bob""#),
        twice(r#""x": "\ud800", "cognito:username": "\ud800""#),
        format!("\u{feff}{text}"),
        format!("{text}{text}"),
        format!("[{text}]"),
        text.trim_end_matches('}').to_owned(),
        String::new(),
        "null".to_owned(),
        "\"id\"".to_owned(),
        "NaN".to_owned(),
    ] {
        let token = key.sign(&header, payload.as_bytes());
        assert_refused(&service, &token, FAILED, &format!("{payload:.80}")).await;
    }
    let mut latin1 = text.clone().into_bytes();
    let at = text.find("alice").unwrap();
    latin1[at] = 0xff;
    assert_refused(&service, &key.sign(&header, &latin1), FAILED, "not UTF-8").await;
}

#[tokio::test]
async fn a_token_has_one_spelling() {
    let key = Forge::new("key");
    let service = service_of(&[key.jwk()]).await;
    let token = key.sign(&key.header().to_string(), &bytes(&good()));
    assert_accepted(&service, &token, "as it was made").await;
    let [head, payload, signature] = token.split('.').collect::<Vec<_>>()[..] else {
        panic!("three parts")
    };
    let forged = good_of_other().to_string();
    let other = base64url(forged.as_bytes());
    let half = signature.len() / 2;
    let (front, back) = signature.split_at(half);
    for (what, token, error) in [
        (
            "another payload",
            format!("{head}.{other}.{signature}"),
            FAILED,
        ),
        ("no signature", format!("{head}.{payload}."), FAILED),
        ("no third part", format!("{head}.{payload}"), FORMAT),
        ("padding", format!("{head}.{payload}.{signature}="), FAILED),
        (
            "more padding",
            format!("{head}.{payload}.{signature}=="),
            FAILED,
        ),
        (
            "padded payload",
            format!("{head}.{payload}=.{signature}"),
            FAILED,
        ),
        (
            "padded head",
            format!("{head}=.{payload}.{signature}"),
            FAILED,
        ),
        (
            "unused bits",
            format!("{head}.{payload}.{}", with_next_digit(signature)),
            FAILED,
        ),
        (
            "a blank inside",
            format!("{head}.{payload}.{front} {back}"),
            FAILED,
        ),
        (
            "a tab inside",
            format!("{head}.{payload}.{front}\t{back}"),
            FAILED,
        ),
        (
            "a percent sign",
            format!("{head}.{payload}.{front}%2d{back}"),
            FAILED,
        ),
        (
            "half a signature",
            format!("{head}.{payload}.{front}"),
            FAILED,
        ),
        (
            "a longer signature",
            format!("{head}.{payload}.AAAA{signature}"),
            FAILED,
        ),
        (
            "two signatures",
            format!("{head}.{payload}.{signature}{signature}"),
            FAILED,
        ),
        (
            "zeros",
            format!("{head}.{payload}.{}", "A".repeat(signature.len())),
            FAILED,
        ),
        ("swapped", format!("{payload}.{head}.{signature}"), FAILED),
        ("four parts", format!("{token}.{signature}"), FORMAT),
        (
            "five parts",
            format!("{head}..{payload}.{signature}."),
            FORMAT,
        ),
        ("dots", "..".to_owned(), FAILED),
        ("one dot", ".".to_owned(), FORMAT),
        ("quoted", format!("\"{token}\""), FAILED),
        ("twice", format!("{token}, {token}"), FORMAT),
        ("a second scheme", format!("Bearer {token}"), FAILED),
    ] {
        assert_refused(&service, &token, error, what).await;
    }
    let standard = token.replace('-', "+").replace('_', "/");
    assert_ne!(standard, token);
    assert_refused(&service, &standard, FAILED, "the other alphabet").await;
}

fn good_of_other() -> Value {
    id_claims(crate::kit::tokens::BOB, "bob")
}

#[tokio::test]
async fn a_token_of_any_length_is_refused_without_being_read() {
    let key = Forge::new("key");
    let service = service_of(&[key.jwk()]).await;
    let long = with(good(), &json!({"x": "x".repeat(8_000)}));
    let token = key.sign(&key.header().to_string(), &bytes(&long));
    assert_refused(&service, &token, FORMAT, "8 KB").await;
    let huge = with(good(), &json!({"x": "x".repeat(100_000)}));
    let token = key.sign(&key.header().to_string(), &bytes(&huge));
    let answer = try_token(&service, &token).await;
    assert_eq!(answer.status, StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE);
}
