//! The product in a cluster: the operator by Helm, the Secrets, the example, and waiting for it.

pub mod ready;

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use k8s_openapi::api::core::v1::{Namespace, Pod, Secret};
use kube::api::{Api, DynamicObject, ListParams, Patch, PatchParams};
use kube::core::GroupVersionKind;
use kube::discovery::ApiResource;
use serde_json::{Value, json};

use crate::aws::{self, cognito::Pool, ecr};
use crate::cluster::manifests::{self, FIELD_MANAGER};
use crate::command::Command;
use crate::images::Image;
use crate::mysql;
use crate::network::HOST;
use crate::paths::{self, Paths};
use crate::progress::Progress;
use crate::state::Secrets;
use crate::{status, wait};

/// Namespace of the operator.
pub const OPERATOR_NAMESPACE: &str = "post-operator-system";
/// Namespace of the example.
pub const NAMESPACE: &str = "post-service";
/// Name of the example.
pub const NAME: &str = "post-service";
/// Helm release of the operator.
pub const RELEASE: &str = "post-operator";
/// The Secrets that the example needs, with their keys.
const SECRETS: [(&str, &[&str]); 2] = [
    ("post-db-secret", &["database-url"]),
    (
        "post-secrets",
        &[
            "cognito-user-pool-id",
            "cognito-region",
            "cognito-client-id",
            "secret-key",
        ],
    ),
];

/// The kind `PostService`.
pub fn post_service() -> ApiResource {
    ApiResource::from_gvk(&GroupVersionKind::gvk(
        "platform.hhottdogg.shop",
        "v1alpha1",
        "PostService",
    ))
}

/// The tag that the example asks for.
#[derive(Debug, Clone)]
pub struct ExampleImage {
    /// Its tag.
    pub tag: String,
}

fn example_path(paths: &Paths) -> PathBuf {
    paths.checkout.join("crds/examples/minimal.yaml")
}

/// Reads the example's image and checks that it is the one that the local registry serves.
pub fn example_image(paths: &Paths) -> Result<ExampleImage> {
    let path = example_path(paths);
    let yaml = std::fs::read_to_string(&path)
        .with_context(|| format!("cannot read the example {}", path.display()))?;
    image_of(&yaml).with_context(|| format!("in {}", path.display()))
}

fn image_of(yaml: &str) -> Result<ExampleImage> {
    let objects = manifests::parse(yaml)?;
    let image = objects
        .iter()
        .map(|object| &object.data["spec"]["image"])
        .find(|image| image.is_object())
        .context("no PostService with an image")?;
    let expected = format!("{}/{}", ecr::registry(), crate::images::SERVICE.0);
    let repository = image["repository"].as_str().unwrap_or_default();
    if repository != expected {
        bail!("the local registry serves {expected}, not {repository}");
    }
    let tag = image["tag"]
        .as_str()
        .context("the image has no tag")?
        .to_owned();
    Ok(ExampleImage { tag })
}

/// Where to install to, and what with.
#[derive(Clone, Copy)]
pub struct Installation<'a> {
    /// Folders.
    pub paths: &'a Paths,
    /// What the user sees.
    pub progress: &'a Progress,
    /// Access to the cluster.
    pub client: &'a kube::Client,
    /// Helm.
    pub helm: &'a Path,
    /// A context of the user's kubeconfig; none is the local cluster.
    pub context: Option<&'a str>,
}

