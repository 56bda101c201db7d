//! The warm standby: its caches are filled and kept up to date, and no pass begins until it leads.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::Poll;

use futures::future::BoxFuture;
use futures::stream::{BoxStream, poll_fn};
use futures::{FutureExt as _, Stream, StreamExt as _};
use kube_runtime::reflector::{ObjectRef, Store};
use kube_runtime::watcher;
use tokio::sync::watch;

use super::stored::{self, Stored};
use crate::lease::Fence;
use crate::telemetry::{Conditioned, Health};

/// The part that this process plays among its replicas.
pub struct Role {
    /// Resolves once this process may act.
    pub leading: BoxFuture<'static, ()>,
    /// Whether it still may, asked before each write that does not go through the client.
    pub fence: Fence,
    /// Where it says how it is.
    pub health: Health,
}

impl Role {
    /// A process without rivals.
    pub fn alone() -> Self {
        Self {
            leading: futures::future::ready(()).boxed(),
            fence: Fence::open(),
            health: Health::default(),
        }
    }
}

/// Holds back what would start passes until this process leads.
pub(super) struct Gate {
    leading: BoxFuture<'static, ()>,
    filled: watch::Receiver<bool>,
    open: Arc<AtomicBool>,
}

impl Gate {
    /// Opens once `leading` resolves and the cache of objects is `filled`.
    pub fn new(leading: BoxFuture<'static, ()>, filled: watch::Receiver<bool>) -> Self {
        let open = Arc::default();
        Self {
            leading,
            filled,
            open,
        }
    }

    /// Lets `references` through while the gate is open; drops them before.
    ///
    /// Nothing is missed: when it opens, every object has a pass, which sees what the caches hold.
    pub fn hold_references<R: Send + 'static>(
        &self,
        references: BoxStream<'static, R>,
    ) -> BoxStream<'static, R> {
        let open = self.open.clone();
        let is_open = move |_: &R| futures::future::ready(open.load(Ordering::Relaxed));
        references.filter(is_open).boxed()
    }

    /// Polls `objects`, so that the cache behind `known` fills, and drops them; once open gives all
    /// known ones, then those that come.
    pub fn hold_objects<S>(
        mut self,
        mut objects: S,
        known: Store<Stored>,
    ) -> impl Stream<Item = Result<Stored, watcher::Error>> + Send
    where
        S: Stream<Item = Result<Stored, watcher::Error>> + Send + Unpin + 'static,
    {
        let mut backlog = Vec::new();
        poll_fn(move |cx| {
            while !self.open.load(Ordering::Relaxed) {
                match objects.poll_next_unpin(cx) {
                    Poll::Ready(Some(Ok(_))) => continue,
                    Poll::Ready(Some(Err(error))) => {
                        tracing::warn!(%error, "watch of PostServices interrupted, starting again");
                        continue;
                    }
                    Poll::Ready(None) => return Poll::Ready(None),
                    Poll::Pending => {}
                }
                if !*self.filled.borrow() || self.leading.poll_unpin(cx).is_pending() {
                    return Poll::Pending;
                }
                self.open.store(true, Ordering::Relaxed);
                backlog = known.state();
            }
            match backlog.pop() {
                Some(object) => Poll::Ready(Some(Ok((*object).clone()))),
                None => objects.poll_next_unpin(cx),
            }
        })
    }
}

/// Tells the metrics of the objects in `known`.
pub(super) fn show_conditions(health: &Health, known: Store<Stored>) {
    health.read_conditions_from(move |each| {
        for object in known.state() {
            let ObjectRef {
                name, namespace, ..
            } = ObjectRef::from_obj(&*object);
            each(Conditioned {
                namespace: namespace.unwrap_or_default(),
                name,
                conditions: stored::conditions(&object),
            });
        }
    });
}

#[cfg(test)]
mod tests {
    use futures::channel::mpsc;
    use kube::ResourceExt as _;
    use kube_runtime::WatchStreamExt as _;
    use kube_runtime::reflector;
    use kube_runtime::watcher::Event;
    use serde_json::json;
    use tokio::sync::oneshot;

    use super::*;

    fn object(name: &str) -> Stored {
        let object = json!({
            "apiVersion": "platform.hhottdogg.shop/v1alpha1", "kind": "PostService",
            "metadata": {"name": name, "namespace": "ns"},
            "spec": {"image": {"repository": "r", "tag": "1"}},
        });
        serde_json::from_str(&object.to_string()).unwrap()
    }

    #[tokio::test]
    async fn a_standby_fills_its_cache_and_begins_with_everything_in_it() {
        let (events, watched) = mpsc::unbounded();
        let send = |event| events.unbounded_send(Ok(event)).unwrap();
        let (filled, is_filled) = watch::channel(false);
        let (lead, leading) = oneshot::channel();
        let (known, writer) = reflector::store();
        let objects = watched
            .inspect(move |event| {
                if matches!(event, Ok(Event::InitDone)) {
                    filled.send_replace(true);
                }
            })
            .reflect(writer)
            .applied_objects();
        let gate = Gate::new(leading.map(drop).boxed(), is_filled);
        let (references, referred) = mpsc::unbounded();
        let mut referred = gate.hold_references(referred.boxed());
        let mut held = Box::pin(gate.hold_objects(objects, known.clone()));

        send(Event::Init);
        send(Event::InitApply(object("a")));
        lead.send(()).unwrap();
        references.unbounded_send("dropped").unwrap();
        assert!(
            held.next().now_or_never().is_none(),
            "the cache is not filled yet"
        );
        assert!(referred.next().now_or_never().is_none());
        send(Event::InitDone);
        assert_eq!(held.next().await.unwrap().unwrap().name_any(), "a");
        send(Event::Apply(object("b")));
        assert_eq!(held.next().await.unwrap().unwrap().name_any(), "b");
        references.unbounded_send("passed").unwrap();
        assert_eq!(referred.next().await, Some("passed"));
        assert_eq!(known.state().len(), 2);
    }
}
