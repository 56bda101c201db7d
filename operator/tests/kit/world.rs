//! Test kit: a namespace of its own on a real API server, a real MySQL and a real ECR API. No
//! controllers run there, so that tests play the Job's and the Deployment's.

use std::io::Write as _;
use std::sync::Arc;
use std::time::{Duration, Instant};

use aws_config::SdkConfig;
use aws_sdk_ecr::config::{Credentials, Region};
use aws_sdk_ecr::types::ImageIdentifier;
use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::batch::v1::Job;
use k8s_openapi::api::core::v1::{Namespace, Secret};
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::api::{Api, DeleteParams, ListParams, Patch, PatchParams, PostParams};
use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::core::NamespaceResourceScope;
use kube::{Client, Config, CustomResourceExt as _, Resource, ResourceExt as _};
use kube_runtime::wait::{await_condition, conditions};
use post_operator::api::v1alpha1::PostService;
use post_operator::build::{Pace, Settings};
use post_operator::controller::{self, Scope};
use post_operator::database::accounts::{Accounts, Role, Slot};
use post_operator::registry::Registries;
use post_operator::registry::ecr::Ecr;
use post_operator::registry::oci::Oci;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use sqlx::{ConnectOptions as _, Connection as _, MySqlConnection};
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

const ACCOUNT: &str = "123456789012";
const REGION: &str = "ap-northeast-2";
/// Longest wait for anything.
pub const PATIENCE: Duration = Duration::from_secs(30);

/// What the environment offers; `None` makes the caller return: the skip is printed.
pub struct Environment {
    kubeconfig: String,
    mysql: String,
    ecr: String,
}

/// A database server of the environment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Server {
    MySql,
    MariaDb,
}

impl Environment {
    pub fn find() -> Option<Self> {
        Self::with(Server::MySql)
    }

    /// Whether a variable is set; if not, that is printed.
    pub fn has(name: &str) -> bool {
        Self::variable(name).is_some()
    }

    fn variable(name: &str) -> Option<String> {
        let value = std::env::var(name).ok();
        if value.is_none() {
            // Not `eprintln!`, which the test harness keeps from a test that passes.
            let _ = writeln!(
                std::io::stderr(),
                "skipped: {name} is not set; run `cargo dev test operator`"
            );
        }
        value
    }

    /// With this database server.
    pub fn with(server: Server) -> Option<Self> {
        let get = Self::variable;
        Some(Self {
            kubeconfig: get("TEST_KUBECONFIG")?,
            mysql: get(match server {
                Server::MySql => "TEST_MYSQL_URL",
                Server::MariaDb => "TEST_MARIADB_URL",
            })?,
            ecr: get("TEST_ECR_ENDPOINT")?,
        })
    }
}

/// One test's world; `close` removes it.
pub struct World {
    pub client: Client,
    pub namespace: String,
    pub repository: String,
    pub database: String,
    kubeconfig: String,
    /// How often the operator looks at things; for [`Self::start_operator`].
    pub pace: Pace,
    /// The operator's own setting for every pod: another one is another version's template.
    pub keys: String,
    pub admin_url: String,
    ecr: aws_sdk_ecr::Client,
    aws: SdkConfig,
    registry: Arc<Registries>,
    operator: Option<(oneshot::Sender<()>, JoinHandle<()>)>,
}

/// ECR's API, and its registry's own for those who name it by address.
fn registries(ecr: Ecr) -> Arc<Registries> {
    let endpoint = std::env::var("TEST_ECR_ENDPOINT").unwrap();
    let host = endpoint.strip_prefix("http://").map(str::to_owned);
    Arc::new(Registries::new(ecr, Oci::with_plain_http(host)))
}

/// Creates a namespace.
pub async fn create_namespace(client: &Client, name: &str) {
    let namespace = Namespace {
        metadata: kube::core::ObjectMeta {
            name: Some(name.to_owned()),
            ..Default::default()
        },
        ..Namespace::default()
    };
    Api::all(client.clone())
        .create(&PostParams::default(), &namespace)
        .await
        .unwrap();
}

