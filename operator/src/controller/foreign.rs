//! Children of kinds that the cluster may or may not know: watched while it does.

use std::time::Duration;

use futures::{Stream, StreamExt as _};
use kube::Client;
use kube_runtime::reflector::ObjectRef;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;
use tokio::time::MissedTickBehavior;

use super::Scope;
use super::children::{self, Changes, Child};
use super::store::Store;
use crate::api::v1alpha1::PostService;

/// How often the cluster is asked which kinds it knows.
const POLL: Duration = Duration::from_secs(10);

/// Whether the cluster knows a kind.
#[derive(Clone)]
pub enum Known<K: Child> {
    /// It has not said yet.
    Unasked,
    /// It does not.
    No,
    /// It does: the children of that kind.
    Yes(Store<K>),
}

/// The children of one kind. Watching ends when this is dropped.
pub struct Foreign<K: Child> {
    known: watch::Receiver<Known<K>>,
    _follower: JoinSet<()>,
}

impl<K: Child> Foreign<K> {
    /// Starts to ask, and to watch once the cluster knows the kind.
    pub(super) fn watch(client: &Client, scope: &Scope, all_changes: &mut Vec<Changes>) -> Self {
        let (tell, known) = watch::channel(Known::Unasked);
        let (send, receive) = mpsc::unbounded_channel();
        let mut follower = JoinSet::new();
        follower.spawn(follow(client.clone(), scope.clone(), tell, send));
        let changes = futures::stream::unfold(receive, |mut receive| async {
            receive.recv().await.map(|owner| (owner, receive))
        });
        all_changes.push(changes.boxed());
        Self {
            known,
            _follower: follower,
        }
    }

    /// What is known now.
    pub fn known(&self) -> Known<K> {
        self.known.borrow().clone()
    }

    /// Waits until the cluster has said whether it knows the kind.
    pub async fn asked(&self) {
        let mut known = self.known.clone();
        let said = known.wait_for(|known| !matches!(known, Known::Unasked));
        if said.await.is_err() {
            tracing::debug!(kind = %K::kind(&()), "nobody asks for the kind any more");
        }
    }

    /// Whenever the kind appears or vanishes.
    pub fn discoveries(&self) -> impl Stream<Item = ()> + Send + use<K> {
        futures::stream::unfold(self.known.clone(), |mut known| async {
            known.changed().await.ok().map(|()| ((), known))
        })
    }
}

async fn follow<K: Child>(
    client: Client,
    scope: Scope,
    tell: watch::Sender<Known<K>>,
    send: mpsc::UnboundedSender<ObjectRef<PostService>>,
) {
    let mut poll = tokio::time::interval(POLL);
    poll.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut changes: Option<Changes> = None;
    loop {
        tokio::select! {
            _ = poll.tick() => match (is_known::<K>(&client).await, changes.is_some()) {
                (Ok(true), false) => {
                    let (store, watched) = children::watch::<K>(scope.api(&client));
                    changes = Some(watched);
                    tell.send_replace(Known::Yes(store));
                    tracing::info!(kind = %K::kind(&()), "the cluster knows the kind");
                }
                (Ok(false), watched) => {
                    changes = None;
                    if watched || matches!(*tell.borrow(), Known::Unasked) {
                        tell.send_replace(Known::No);
                        tracing::info!(kind = %K::kind(&()), "the cluster does not know the kind");
                    }
                }
                (Ok(true), true) => {}
                (Err(error), _) => {
                    tracing::warn!(kind = %K::kind(&()), %error, "could not ask for the kind, trying again");
                }
            },
            Some(owner) = next(&mut changes) => {
                if send.send(owner).is_err() {
                    return;
                }
            }
        }
    }
}

/// The next change; waits for ever while there is nothing to watch.
async fn next(changes: &mut Option<Changes>) -> Option<ObjectRef<PostService>> {
    match changes {
        Some(changes) => changes.next().await,
        None => std::future::pending().await,
    }
}

/// Discovery is open to every account (role `system:discovery`).
async fn is_known<K: Child>(client: &Client) -> Result<bool, kube::Error> {
    match client.list_api_group_resources(&K::api_version(&())).await {
        Ok(list) => Ok(list
            .resources
            .iter()
            .any(|known| known.name == K::plural(&()))),
        // The API server answers for an unknown group in plain text, without a reason.
        Err(kube::Error::Api(status)) if status.code == 404 => Ok(false),
        Err(error) => Err(error),
    }
}
