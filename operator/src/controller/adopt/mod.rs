//! The edge of [`crate::adoption`]: what it must see of the cluster, and what it asks to be done.

mod act;
mod managed_fields;

use std::collections::BTreeSet;
use std::sync::Arc;

use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::autoscaling::v2::HorizontalPodAutoscaler;
use k8s_openapi::api::core::v1::{Pod, Service};
use k8s_openapi::jiff::Timestamp;
use kube::api::{Api, ListParams};
use kube::core::{NamespaceResourceScope, Selector};
use kube::{Resource, ResourceExt as _};
use serde::de::DeserializeOwned;

use super::apply::belongs;
use super::fetch::{Inputs, last_words};
use super::validate::{Identity, Validated};
use super::{Context, Error};
use crate::adoption::{
    self, OldAutoscaler, OldDeployment, OldService, Ours, Plan, Seen, Terms, is_empty,
};
use crate::api::v1alpha1::PostServiceStatus;
use crate::build::adopted_service::{self, Adopted, FORMER, Former};
use crate::build::{self, Front, migration_job};
use crate::rollout::{JobState, Migration};

pub use act::carry_out;

/// On a Deployment that was scaled to zero: by which `PostService`, so that it is done once.
const RETIRED: &str = "platform.hhottdogg.shop/retired-by";

/// What a pass sees of an adoption, and the objects themselves.
pub struct Sight {
    /// For the state machine; `None` when `spec.adopt` names nothing.
    pub seen: Option<Seen>,
    /// Which Services there are.
    pub front: Front,
    /// The Service that is the network load balancer.
    pub balancer: Option<Arc<Service>>,
    service: Option<Arc<Service>>,
    deployment: Option<Deployment>,
    autoscaler: Option<HorizontalPodAutoscaler>,
}

/// Names Deployment and autoscaler: as the `PostService`, unless old ones have that name; what is
/// there already keeps its name, also when `spec.adopt` is gone.
pub fn name_workload(spec: &mut Validated, ctx: &Context) {
    let other = format!("{}-api", spec.id.name);
    let is_there = |name: &str| ctx.children.deployments.has(&spec.id, name);
    let adopt = &spec.spec.adopt;
    let is_taken = [&adopt.deployment, &adopt.horizontal_pod_autoscaler]
        .into_iter()
        .any(|name| name.as_ref() == Some(&spec.id.name));
    if !is_there(&spec.id.name) && (is_taken || is_there(&other)) {
        spec.id.workload = other;
    }
}