impl World {
    /// A namespace and a registry repository of that name; CRDs installed.
    pub async fn open(environment: Environment, name: &str) -> Self {
        let unique = format!("{name}-{:x}", std::process::id());
        let config = client_config(&environment.kubeconfig).await;
        let client = Client::try_from(config).unwrap();
        install_crd(&client).await;
        create_namespace(&client, &unique).await;

        let sdk = aws_config::from_env()
            .endpoint_url(&environment.ecr)
            .region(Region::new(REGION))
            .credentials_provider(Credentials::new(ACCOUNT, "test", None, None, "test"))
            .load()
            .await;
        let ecr = aws_sdk_ecr::Client::new(&sdk);
        ecr.create_repository()
            .repository_name(&unique)
            .send()
            .await
            .unwrap();
        Self {
            client,
            repository: format!("{ACCOUNT}.dkr.ecr.{REGION}.amazonaws.com/{unique}"),
            database: format!("t_{}", unique.replace('-', "_")),
            pace: Pace {
                settle: Duration::from_millis(500),
                ..Pace::default()
            },
            namespace: unique,
            keys: "http://keys.example/jwks".into(),
            kubeconfig: environment.kubeconfig,
            admin_url: environment.mysql,
            ecr,
            registry: registries(Ecr::new(sdk.clone())),
            aws: sdk,
            operator: None,
        }
    }

    /// How to reach the API server, for a client of one's own.
    pub async fn config(&self) -> Config {
        client_config(&self.kubeconfig).await
    }

    /// Another namespace beside this one, with the same images and the same database, which
    /// [`World::leave`] leaves as they are.
    pub async fn beside(&self, name: &str) -> Self {
        let unique = format!("{name}-{:x}", std::process::id());
        create_namespace(&self.client, &unique).await;
        Self {
            client: self.client.clone(),
            repository: self.repository.clone(),
            database: self.database.clone(),
            namespace: unique,
            keys: self.keys.clone(),
            admin_url: self.admin_url.clone(),
            ecr: self.ecr.clone(),
            aws: self.aws.clone(),
            registry: self.registry.clone(),
            kubeconfig: self.kubeconfig.clone(),
            pace: self.pace,
            operator: None,
        }
    }

    /// Removes the namespace, and nothing that is shared with others.
    pub async fn leave(self) {
        Api::<Namespace>::all(self.client.clone())
            .delete(&self.namespace, &DeleteParams::default())
            .await
            .unwrap();
    }

    /// Runs the operator in this process, on this namespace only.
    pub fn start_operator(&mut self) {
        self.start_operator_with(self.client.clone());
    }

    /// The same, with a client of its own.
    pub fn start_operator_with(&mut self, client: Client) {
        let (stop, stopped) = oneshot::channel();
        let settings = Settings {
            service_env: [("COGNITO_JWKS_URL".to_owned(), self.keys.clone())].into(),
            pace: self.pace,
        };
        let running = tokio::spawn(controller::run(
            client,
            Scope::Namespace(self.namespace.clone()),
            self.registry.clone(),
            settings,
            async move {
                let _ = stopped.await;
            },
        ));
        self.operator = Some((stop, running));
    }

    pub async fn stop_operator(&mut self) {
        if let Some((stop, running)) = self.operator.take() {
            stop.send(()).unwrap();
            running.await.unwrap();
        }
    }

    pub async fn close(mut self) {
        self.stop_operator().await;
        self.sql(&format!("DROP DATABASE IF EXISTS `{}`", self.database))
            .await;
        self.drop_accounts().await;
        self.sql(&format!(
            "DROP USER IF EXISTS '{}'@'%'",
            self.limited_user()
        ))
        .await;
        Api::<Namespace>::all(self.client.clone())
            .delete(&self.namespace, &DeleteParams::default())
            .await
            .unwrap();
    }

