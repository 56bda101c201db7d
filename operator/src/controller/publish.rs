//! Writes the status where it changed, and an Event for each condition that did.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use k8s_openapi::api::core::v1::ObjectReference;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, ObjectMeta};
use kube::api::{Api, Patch, PatchParams};
use kube::{Client, Resource as _};
use kube_runtime::events::{Event, EventType, Recorder, Reporter};
use serde_json::json;

use super::Error;
use super::stored::Stored;
use super::validate::Identity;
use crate::api::conditions::ConditionType;
use crate::api::v1alpha1::{PostService, PostServiceStatus};
use crate::build::MANAGER;

/// Reasons of a condition that is false without anything being wrong.
const HARMLESS: &[&str] = &[
    "Progressing",
    "Pending",
    "Running",
    "NoPods",
    "Suspended",
    "Stopped",
    "Held",
    "Preparing",
    "Switching",
    "Draining",
    "Retiring",
    "Finishing",
    "Baking",
    "Removing",
];
/// Reasons of a condition that is true although something is wrong.
const WARNINGS: &[&str] = &[
    "ConnectionBudget",
    "AdminSecretMissing",
    "AccessDenied",
    "Unreachable",
];
/// Longest note of an Event (Kubernetes API reference, `Event.note`: 1 kB).
const NOTE_BYTES: usize = 1024;

/// Which object a status belongs to.
#[derive(Clone, Copy, Debug)]
pub struct Subject<'a> {
    /// Its metadata, as the cache has it.
    pub metadata: &'a ObjectMeta,
    /// Its status, as the cache has it.
    pub status: Option<&'a PostServiceStatus>,
}

impl<'a> From<&'a PostService> for Subject<'a> {
    fn from(service: &'a PostService) -> Self {
        Self {
            metadata: &service.metadata,
            status: service.status.as_ref(),
        }
    }
}

/// Events that a recorder remembers, to count repetitions: six minutes' of them would be most of a
/// small operator's memory.
const REMEMBERED: usize = 256;

/// The status's writer.
pub struct Publisher {
    client: Client,
    reporter: Reporter,
    recorder: Mutex<(Recorder, usize)>,
    /// By uid: what was written and has not yet come back through the watch.
    written: Mutex<HashMap<String, Written>>,
}

struct Written {
    version: u64,
    status: PostServiceStatus,
}

impl Publisher {
    /// A publisher whose Events name this process.
    pub fn new(client: Client) -> Self {
        let reporter = Reporter {
            controller: MANAGER.into(),
            instance: std::env::var("POD_NAME").ok(),
        };
        Self {
            recorder: Mutex::new((Recorder::new(client.clone(), reporter.clone()), 0)),
            reporter,
            client,
            written: Mutex::default(),
        }
    }

    /// The object's status: the cache's, or the one written here while the cache is older than it.
    pub fn latest(&self, subject: &Subject<'_>) -> PostServiceStatus {
        let mut written = self.written.lock().unwrap_or_else(PoisonError::into_inner);
        let uid = subject.metadata.uid.as_deref().unwrap_or_default();
        let cached = version(subject.metadata);
        match written.get(uid) {
            Some(known) if cached.is_some_and(|cached| cached < known.version) => {
                known.status.clone()
            }
            _ => {
                written.remove(uid);
                subject.status.cloned().unwrap_or_default()
            }
        }
    }

    /// Writes `next` where it differs from the latest status, then the Events.
    pub async fn write(&self, subject: &Subject<'_>, next: PostServiceStatus) -> Result<(), Error> {
        let previous = self.latest(subject);
        if next == previous {
            return Ok(());
        }
        let metadata = subject.metadata;
        let name = metadata.name.as_deref().unwrap_or_default();
        // Not server-side apply, which the API server refuses for an object that its present schema
        // does not allow: also such an object gets a status. Nobody else writes any of it.
        let patch = json!([
            {"op": "test", "path": "/metadata/uid", "value": metadata.uid},
            {"op": "add", "path": "/status", "value": next},
        ]);
        let patch: json_patch::Patch = serde_json::from_value(patch).map_err(Error::Encode)?;
        let namespace = metadata.namespace.as_deref().unwrap_or_default();
        let api = Api::<Stored>::namespaced(self.client.clone(), namespace);
        let parameters = PatchParams {
            field_manager: Some(MANAGER.into()),
            ..PatchParams::default()
        };
        let answer = api
            .patch_status(name, &parameters, &Patch::<()>::Json(patch))
            .await
            .map_err(|source| Error::write::<PostService>(name, source))?;
        self.remember(answer.meta(), &next);
        for condition in changed(&previous.conditions, &next.conditions) {
            self.event(metadata, condition).await;
        }
        Ok(())
    }

