//! The fence in front of every write: open while the lease is surely ours, shut for ever after.

use std::future::poll_fn;
use std::pin::pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};
use std::time::Instant;

use futures::future::BoxFuture;
use http::{Method, Request};
use kube::client::Body;
use tower::{BoxError, Layer, Service};

/// Refusal of a write, because another replica may lead by now.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "not written: this process does not hold the lease (any more); the replica that does goes on"
)]
pub struct NotLeading;

/// Whether this process may write, by the monotonic clock. Clones share their state.
///
/// Once shut it stays shut: a process that was paused past its lease finds it shut on waking, before
/// it has learned anything from the cluster.
#[derive(Clone, Debug)]
pub struct Fence(Arc<Mutex<State>>);

#[derive(Clone, Copy, Debug)]
enum State {
    /// Nobody else writes: there is no election.
    Open,
    /// The lease was never ours.
    Waiting,
    /// Ours at least until then.
    Until(Instant),
    /// It was ours.
    Shut,
}

impl Fence {
    /// Always open, for a process without rivals.
    pub fn open() -> Self {
        Self(Arc::new(Mutex::new(State::Open)))
    }

    /// Not open yet.
    pub fn waiting() -> Self {
        Self(Arc::new(Mutex::new(State::Waiting)))
    }

    /// Whether a write may begin now. Ask directly before it, and not once for several.
    pub fn check(&self) -> Result<(), NotLeading> {
        self.check_at(Instant::now())
    }

    /// Runs `work` for as long as a write may begin; given up at the first step after that.
    pub async fn guard<F: Future>(&self, work: F) -> Result<F::Output, NotLeading> {
        let mut work = pin!(work);
        poll_fn(|cx| match self.check() {
            Ok(()) => work.as_mut().poll(cx).map(Ok),
            Err(refused) => Poll::Ready(Err(refused)),
        })
        .await
    }

    /// The same for work that nobody waits for once this process must end: it stays where it is.
    pub async fn while_open<F: Future>(&self, work: F) -> F::Output {
        match self.guard(work).await {
            Ok(output) => output,
            Err(NotLeading) => std::future::pending().await,
        }
    }

    /// Opens it until then, unless it is shut: what has lapsed does not come back.
    pub(super) fn extend(&self, until: Instant) -> Result<(), NotLeading> {
        self.extend_at(until, Instant::now())
    }

    /// Shuts it for ever.
    pub fn shut(&self) {
        self.with(|state| *state = State::Shut);
    }

    fn check_at(&self, now: Instant) -> Result<(), NotLeading> {
        self.with(|state| match *state {
            State::Open => Ok(()),
            State::Until(end) if now < end => Ok(()),
            State::Until(_) => {
                *state = State::Shut;
                Err(NotLeading)
            }
            State::Waiting | State::Shut => Err(NotLeading),
        })
    }

    fn extend_at(&self, until: Instant, now: Instant) -> Result<(), NotLeading> {
        self.with(|state| match *state {
            State::Open => Ok(()),
            State::Waiting if now < until => {
                *state = State::Until(until);
                Ok(())
            }
            State::Until(end) if now < end => {
                *state = State::Until(until.max(end));
                Ok(())
            }
            State::Waiting => Err(NotLeading),
            State::Until(_) | State::Shut => {
                *state = State::Shut;
                Err(NotLeading)
            }
        })
    }