    pub fn api<K>(&self) -> Api<K>
    where
        K: Resource<DynamicType = (), Scope = NamespaceResourceScope>,
    {
        Api::namespaced(self.client.clone(), &self.namespace)
    }

    /// Pushes an image manifest under `tag` and gives its digest.
    pub async fn push_image(&self, tag: &str) -> String {
        self.push(tag, tag).await
    }

    /// Pushes another image under the same `tag`, and gives its digest.
    pub async fn move_tag(&self, tag: &str) -> String {
        self.push(tag, "another").await
    }

    /// A queue of events, which the operator reads that is started next.
    pub async fn create_events_queue(&mut self) -> (aws_sdk_sqs::Client, String) {
        let sqs = aws_sdk_sqs::Client::new(&self.aws);
        let queue = sqs.create_queue().queue_name(&self.namespace).send().await;
        let url = queue.unwrap().queue_url().unwrap().to_owned();
        let ecr = Ecr::new(self.aws.clone()).with_events(Some(url.clone()));
        self.registry = registries(ecr);
        (sqs, url)
    }

    /// Name of the repository within its registry.
    pub fn repository_name(&self) -> &str {
        self.repository.split_once('/').unwrap().1
    }

    /// Removes an image and its tags from the registry.
    pub async fn delete_image(&self, digest: &str) {
        let image = ImageIdentifier::builder().image_digest(digest).build();
        self.ecr
            .batch_delete_image()
            .repository_name(self.repository_name())
            .image_ids(image)
            .send()
            .await
            .unwrap();
    }

    /// Gives the repository a lifecycle policy.
    pub async fn set_lifecycle(&self, policy: Value) {
        self.ecr
            .put_lifecycle_policy()
            .repository_name(self.repository_name())
            .lifecycle_policy_text(policy.to_string())
            .send()
            .await
            .unwrap();
    }

    async fn push(&self, tag: &str, content: &str) -> String {
        let manifest = json!({
            "schemaVersion": 2, "mediaType": "application/vnd.oci.image.manifest.v1+json",
            "config": {"mediaType": "application/vnd.oci.image.config.v1+json", "size": 2,
                "digest": "sha256:44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a"},
            "layers": [], "annotations": {"content": content},
        });
        let answer = self
            .ecr
            .put_image()
            .repository_name(self.repository_name())
            .image_manifest(manifest.to_string())
            .image_tag(tag)
            .send()
            .await
            .unwrap();
        answer
            .image()
            .unwrap()
            .image_id()
            .unwrap()
            .image_digest()
            .unwrap()
            .to_owned()
    }

    fn admin(&self) -> url::Url {
        url::Url::parse(&self.admin_url).unwrap()
    }

    pub fn host(&self) -> String {
        self.admin().host_str().unwrap().to_owned()
    }

    pub fn port(&self) -> u16 {
        self.admin().port().unwrap()
    }

    /// The part of a spec that makes the operator make the accounts.
    pub fn bootstrap(&self) -> Value {
        json!({"database": {
            "connection": {"host": self.host(), "port": self.port(), "name": self.database},
            "bootstrap": {"adminSecretRef": {"name": "rds-admin"}},
        }})
    }

    /// The administrator's Secret with the server's real one.
    pub async fn create_admin_secret(&self) {
        let admin = self.admin();
        let password = admin.password().unwrap();
        self.create_secret(
            "rds-admin",
            &[
                ("username", admin.username()),
                ("password", password),
                ("host", &self.host()),
            ],
        )
        .await;
    }

    /// The old README's two Secrets, with the administrator's account.
    pub async fn create_secrets(&self) {
        let url = self.database_url();
        self.create_database_secret(&url).await;
        self.create_secret(
            "post-secrets",
            &[
                ("cognito-user-pool-id", "ap-northeast-2_test"),
                ("cognito-region", REGION),
                ("cognito-client-id", "client"),
                ("secret-key", "0123456789abcdef"),
            ],
        )
        .await;
    }

