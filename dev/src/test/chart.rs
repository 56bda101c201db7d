//! The operator's chart without a cluster: Helm's own checks, and the schemas of what it renders.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

use crate::command::Command;
use crate::paths::{self, Paths};
use crate::programs::cache::{self, Key};
use crate::programs::go::{self, KUBERNETES};
use crate::programs::python;
use crate::progress::Progress;

/// Of the Python package that carries Kubernetes' JSON schemas.
const SCHEMAS: &str = "1.37.0";
/// Their folder in it: those of our Kubernetes, where unknown fields are errors.
const VERSION: &str = "v1.34.0-local-strict";
/// Kinds of others, whose schemas are not there.
const SKIPPED: &str = "ServiceMonitor,PrometheusRule";
/// Sets of values, each of which turns something on or off.
const VARIANTS: [&[&str]; 3] = [
    &[],
    &[
        "watchNamespace=post-service",
        "eventsQueueUrl=https://sqs.eu-west-1.amazonaws.com/123456789012/pushes",
        "networkPolicy.allowFrom[0].namespaceSelector.matchLabels.a=b",
    ],
    &[
        "replicas=1",
        "networkPolicy.enabled=false",
        "deployers.enabled=false",
        "monitoring.serviceMonitor=Enabled",
        "monitoring.prometheusRule=true",
    ],
];

/// Lints and renders the chart, and checks what was rendered.
pub(super) async fn lint(paths: &Paths, progress: &Progress) -> Result<()> {
    let helm = go::helm(paths, progress).await?;
    let kubeconform = go::kubeconform(paths, progress).await?;
    let schemas = schemas(paths, progress).await?;
    let chart = paths.checkout.join("charts/post-operator");
    println!("$ helm lint; helm template | kubeconform");
    for (number, values) in VARIANTS.iter().enumerate() {
        let with_values = |command: Command| {
            let values = values
                .iter()
                .chain(&["image.repository=example.com/post-operator"]);
            values.fold(
                command.args(["--kube-version", KUBERNETES]),
                |command, value| command.args(["--set", value]),
            )
        };
        with_values(Command::new(&helm).args(["lint", "--strict"]).arg(&chart))
            .run()
            .await?;
        let rendered = with_values(
            Command::new(&helm)
                .args(["template", "post-operator"])
                .arg(&chart)
                .args(["--namespace", "post-operator-system"]),
        );
        let rendered = rendered.run().await?;
        let file = paths.logs().join(format!("chart-{number}.yaml"));
        paths::write(&file, rendered)?;
        let location = schemas.join("{{.ResourceKind}}{{.KindSuffix}}.json");
        let checked = Command::new(&kubeconform)
            .args(["-strict", "-summary", "-skip", SKIPPED, "-schema-location"])
            .arg(location)
            .arg(&file);
        println!("{}", checked.run().await?.trim_end());
    }
    Ok(())
}

/// The folder of schemas that refer to each other by file.
async fn schemas(paths: &Paths, progress: &Progress) -> Result<PathBuf> {
    let key = Key {
        name: "kubernetes-schemas",
        version: SCHEMAS,
        inputs: &[VERSION],
    };
    if let Some(folder) = cache::present(paths, key) {
        return Ok(folder);
    }
    let why = "preparing the schemas of Kubernetes' kinds (first time only)";
    let prepare = async |_step| {
        let requirement = format!("kubernetes-validate=={SCHEMAS}");
        let name = "kubernetes-validate";
        let venv = python::environment(paths, name, SCHEMAS, &[&requirement]).await?;
        let all = site_packages(&venv)?.join("kubernetes_validate/kubernetes-json-schema");
        cache::obtain(paths, key, async |new, _| {
            copy_with_relative_references(&all.join(VERSION), new)
        })
        .await
    };
    progress.step("schemas", why, prepare).await
}

/// The package's files name the one with all definitions by a path that only its own reader knows.
fn copy_with_relative_references(from: &Path, to: &Path) -> Result<()> {
    let failed = || format!("cannot copy the schemas of {}", from.display());
    for entry in std::fs::read_dir(from).with_context(failed)? {
        let path = entry.with_context(failed)?.path();
        let (Some(name), Some("json")) =
            (path.file_name(), path.extension().and_then(|e| e.to_str()))
        else {
            continue;
        };
        let text = std::fs::read_to_string(&path).with_context(failed)?;
        let mut schema: serde_json::Value = serde_json::from_str(&text).with_context(failed)?;
        // An address on the Internet, against which the references would be resolved.
        schema.as_object_mut().map(|schema| schema.remove("$id"));
        let text = schema.to_string();
        let text = text.replace("\"/api/_definitions.json", "\"_definitions.json");
        std::fs::write(to.join(name), text).with_context(failed)?;
    }
    Ok(())
}

/// Its name holds the version of Python.
fn site_packages(venv: &Path) -> Result<PathBuf> {
    let lib = venv.join("lib");
    let entries =
        std::fs::read_dir(&lib).with_context(|| format!("cannot read {}", lib.display()))?;
    entries
        .filter_map(|entry| Some(entry.ok()?.path().join("site-packages")))
        .find(|path| path.is_dir())
        .with_context(|| format!("no site-packages in {}", lib.display()))
}
