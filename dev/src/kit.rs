//! What end-to-end tests need of the local cluster.

use anyhow::{Context, Result};
use k8s_openapi::api::core::v1::Pod;
use kube::api::{Api, DynamicObject, ListParams};

use crate::command::Command;
use crate::images::{self, Fault, Image};
use crate::install::{self, ready::Condition};
use crate::network::HOST;
use crate::paths::Paths;
use crate::programs::go;
use crate::progress::Progress;
use crate::state::Secrets;
use crate::status::Status;
use crate::{aws::cognito, cluster, mysql, up};

pub use crate::wait::until;

/// Environment variable that makes a missing cluster a failure; `cargo dev test` sets it.
pub const REQUIRED: &str = "TEST_CLUSTER_REQUIRED";

/// Access to the running local cluster.
pub struct Kit {
    /// A client with the administrator's rights.
    pub client: kube::Client,
    paths: Paths,
}

impl std::fmt::Debug for Kit {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Kit")
            .field("paths", &self.paths)
            .finish_non_exhaustive()
    }
}

impl Kit {
    /// The running cluster. Without one: `None`, and a line on standard error, unless the
    /// environment says that there must be one.
    pub async fn connect() -> Result<Option<Self>> {
        let paths = Paths::find()?;
        if !up::is_running(&paths) {
            anyhow::ensure!(
                std::env::var_os(REQUIRED).is_none(),
                "the local cluster does not run"
            );
            eprintln!("skipped: needs the local cluster; run `cargo dev up` first");
            return Ok(None);
        }
        let client = cluster::kubeconfig::client(&paths.kubeconfig()).await?;
        Ok(Some(Self { client, paths }))
    }

    /// Addresses and a fresh token.
    pub async fn status(&self) -> Status {
        Status::read(&self.paths).await
    }

    /// The base URL of the example's API.
    pub async fn api_url(&self) -> Result<String> {
        crate::status::api_url(&self.client)
            .await
            .context("the service has no node port")
    }

    /// The database server, as its administrator, without a database.
    pub fn database_admin_url(&self) -> Result<String> {
        let secrets = Secrets::load(&self.paths).context("the local database was never started")?;
        Ok(mysql::admin_url(HOST, mysql::PORT, &secrets))
    }

    /// A fresh id token of the named user, who is made if need be.
    pub async fn token_of(&self, user: &str) -> Result<String> {
        let pool = cognito::find().await?.context("no user pool")?;
        let password = "Aa1!-only-for-tests";
        cognito::ensure_user(&pool, user, password).await?;
        cognito::token_of(&pool, user, password).await
    }

    /// Runs kubectl; returns its standard output.
    pub async fn kubectl(&self, args: &[&str]) -> Result<String> {
        let kubectl = Command::new(go::kubectl(&self.paths)?).args(args);
        kubectl
            .env("KUBECONFIG", self.paths.kubeconfig())
            .run()
            .await
    }

    /// Runs Helm; returns its standard output.
    pub async fn helm(&self, args: &[&str]) -> Result<String> {
        let helm = go::helm(&self.paths, &Progress::new()).await?;
        let helm = Command::new(helm).args(args);
        helm.arg("--kubeconfig")
            .arg(self.paths.kubeconfig())
            .run()
            .await
    }

    /// Runs the operator's program as a person does, with this kubeconfig; returns its standard
    /// output.
    pub async fn post_operator(
        &self,
        kubeconfig: &std::path::Path,
        args: &[&str],
    ) -> Result<String> {
        let program = images::binary(&self.paths, images::OPERATOR);
        let program = Command::new(program).args(args);
        program.arg("--kubeconfig").arg(kubeconfig).run().await
    }

    /// The administrator's kubeconfig.
    pub fn kubeconfig(&self) -> std::path::PathBuf {
        self.paths.kubeconfig()
    }

    /// Server-side-applies YAML.
    pub async fn apply(&self, yaml: &str) -> Result<()> {
        cluster::manifests::apply(&self.client, yaml).await
    }

    /// The `PostService`s of a namespace.
    pub fn post_services(&self, namespace: &str) -> Api<DynamicObject> {
        Api::namespaced_with(self.client.clone(), namespace, &install::post_service())
    }

    /// A condition of a `PostService`, if it has that one.
    pub async fn condition(
        &self,
        namespace: &str,
        name: &str,
        kind: &str,
    ) -> Result<Option<Condition>> {
        let object = self.post_services(namespace).get(name).await?;
        Ok(install::ready::conditions(&object)
            .into_iter()
            .find(|c| c.kind == kind))
    }

    /// The pods of a namespace.
    pub async fn pods(&self, namespace: &str) -> Result<Vec<Pod>> {
        let pods: Api<Pod> = Api::namespaced(self.client.clone(), namespace);
        Ok(pods.list(&ListParams::default()).await?.items)
    }

    /// Pushes the service's image under another tag, with a digest of its own.
    pub async fn push_service(&self, tag: &str) -> Result<Image> {
        images::push_variant(&self.paths, images::SERVICE, tag).await
    }

    /// An image of the service that goes wrong in this way.
    pub async fn push_faulty_service(&self, fault: Fault, tag: &str) -> Result<Image> {
        images::push_faulty_service(&self.paths, fault, tag).await
    }

    /// The stand-in of the service that the product replaces.
    pub async fn push_old_service(&self) -> Result<Image> {
        images::push_old_service(&self.paths).await
    }

    /// An image with busybox.
    pub async fn tools_image(&self) -> Result<Image> {
        images::push_tools(&self.paths).await
    }
}
