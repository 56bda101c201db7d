use std::collections::BTreeMap;

use k8s_openapi::ByteString;

use super::*;

fn secret(entries: &[(&str, &str)]) -> Secret {
    let data: BTreeMap<_, _> = entries
        .iter()
        .map(|(key, value)| ((*key).to_owned(), ByteString(value.as_bytes().to_vec())))
        .collect();
    Secret {
        data: Some(data),
        ..Secret::default()
    }
}

fn spec() -> PostServiceSpec {
    serde_json::from_value(serde_json::json!({
        "image": {"repository": "123456789012.dkr.ecr.eu-west-1.amazonaws.com/p", "tag": "1"}
    }))
    .unwrap()
}

fn complete() -> RawSecrets {
    RawSecrets {
        database: Some(secret(&[("database-url", "mysql://post:pw@db/postdb")])),
        auth: Some(secret(&[
            ("cognito-user-pool-id", "eu-west-1_a"),
            ("cognito-region", "eu-west-1"),
            ("cognito-client-id", "c"),
            ("secret-key", "s"),
        ])),
        ..RawSecrets::default()
    }
}

#[test]
fn a_missing_secret_or_key_is_named() {
    let missing = RawSecrets {
        auth: None,
        ..complete()
    };
    let fault = parse(&spec(), "ns", "post-service", &missing).unwrap_err();
    assert_eq!(fault.reason(), "Missing");
    assert!(
        fault
            .to_string()
            .contains("Secret post-secrets is missing in namespace ns")
    );

    let empty = RawSecrets {
        database: Some(secret(&[("database-url", "")])),
        ..complete()
    };
    let fault = parse(&spec(), "ns", "post-service", &empty).unwrap_err();
    assert_eq!(
        fault,
        SecretFault::MissingKey {
            secret: "post-db-secret".into(),
            key: "database-url".into()
        }
    );
}

#[test]
fn a_malformed_url_is_named_without_its_value() {
    let raw = RawSecrets {
        database: Some(secret(&[("database-url", "postgres://u:hunter2@h/d")])),
        ..complete()
    };
    let fault = parse(&spec(), "ns", "post-service", &raw).unwrap_err();
    assert_eq!(fault.reason(), "Malformed");
    assert!(!fault.to_string().contains("hunter2"));
}

#[test]
fn the_fingerprint_changes_with_any_used_value_only() {
    let before = parse(&spec(), "ns", "post-service", &complete())
        .unwrap()
        .fingerprint;
    let mut changed = complete();
    changed.database = Some(secret(&[("database-url", "mysql://post:pw2@db/postdb")]));
    assert_ne!(
        parse(&spec(), "ns", "post-service", &changed)
            .unwrap()
            .fingerprint,
        before
    );
    let mut unrelated = complete();
    unrelated.database = Some(secret(&[
        ("database-url", "mysql://post:pw@db/postdb"),
        ("other", "x"),
    ]));
    assert_eq!(
        parse(&spec(), "ns", "post-service", &unrelated)
            .unwrap()
            .fingerprint,
        before
    );
}

#[test]
fn a_secret_key_is_generated_where_none_is_given_and_the_users_wins() {
    let without = secret(&[
        ("cognito-user-pool-id", "eu-west-1_a"),
        ("cognito-region", "eu-west-1"),
        ("cognito-client-id", "c"),
    ]);
    let mut raw = RawSecrets {
        auth: Some(without),
        ..complete()
    };
    let parse = |raw: &RawSecrets| parse(&spec(), "ns", "post-service", raw);
    assert_eq!(
        parse(&raw).unwrap_err(),
        SecretFault::NoSecretKey {
            secret: "post-service-secret-key".into()
        }
    );
    raw.secret_key = Some(secret(&[("secret-key", "generated")]));
    let generated = parse(&raw).unwrap();
    let value = |found: &Credentials, key: &str| found.env[key].expose_secret().to_owned();
    assert_eq!(value(&generated, "SECRET_KEY"), "generated");
    raw.auth = complete().auth;
    let given = parse(&raw).unwrap();
    assert_ne!(value(&given, "SECRET_KEY"), "generated");
    assert_ne!(given.fingerprint, generated.fingerprint);
}

#[test]
fn with_cognito_by_value_no_secret_is_needed_at_all() {
    let mut spec = spec();
    spec.auth.cognito = Some(crate::api::v1alpha1::Cognito {
        region: "r".into(),
        user_pool_id: "p".into(),
        client_id: "c".into(),
    });
    let raw = RawSecrets {
        auth: None,
        secret_key: Some(secret(&[("secret-key", "generated")])),
        ..complete()
    };
    assert!(parse(&spec, "ns", "post-service", &raw).is_ok());
}

#[test]
fn other_key_names_are_followed() {
    let mut spec = spec();
    spec.auth.secret_ref.keys = [
        ("cognito-region".to_owned(), "REGION".to_owned()),
        ("secret-key".to_owned(), "KEY".to_owned()),
    ]
    .into();
    let fault = parse(&spec, "ns", "post-service", &complete()).unwrap_err();
    assert!(fault.to_string().contains("key REGION"), "{fault}");
    let raw = RawSecrets {
        auth: Some(secret(&[
            ("cognito-user-pool-id", "p"),
            ("REGION", "r"),
            ("cognito-client-id", "c"),
            ("KEY", "k"),
        ])),
        ..complete()
    };
    let found = parse(&spec, "ns", "post-service", &raw).unwrap();
    assert_eq!(found.env["SECRET_KEY"].expose_secret(), "k");
}

#[test]
fn replica_and_authority_are_checked_and_part_of_the_fingerprint() {
    let mut spec = spec();
    let plain = parse(&spec, "ns", "post-service", &complete()).unwrap();
    let reference = |name: &str, key: &str| {
        Some(SecretKeyRef {
            name: name.into(),
            key: key.into(),
        })
    };
    spec.database.read_url_secret_ref = reference("replica", "url");
    spec.database.tls.ca_secret_ref = reference("authority", "ca.pem");
    let with = |url: &str, ca: &str| {
        let raw = RawSecrets {
            read: Some(secret(&[("url", url)])),
            ca: Some(secret(&[("ca.pem", ca)])),
            ..complete()
        };
        parse(&spec, "ns", "post-service", &raw)
    };
    let pem = "-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----\n";
    let one = with("mysql://u:p@replica/postdb", pem).unwrap();
    let other = with("mysql://u:q@replica/postdb", pem).unwrap();
    assert_ne!(one.fingerprint, other.fingerprint);
    assert_ne!(one.fingerprint, plain.fingerprint);
    let fault = with("postgres://u:hunter2@replica/postdb", pem).unwrap_err();
    assert_eq!(fault.reason(), "Malformed");
    let fault = with("mysql://u:p@replica/postdb", "hunter2").unwrap_err();
    assert!(
        fault.to_string().contains("Secret authority, key ca.pem"),
        "{fault}"
    );
    assert!(!fault.to_string().contains("hunter2"));
}

#[test]
fn an_account_that_is_not_made_yet_is_no_fault_of_the_secrets() {
    let mut spec = spec();
    spec.database.connection = Some(crate::api::v1alpha1::Connection {
        host: "db".into(),
        port: 3306,
        name: "postdb".into(),
    });
    let raw = RawSecrets {
        database: None,
        ..complete()
    };
    let found = parse(&spec, "ns", "post-service", &raw).unwrap();
    assert!(found.account.is_none());
    assert_eq!(found.place.name, "postdb");
    assert_eq!(found.migrator_url.name, "post-service-database");
}
