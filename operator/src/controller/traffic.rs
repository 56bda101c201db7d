//! How the service's pods answer during a bake, by their own metrics.
//!
//! Of the Prometheus text format only the lines of one counter are read, which the service itself
//! writes: a parser of all of it would bring a calendar and a regular-expression engine into a
//! process that is to stay small.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use http::Request;
use kube::{Client, Config};
use kube_runtime::reflector::ObjectRef;

use super::observer::{Observer, Wake};
use crate::api::v1alpha1::PostService;
use crate::build::METRICS_PORT;
use crate::rollout::pods::PodSeen;
use crate::rollout::trial::{Answers, Traffic};

/// The service's counter of answered requests.
const COUNTER: &str = "http_requests_total{";
/// Routes that only the kubelet and the load balancer ask.
const PROBES: [&str; 4] = ["/health", "/livez", "/metrics", "/readyz"];
const TIMEOUT: Duration = Duration::from_secs(3);

/// Asks pods, beside the passes.
pub struct Pods {
    answers: Arc<Observer<String, Option<Answers>>>,
    /// By uid of the `PostService`: what the old pods had answered when the bake began.
    before: Mutex<HashMap<String, Before>>,
}

struct Before {
    revision: String,
    answers: HashMap<String, Answers>,
}

impl Pods {
    /// Nothing is known yet; `wake` calls passes.
    pub fn new(wake: Wake) -> Self {
        Self {
            answers: Observer::new(wake),
            before: Mutex::default(),
        }
    }

    /// Answers since the bake of `revision` began, as far as they are known. After a restart of the
    /// operator those of the old pods count from then on.
    pub fn traffic(
        &self,
        uid: &str,
        revision: &str,
        pods: &[PodSeen],
        who: &ObjectRef<PostService>,
        every: Duration,
    ) -> Traffic {
        let mut all = self.before.lock().unwrap_or_else(PoisonError::into_inner);
        let fresh = || Before {
            revision: revision.to_owned(),
            answers: HashMap::new(),
        };
        let before = all.entry(uid.to_owned()).or_insert_with(fresh);
        if before.revision != revision {
            *before = fresh();
        }
        let mut traffic = Traffic::default();
        for pod in pods.iter().filter(|pod| !pod.ending) {
            let Some(address) = &pod.ip else { continue };
            let asked = self
                .answers
                .ask(address, who, |_| every, || read(address.clone()));
            let Some(now) = asked.flatten() else { continue };
            if pod.revision.as_deref() == Some(revision) {
                traffic.new = sum(traffic.new, now);
            } else {
                let then = *before.answers.entry(address.clone()).or_insert(now);
                traffic.old = sum(traffic.old, since(then, now));
            }
        }
        traffic
    }

    /// Forgets what was noted of a bake that is over.
    pub fn forget(&self, uid: &str) {
        let mut all = self.before.lock().unwrap_or_else(PoisonError::into_inner);
        all.remove(uid);
    }
}

fn sum(one: Answers, other: Answers) -> Answers {
    Answers {
        requests: one.requests + other.requests,
        errors: one.errors + other.errors,
    }
}

/// A pod that was started anew counts from zero.
fn since(then: Answers, now: Answers) -> Answers {
    Answers {
        requests: now.requests.saturating_sub(then.requests),
        errors: now.errors.saturating_sub(then.errors),
    }
}

/// What a pod says; `None`: it does not answer.
async fn read(address: String) -> Option<Answers> {
    let host = if address.contains(':') {
        format!("[{address}]")
    } else {
        address
    };
    let root = format!("http://{host}:{METRICS_PORT}").parse().ok()?;
    let client = Client::try_from(Config::new(root)).ok()?;
    let request = Request::get("/metrics").body(Vec::new()).ok()?;
    let text = tokio::time::timeout(TIMEOUT, client.request_text(request));
    Some(count(&text.await.ok()?.ok()?))
}

fn count(text: &str) -> Answers {
    let mut answers = Answers::default();
    let lines = text.lines().filter_map(|line| line.strip_prefix(COUNTER));
    for (labels, value) in lines.filter_map(|line| line.rsplit_once("} ")) {
        let label = |name: &str| {
            let mut all = labels.split(',').filter_map(|label| label.split_once('='));
            let found = all.find(|(key, _)| *key == name);
            found.map(|(_, value)| value.trim_matches('"'))
        };
        let (Ok(value), false) = (
            value.trim().parse::<u64>(),
            label("route").is_some_and(|route| PROBES.contains(&route)),
        ) else {
            continue;
        };
        answers.requests += value;
        if label("status").is_some_and(|status| status.starts_with('5')) {
            answers.errors += value;
        }
    }
    answers
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_with_status_5xx_are_errors_and_probes_do_not_count() {
        let text = "# TYPE http_requests_total counter\n\
            http_requests_total{method=\"GET\",route=\"/api/v1/posts\",status=\"200\"} 40\n\
            http_requests_total{method=\"GET\",route=\"/api/v1/posts\",status=\"500\"} 3\n\
            http_requests_total{method=\"POST\",route=\"/api/v1/posts\",status=\"503\"} 2\n\
            http_requests_total{method=\"GET\",route=\"/readyz\",status=\"503\"} 99\n\
            http_requests_rejected_total{reason=\"timeout\"} 7\n";
        let expected = Answers {
            requests: 45,
            errors: 5,
        };
        assert_eq!(count(text), expected);
    }

    #[test]
    fn a_pod_that_started_anew_does_not_count_below_zero() {
        let then = Answers {
            requests: 50,
            errors: 5,
        };
        assert_eq!(since(then, Answers::default()), Answers::default());
    }
}
