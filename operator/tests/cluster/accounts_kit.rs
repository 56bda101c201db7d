//! Test kit for accounts that the operator makes: the administrator's Secret, what the server shows,
//! and pods that use an account.

use k8s_openapi::api::core::v1::{Event, Pod, Secret};
use kube::ResourceExt as _;
use kube::api::{DeleteParams, ListParams, Patch, PatchParams, PostParams};
use post_operator::api::v1alpha1::PostService;
use post_operator::database::accounts::{Accounts, Role};
use post_operator::database::vault::ACCOUNT_ANNOTATION;
use serde_json::{Value, json};
use sqlx::mysql::{MySqlConnectOptions, MySqlConnection};
use sqlx::{ConnectOptions as _, Connection as _};

use crate::world::{World, job_image};

/// Secret of the accounts.
pub const ACCOUNTS: &str = "post-service-database";

impl World {
    pub async fn create_auth_secret(&self) {
        self.create_secret(
            "post-secrets",
            &[
                ("cognito-user-pool-id", "ap-northeast-2_test"),
                ("cognito-region", "ap-northeast-2"),
                ("cognito-client-id", "client"),
                ("secret-key", "0123456789abcdef"),
            ],
        )
        .await;
    }

    pub async fn patch_secret(&self, name: &str, entries: Value) {
        self.api::<Secret>()
            .patch(
                name,
                &PatchParams::default(),
                &Patch::Merge(json!({"stringData": entries})),
            )
            .await
            .unwrap();
    }

    pub async fn annotate(&self, name: &str, value: &str) {
        let annotations = json!({"metadata": {"annotations": {name: value}}});
        self.api::<PostService>()
            .patch(
                "post-service",
                &PatchParams::default(),
                &Patch::Merge(annotations),
            )
            .await
            .unwrap();
    }

    /// A value of a Secret, where there is one.
    pub async fn secret_value(&self, name: &str, key: &str) -> Option<String> {
        let secret = self.api::<Secret>().get_opt(name).await.unwrap()?;
        value(&secret, key)
    }

    /// Waits until the Secret's value is `wanted`.
    pub async fn secret_becomes(&self, name: &str, key: &str, wanted: Option<&str>) {
        let what = format!("{key}={wanted:?}");
        self.wait::<Secret, _>(name, &what, |secret| {
            (value(secret, key).as_deref() == wanted).then_some(())
        })
        .await;
    }

    /// The account's name.
    pub fn account(&self, role: Role) -> String {
        Accounts::of(&self.namespace, "post-service").name(role)
    }

    /// What the account may do: on everything, and by database pattern.
    pub async fn grants(&self, user: &str) -> (Vec<String>, Vec<(String, String)>) {
        let mut connection = self.connect().await;
        let grantee = format!("'{user}'@'%'");
        let global = sqlx::query_scalar(
            "SELECT CAST(privilege_type AS CHAR) FROM information_schema.user_privileges \
             WHERE grantee = ?",
        )
        .bind(&grantee)
        .fetch_all(&mut connection)
        .await
        .unwrap();
        let on_database = sqlx::query_as(
            "SELECT CAST(table_schema AS CHAR), CAST(privilege_type AS CHAR) \
             FROM information_schema.schema_privileges WHERE grantee = ? ORDER BY 2",
        )
        .bind(&grantee)
        .fetch_all(&mut connection)
        .await
        .unwrap();
        connection.close().await.unwrap();
        (global, on_database)
    }

    /// From nothing to Ready with accounts of the operator's making.
    pub async fn make_ready_with_accounts(&self, patch: Value) -> String {
        let digest = self.push_image("1").await;
        self.create_auth_secret().await;
        let mut spec = self.bootstrap();
        crate::world::merge(&mut spec, patch);
        self.create_service("1", spec).await;
        let job = self.migration_job(&digest).await;
        assert!(job_image(&job).ends_with(&digest));
        self.end_job(&job, "Complete").await;
        self.deployment_running(&digest).await;
        self.finish_rollout().await;
        self.condition("Ready", "True", "UpToDate").await;
        digest
    }