impl Installation<'_> {
    /// Everything for the local cluster, with real values in the Secrets.
    pub async fn local(
        &self,
        operator: &Image,
        service: &Image,
        pool: &Pool,
        secrets: &Secrets,
    ) -> Result<()> {
        self.namespace_and_secrets(pool, secrets).await?;
        let values = self.paths.data.join("operator-values.yaml");
        paths::write(
            &values,
            serde_yaml::to_string(&operator_values(operator, pool))?,
        )?;
        self.operator(&[values]).await?;
        self.example().await?;
        self.retry_if_changed(service).await?;
        self.wait(Some(&service.digest)).await?;
        self.answers().await
    }

    /// Only the product, for a cluster of the user's own.
    pub async fn remote(&self, values: &[PathBuf]) -> Result<()> {
        self.check_secrets().await?;
        self.operator(values).await?;
        self.example().await?;
        self.wait(None).await
    }

    async fn operator(&self, values: &[PathBuf]) -> Result<()> {
        let why = "installing the operator's chart with Helm";
        self.progress
            .step("operator", why, async |step| {
                // Helm installs definitions once and never updates them.
                let definitions = self.paths.checkout.join("crds/postservice.yaml");
                let yaml = std::fs::read_to_string(&definitions)
                    .with_context(|| format!("cannot read {}", definitions.display()))?;
                manifests::apply(self.client, &yaml).await?;
                let mut helm = Command::new(self.helm)
                    .args(["upgrade", "--install", RELEASE])
                    .arg(self.paths.checkout.join("charts/post-operator"))
                    .args(["--namespace", OPERATOR_NAMESPACE, "--create-namespace"])
                    .args([
                        "--skip-crds",
                        "--wait",
                        "--timeout",
                        "3m",
                        "--history-max",
                        "3",
                    ])
                    .log(self.paths.logs().join("helm.log"));
                helm = match self.context {
                    Some(context) => helm.args(["--kube-context", context]),
                    None => helm.arg("--kubeconfig").arg(self.paths.kubeconfig()),
                };
                for file in values {
                    helm = helm.arg("--values").arg(file);
                }
                helm.run().await?;
                step.say("installed and ready");
                Ok(())
            })
            .await
    }

    async fn namespace_and_secrets(&self, pool: &Pool, secrets: &Secrets) -> Result<()> {
        let apply = PatchParams::apply(FIELD_MANAGER).force();
        let namespaces: Api<Namespace> = Api::all(self.client.clone());
        let labels = json!({"pod-security.kubernetes.io/enforce": "restricted"});
        let namespace = json!({
            "apiVersion": "v1", "kind": "Namespace",
            "metadata": {"name": NAMESPACE, "labels": labels},
        });
        namespaces
            .patch(NAMESPACE, &apply, &Patch::Apply(namespace))
            .await?;
        let api: Api<Secret> = Api::namespaced(self.client.clone(), NAMESPACE);
        for (name, data) in secret_data(pool, secrets) {
            let secret = json!({
                "apiVersion": "v1", "kind": "Secret",
                "metadata": {"name": name}, "stringData": data,
            });
            api.patch(name, &apply, &Patch::Apply(secret))
                .await
                .with_context(|| format!("cannot write the Secret {name}"))?;
        }
        Ok(())
    }

    async fn check_secrets(&self) -> Result<()> {
        let api: Api<Secret> = Api::namespaced(self.client.clone(), NAMESPACE);
        for (name, keys) in SECRETS {
            let secret = api.get_opt(name).await?.with_context(|| {
                format!("the Secret {name} is missing in namespace {NAMESPACE}: create it with the keys {}", keys.join(", "))
            })?;
            let data = secret.data.unwrap_or_default();
            if let Some(key) = keys.iter().find(|key| !data.contains_key(**key)) {
                bail!("the Secret {name} in namespace {NAMESPACE} lacks the key {key}");
            }
        }
        Ok(())
    }

    async fn example(&self) -> Result<()> {
        let path = example_path(self.paths);
        let yaml = std::fs::read_to_string(&path)
            .with_context(|| format!("cannot read the example {}", path.display()))?;
        manifests::apply(self.client, &yaml).await
    }

    /// A tag is resolved every few minutes: another image pushed under it is found at once by this.
    async fn retry_if_changed(&self, service: &Image) -> Result<()> {
        let annotation = "platform.hhottdogg.shop/retry";
        let api: Api<DynamicObject> =
            Api::namespaced_with(self.client.clone(), NAMESPACE, &post_service());
        let object = api.get(NAME).await?;
        let token = service.digest.as_str();
        let current = object.data["status"]["image"]["current"]["digest"].as_str();
        let asked = object.metadata.annotations.unwrap_or_default();
        let nothing_to_do = current.is_none_or(|current| current == token)
            || asked.get(annotation).is_some_and(|value| value == token);
        if nothing_to_do {
            return Ok(());
        }
        let patch = json!({"metadata": {"annotations": {annotation: token}}});
        api.patch(NAME, &PatchParams::default(), &Patch::Merge(patch))
            .await?;
        Ok(())
    }

    async fn wait(&self, digest: Option<&str>) -> Result<()> {
        let why = "waiting until the operator reports Ready";
        self.progress
            .step("PostService", why, async |step| {
                ready::wait(self.client, digest, &step).await
            })
            .await
    }

    /// Waits until a pod is ready and the printed address answers. After a restart of the cluster the
    /// API shows conditions of before for a moment, but no pod of before; and kube-proxy follows the
    /// pods by a moment.
    async fn answers(&self) -> Result<()> {
        let pods: Api<Pod> = Api::namespaced(self.client.clone(), NAMESPACE);
        let serving = ListParams::default().labels("app.kubernetes.io/component=api");
        let what = "a pod serves and the API answers on its node port";
        wait::until(what, Duration::from_mins(1), async || {
            let found = pods
                .list(&serving)
                .await
                .map_err(|error| error.to_string())?;
            if !found.iter().any(is_serving) {
                return Err("no pod is ready".to_owned());
            }
            let url = status::api_url(self.client)
                .await
                .ok_or_else(|| "the Service has no node port".to_owned())?;
            let answer = reqwest::get(format!("{url}/health")).await;
            let answer = answer.and_then(reqwest::Response::error_for_status);
            answer.map(drop).map_err(|error| error.to_string())
        })
        .await
    }
}

