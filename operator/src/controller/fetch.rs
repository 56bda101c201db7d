//! Every read of the cluster that a pass needs, and nowhere else.

use std::sync::Arc;

use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::batch::v1::Job;
use k8s_openapi::api::core::v1::{Pod, Secret, Service};
use kube::api::{Api, ListParams};
use kube::{Resource, ResourceExt as _};
use kube_runtime::reflector::ObjectRef;

use super::foreign::Known;
use super::load_balancer::{Binding, Seen};
use super::mask::Mask;
use super::secrets::{AuthKeys, RawSecrets};
use super::{Context, Error, load_balancer};
use crate::api::v1alpha1::{PostService, PostServiceStatus, RolloutStep};
use crate::build::{self, migration_job, own_secrets, revision};
use crate::foreign::TargetGroupBinding;
use crate::rollout::pods::{PodSeen, Trouble};
use crate::rollout::replicas::{self, Authority, Number};
use crate::rollout::{self, JobState, Running, Step};

/// What a pass sees of the cluster.
#[derive(Clone, Debug, Default)]
pub struct Inputs {
    /// The referenced Secrets.
    pub secrets: RawSecrets,
    /// The Deployment, if it is there.
    pub deployment: Option<Arc<Deployment>>,
    /// What there is of the load balancer.
    pub load_balancer: load_balancer::Seen,
    /// The number of pods.
    pub scale: replicas::Seen,
    /// The live Deployment, as the state machine sees it.
    pub running: Option<Running>,
    /// Migration Jobs of this `PostService`.
    pub jobs: Vec<Arc<Job>>,
    /// Jobs of it that end an adoption.
    pub finish_jobs: Vec<Arc<Job>>,
    /// Last lines of the newest failed migration pod.
    pub migration_failure: Option<String>,
    /// Pods of migration Jobs, while one runs.
    pub migrating: Vec<PodSeen>,
    /// Pods of the service, while not all of them serve.
    pub pods: Vec<PodSeen>,
    /// Name of the Secret that the current revision's pods read, if it is there.
    pub env_secret: Option<String>,
}

impl Inputs {
    /// Hides secret values in what pods say of themselves.
    pub fn hide(&mut self, mask: &Mask) {
        if let Some(words) = &mut self.migration_failure {
            mask.hide(words);
        }
        for pod in self.migrating.iter_mut().chain(&mut self.pods) {
            if let Some(evidence) = pod.trouble.as_mut().map(Trouble::evidence_mut) {
                mask.hide(&mut evidence.message);
            }
        }
    }
}

/// Reads everything.
pub async fn inputs(
    service: &PostService,
    status: &PostServiceStatus,
    workload: &str,
    ctx: &Context,
) -> Result<Inputs, Error> {
    let namespace = service.namespace().unwrap_or_default();
    let name = service.name_any();
    let (secrets, env_secret) = if service.spec.stopped {
        (RawSecrets::default(), None)
    } else {
        tokio::try_join!(secrets(service, ctx), env_secret(service, status, ctx))?
    };
    let children = &ctx.children;
    let deployment = children
        .deployments
        .get(&namespace, workload)
        .filter(|live| is_of(service, &**live));
    let (finish_jobs, jobs) = owned_jobs(service, ctx)
        .into_iter()
        .partition::<Vec<_>, _>(|job| migration_job::is_finish(&name, job));
    let pods = Api::<Pod>::namespaced(ctx.client.clone(), &namespace);
    let newest = jobs
        .iter()
        .max_by_key(|job| job.creation_timestamp().map(|time| time.0));
    let newest_state = newest.map(|job| migration_job::state(job));
    let migration_failure = match newest {
        Some(job) if newest_state == Some(JobState::Failed) => {
            last_words(&pods, &job.name_any()).await?
        }
        _ => None,
    };
    let running = deployment
        .as_deref()
        .map(|live| running(service, status, live));
    let starting = newest_state == Some(JobState::Running);
    let under_way =
        starting || is_rolling(status) || running.as_ref().is_some_and(|running| !running.complete);
    let (migrating, pods) = if under_way {
        list_pods(&pods, &name).await?
    } else {
        (Vec::new(), Vec::new())
    };
    Ok(Inputs {
        secrets,
        scale: replicas::Seen {
            deployment: deployment.as_deref().map(Number::of),
            autoscaler: is_autoscaled(service, workload, &namespace, ctx),
        },
        running,
        deployment,
        load_balancer: Seen::default(),
        jobs,
        finish_jobs,
        migration_failure,
        migrating,
        pods,
        env_secret,
    })
}

