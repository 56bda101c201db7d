//! How long the API server takes to answer, by verb.

use std::task::{Context, Poll};
use std::time::Instant;

use futures::future::BoxFuture;
use http::{Request, Response};
use kube::client::Body;
use tower::{BoxError, Layer, Service};

/// Measures the requests of a client; a watch counts until its first bytes.
#[derive(Clone, Copy, Debug)]
pub struct MeasuredRequests;

impl<S> Layer<S> for MeasuredRequests {
    type Service = Measured<S>;

    fn layer(&self, inner: S) -> Measured<S> {
        Measured(inner)
    }
}

/// A client's service whose requests are measured.
#[derive(Clone, Debug)]
pub struct Measured<S>(S);

impl<S, B> Service<Request<Body>> for Measured<S>
where
    S: Service<Request<Body>, Response = Response<B>>,
    S::Future: Send + 'static,
    S::Error: Into<BoxError>,
    B: 'static,
{
    type Response = Response<B>;
    type Error = BoxError;
    type Future = BoxFuture<'static, Result<Response<B>, BoxError>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        self.0.poll_ready(cx).map_err(Into::into)
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        let verb = verb(&request);
        let answer = self.0.call(request);
        Box::pin(async move {
            let started = Instant::now();
            let answer = answer.await.map_err(Into::into);
            let code = match &answer {
                Ok(response) => response.status().as_str().to_owned(),
                // Neither sent nor answered.
                Err(_) => "none".to_owned(),
            };
            metrics::histogram!(
                "post_operator_api_request_duration_seconds",
                "verb" => verb, "code" => code
            )
            .record(started.elapsed());
            answer
        })
    }
}

/// Kubernetes' verb of a request, from the name that kube gives it.
fn verb(request: &Request<Body>) -> &'static str {
    let name = request.extensions().get::<&'static str>().copied();
    match name.unwrap_or("other") {
        "delete_collection" => "deletecollection",
        name if name.starts_with("replace") => "update",
        // Of a part, such as patch_status.
        name => name.split('_').next().unwrap_or(name),
    }
}
