//! Leader election by a `Lease` of `coordination.k8s.io`: of several replicas one writes.
//!
//! The protocol is that of Kubernetes' own components (client-go's `leaderelection`): the leader
//! renews the lease; the others watch it change, and take it over when it has not changed for its
//! whole duration by *their* monotonic clock, or at once when its holder has let it go. No clock is
//! ever compared with another machine's. Every write carries the resource version that was read, so
//! that of two who try only one succeeds.
//!
//! The leader counts from the moment at which it *sent* a renewal that succeeded, and only for two
//! thirds of the duration: it has stopped ([`Fence`]) a third of it before anybody else may begin.
//!
//! Why our own: kube has no election, and the crate `kube-lease-manager` (0.13, read in its source)
//! compares the holder's wall clock with the reader's, takes over by a patch without a resource
//! version, sets its calls no time limit, and knows no fence. What it would save is this file.

mod fence;
mod record;

use std::time::{Duration, Instant};

use k8s_openapi::api::coordination::v1::Lease as Object;
use kube::api::{Api, ObjectMeta, PostParams};
use kube::{Client, ResourceExt as _};

pub use fence::{Fence, Fenced, NotLeading};
use record::{Observation, Verdict};

/// Which lease, who we are, and how fast things go.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Namespace of the lease.
    pub namespace: String,
    /// Its name.
    pub name: String,
    /// Names this process and no other, not even its successor in the same pod.
    pub identity: String,
    /// A leader that has not renewed for so long is replaced. Whole seconds.
    pub duration: Duration,
}

impl Settings {
    /// How often a standby looks: what it costs to learn that the lease was let go.
    fn poll(&self) -> Duration {
        self.duration / 15
    }

    /// How often the leader renews.
    fn renewal(&self) -> Duration {
        self.duration * 2 / 15
    }

    /// How long a call may take before it is tried again, on another connection.
    fn call(&self) -> Duration {
        self.duration / 4
    }

    /// How long a renewal counts for the leader, from when it was sent.
    fn validity(&self) -> Duration {
        self.duration * 2 / 3
    }
}

/// Why this process may not go on.
#[derive(Debug, thiserror::Error)]
pub enum LeaseError {
    /// The lease cannot be read or written, and waiting will not change that.
    #[error(
        "no access to the Lease {lease}: {source}. The operator's account needs get, create and update on leases.coordination.k8s.io there, and the namespace must exist; --no-leader-election does without"
    )]
    NoAccess {
        /// Namespace and name.
        lease: String,
        /// The API server's word.
        source: kube::Error,
    },
    /// It could not be renewed in time.
    #[error(
        "the Lease {lease} could not be renewed for {} s, the last time because of: {cause}. Another replica takes over; this process ends and starts anew", silence.as_secs()
    )]
    Lapsed {
        /// Namespace and name.
        lease: String,
        /// How long.
        silence: Duration,
        /// The last failure.
        cause: String,
    },
    /// Somebody else has it.
    #[error("the Lease {lease} was taken over by {holder}; this process ends and starts anew")]
    Taken {
        /// Namespace and name.
        lease: String,
        /// Who.
        holder: String,
    },
}

/// Why one attempt came to nothing.
#[derive(Debug, thiserror::Error)]
enum Failure {
    #[error("{0}")]
    Api(#[from] kube::Error),
    #[error("no answer within {} ms", .0.as_millis())]
    Slow(Duration),
}

impl Failure {
    fn code(&self) -> Option<u16> {
        match self {
            Self::Api(kube::Error::Api(status)) => Some(status.code),
            _ => None,
        }
    }
}

/// A lease that this process wants, holds or has held.
pub struct Lease {
    api: Api<Object>,
    settings: Settings,
    fence: Fence,
    held: Option<Held>,
}

/// The object as last written by us, and when.
struct Held {
    object: Object,
    sent: Instant,
}

impl Lease {
    /// A candidacy for the lease; `fence` opens when it is won.
    ///
    /// `client` must be one of its own: its connections then wait behind nobody else's requests.
    pub fn new(client: Client, settings: Settings, fence: Fence) -> Self {
        Self {
            api: Api::namespaced(client, &settings.namespace),
            settings,
            fence,
            held: None,
        }
    }

    /// Waits until the lease is ours.
    pub async fn acquire(&mut self) -> Result<(), LeaseError> {
        let mut observation = Observation::default();
        let mut failing = false;
        loop {
            match self.attempt(&mut observation).await {
                Ok(true) => return Ok(()),
                Ok(false) => failing = false,
                // Another candidate was faster, with the same thought.
                Err(failure) if failure.code() == Some(409) => {}
                Err(Failure::Api(source)) if is_hopeless(&source) => {
                    let lease = self.lease();
                    return Err(LeaseError::NoAccess { lease, source });
                }
                Err(failure) => {
                    if !failing {
                        tracing::warn!(lease = self.lease(), %failure, "cannot reach the lease, trying on");
                    }
                    failing = true;
                }
            }
            tokio::time::sleep(self.settings.poll()).await;
        }
    }

    /// Looks at the lease and takes it if nobody holds it.
    async fn attempt(&mut self, observation: &mut Observation) -> Result<bool, Failure> {
        let found = self.limited(self.api.get_opt(&self.settings.name)).await?;
        let (name, duration) = (&self.settings.identity, self.settings.duration);
        let Some(found) = found else {
            let metadata = ObjectMeta {
                name: Some(self.settings.name.clone()),
                ..ObjectMeta::default()
            };
            let spec = record::taken(None, name, duration);
            let object = Object {
                metadata,
                spec: Some(spec),
            };
            return self.create(object).await;
        };
        let verdict = observation.judge(found.spec.as_ref(), duration, Instant::now());
        // Ours: an earlier attempt whose answer was lost.
        let ours = record::holder(found.spec.as_ref()) == Some(name);
        match verdict {
            Verdict::Held if !ours => Ok(false),
            Verdict::Held | Verdict::Free => {
                let spec = record::taken(found.spec.as_ref(), name, duration);
                let object = Object {
                    spec: Some(spec),
                    ..found
                };
                self.replace(object).await
            }
        }
    }

