//! A `PostService` of a test's own: its namespace, its database, its pods.

use std::time::Duration;

use dev::kit::{Kit, until};
use k8s_openapi::api::core::v1::{Namespace, Pod, Secret, Service};
use kube::ResourceExt;
use kube::api::{Api, DeleteParams, Patch, PatchParams, PostParams};
use serde_json::{Value, json};
use sqlx::{ConnectOptions as _, Connection as _, MySqlConnection};

/// Longest wait for anything that pods must do.
pub const PATIENCE: Duration = Duration::from_mins(2);
/// Namespace of the example that `cargo dev up` applies, and name of every test's `PostService`.
pub const EXAMPLE: &str = "post-service";
const REPOSITORY: &str = "123456789012.dkr.ecr.ap-northeast-2.amazonaws.com/post-service";

pub struct Board {
    pub kit: Kit,
    pub namespace: String,
    pub database: String,
    /// `rollout.bake` of the next [`Board::apply`].
    pub bake: Value,
}

impl Board {
    /// An empty namespace under the `restricted` level; `None` (and a printed skip) without cluster.
    pub async fn open(name: &str) -> Option<Self> {
        let kit = Kit::connect().await.unwrap()?;
        let namespace = format!("e2e-{name}-{:x}", std::process::id());
        let object = json!({
            "apiVersion": "v1", "kind": "Namespace",
            "metadata": {"name": namespace, "labels":
                {"pod-security.kubernetes.io/enforce": "restricted"}},
        });
        kit.apply(&serde_yaml::to_string(&object).unwrap())
            .await
            .unwrap();
        Some(Self {
            kit,
            database: namespace.replace('-', "_"),
            bake: json!({"duration": "1s"}),
            namespace,
        })
    }

    pub async fn create_secrets(&self) {
        self.create_database_secret().await;
        self.create_auth_secret().await;
    }

    /// As the example has it.
    pub async fn create_auth_secret(&self) {
        let example: Api<Secret> = Api::namespaced(self.kit.client.clone(), EXAMPLE);
        let data = example.get("post-secrets").await.unwrap().data;
        self.create_secret(&Secret {
            data,
            ..named("post-secrets")
        })
        .await;
    }

    pub async fn create_database_secret(&self) {
        let url = format!(
            "{}/{}",
            self.kit.database_admin_url().unwrap(),
            self.database
        );
        let string_data = Some([("database-url".to_owned(), url)].into());
        self.create_secret(&Secret {
            string_data,
            ..named("post-db-secret")
        })
        .await;
    }

    async fn create_secret(&self, secret: &Secret) {
        let secrets: Api<Secret> = Api::namespaced(self.kit.client.clone(), &self.namespace);
        secrets
            .create(&PostParams::default(), secret)
            .await
            .unwrap();
    }

    /// The `PostService`, small and quickly drained and baked, with `tag`.
    pub async fn apply(&self, tag: &str) {
        self.apply_image(json!({"tag": tag})).await;
    }

    /// The same, with the image of this tag or digest.
    pub async fn apply_image(&self, mut image: Value) {
        image["repository"] = json!(REPOSITORY);
        let object = json!({
            "apiVersion": "platform.hhottdogg.shop/v1alpha1", "kind": "PostService",
            "metadata": {"name": EXAMPLE, "namespace": self.namespace},
            "spec": {
                "image": image,
                "rollout": {"bake": self.bake, "progressDeadline": "30s"},
                "resources": {"requests": {"cpu": "20m", "memory": "32Mi"}},
                "service": {"loadBalancer": {"deregistrationDelaySeconds": 0}},
                "api": {"rateLimit": {"readsPerMinute": 0, "writesPerMinute": 0}},
            },
        });
        self.kit
            .post_services(&self.namespace)
            .patch(EXAMPLE, &PatchParams::apply("e2e"), &Patch::Apply(object))
            .await
            .unwrap();
    }

    /// Both Secrets and the example's tag, until it is Ready.
    pub async fn make_ready(&self) {
        self.create_secrets().await;
        self.apply(&example_tag(&self.kit).await).await;
        self.condition("Ready", "True", "UpToDate").await;
    }

    /// Waits for a condition and gives its message.
    pub async fn condition(&self, kind: &str, status: &str, reason: &str) -> String {
        let what = format!("{}: {kind}={status}/{reason}", self.namespace);
        until(&what, PATIENCE, async || {
            let service = self.kit.post_services(&self.namespace).get(EXAMPLE).await;
            let seen =
                service.map_err(|error| error.to_string())?.data["status"]["conditions"].take();
            let all = seen.as_array().cloned().unwrap_or_default();
            all.iter()
                .find(|c| c["type"] == kind && c["status"] == status && c["reason"] == reason)
                .map(|c| c["message"].as_str().unwrap_or_default().to_owned())
                .ok_or_else(|| seen.to_string())
        })
        .await
        .unwrap()
    }