/// Looks at the old objects. They are read only while `spec.adopt` names them: they are not watched.
pub async fn look(
    spec: &Validated,
    inputs: &Inputs,
    up_to_date: bool,
    credentials: Option<&build::Credentials>,
    ctx: &Context,
) -> Result<Sight, Error> {
    let adopt = &spec.spec.adopt;
    let id = &spec.id;
    let (named, earlier): (Vec<_>, Vec<_>) = adopted_earlier(id, ctx)
        .into_iter()
        .partition(|service| adopt.service.as_ref() == Some(&service.name_any()));
    let mut earlier = earlier.into_iter();
    let service = match (&adopt.service, named.into_iter().next()) {
        (Some(_), Some(moved)) => Some(moved),
        (Some(name), None) => get(name, id, ctx).await?.map(Arc::new),
        (None, _) => earlier.next(),
    };
    let own = ctx.children.services.get(&id.namespace, &id.name);
    let is_own = |own: &Service| belongs(id, own) && !is_moved(id, own);
    let front = Front {
        adopted: service.as_deref().map(|service| adopted(id, service)),
        earlier: earlier.map(|service| adopted(id, &service)).collect(),
        has_own: own.as_deref().is_some_and(is_own),
        has_second: ctx.children.services.has(id, &Front::second_name(spec)),
        blocked: false,
    };
    let balancer_name = front.balancer_name(spec);
    let is_balancer = |found: &Arc<Service>| found.name_any() == balancer_name;
    let cached = || ctx.children.services.get(&id.namespace, &balancer_name);
    let balancer = own
        .filter(is_balancer)
        .or_else(cached)
        .or_else(|| service.clone().filter(is_balancer));
    let mut sight = Sight {
        seen: None,
        front,
        balancer,
        service,
        deployment: None,
        autoscaler: None,
    };
    if is_empty(adopt) {
        return Ok(sight);
    }
    if let Some(name) = &adopt.deployment {
        sight.deployment = get(name, id, ctx).await?;
    }
    if let Some(name) = &adopt.horizontal_pod_autoscaler {
        sight.autoscaler = get(name, id, ctx).await?;
    }
    let finish = finish(spec, inputs, credentials);
    let finish_failure = match (&finish, credentials) {
        (Migration::Job(JobState::Failed), Some(credentials)) => {
            let job = migration_job::finish_name(spec, credentials);
            last_words(&Api::namespaced(ctx.client.clone(), &id.namespace), &job).await?
        }
        _ => None,
    };
    sight.seen = Some(Seen {
        service: old_service(spec, sight.service.as_deref()),
        deployment: sight
            .deployment
            .as_ref()
            .map(|found| old_deployment(id, found)),
        autoscaler: sight
            .autoscaler
            .as_ref()
            .map(|found| old_autoscaler(id, found)),
        pods: old_pods(spec, &sight, ctx).await?,
        ours: ours(spec, inputs, up_to_date, ctx),
        finish,
        finish_failure,
    });
    Ok(sight)
}

/// Where the adoption stands and which Services there shall be. What it asks of the autoscaler goes
/// into `spec`. Pure.
pub fn plan(
    spec: &mut Validated,
    status: &PostServiceStatus,
    sight: &Sight,
    now: Timestamp,
) -> (Option<Plan>, Front) {
    let terms = Terms::of(spec);
    let memory = status.adoption.as_ref();
    let seen = sight.seen.as_ref();
    let plan = seen.and_then(|seen| adoption::next(&terms, memory, seen, now));
    let mut front = sight.front.clone();
    if let Some(plan) = &plan {
        front.blocked = plan.is_blocked();
        if let Some(floor) = plan.floor {
            spec.spec.autoscaling.min_replicas = floor;
        }
    }
    (plan, front)
}

async fn get<K>(name: &str, id: &Identity, ctx: &Context) -> Result<Option<K>, Error>
where
    K: Resource<DynamicType = (), Scope = NamespaceResourceScope>
        + Clone
        + std::fmt::Debug
        + DeserializeOwned,
{
    Api::<K>::namespaced(ctx.client.clone(), &id.namespace)
        .get_opt(name)
        .await
        .map_err(|source| Error::Read {
            what: "an object that spec.adopt names",
            source,
        })
}

/// Services that were taken over by earlier passes.
fn adopted_earlier(id: &Identity, ctx: &Context) -> Vec<Arc<Service>> {
    let mut services = ctx.children.services.of(id, |_| true);
    services.retain(|service| is_moved(id, service));
    services
}

fn adopted(id: &Identity, service: &Service) -> Adopted {
    Adopted {
        name: service.name_any(),
        former: Former::of(service),
        moved: is_moved(id, service),
    }
}

fn is_moved(id: &Identity, service: &Service) -> bool {
    belongs(id, service) && service.annotations().contains_key(FORMER)
}

fn old_service(spec: &Validated, service: Option<&Service>) -> OldService {
    let Some(service) = service else {
        return OldService::Absent;
    };
    if is_moved(&spec.id, service) {
        OldService::Moved
    } else if belongs(&spec.id, service) {
        OldService::Ours
    } else if service.owner_references().is_empty() {
        adopted_service::scheme_conflict(spec, service)
            .map_or(OldService::Old, OldService::AnotherScheme)
    } else {
        OldService::OfOthers
    }
}

