//! Encryption of the connection to the database, with real certificates.

use post_operator::api::v1alpha1::PostService;
use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair};
use serde_json::{Value, json};
use sqlx::mysql::MySqlConnection;
use sqlx::{Connection as _, Executor as _};

use crate::world::{Environment, World};

/// An authority, and a server's certificate and key for 127.0.0.1, as PEM.
struct Certificates {
    authority: String,
    certificate: String,
    key: String,
}

impl Certificates {
    fn generate() -> Self {
        let mut params = CertificateParams::new(vec![]).unwrap();
        // An issuer of the same name as its certificate would be taken for self-signed.
        params
            .distinguished_name
            .push(DnType::CommonName, "authority of a test");
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = KeyPair::generate().unwrap();
        let authority = params.self_signed(&key).unwrap().pem();
        let issuer = Issuer::new(params, key);
        let server = CertificateParams::new(vec!["127.0.0.1".to_owned()]).unwrap();
        let key = KeyPair::generate().unwrap();
        Self {
            authority,
            certificate: server.signed_by(&key, &issuer).unwrap().pem(),
            key: key.serialize_pem(),
        }
    }
}

async fn variable(root: &mut MySqlConnection, name: &str) -> String {
    sqlx::query_scalar(&format!("SELECT @@GLOBAL.{name}"))
        .fetch_one(root)
        .await
        .unwrap()
}

/// Makes a running server use other files (MySQL Reference Manual, "Server-Side Runtime
/// Configuration and Monitoring for Encrypted Connections").
async fn use_files(root: &mut MySqlConnection, files: [&str; 3]) {
    for (name, file) in ["ssl_ca", "ssl_cert", "ssl_key"].into_iter().zip(files) {
        root.execute(format!("SET GLOBAL {name} = '{file}'").as_str())
            .await
            .unwrap();
    }
    root.execute("ALTER INSTANCE RELOAD TLS").await.unwrap();
}

fn tls(mode: &str, authority: &str) -> Value {
    json!({"database": {"tls":
        {"mode": mode, "caSecretRef": {"name": authority, "key": "ca.pem"}}}})
}

/// Waits for what the operator says of this generation of the spec.
async fn database_ready(world: &World) -> (String, String) {
    let generation = world.service().await.metadata.generation;
    world
        .wait::<PostService, _>("post-service", "an answer", |service| {
            let status = service.status.as_ref()?;
            let found = status
                .conditions
                .iter()
                .find(|c| c.type_ == "DatabaseReady")?;
            (found.observed_generation == generation)
                .then(|| (found.status.clone(), found.message.clone()))
        })
        .await
}

#[tokio::test]
async fn the_servers_certificate_is_checked_as_the_mode_says() {
    let Some(environment) = Environment::find() else {
        return;
    };
    let mut world = World::open(environment, "tls").await;
    world.start_operator();
    let digest = world.push_image("1").await;
    world.create_secrets().await;
    let (ours, others) = (Certificates::generate(), Certificates::generate());
    let mut root = world.connect().await;
    let folder = variable(&mut root, "datadir").await;
    // The authority that the server made itself: its certificates name no host.
    let own = ["ca.pem", "server-cert.pem", "server-key.pem"].map(|f| format!("{folder}{f}"));
    let unnamed = std::fs::read_to_string(&own[0]).unwrap();
    use_files(&mut root, [&own[0], &own[1], &own[2]]).await;
    for (name, ca) in [
        ("unnamed", &unnamed),
        ("ours", &ours.authority),
        ("others", &others.authority),
    ] {
        world.create_secret(name, &[("ca.pem", ca)]).await;
    }
    world
        .create_service("1", tls("VerifyIdentity", "unnamed"))
        .await;
    let (ready, message) = database_ready(&world).await;
    assert_eq!(ready, "False");
    assert!(message.contains("not valid for name"), "{message}");

    let files = tempfile::tempdir().unwrap();
    let path = |name: &str| files.path().join(name).display().to_string();
    let new = [path("ca.pem"), path("cert.pem"), path("key.pem")];
    let contents = [&ours.authority, &ours.certificate, &ours.key];
    for (file, content) in new.iter().zip(contents) {
        std::fs::write(file, content).unwrap();
    }
    use_files(&mut root, [&new[0], &new[1], &new[2]]).await;
    let mut seen = Vec::new();
    for mode in ["VerifyIdentity", "VerifyCA", "Required"] {
        for authority in ["ours", "others"] {
            world.create_service("1", tls(mode, authority)).await;
            let (ready, _) = database_ready(&world).await;
            seen.push((mode, authority, ready == "True"));
        }
    }
    use_files(&mut root, [&own[0], &own[1], &own[2]]).await;
    root.close().await.unwrap();
    assert_eq!(
        seen,
        [
            ("VerifyIdentity", "ours", true),
            ("VerifyIdentity", "others", false),
            ("VerifyCA", "ours", true),
            ("VerifyCA", "others", false),
            ("Required", "ours", true),
            ("Required", "others", true),
        ]
    );

    let job = world.migration_job(&digest).await;
    world.end_job(&job, "Complete").await;
    let deployment = world.deployment_running(&digest).await;
    for template in [
        deployment.spec.unwrap().template,
        job.spec.unwrap().template,
    ] {
        let pod = serde_json::to_value(template.spec).unwrap();
        let mount = &pod["containers"][0]["volumeMounts"][0];
        assert_eq!(mount["readOnly"], true);
        let file = env(&pod, "DATABASE_TLS_CA");
        assert!(
            file.starts_with(mount["mountPath"].as_str().unwrap()),
            "{file}"
        );
        assert!(!env(&pod, "DATABASE_TLS_MODE").is_empty());
        let secret = &pod["volumes"][0]["secret"];
        let [name, key] =
            [&secret["secretName"], &secret["items"][0]["key"]].map(|part| part.as_str().unwrap());
        let authority = world.secret_value(name, key).await.unwrap();
        assert!(
            authority.starts_with("-----BEGIN CERTIFICATE-----"),
            "{name}"
        );
    }
    world.close().await;
}

fn env(pod: &Value, name: &str) -> String {
    let variables = pod["containers"][0]["env"].as_array().unwrap();
    let variable = variables.iter().find(|v| v["name"] == name).unwrap();
    variable["value"].as_str().unwrap().to_owned()
}
