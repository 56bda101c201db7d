//! What the keeper of the accounts reads and writes in the cluster: Secrets by name, and the pods of
//! one `PostService`.

use std::collections::BTreeSet;

use k8s_openapi::api::core::v1::{Pod, Secret};
use kube::api::{Api, ListParams, Patch, PatchParams, PostParams};
use kube::{Client, ResourceExt as _};
use serde_json::{Map, Value, json};

use super::ledger::Ledger;
use super::{DatabaseError, Permit};

/// Annotation of pods: the account that they were started with.
pub const ACCOUNT_ANNOTATION: &str = "platform.hhottdogg.shop/database-account";

/// One `PostService`'s Secret with the accounts, and what lies around it.
#[derive(Clone)]
pub struct Vault {
    client: Client,
    /// Metadata and type of the Secret.
    template: Secret,
    /// Selects the pods.
    pods: String,
    permit: Permit,
}

impl Vault {
    /// A vault whose Secret is made like `template`; `pods` is the label selector of all pods that
    /// may use an account.
    pub fn new(client: Client, template: Secret, pods: String, permit: Permit) -> Self {
        Self {
            client,
            template,
            pods,
            permit,
        }
    }

    /// Name of the Secret.
    pub fn name(&self) -> String {
        self.template.name_any()
    }

    /// Namespace of everything in it.
    pub fn namespace(&self) -> String {
        self.template.namespace().unwrap_or_default()
    }

    fn secrets(&self) -> Api<Secret> {
        Api::namespaced(self.client.clone(), &self.namespace())
    }

    fn fault(&self, what: &'static str, detail: &impl ToString) -> DatabaseError {
        DatabaseError::Ledger {
            secret: self.name(),
            what,
            detail: detail.to_string(),
        }
    }

    /// The Secret as it is now, and its resource version; an empty ledger where there is none.
    pub async fn ledger(&self) -> Result<(Ledger, Option<String>), DatabaseError> {
        let found = self.secrets().get_opt(&self.name()).await;
        let Some(secret) = found.map_err(|error| self.fault("read", &error))? else {
            return Ok((Ledger::default(), None));
        };
        let ours = self.template.owner_references().first().map(|o| &o.uid);
        if !secret
            .owner_references()
            .iter()
            .any(|o| Some(&o.uid) == ours)
        {
            return Err(self.fault("read", &"it belongs to somebody else"));
        }
        let ledger = Ledger::read(&secret.data.clone().unwrap_or_default());
        Ok((ledger, secret.resource_version()))
    }

    /// Saves the whole ledger, if the Secret still has this resource version.
    pub async fn save(&self, ledger: &Ledger, version: Option<&str>) -> Result<(), DatabaseError> {
        self.permit.check()?;
        let secrets = self.secrets();
        let result = match version {
            None => {
                let values = ledger.entries().into_iter();
                let secret = Secret {
                    string_data: Some(values.filter_map(|(k, v)| Some((k, v?))).collect()),
                    ..self.template.clone()
                };
                secrets.create(&PostParams::default(), &secret).await
            }
            Some(version) => {
                let (mut data, mut text) = (Map::new(), Map::new());
                for (key, value) in ledger.entries() {
                    match value {
                        Some(value) => text.insert(key, Value::String(value)),
                        None => data.insert(key, Value::Null),
                    };
                }
                let patch = json!({
                    "metadata": {"resourceVersion": version}, "data": data, "stringData": text,
                });
                let parameters = PatchParams::default();
                let patch = Patch::Merge(patch);
                secrets.patch(&self.name(), &parameters, &patch).await
            }
        };
        result
            .map(drop)
            .map_err(|error| self.fault("written", &error))
    }

    /// Another Secret of the namespace.
    pub async fn secret(&self, name: &str) -> Result<Option<Secret>, DatabaseError> {
        let found = self.secrets().get_opt(name).await;
        found.map_err(|error| DatabaseError::Ledger {
            secret: name.to_owned(),
            what: "read",
            detail: error.to_string(),
        })
    }

    /// Accounts that pods were started with which have not ended, terminating ones among them: they
    /// serve until their drain is over.
    pub async fn accounts_in_use(&self) -> Result<BTreeSet<String>, DatabaseError> {
        let pods = Api::<Pod>::namespaced(self.client.clone(), &self.namespace());
        let selector = ListParams::default()
            .labels(&self.pods)
            .fields("status.phase!=Succeeded,status.phase!=Failed");
        let listed = pods.list_metadata(&selector).await;
        let listed = listed.map_err(|error| self.fault("compared with the pods", &error))?;
        Ok(listed
            .items
            .iter()
            .filter_map(|pod| pod.annotations().get(ACCOUNT_ANNOTATION).cloned())
            .collect())
    }
}