    /// A pod of the service that was started with this account. No kubelet runs it.
    pub async fn create_pod(&self, name: &str, account: &str) {
        let pod: Pod = serde_json::from_value(json!({
            "metadata": {
                "name": name,
                "labels": {
                    "app.kubernetes.io/name": "post-service",
                    "app.kubernetes.io/instance": "post-service",
                    "app.kubernetes.io/component": "api",
                },
                "annotations": {ACCOUNT_ANNOTATION: account},
            },
            "spec": {
                "serviceAccountName": "post-service",
                "automountServiceAccountToken": false,
                "containers": [{"name": "post-service", "image": "example/none"}],
            },
        }))
        .unwrap();
        self.api::<Pod>()
            .create(&PostParams::default(), &pod)
            .await
            .unwrap();
    }

    pub async fn delete_pod(&self, name: &str) {
        self.api::<Pod>()
            .delete(name, &DeleteParams::default().grace_period(0))
            .await
            .unwrap();
    }

    /// Everything of the namespace that anybody but a reader of Secrets may see, as text.
    pub async fn visible_text(&self) -> String {
        let all = ListParams::default();
        let mut text = String::new();
        let services = self.api::<PostService>().list(&all).await.unwrap();
        text += &serde_json::to_string(&services.items).unwrap();
        let events = self.api::<Event>().list(&all).await.unwrap();
        text += &serde_json::to_string(&events.items).unwrap();
        let jobs = self.api::<k8s_openapi::api::batch::v1::Job>();
        text += &serde_json::to_string(&jobs.list(&all).await.unwrap().items).unwrap();
        let deployments = self.api::<k8s_openapi::api::apps::v1::Deployment>();
        text += &serde_json::to_string(&deployments.list(&all).await.unwrap().items).unwrap();
        let secrets = self.api::<Secret>().list(&all).await.unwrap();
        for secret in secrets {
            text += &serde_json::to_string(&secret.annotations()).unwrap();
        }
        text
    }

    /// No value of the operator's own Secrets that is secret can be seen elsewhere.
    pub async fn nothing_secret_is_visible(&self) {
        let text = self.visible_text().await;
        for secret in self
            .api::<Secret>()
            .list(&ListParams::default())
            .await
            .unwrap()
        {
            for (key, bytes) in secret.data.iter().flatten() {
                let is_secret =
                    key.starts_with("password") || key.ends_with("url") || key == "secret-key";
                let value = String::from_utf8_lossy(&bytes.0);
                assert!(
                    !is_secret || !text.contains(&*value),
                    "the value of {key} of Secret {} is visible",
                    secret.name_any()
                );
            }
        }
    }
}

/// A value of a Secret, where there is one.
pub fn value(secret: &Secret, key: &str) -> Option<String> {
    let bytes = secret.data.as_ref()?.get(key)?;
    Some(String::from_utf8(bytes.0.clone()).unwrap())
}

/// Connects with a URL.
pub async fn log_in(url: &str) -> Result<MySqlConnection, sqlx::Error> {
    url.parse::<MySqlConnectOptions>().unwrap().connect().await
}

/// Whether a URL's account may read and write its database.
pub async fn works(url: &str) -> bool {
    let Ok(mut connection) = log_in(url).await else {
        return false;
    };
    let database: Option<String> = sqlx::query_scalar("SELECT DATABASE()")
        .fetch_one(&mut connection)
        .await
        .unwrap();
    connection.close().await.unwrap();
    database.is_some()
}

/// Waits until the account of a URL is refused.
pub async fn becomes_refused(url: &str) {
    let begun = std::time::Instant::now();
    while works(url).await {
        assert!(begun.elapsed() < crate::world::PATIENCE, "still let in");
        tokio::time::sleep(std::time::Duration::from_millis(100)).await;
    }
}
