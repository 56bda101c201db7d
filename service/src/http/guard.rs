//! What stands before every handler: how often one client may ask, how long an answer may take, what
//! becomes of a panic, and the shape of an error.
//!
//! A service of tower's rather than a function for axum's `from_fn`, which clones and boxes everything
//! inside of it for each request; so is [`observe`](super::observe).

use super::{
    error::ApiError,
    limits::REQUEST_TIME,
    problem,
    rate::{Counted, Limits},
};
use axum::{
    extract::Request,
    response::{IntoResponse, Response},
};
use futures::{FutureExt, future::BoxFuture};
use std::{
    convert::Infallible,
    panic::AssertUnwindSafe,
    task::{Context, Poll},
};
use tower::{Layer, Service};

/// Puts a [`Guard`] before services.
#[derive(Clone)]
pub struct GuardLayer(pub Limits);

impl<S> Layer<S> for GuardLayer {
    type Service = Guard<S>;

    fn layer(&self, inner: S) -> Guard<S> {
        let limits = self.0.clone();
        Guard { limits, inner }
    }
}

/// Refuses requests that are too many, and ends those that take too long.
#[derive(Clone)]
pub struct Guard<S> {
    limits: Limits,
    inner: S,
}

impl<S> Service<Request> for Guard<S>
where
    S: Service<Request, Response = Response, Error = Infallible>,
    S::Future: Send + 'static,
{
    type Response = Response;
    type Error = Infallible;
    type Future = BoxFuture<'static, Result<Response, Infallible>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, request: Request) -> Self::Future {
        let asks_for_problems = problem::is_asked_for(request.headers());
        let count = self.limits.count(&request);
        let answer = match count.and_then(Counted::refusal) {
            Some(refusal) => Err(refusal),
            None => Ok(self.inner.call(request)),
        };
        Box::pin(async move {
            let mut response = match answer {
                Ok(answer) => in_time(answer).await?,
                Err(refusal) => refusal.into_response(),
            };
            if let Some(count) = count {
                count.tell(response.headers_mut());
            }
            if asks_for_problems {
                response = problem::rewrite(response);
            }
            Ok(response)
        })
    }
}

/// This answer, unless it takes too long or its handler panics, which the panic hook has logged.
async fn in_time<E>(
    answer: impl Future<Output = Result<Response, E>> + Send,
) -> Result<Response, E> {
    let answer = AssertUnwindSafe(answer).catch_unwind();
    match tokio::time::timeout(REQUEST_TIME, answer).await {
        Ok(Ok(response)) => response,
        Ok(Err(_)) => Ok(ApiError::Internal.into_response()),
        Err(_) => Ok(ApiError::Timeout.into_response()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::{
        Router,
        body::{Body, to_bytes},
        routing::get,
    };
    use http::{StatusCode, header};
    use serde_json::{Value, json};
    use tower::ServiceExt;

    async fn panics() -> &'static str {
        panic!("secret")
    }

    /// The answer of this handler behind a guard to somebody who accepts this.
    async fn answer(route: axum::routing::MethodRouter, accept: &str) -> (StatusCode, Value) {
        let router = Router::new()
            .route("/", route)
            .layer(GuardLayer(Limits::per_minute(0, 0)));
        let request = Request::get("/").header(header::ACCEPT, accept);
        let response = router.oneshot(request.body(Body::empty()).unwrap()).await;
        let response = response.unwrap();
        let kind = response.headers()[header::CONTENT_TYPE].to_str().unwrap();
        assert_eq!(kind, accept);
        let status = response.status();
        let body = to_bytes(response.into_body(), 4096).await.unwrap();
        (status, serde_json::from_slice(&body).unwrap())
    }

    #[tokio::test]
    async fn a_panic_is_a_500_in_the_envelope() {
        let (status, body) = answer(get(panics), "application/json").await;
        assert_eq!(status, StatusCode::INTERNAL_SERVER_ERROR);
        assert_eq!(body["error"]["code"], 500);
        assert!(!body.to_string().contains("secret"));
    }

    #[tokio::test]
    async fn a_panic_is_a_problem_that_tells_nothing() {
        let (_, problem) = answer(get(panics), problem::MEDIA_TYPE).await;
        assert_eq!(
            (&problem["status"], &problem["code"]),
            (&json!(500), &json!("internal"))
        );
        assert!(!problem.to_string().contains("secret"));
    }

    #[tokio::test(start_paused = true)]
    async fn a_request_that_takes_too_long_is_a_503_after_15_seconds() {
        let begun = tokio::time::Instant::now();
        let never = get(std::future::pending::<()>);
        let (status, body) = answer(never, "application/json").await;
        assert_eq!(status, StatusCode::SERVICE_UNAVAILABLE);
        assert_eq!(body["success"], false);
        assert_eq!(begun.elapsed().as_secs(), REQUEST_TIME.as_secs());
    }

    #[tokio::test(start_paused = true)]
    async fn a_request_that_takes_too_long_is_a_problem() {
        let never = get(std::future::pending::<()>);
        let (_, problem) = answer(never, problem::MEDIA_TYPE).await;
        assert_eq!(
            (&problem["status"], &problem["code"]),
            (&json!(503), &json!("timeout"))
        );
    }
}
