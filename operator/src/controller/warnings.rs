//! Warnings about Services in their authors' words, read beside the passes.
//!
//! The API server keeps no index of Events: to find those about one object it reads all of the
//! namespace. So they are read once for all Services of a namespace, and not in each pass.

use std::collections::HashMap;
use std::sync::Arc;

use k8s_openapi::api::core::v1::{Event, Service};
use kube::api::{Api, ListParams};
use kube::{Client, ResourceExt as _};
use kube_runtime::reflector::ObjectRef;

use super::load_balancer;
use super::observer::{Observer, Wake};
use crate::api::v1alpha1::PostService;
use crate::build::Pace;

/// Most Warnings of a namespace that are read.
const LIMIT: u32 = 1000;

/// The last Warning about each Service, by the Service's uid.
type Warnings = HashMap<String, String>;

/// Reads them.
pub struct ServiceWarnings {
    client: Client,
    by_namespace: Arc<Observer<String, Arc<Warnings>>>,
}

impl ServiceWarnings {
    /// Calls passes by `wake`.
    pub fn new(client: Client, wake: Wake) -> Self {
        Self {
            client,
            by_namespace: Observer::new(wake),
        }
    }

    /// The last Warning about a Service, as far as it is known. Events only explain: a pass goes on
    /// without them.
    pub fn about(
        &self,
        service: &Service,
        who: &ObjectRef<PostService>,
        pace: Pace,
    ) -> Option<String> {
        let namespace = service.namespace()?;
        let events = Api::namespaced(self.client.clone(), &namespace);
        let read = || read(events, namespace.clone());
        let known = self
            .by_namespace
            .ask(&namespace, who, |_| pace.poll_in_trouble, read)?;
        known.get(service.metadata.uid.as_deref()?).cloned()
    }
}

async fn read(events: Api<Event>, namespace: String) -> Arc<Warnings> {
    let wanted = ListParams::default()
        .fields("involvedObject.kind=Service,type=Warning")
        .limit(LIMIT);
    match events.list(&wanted).await {
        Ok(found) => Arc::new(last_of_each(found.items)),
        Err(error) => {
            tracing::warn!(%error, namespace, "could not read the Events of Services");
            Arc::default()
        }
    }
}

fn last_of_each(events: Vec<Event>) -> Warnings {
    let mut by_uid: HashMap<String, Vec<Event>> = HashMap::new();
    for event in events {
        if let Some(uid) = event.involved_object.uid.clone() {
            by_uid.entry(uid).or_default().push(event);
        }
    }
    by_uid
        .into_iter()
        .filter_map(|(uid, events)| Some((uid, load_balancer::last_warning(&events)?)))
        .collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn each_service_has_the_last_warning_about_itself() {
        let event = |uid: &str, second: u8, message: &str| -> Event {
            serde_json::from_value(json!({
                "metadata": {}, "involvedObject": {"uid": uid}, "reason": "R", "message": message,
                "lastTimestamp": format!("2026-01-01T00:00:0{second}Z"),
            }))
            .unwrap()
        };
        let found = last_of_each(vec![
            event("a", 2, "new"),
            event("b", 3, "other"),
            event("a", 1, "old"),
        ]);
        let expected = [("a", "R: new"), ("b", "R: other")];
        assert_eq!(
            found,
            expected
                .map(|(uid, words)| (uid.to_owned(), words.to_owned()))
                .into()
        );
    }
}