    /// Whether the API server still knows the object, which the cache may be late to tell: a dry run
    /// of a write that changes nothing.
    pub async fn is_there(&self, id: &Identity) -> Result<bool, Error> {
        let patch = json!([{"op": "test", "path": "/metadata/uid", "value": id.uid}]);
        let patch: json_patch::Patch = serde_json::from_value(patch).map_err(Error::Encode)?;
        let api = Api::<Stored>::namespaced(self.client.clone(), &id.namespace);
        let parameters = PatchParams {
            dry_run: true,
            ..PatchParams::default()
        };
        let patch = Patch::<()>::Json(patch);
        match api.patch_status(&id.name, &parameters, &patch).await {
            Ok(_) => Ok(true),
            Err(kube::Error::Api(status)) if [404, 409, 422].contains(&status.code) => Ok(false),
            Err(source) => Err(Error::write::<PostService>(&id.name, source)),
        }
    }

    fn remember(&self, metadata: &ObjectMeta, status: &PostServiceStatus) {
        let (Some(uid), Some(version)) = (metadata.uid.clone(), version(metadata)) else {
            return;
        };
        let status = status.clone();
        let mut written = self.written.lock().unwrap_or_else(PoisonError::into_inner);
        written.insert(uid, Written { version, status });
    }

    /// A recorder that remembers the last Events; another one, once it has enough to remember.
    fn recorder(&self) -> Recorder {
        let mut recorder = self.recorder.lock().unwrap_or_else(PoisonError::into_inner);
        let (present, events) = &mut *recorder;
        *events += 1;
        if *events > REMEMBERED {
            *present = Recorder::new(self.client.clone(), self.reporter.clone());
            *events = 1;
        }
        present.clone()
    }

    async fn event(&self, metadata: &ObjectMeta, condition: &Condition) {
        let bad = condition.type_ == ConditionType::Stalled.as_str()
            || condition.status == "False" && !is_waited_for(condition)
            || condition.status == "True" && WARNINGS.contains(&condition.reason.as_str());
        let event = Event {
            type_: if bad {
                EventType::Warning
            } else {
                EventType::Normal
            },
            reason: condition.reason.clone(),
            note: Some(bounded(&condition.message, NOTE_BYTES).to_owned()),
            action: format!("{}{}", condition.type_, condition.status),
            secondary: None,
        };
        // Without a resource version: with one, no Event would ever count as a repetition.
        let regarding = ObjectReference {
            api_version: Some(PostService::api_version(&()).into_owned()),
            kind: Some(PostService::kind(&()).into_owned()),
            name: metadata.name.clone(),
            namespace: metadata.namespace.clone(),
            uid: metadata.uid.clone(),
            ..ObjectReference::default()
        };
        if let Err(error) = self.recorder().publish(&event, &regarding).await {
            tracing::warn!(%error, reason = condition.reason, "an Event could not be written");
        }
    }
}

/// Resource versions rise (KEP-5504, "Comparable Resource Version"); one that is not a number tells
/// nothing.
fn version(metadata: &ObjectMeta) -> Option<u64> {
    metadata.resource_version.as_deref()?.parse().ok()
}

/// The longest beginning of `text` of at most `bytes` bytes.
fn bounded(text: &str, bytes: usize) -> &str {
    &text[..text.floor_char_boundary(bytes)]
}

/// Conditions whose status or reason is new. That something has not come yet is no transition.
fn changed<'a>(previous: &[Condition], next: &'a [Condition]) -> Vec<&'a Condition> {
    next.iter()
        .filter(|condition| {
            let before = previous.iter().find(|old| old.type_ == condition.type_);
            match before {
                Some(old) => (&old.status, &old.reason) != (&condition.status, &condition.reason),
                None => !is_waited_for(condition),
            }
        })
        .collect()
}

/// False, and nothing is wrong.
fn is_waited_for(condition: &Condition) -> bool {
    condition.status == "False" && HARMLESS.contains(&condition.reason.as_str())
}