    /// Renews the lease for as long as that succeeds; returns why it does not any more. Cancel it to
    /// end, then [`Lease::release`].
    pub async fn keep(&mut self) -> LeaseError {
        loop {
            tokio::time::sleep(self.settings.renewal()).await;
            if let Err(lost) = self.renew().await {
                self.fence.shut();
                return lost;
            }
        }
    }

    async fn renew(&mut self) -> Result<(), LeaseError> {
        let mut cause = "this process was paused".to_owned();
        loop {
            if self.fence.check().is_err() {
                return Err(LeaseError::Lapsed {
                    lease: self.lease(),
                    silence: self
                        .held
                        .as_ref()
                        .map_or(Duration::ZERO, |held| held.sent.elapsed()),
                    cause,
                });
            }
            match self.renewal().await {
                Ok(true) => return Ok(()),
                Ok(false) => {}
                Err(failure) if failure.code() == Some(409) => self.look().await?,
                Err(failure) => {
                    tracing::warn!(lease = self.lease(), %failure, "the lease was not renewed, trying again");
                    cause = failure.to_string();
                    tokio::time::sleep(self.settings.poll()).await;
                }
            }
        }
    }

    /// One renewal. `false`: it came too late.
    async fn renewal(&mut self) -> Result<bool, Failure> {
        let Some(held) = &self.held else {
            return Ok(false);
        };
        let mut object = held.object.clone();
        if let Some(spec) = &mut object.spec {
            record::renew(spec, self.settings.duration);
        }
        match self.replace(object.clone()).await {
            // Somebody deleted it. Whoever makes it first has it.
            Err(failure) if failure.code() == Some(404) => {
                object.metadata = ObjectMeta {
                    name: Some(self.settings.name.clone()),
                    ..ObjectMeta::default()
                };
                self.create(object).await
            }
            other => other,
        }
    }

    /// The object is not as we left it: our own renewal whose answer was lost, or another's.
    async fn look(&mut self) -> Result<(), LeaseError> {
        let Ok(Some(found)) = self.limited(self.api.get_opt(&self.settings.name)).await else {
            // Tried again until the fence shuts.
            return Ok(());
        };
        match record::holder(found.spec.as_ref()) {
            Some(holder) if holder == self.settings.identity => {
                if let Some(held) = &mut self.held {
                    held.object = found;
                }
                Ok(())
            }
            holder => Err(LeaseError::Taken {
                lease: self.lease(),
                holder: holder.unwrap_or("nobody").to_owned(),
            }),
        }
    }

    /// Shuts the fence and lets the lease go, if it is ours, so that nobody need wait for its end.
    /// Tries for a while; a failure costs the others only time.
    pub async fn release(self) {
        self.fence.shut();
        let release = async {
            while let Err(failure) = self.let_go().await {
                tracing::debug!(%failure, "the lease was not released, trying again");
                tokio::time::sleep(self.settings.poll()).await;
            }
        };
        if tokio::time::timeout(self.settings.call(), release)
            .await
            .is_err()
        {
            tracing::warn!(
                lease = self.lease(),
                "the lease could not be released: others wait for its end"
            );
        }
    }

    /// Also finds a lease whose taking was given up halfway.
    async fn let_go(&self) -> Result<(), Failure> {
        let Some(mut found) = self.limited(self.api.get_opt(&self.settings.name)).await? else {
            return Ok(());
        };
        if record::holder(found.spec.as_ref()) != Some(&self.settings.identity) {
            return Ok(());
        }
        if let Some(spec) = &mut found.spec {
            record::release(spec);
        }
        let parameters = PostParams::default();
        let replace = self.api.replace(&self.settings.name, &parameters, &found);
        self.limited(replace).await.map(drop)
    }

    async fn create(&mut self, object: Object) -> Result<bool, Failure> {
        let sent = Instant::now();
        let parameters = PostParams::default();
        let written = self.limited(self.api.create(&parameters, &object)).await?;
        Ok(self.written(written, sent))
    }

    async fn replace(&mut self, object: Object) -> Result<bool, Failure> {
        let sent = Instant::now();
        let (name, parameters) = (object.name_any(), PostParams::default());
        let replace = self.api.replace(&name, &parameters, &object);
        let written = self.limited(replace).await?;
        Ok(self.written(written, sent))
    }

    fn written(&mut self, object: Object, sent: Instant) -> bool {
        self.held = Some(Held { object, sent });
        self.fence.extend(sent + self.settings.validity()).is_ok()
    }

    async fn limited<T>(
        &self,
        call: impl Future<Output = Result<T, kube::Error>>,
    ) -> Result<T, Failure> {
        let limit = self.settings.call();
        match tokio::time::timeout(limit, call).await {
            Ok(answer) => Ok(answer?),
            Err(_) => Err(Failure::Slow(limit)),
        }
    }

    fn lease(&self) -> String {
        format!("{}/{}", self.settings.namespace, self.settings.name)
    }
}

/// Whether somebody must change something first.
fn is_hopeless(error: &kube::Error) -> bool {
    matches!(error, kube::Error::Api(status) if matches!(status.code, 403 | 404 | 422))
}
