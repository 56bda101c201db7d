//! `cargo dev status`: where everything is and how it is.

use std::fmt::Write as _;

use anyhow::Result;
use k8s_openapi::api::core::v1::{Pod, Service};
use kube::api::{Api, DynamicObject, ListParams};
use serde::Serialize;

use crate::aws::{cognito, ecr};
use crate::cluster::kubeconfig;
use crate::install::{self, NAME, NAMESPACE, ready};
use crate::network::HOST;
use crate::paths::Paths;
use crate::process::Processes;
use crate::state::Secrets;
use crate::{mysql, up};

/// Everything a client of the local cluster needs; null where absent.
#[derive(Debug, Default, Serialize)]
pub struct Status {
    /// Base URL of the API.
    pub api_url: Option<String>,
    /// The API's documentation.
    pub docs_url: Option<String>,
    /// Prometheus metrics of one pod.
    pub metrics_url: Option<String>,
    /// Path of the administrator's kubeconfig.
    pub kubeconfig: Option<String>,
    /// The service's database, with its account's password.
    pub database_url: Option<String>,
    /// Host and port of the registry.
    pub registry: Option<String>,
    /// A fresh Cognito id token.
    pub token: Option<String>,
}

impl Status {
    /// Looks at what runs; never fails, what is not there is null.
    pub async fn read(paths: &Paths) -> Self {
        let processes = Processes::new(&paths.run, &paths.logs());
        let secrets = Secrets::load(paths);
        let mut status = Self::default();
        if processes.is_running("kube-apiserver") {
            status.kubeconfig = Some(paths.kubeconfig().display().to_string());
            if let Ok(client) = kubeconfig::client(&paths.kubeconfig()).await {
                status.api_url = api_url(&client).await;
                status.docs_url = status.api_url.as_ref().map(|url| format!("{url}/api/docs"));
                status.metrics_url = metrics_url(&client).await;
            }
        }
        if processes.is_running(ecr::DAEMON) {
            status.registry = Some(ecr::address());
        }
        if let Some(secrets) = secrets {
            if processes.is_running(mysql::DAEMON) {
                let url = mysql::service_url(HOST, mysql::PORT, &secrets);
                status.database_url = Some(url.replacen("mysql+pymysql", "mysql", 1));
            }
            if processes.is_running(cognito::DAEMON) {
                status.token = token(&secrets).await.ok();
            }
        }
        status
    }
}

async fn token(secrets: &Secrets) -> Result<String> {
    let pool = cognito::find().await?;
    let pool = pool.ok_or_else(|| anyhow::anyhow!("no user pool"))?;
    cognito::token(&pool, secrets).await
}

async fn service(client: &kube::Client) -> Option<Service> {
    Api::<Service>::namespaced(client.clone(), NAMESPACE)
        .get_opt(NAME)
        .await
        .ok()?
}

/// The service's node port on 127.0.0.1.
pub async fn api_url(client: &kube::Client) -> Option<String> {
    let ports = service(client).await?.spec?.ports?;
    Some(format!(
        "http://127.0.0.1:{}",
        ports.iter().find_map(|port| port.node_port)?
    ))
}

async fn metrics_url(client: &kube::Client) -> Option<String> {
    let selector = service(client).await?.spec?.selector?;
    let labels: Vec<String> = selector
        .iter()
        .map(|(key, value)| format!("{key}={value}"))
        .collect();
    let pods: Api<Pod> = Api::namespaced(client.clone(), NAMESPACE);
    let pods = pods
        .list(&ListParams::default().labels(&labels.join(",")))
        .await
        .ok()?;
    let running = |pod: &Pod| {
        pod.status
            .as_ref()
            .and_then(|status| status.phase.as_deref())
            == Some("Running")
    };
    let address = pods
        .items
        .into_iter()
        .filter(running)
        .find_map(|pod| pod.status?.pod_ip)?;
    Some(format!("http://{address}:9090/metrics"))
}

/// The same for people, with the health of each part.
pub async fn table(paths: &Paths) -> String {
    let status = Status::read(paths).await;
    let processes = Processes::new(&paths.run, &paths.logs());
    let mut text = String::new();
    for name in up::daemons() {
        let state = match processes.pid(name) {
            Some(pid) => format!("running  process {pid}"),
            None if processes.known().iter().any(|known| known == name) => {
                format!("ENDED    log: {}", processes.log(name).display())
            }
            None => "stopped".to_owned(),
        };
        let _ = writeln!(text, "{name:<24} {state}");
    }
    if status.kubeconfig.is_some() {
        text.push('\n');
        for line in product(paths).await {
            let _ = writeln!(text, "{line}");
        }
    }
    text.push('\n');
    let none = || "-".to_owned();
    let rows = [
        ("API", status.api_url),
        ("documentation", status.docs_url),
        ("metrics", status.metrics_url),
        ("database", status.database_url),
        ("registry", status.registry),
        ("kubeconfig", status.kubeconfig),
    ];
    for (name, value) in rows {
        let _ = writeln!(text, "{name:<14} {}", value.unwrap_or_else(none));
    }
    let _ = writeln!(
        text,
        "\nA fresh token: cargo dev status -o json | jq -r .token"
    );
    text
}

async fn product(paths: &Paths) -> Vec<String> {
    let Ok(client) = kubeconfig::client(&paths.kubeconfig()).await else {
        return vec![];
    };
    let api: Api<DynamicObject> = Api::namespaced_with(client, NAMESPACE, &install::post_service());
    match api.get_opt(NAME).await {
        Ok(Some(object)) => {
            let conditions = ready::conditions(&object);
            conditions
                .iter()
                .map(|c| format!("{NAMESPACE}/{NAME}  {c}"))
                .collect()
        }
        Ok(None) => vec![format!("no PostService {NAMESPACE}/{NAME}")],
        Err(error) => vec![format!("PostService: {error}")],
    }
}

/// What `up` prints at its end.
pub async fn welcome(paths: &Paths) -> String {
    let status = Status::read(paths).await;
    let or_none = |value: Option<String>| value.unwrap_or_else(|| "(not available)".to_owned());
    let url = or_none(status.api_url);
    format!(
        "\
API            {url}
Documentation  {docs}

Create a post:
  curl -sS -X POST {url}/api/v1/posts -H 'Content-Type: application/json' \\
    -H 'Authorization: Bearer {token}' \\
    -d '{{\"title\":\"Hello\",\"content\":\"From cargo dev up\",\"category\":\"general\"}}'
Read it:
  curl -sS {url}/api/v1/posts

kubectl        cargo dev kubectl get postsvc -A
               or: export KUBECONFIG={kubeconfig}
Stop           cargo dev down
",
        docs = or_none(status.docs_url),
        token = or_none(status.token),
        kubeconfig = or_none(status.kubeconfig),
    )
}