    pub fn database_url(&self) -> String {
        let url = self
            .admin_url
            .trim_end_matches('/')
            .replacen("mysql://", "mysql+pymysql://", 1);
        format!("{url}/{}?charset=utf8mb4", self.database)
    }

    pub async fn create_database_secret(&self, url: &str) {
        self.create_secret("post-db-secret", &[("database-url", url)])
            .await;
    }

    pub async fn create_secret(&self, name: &str, entries: &[(&str, &str)]) {
        let secret = Secret {
            metadata: kube::core::ObjectMeta {
                name: Some(name.into()),
                ..Default::default()
            },
            string_data: Some(
                entries
                    .iter()
                    .map(|(k, v)| ((*k).to_owned(), (*v).to_owned()))
                    .collect(),
            ),
            ..Secret::default()
        };
        self.api::<Secret>()
            .create(&PostParams::default(), &secret)
            .await
            .unwrap();
    }

    /// Creates the `PostService` with `tag`, changed by `patch`. Where that does not say otherwise,
    /// rollouts have no bake: no pod runs here that could have one.
    pub async fn create_service(&self, tag: &str, patch: Value) {
        let mut spec = json!({
            "image": {"repository": self.repository, "tag": tag},
            "rollout": {"bake": {"duration": "0s"}},
        });
        merge(&mut spec, patch);
        self.apply("post-service", &spec).await;
    }

    /// Applies the `PostService` of this name.
    async fn apply(&self, name: &str, spec: &Value) {
        let object = json!({
            "apiVersion": "platform.hhottdogg.shop/v1alpha1", "kind": "PostService",
            "metadata": {"name": name}, "spec": spec,
        });
        self.api::<PostService>()
            .patch(name, &PatchParams::apply("test"), &Patch::Apply(object))
            .await
            .unwrap();
    }

    /// Changes the `PostService` as `kubectl patch` does.
    pub async fn change(&self, change: Value) -> PostService {
        let (none, change) = (PatchParams::default(), Patch::Merge(change));
        let services = self.api::<PostService>();
        services
            .patch("post-service", &none, &change)
            .await
            .unwrap()
    }

    /// Creates the `PostService` with a policy that selects the image.
    pub async fn create_following(&self, policy: Value, scan_interval: &str) {
        let image = json!({
            "repository": self.repository, "policy": policy, "scanInterval": scan_interval,
        });
        let spec = json!({"image": image, "rollout": {"bake": {"duration": "0s"}}});
        self.apply("post-service", &spec).await;
    }

    /// Plays the controllers until the pods of `digest`, whose image must be migrated, serve.
    pub async fn roll_out(&self, digest: &str) {
        let job = self.migration_job(digest).await;
        self.end_job(&job, "Complete").await;
        self.deployment_running(digest).await;
        self.finish_rollout().await;
        self.condition("Ready", "True", "UpToDate").await;
    }

    /// Creates another `PostService`.
    pub async fn create_named(&self, name: &str, tag: &str) {
        let image = json!({"repository": self.repository, "tag": tag});
        let spec = json!({"image": image, "rollout": {"bake": {"duration": "0s"}}});
        self.apply(name, &spec).await;
    }

    pub async fn service(&self) -> PostService {
        self.api::<PostService>().get("post-service").await.unwrap()
    }

    /// Waits until condition `type_` has `status` and `reason`, and gives its message.
    pub async fn condition(&self, type_: &str, status: &str, reason: &str) -> String {
        self.wait::<PostService, _>(
            "post-service",
            &format!("{type_}={status}/{reason}"),
            |service| {
                let conditions = &service.status.as_ref()?.conditions;
                conditions
                    .iter()
                    .find(|c| c.type_ == type_ && c.status == status && c.reason == reason)
                    .map(|c| c.message.clone())
            },
        )
        .await
    }