    /// Pods of the Deployment that are not on their way out.
    pub async fn serving_pods(&self) -> Vec<Pod> {
        let mut pods = self.kit.pods(&self.namespace).await.unwrap();
        pods.retain(|pod| pod.metadata.deletion_timestamp.is_none() && is_api(pod));
        pods
    }

    /// Of the same pods.
    pub async fn uids(&self) -> Vec<String> {
        let pods = self.serving_pods().await;
        pods.iter().filter_map(ResourceExt::uid).collect()
    }

    /// Waits until none of the pods `before` is left.
    pub async fn replaced(&self, before: &[String]) {
        until("the former pods are gone", PATIENCE, async || {
            let all = self.kit.pods(&self.namespace).await;
            let all = all.map_err(|error| error.to_string())?;
            let is_left = |pod: &&Pod| before.contains(&pod.uid().unwrap_or_default());
            match all.iter().filter(is_left).count() {
                0 => Ok(()),
                left => Err(format!("{left} left")),
            }
        })
        .await
        .unwrap();
    }

    /// Base URL of the API on this machine.
    pub async fn url(&self) -> String {
        let services: Api<Service> = Api::namespaced(self.kit.client.clone(), &self.namespace);
        let ports = services
            .get(EXAMPLE)
            .await
            .unwrap()
            .spec
            .unwrap()
            .ports
            .unwrap();
        format!("http://127.0.0.1:{}", ports[0].node_port.unwrap())
    }

    /// The API's list of posts, as soon as it answers.
    pub async fn posts(&self) -> Value {
        get(&format!("{}/api/v1/posts", self.url().await)).await
    }

    pub async fn create_post(&self, title: &str) {
        // A post is sent once, so only when the node port already answers.
        self.posts().await;
        let token = self.kit.token_of("e2e").await.unwrap();
        create_post(&self.url().await, &token, title).await;
    }

    pub async fn database_connection(&self) -> MySqlConnection {
        let url = format!(
            "{}/{}",
            self.kit.database_admin_url().unwrap(),
            self.database
        );
        let options: sqlx::mysql::MySqlConnectOptions = url.parse().unwrap();
        options.connect().await.unwrap()
    }

    /// The server that holds the database.
    pub async fn server_connection(&self) -> MySqlConnection {
        let url = self.kit.database_admin_url().unwrap();
        let options: sqlx::mysql::MySqlConnectOptions = url.parse().unwrap();
        options.connect().await.unwrap()
    }

    /// Removes namespace and database.
    pub async fn close(self) {
        let namespaces: Api<Namespace> = Api::all(self.kit.client.clone());
        namespaces
            .delete(&self.namespace, &DeleteParams::default())
            .await
            .unwrap();
        let mut connection = self.server_connection().await;
        let drop = format!("DROP DATABASE IF EXISTS `{}`", self.database);
        sqlx::query(&drop).execute(&mut connection).await.unwrap();
        connection.close().await.unwrap();
    }
}

fn named(name: &str) -> Secret {
    let mut secret = Secret::default();
    secret.metadata.name = Some(name.to_owned());
    secret
}

/// The tag that the example runs.
pub async fn example_tag(kit: &Kit) -> String {
    let example = kit.post_services(EXAMPLE).get(EXAMPLE).await.unwrap();
    assert_eq!(example.name_any(), EXAMPLE);
    example.data["spec"]["image"]["tag"]
        .as_str()
        .unwrap()
        .to_owned()
}

/// GET until a 200 comes: a NodePort needs a moment after its Service.
pub async fn get(url: &str) -> Value {
    until(url, Duration::from_secs(30), async || {
        let answer = reqwest::get(url).await.map_err(|error| error.to_string())?;
        match answer.status().as_u16() {
            200 => answer.json().await.map_err(|error| error.to_string()),
            other => Err(other.to_string()),
        }
    })
    .await
    .unwrap()
}

pub async fn create_post(base: &str, token: &str, title: &str) {
    let body = json!({"title": title, "content": "내용", "category": "자유"});
    let answer = reqwest::Client::new()
        .post(format!("{base}/api/v1/posts"))
        .bearer_auth(token)
        .json(&body)
        .send()
        .await
        .unwrap();
    assert_eq!(answer.status(), 201, "{}", answer.text().await.unwrap());
}

/// Whether it is one of the Deployment's, and not of a Job.
pub fn is_api(pod: &Pod) -> bool {
    let component = pod.labels().get("app.kubernetes.io/component");
    component.is_some_and(|component| component == "api")
}