/// What is to be seen of the load balancer of Service `live`.
pub fn load_balancer(service: &PostService, live: Option<&Service>, ctx: &Context) -> Seen {
    let Some(live) = live else {
        return Seen::default();
    };
    let mut seen = Seen::of(live);
    if !service
        .spec
        .service
        .load_balancer
        .target_group_arn
        .is_empty()
    {
        seen.binding = binding(service, ctx);
    }
    let balanced =
        live.spec.as_ref().and_then(|spec| spec.type_.as_deref()) == Some("LoadBalancer");
    if balanced && seen.address.is_none() && !service.spec.stopped {
        let (who, pace) = (ObjectRef::from_obj(service), ctx.settings.pace);
        seen.warning = ctx.warnings.about(live, &who, pace);
    }
    seen
}

fn binding(service: &PostService, ctx: &Context) -> Binding {
    let Known::Yes(store) = ctx.children.target_group_bindings.known() else {
        return Binding::Unknown;
    };
    let bindings = store.owned(&service.uid().unwrap_or_default(), |_| true);
    let is_bound = |binding: &Arc<TargetGroupBinding>| {
        let status = binding.status.as_ref();
        let observed = status.and_then(|status| status.observed_generation);
        observed.is_some() && observed >= binding.metadata.generation
    };
    if bindings.iter().any(is_bound) {
        Binding::Bound
    } else {
        Binding::Pending
    }
}

/// The referenced Secrets, and the operator's own, each by its name.
async fn secrets(service: &PostService, ctx: &Context) -> Result<RawSecrets, Error> {
    let (spec, name) = (&service.spec, service.name_any());
    let api =
        Api::<Secret>::namespaced(ctx.client.clone(), &service.namespace().unwrap_or_default());
    let get = async |name: Option<&str>| match name {
        Some(name) => api.get_opt(name).await,
        None => Ok(None),
    };
    let own = spec.database.connection.is_some();
    let account = own.then(|| own_secrets::database_name(&name));
    let url = (!own).then_some(spec.database.url_secret_ref.name.as_str());
    let read = spec.database.read_url_secret_ref.as_ref();
    let ca = spec.database.tls.ca_secret_ref.as_ref();
    let (database, account, read, ca, auth) = tokio::try_join!(
        get(url),
        get(account.as_deref()),
        get(read.map(|reference| reference.name.as_str())),
        get(ca.map(|reference| reference.name.as_str())),
        get(Some(&spec.auth.secret_ref.name)),
    )
    .map_err(|source| Error::Read {
        what: "Secrets",
        source,
    })?;
    let key = AuthKeys::of(spec).secret_key;
    let data = auth.as_ref().and_then(|auth| auth.data.as_ref());
    let given = data.is_some_and(|data| data.get(&key).is_some_and(|value| !value.0.is_empty()));
    let generated = own_secrets::secret_key_name(&name);
    let secret_key = get((!given).then_some(generated.as_str()))
        .await
        .map_err(|source| Error::Read {
            what: "Secrets",
            source,
        })?;
    for own in account.iter().chain(&secret_key) {
        refuse_foreign(service, own)?;
    }
    Ok(RawSecrets {
        database,
        account,
        read,
        ca,
        auth,
        secret_key,
    })
}

/// A Secret under the name of one of the operator's own must be its own.
fn refuse_foreign(service: &PostService, secret: &Secret) -> Result<(), Error> {
    let owned = secret
        .owner_references()
        .iter()
        .any(|owner| Some(&owner.uid) == service.uid().as_ref());
    if owned {
        return Ok(());
    }
    Err(Error::ObjectConflict {
        kind: "Secret".to_owned(),
        name: secret.name_any(),
    })
}