    fn with<T>(&self, act: impl FnOnce(&mut State) -> T) -> T {
        act(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl<S> Layer<S> for Fence {
    type Service = Fenced<S>;

    fn layer(&self, inner: S) -> Fenced<S> {
        Fenced {
            fence: self.clone(),
            inner,
        }
    }
}

/// A client's service whose writes pass a [`Fence`]; reads pass always.
#[derive(Clone, Debug)]
pub struct Fenced<S> {
    fence: Fence,
    inner: S,
}

impl<S> Service<Request<Body>> for Fenced<S>
where
    S: Service<Request<Body>>,
    S::Future: Send + 'static,
    S::Response: 'static,
    S::Error: Into<BoxError>,
{
    type Response = S::Response;
    type Error = BoxError;
    type Future = BoxFuture<'static, Result<S::Response, BoxError>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        self.inner.poll_ready(cx).map_err(Into::into)
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        if is_read(request.method()) {
            let answer = self.inner.call(request);
            return Box::pin(async move { answer.await.map_err(Into::into) });
        }
        if let Err(refused) = self.fence.check() {
            return Box::pin(async move { Err(refused.into()) });
        }
        // Beyond this check a connection may have to be made, and the client's own retries wait
        // between attempts: the guard asks again before each step of it.
        let (fence, answer) = (self.fence.clone(), self.inner.call(request));
        Box::pin(async move { fence.guard(answer).await?.map_err(Into::into) })
    }
}

fn is_read(method: &Method) -> bool {
    matches!(*method, Method::GET | Method::HEAD | Method::OPTIONS)
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::time::Duration;

    use http::Response;
    use kube::client::ClientBuilder;

    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn what_has_lapsed_does_not_come_back() {
        let (fence, start) = (Fence::waiting(), Instant::now());
        assert_eq!(fence.check_at(start), Err(NotLeading));
        fence.extend_at(start + SECOND, start).unwrap();
        assert_eq!(fence.check_at(start), Ok(()));
        fence.extend_at(start + 3 * SECOND, start).unwrap();
        assert_eq!(fence.check_at(start + 2 * SECOND), Ok(()));
        assert_eq!(fence.check_at(start + 3 * SECOND), Err(NotLeading));
        // The renewal that was on its way arrives after all.
        let late = fence.extend_at(start + 9 * SECOND, start + 4 * SECOND);
        assert_eq!(late, Err(NotLeading));
        assert_eq!(fence.check_at(start), Err(NotLeading));
    }

    #[test]
    fn a_first_answer_that_comes_too_late_opens_nothing() {
        let (fence, start) = (Fence::waiting(), Instant::now());
        let late = fence.extend_at(start + SECOND, start + SECOND);
        assert_eq!(late, Err(NotLeading));
        assert_eq!(fence.check_at(start), Err(NotLeading));
    }

    #[tokio::test]
    async fn work_under_way_takes_no_further_step() {
        let fence = Fence::waiting();
        fence.extend(Instant::now() + 60 * SECOND).unwrap();
        let steps = AtomicUsize::new(0);
        let work = async {
            steps.fetch_add(1, Ordering::SeqCst);
            fence.shut();
            tokio::task::yield_now().await;
            steps.fetch_add(1, Ordering::SeqCst);
        };
        assert_eq!(fence.guard(work).await, Err(NotLeading));
        assert_eq!(steps.load(Ordering::SeqCst), 1);
    }

    #[tokio::test]
    async fn a_shut_fence_refuses_every_kind_of_write_and_no_read() {
        let fence = Fence::waiting();
        let reached = Arc::new(AtomicUsize::new(0));
        let counter = reached.clone();
        let server = tower::service_fn(move |_: Request<Body>| {
            counter.fetch_add(1, Ordering::SeqCst);
            async { Ok::<_, BoxError>(Response::new(Body::empty())) }
        });
        let client = ClientBuilder::new(server, "default")
            .with_layer(&fence)
            .build();
        let send = async |method: Method| {
            let request = Request::builder().method(method).uri("/");
            client.send(request.body(Body::empty()).unwrap()).await
        };
        for method in [Method::POST, Method::PUT, Method::PATCH, Method::DELETE] {
            let error = send(method).await.unwrap_err();
            assert!(error.to_string().contains("lease"), "{error}");
        }
        assert_eq!(reached.load(Ordering::SeqCst), 0);
        send(Method::GET).await.unwrap();
        fence.extend(Instant::now() + 60 * SECOND).unwrap();
        send(Method::PATCH).await.unwrap();
        assert_eq!(reached.load(Ordering::SeqCst), 2);
    }
}