    /// Polls object `name` until `ready` gives something.
    pub async fn wait<K, T>(&self, name: &str, what: &str, ready: impl Fn(&K) -> Option<T>) -> T
    where
        K: Resource<DynamicType = (), Scope = NamespaceResourceScope>
            + Clone
            + std::fmt::Debug
            + DeserializeOwned,
    {
        let begun = Instant::now();
        loop {
            let object = self.api::<K>().get_opt(name).await.unwrap();
            if let Some(found) = object.as_ref().and_then(&ready) {
                return found;
            }
            assert!(
                begun.elapsed() < PATIENCE,
                "{} {name} never came to {what}; last seen: {object:#?}",
                K::kind(&())
            );
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    /// The only migration Job whose image ends with `digest`.
    pub async fn migration_job(&self, digest: &str) -> Job {
        let begun = Instant::now();
        loop {
            let jobs = self
                .api::<Job>()
                .list(&ListParams::default())
                .await
                .unwrap()
                .items;
            let found: Vec<_> = jobs
                .into_iter()
                .filter(|job| job_image(job).ends_with(digest))
                .collect();
            assert!(found.len() < 2, "two Jobs for one digest: {found:#?}");
            if let Some(job) = found.into_iter().next() {
                return job;
            }
            assert!(begun.elapsed() < PATIENCE, "no migration Job of {digest}");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    /// Plays the Job controller: the Job ends with `condition` (`Complete` or `Failed`).
    pub async fn end_job(&self, job: &Job, condition: &str) {
        let now = k8s_openapi::jiff::Timestamp::now().to_string();
        let criteria = if condition == "Complete" {
            "SuccessCriteriaMet"
        } else {
            "FailureTarget"
        };
        let mut status = json!({"startTime": now, "conditions": [
            {"type": criteria, "status": "True", "lastTransitionTime": now},
            {"type": condition, "status": "True", "lastTransitionTime": now},
        ]});
        if condition == "Complete" {
            status["completionTime"] = json!(now);
            status["succeeded"] = json!(1);
        }
        self.api::<Job>()
            .patch_status(
                &job.name_any(),
                &PatchParams::default(),
                &Patch::Merge(json!({"status": status})),
            )
            .await
            .unwrap();
    }

    /// Plays the Deployment controller: every pod of the present template serves.
    pub async fn finish_rollout(&self) {
        let deployments = self.api::<Deployment>();
        let live = deployments.get("post-service").await.unwrap();
        let pods = live.spec.as_ref().and_then(|spec| spec.replicas);
        let status = json!({
            "observedGeneration": live.metadata.generation, "replicas": pods,
            "updatedReplicas": pods, "readyReplicas": pods, "availableReplicas": pods,
        });
        deployments
            .patch_status(
                "post-service",
                &PatchParams::default(),
                &Patch::Merge(json!({"status": status})),
            )
            .await
            .unwrap();
    }

    /// From nothing to Ready, with the controllers' parts played.
    pub async fn make_ready(&self, tag: &str) -> String {
        let digest = self.push_image(tag).await;
        self.create_secrets().await;
        self.create_service(tag, json!({})).await;
        self.roll_out(&digest).await;
        digest
    }

    /// Waits until the Deployment runs `digest`.
    pub async fn deployment_running(&self, digest: &str) -> Deployment {
        self.wait::<Deployment, _>("post-service", digest, |deployment| {
            let pod = deployment.spec.as_ref()?.template.spec.as_ref()?;
            pod.containers[0]
                .image
                .as_ref()?
                .ends_with(digest)
                .then(|| deployment.clone())
        })
        .await
    }

    /// Deletes and waits until the object, or its like of the same uid, is gone.
    pub async fn delete<K>(&self, name: &str)
    where
        K: Resource<DynamicType = (), Scope = NamespaceResourceScope>
            + Clone
            + std::fmt::Debug
            + DeserializeOwned
            + Send
            + 'static,
    {
        let api = self.api::<K>();
        let uid = api.get(name).await.unwrap().uid().unwrap();
        api.delete(name, &DeleteParams::background()).await.unwrap();
        let gone = await_condition(api, name, conditions::is_deleted(&uid));
        tokio::time::timeout(PATIENCE, gone)
            .await
            .expect("deleted in time")
            .unwrap();
    }

    /// Drops the accounts that the operator made for `post-service`, which it never does itself.
    async fn drop_accounts(&self) {
        let accounts = Accounts::of(&self.namespace, "post-service");
        for role in [
            Role::Runtime(Slot::A),
            Role::Runtime(Slot::B),
            Role::Migrator,
        ] {
            let user = accounts.name(role);
            self.sql(&format!("DROP USER IF EXISTS '{user}'@'%'")).await;
        }
    }

    pub async fn sql(&self, statement: &str) {
        self.connect().await.execute_text(statement).await;
    }

    /// Whether the test's database exists.
    pub async fn database_exists(&self) -> bool {
        let mut connection = self.connect().await;
        let found: i64 = sqlx::query_scalar(
            "SELECT COUNT(*) FROM information_schema.schemata WHERE schema_name = ?",
        )
        .bind(&self.database)
        .fetch_one(&mut connection)
        .await
        .unwrap();
        connection.close().await.unwrap();
        found == 1
    }

    /// An account without any privilege, and the URL with it.
    pub async fn create_limited_user(&self) -> String {
        let user = self.limited_user();
        self.sql(&format!("CREATE USER '{user}'@'%' IDENTIFIED BY 'limited'"))
            .await;
        let mut url = url::Url::parse(&self.admin_url).unwrap();
        url.set_username(&user).unwrap();
        url.set_password(Some("limited")).unwrap();
        url.set_path(&self.database);
        url.to_string()
    }

    pub fn limited_user(&self) -> String {
        format!(
            "l{}",
            self.database.chars().rev().take(24).collect::<String>()
        )
    }

    pub async fn connect(&self) -> MySqlConnection {
        let options: sqlx::mysql::MySqlConnectOptions = self.admin_url.parse().unwrap();
        options.connect().await.unwrap()
    }
}

trait ExecuteText {
    async fn execute_text(self, statement: &str);
}

impl ExecuteText for MySqlConnection {
    async fn execute_text(mut self, statement: &str) {
        sqlx::query(statement).execute(&mut self).await.unwrap();
        self.close().await.unwrap();
    }
}

/// The image of a Job's only container.
pub fn job_image(job: &Job) -> String {
    let pod = job
        .spec
        .as_ref()
        .and_then(|spec| spec.template.spec.as_ref())
        .unwrap();
    pod.containers[0].image.clone().unwrap()
}

/// How to reach the API server of a kubeconfig.
pub async fn client_config(kubeconfig: &str) -> Config {
    let kubeconfig = Kubeconfig::read_from(kubeconfig).unwrap();
    Config::from_custom_kubeconfig(kubeconfig, &KubeConfigOptions::default())
        .await
        .unwrap()
}

/// Installs the definition, and waits until the API server knows it.
pub async fn install_crd(client: &Client) {
    let crds = Api::<CustomResourceDefinition>::all(client.clone());
    let name = PostService::crd_name();
    crds.patch(
        name,
        &PatchParams::apply("test").force(),
        &Patch::Apply(PostService::crd()),
    )
    .await
    .unwrap();
    let established = await_condition(crds, name, conditions::is_crd_established());
    tokio::time::timeout(PATIENCE, established)
        .await
        .expect("established in time")
        .unwrap();
}

pub fn merge(into: &mut Value, patch: Value) {
    match (into, patch) {
        (Value::Object(into), Value::Object(patch)) => {
            for (key, value) in patch {
                merge(into.entry(key).or_insert(json!({})), value);
            }
        }
        (into, patch) => *into = patch,
    }
}
