//! Definitions of other operators' kinds, with the fields that are used here.

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::Client;
use kube::api::{Api, DeleteParams, Patch, PatchParams};
use kube_runtime::wait::{await_condition, conditions};
use serde_json::{Value, json};
use tokio::sync::{Mutex, MutexGuard};

use crate::world::PATIENCE;

/// Tests that need the kinds, or need them gone, take turns: the API server is shared.
static TURN: Mutex<()> = Mutex::const_new(());

/// The kinds are there while this lives.
pub struct ForeignKinds {
    client: Client,
    _turn: MutexGuard<'static, ()>,
}

impl ForeignKinds {
    /// Takes the turn; no kind is there yet.
    pub async fn turn(client: &Client) -> Self {
        let turn = TURN.lock().await;
        let kinds = Self {
            client: client.clone(),
            _turn: turn,
        };
        kinds.remove().await;
        kinds
    }

    pub async fn install(&self) {
        let crds = Api::<CustomResourceDefinition>::all(self.client.clone());
        for definition in [service_monitor(), target_group_binding()] {
            let name = definition["metadata"]["name"].as_str().unwrap().to_owned();
            crds.patch(
                &name,
                &PatchParams::apply("test").force(),
                &Patch::Apply(&definition),
            )
            .await
            .unwrap();
            let established =
                await_condition(crds.clone(), &name, conditions::is_crd_established());
            tokio::time::timeout(PATIENCE, established)
                .await
                .expect("established in time")
                .unwrap();
        }
    }

    pub async fn remove(&self) {
        let crds = Api::<CustomResourceDefinition>::all(self.client.clone());
        for definition in [service_monitor(), target_group_binding()] {
            let name = definition["metadata"]["name"].as_str().unwrap();
            let Some(live) = crds.get_opt(name).await.unwrap() else {
                continue;
            };
            crds.delete(name, &DeleteParams::default()).await.unwrap();
            let uid = live.metadata.uid.unwrap();
            let gone = await_condition(crds.clone(), name, conditions::is_deleted(&uid));
            tokio::time::timeout(PATIENCE, gone)
                .await
                .expect("gone in time")
                .unwrap();
        }
    }
}

fn service_monitor() -> Value {
    let text = json!({"type": "string"});
    definition(
        "monitoring.coreos.com",
        "v1",
        ("ServiceMonitor", "servicemonitors"),
        &json!({
            "selector": {"type": "object", "x-kubernetes-map-type": "atomic", "properties": {
                "matchLabels": {"type": "object", "additionalProperties": text},
            }},
            "endpoints": {"type": "array", "items": {"type": "object", "properties": {
                "targetPort": {"x-kubernetes-int-or-string": true}, "path": text, "interval": text,
                "scheme": {"type": "string", "default": "http"}, "honorLabels": {"type": "boolean"},
            }}},
        }),
    )
}

fn target_group_binding() -> Value {
    let text = json!({"type": "string"});
    definition(
        "elbv2.k8s.aws",
        "v1beta1",
        ("TargetGroupBinding", "targetgroupbindings"),
        &json!({
            "targetGroupARN": text, "vpcID": text,
            "targetType": {"type": "string", "enum": ["instance", "ip"]},
            "serviceRef": {"type": "object", "required": ["name", "port"], "properties": {
                "name": text, "port": {"x-kubernetes-int-or-string": true},
            }},
        }),
    )
}

fn definition(group: &str, version: &str, (kind, plural): (&str, &str), spec: &Value) -> Value {
    json!({
        "apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition",
        "metadata": {"name": format!("{plural}.{group}")},
        "spec": {
            "group": group, "scope": "Namespaced",
            "names": {"kind": kind, "plural": plural, "singular": kind.to_lowercase()},
            "versions": [{"name": version, "served": true, "storage": true,
                "subresources": {"status": {}},
                "schema": {"openAPIV3Schema": {"type": "object", "properties": {
                    "spec": {"type": "object", "properties": spec},
                    "status": {"type": "object", "x-kubernetes-preserve-unknown-fields": true},
                }}},
            }],
        },
    })
}