/// Name of the Secret that the current revision's pods read, if it is there: somebody may have
/// removed it.
async fn env_secret(
    service: &PostService,
    status: &PostServiceStatus,
    ctx: &Context,
) -> Result<Option<String>, Error> {
    let (name, namespace) = (service.name_any(), service.namespace().unwrap_or_default());
    let current = status
        .rollout
        .as_ref()
        .and_then(|rollout| rollout.current.as_ref());
    let id = current.and_then(|current| current.strip_prefix(&revision::name(&name, "")));
    let Some(id) = id else {
        return Ok(None);
    };
    let secrets = Api::<Secret>::namespaced(ctx.client.clone(), &namespace);
    let secret = own_secrets::env_name(&name, id);
    let found = secrets.get_metadata_opt(&secret).await;
    let found = found.map_err(|source| Error::Read {
        what: "Secrets",
        source,
    })?;
    Ok(found.map(|_| secret))
}

/// The live Deployment, as the state machine sees it.
fn running(service: &PostService, status: &PostServiceStatus, deployment: &Deployment) -> Running {
    let settled = status.phase.as_deref() == Some(Step::Idle.as_str())
        && status.observed_generation == service.metadata.generation
        && !is_rolling(status);
    rollout::running(deployment, Authority::of(&service.spec), settled)
}

fn is_rolling(status: &PostServiceStatus) -> bool {
    let rollout = status.rollout.as_ref();
    rollout.is_some_and(|rollout| rollout.step != RolloutStep::Idle)
}

fn is_autoscaled(service: &PostService, name: &str, namespace: &str, ctx: &Context) -> bool {
    let live = ctx.children.autoscalers.get(namespace, name);
    live.is_some_and(|live| live.metadata.deletion_timestamp.is_none() && is_of(service, &*live))
}

/// Whether the object belongs to the `PostService`.
fn is_of<K: Resource>(service: &PostService, object: &K) -> bool {
    let mut owners = object.owner_references().iter();
    owners.any(|owner| Some(&owner.uid) == service.metadata.uid.as_ref())
}

fn owned_jobs(service: &PostService, ctx: &Context) -> Vec<Arc<Job>> {
    let uid = service.uid().unwrap_or_default();
    ctx.children.jobs.owned(&uid, |_| true)
}

/// The termination message of a Job's last pod.
pub(super) async fn last_words(pods: &Api<Pod>, job: &str) -> Result<Option<String>, Error> {
    let selector = ListParams::default().labels(&format!("batch.kubernetes.io/job-name={job}"));
    let pods = pods.list(&selector).await.map_err(|source| Error::Read {
        what: "the migration Job's pods",
        source,
    })?;
    Ok(pods
        .items
        .into_iter()
        .filter_map(|pod| {
            let statuses = pod.status?.container_statuses?;
            let ended = statuses
                .into_iter()
                .find_map(|status| status.state?.terminated)?;
            Some((ended.finished_at, ended.message?))
        })
        .max_by_key(|(at, _)| at.clone().map(|time| time.0))
        .map(|(_, message)| message.trim().to_owned()))
}

/// Pods of migrations, and of the service.
async fn list_pods(pods: &Api<Pod>, name: &str) -> Result<(Vec<PodSeen>, Vec<PodSeen>), Error> {
    let selector = ListParams::default()
        .labels(&build::pods_selector(name))
        // What the API server remembers will do: it need not ask etcd whether that is the latest.
        .match_any();
    let pods = pods.list(&selector).await.map_err(|source| Error::Read {
        what: "the Deployment's pods",
        source,
    })?;
    let (migrating, serving): (Vec<_>, Vec<_>) =
        pods.items.iter().partition(|pod| build::is_migrating(pod));
    let seen = |pods: Vec<&Pod>| pods.into_iter().map(PodSeen::of).collect();
    Ok((seen(migrating), seen(serving)))
}