fn is_serving(pod: &Pod) -> bool {
    let conditions = pod
        .status
        .iter()
        .flat_map(|status| status.conditions.iter().flatten());
    let mut ready = conditions.filter(|condition| condition.type_ == "Ready");
    pod.metadata.deletion_timestamp.is_none() && ready.any(|condition| condition.status == "True")
}

fn operator_values(operator: &Image, pool: &Pool) -> Value {
    json!({
        "image": {"repository": operator.repository, "tag": operator.tag},
        "env": [
            {"name": "AWS_ENDPOINT_URL_ECR", "value": format!("http://{}", ecr::address())},
            {"name": "AWS_ACCESS_KEY_ID", "value": aws::ACCOUNT},
            {"name": "AWS_SECRET_ACCESS_KEY", "value": "local"},
            {"name": "AWS_REGION", "value": aws::REGION},
        ],
        "serviceEnv": {"COGNITO_JWKS_URL": pool.jwks_url()},
    })
}

fn secret_data(pool: &Pool, secrets: &Secrets) -> [(&'static str, Value); 2] {
    let url = mysql::service_url(HOST, mysql::PORT, secrets);
    [
        (SECRETS[0].0, json!({"database-url": url})),
        (
            SECRETS[1].0,
            json!({
                "cognito-user-pool-id": pool.id,
                "cognito-region": aws::REGION,
                "cognito-client-id": pool.client_id,
                "secret-key": secrets.secret_key,
            }),
        ),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pool() -> Pool {
        Pool {
            id: "ap-northeast-2_x".into(),
            client_id: "client".into(),
        }
    }

    #[test]
    fn the_example_must_name_the_local_repository() {
        let yaml = |repository: &str| {
            format!(
                "kind: PostService\napiVersion: v1\nmetadata: {{name: a}}\nspec: {{image: {{repository: {repository}, tag: \"1.4.2\"}}}}"
            )
        };
        let good = "123456789012.dkr.ecr.ap-northeast-2.amazonaws.com/post-service";
        assert_eq!(image_of(&yaml(good)).unwrap().tag, "1.4.2");
        assert!(
            image_of(&yaml("elsewhere/post"))
                .unwrap_err()
                .to_string()
                .contains(good)
        );
    }

    #[test]
    fn every_key_that_the_operator_reads_is_written() {
        let data = secret_data(&pool(), &Secrets::generate().unwrap());
        for ((name, keys), (written, values)) in SECRETS.iter().zip(&data) {
            assert_eq!(name, written);
            assert!(keys.iter().all(|key| values[*key].is_string()), "{name}");
        }
        let url = data[0].1["database-url"].as_str().unwrap();
        assert!(
            url.starts_with("mysql+pymysql://post:") && url.ends_with("@10.244.0.1:3306/postdb")
        );
    }

    #[test]
    fn pods_fetch_token_keys_from_the_stand_in() {
        let image = Image {
            repository: "r".into(),
            tag: "t".into(),
            digest: "d".into(),
        };
        let values = operator_values(&image, &pool());
        assert_eq!(
            values["serviceEnv"]["COGNITO_JWKS_URL"],
            "http://10.244.0.1:4567/ap-northeast-2_x/.well-known/jwks.json"
        );
        assert_eq!(values["env"][1]["value"], "123456789012");
    }
}