fn old_deployment(id: &Identity, found: &Deployment) -> OldDeployment {
    let status = found.status.as_ref();
    OldDeployment {
        replicas: found
            .spec
            .as_ref()
            .and_then(|spec| spec.replicas)
            .unwrap_or(1),
        ready: status.and_then(|status| status.ready_replicas).unwrap_or(0),
        retired: found.annotations().get(RETIRED) == Some(&id.uid),
        is_ours: belongs(id, found),
    }
}

fn old_autoscaler(id: &Identity, found: &HorizontalPodAutoscaler) -> OldAutoscaler {
    let target = found.spec.as_ref().map(|spec| &spec.scale_target_ref);
    OldAutoscaler {
        target: target.map_or(String::new(), |target| {
            format!("{} {}", target.kind, target.name)
        }),
        is_ours: belongs(id, found),
    }
}

fn ours(spec: &Validated, inputs: &Inputs, up_to_date: bool, ctx: &Context) -> Ours {
    let deployment = inputs.deployment.as_deref();
    let status = deployment.and_then(|deployment| deployment.status.as_ref());
    let (namespace, name) = (&spec.id.namespace, &spec.id.workload);
    let scaler = ctx.children.autoscalers.get(namespace, name);
    Ours {
        up_to_date,
        available: status
            .and_then(|status| status.available_replicas)
            .unwrap_or(0),
        wanted: deployment
            .and_then(|deployment| deployment.spec.as_ref()?.replicas)
            .unwrap_or(0),
        floor: scaler.and_then(|scaler| scaler.spec.as_ref()?.min_replicas),
    }
}

/// Names of pods that may still write the old way: those of the old Deployment, and any other that
/// the Service led to.
async fn old_pods(spec: &Validated, sight: &Sight, ctx: &Context) -> Result<Vec<String>, Error> {
    let mut selectors = Vec::new();
    let adopted = sight.front.adopted.as_ref();
    let Some(adopted) = adopted.filter(|adopted| adopted.moved) else {
        return Ok(Vec::new());
    };
    if !adopted.former.selector.is_empty() {
        selectors.push(Selector::from_iter(adopted.former.selector.clone()));
    }
    let of_deployment = sight
        .deployment
        .as_ref()
        .and_then(|deployment| deployment.spec.as_ref())
        .and_then(|spec| Selector::try_from(spec.selector.clone()).ok());
    selectors.extend(of_deployment.filter(|selector| !selector.selects_all()));
    let pods = Api::<Pod>::namespaced(ctx.client.clone(), &spec.id.namespace);
    let mut names = BTreeSet::new();
    for selector in selectors {
        let found = pods
            .list(&ListParams::default().labels_from(&selector))
            .await
            .map_err(|source| Error::Read {
                what: "the pods of the old service",
                source,
            })?;
        let old = found.items.into_iter().filter(|pod| {
            let ended = pod
                .status
                .as_ref()
                .and_then(|status| status.phase.as_deref());
            !matches!(ended, Some("Succeeded" | "Failed")) && !build::is_ours(&spec.id.name, pod)
        });
        names.extend(old.map(|pod| pod.name_any()));
    }
    Ok(names.into_iter().collect())
}

/// Where the Job `migrate --finish` stands.
fn finish(
    spec: &Validated,
    inputs: &Inputs,
    credentials: Option<&build::Credentials>,
) -> Migration {
    if !spec.spec.database.migrations.enabled {
        return Migration::Disabled;
    }
    let Some(credentials) = credentials else {
        return Migration::Pending;
    };
    let name = migration_job::finish_name(spec, credentials);
    let job = inputs.finish_jobs.iter().find(|job| job.name_any() == name);
    match job.map(|job| (job, migration_job::state(job))) {
        Some((job, JobState::Failed)) if migration_job::is_outdated(spec, credentials, job) => {
            Migration::Retry
        }
        Some((_, state)) => Migration::Job(state),
        None => Migration::Pending,
    }
}
