//! What every operation can answer, written into the OpenAPI document once: handlers list only
//! what is their own.
//!
//! Errors that come from the layers around all handlers (too many requests, a database that does
//! not answer, a body too long), the headers of every answer, `application/problem+json` beside
//! every JSON error, examples, and descriptions where a handler gave none.

use super::{error::ApiError, problem, rate};
use http::{Method, StatusCode};
use serde_json::{Value, json};
use utoipa::openapi::{
    Components, Content, ContentBuilder, Header, OpenApi, Ref, RefOr, Response, Schema,
    header::HeaderBuilder,
    path::{Operation, PathItem},
    schema::{AnyOfBuilder, ObjectBuilder, SchemaType, Type},
};

const JSON: &str = "application/json";
const REQUEST_ID: &str = "X-Request-Id";

/// Completes every operation of a document.
pub fn complete(document: &mut OpenApi) {
    let components = document.components.get_or_insert_default();
    add_headers(components);
    for schema in components.schemas.values_mut() {
        exemplify(schema);
    }
    for (path, item) in &mut document.paths.paths {
        for (method, operation) in operations(item) {
            complete_operation(operation, rate::is_limited(&method, path));
        }
    }
}

/// The operations of a path that this service knows of.
fn operations(item: &mut PathItem) -> impl Iterator<Item = (Method, &mut Operation)> {
    [
        (Method::GET, &mut item.get),
        (Method::PUT, &mut item.put),
        (Method::POST, &mut item.post),
        (Method::DELETE, &mut item.delete),
        (Method::PATCH, &mut item.patch),
    ]
    .into_iter()
    .filter_map(|(method, operation)| Some((method, operation.as_mut()?)))
}

fn complete_operation(operation: &mut Operation, is_limited: bool) {
    let shapes = Shapes::of(operation);
    for (status, description) in common_errors(operation, is_limited) {
        let response = Response::new(description);
        let responses = &mut operation.responses.responses;
        let response = responses
            .entry(status.as_str().to_owned())
            .or_insert_with(|| response.into());
        if let RefOr::T(response) = response
            && (response.content.is_empty() || status.is_server_error())
        {
            let content = ContentBuilder::new().schema(Some(shapes.schema(status)));
            response
                .content
                .insert(JSON.to_owned(), content.build().into());
        }
    }
    for (status, response) in &mut operation.responses.responses {
        if let (Ok(status), RefOr::T(response)) = (status.parse(), response) {
            complete_response(status, response, is_limited);
        }
    }
}

/// The errors an operation can answer with whatever its handler does.
fn common_errors(operation: &Operation, is_limited: bool) -> Vec<(StatusCode, &'static str)> {
    let mut errors = vec![(StatusCode::INTERNAL_SERVER_ERROR, "A fault of the service")];
    if is_limited {
        errors.push((
            StatusCode::TOO_MANY_REQUESTS,
            "Too many requests; try again later",
        ));
        let unavailable = "The service or what it needs does not answer in time; try again";
        errors.push((StatusCode::SERVICE_UNAVAILABLE, unavailable));
    }
    let has_body = operation.request_body.is_some();
    let has_parameters = operation
        .parameters
        .as_ref()
        .is_some_and(|all| !all.is_empty());
    if has_body || has_parameters {
        errors.push((
            StatusCode::BAD_REQUEST,
            "Something in the request is wrong; the message names it",
        ));
    }
    if has_body {
        errors.push((StatusCode::REQUEST_TIMEOUT, "The body came too slowly"));
        errors.push((StatusCode::PAYLOAD_TOO_LARGE, "The body is too long"));
        errors.push((
            StatusCode::UNSUPPORTED_MEDIA_TYPE,
            "The body is of another type",
        ));
    }
    if operation
        .security
        .as_ref()
        .is_some_and(|all| !all.is_empty())
    {
        errors.push((StatusCode::UNAUTHORIZED, "No valid token"));
    }
    errors
}

/// The shapes of an operation's errors.
struct Shapes {
    /// The handler answers its own errors in the bare shape; the layers around it do not.
    plain: bool,
}

impl Shapes {
    /// A handler that refuses bad requests in the bare shape has that shape.
    fn of(operation: &Operation) -> Self {
        let response = operation.responses.responses.get("400");
        let content = match response {
            Some(RefOr::T(response)) => response.content.get(JSON),
            _ => None,
        };
        let schema = match content {
            Some(RefOr::T(content)) => content.schema.as_ref(),
            _ => None,
        };
        let plain = |schema: &RefOr<Schema>| matches!(schema, RefOr::Ref(schema) if schema.ref_location.ends_with("/PlainError"));
        Self {
            plain: schema.is_some_and(plain),
        }
    }

    fn schema(&self, status: StatusCode) -> RefOr<Schema> {
        let named = |name: &str| RefOr::<Schema>::Ref(Ref::from_schema_name(name));
        match status {
            StatusCode::UNAUTHORIZED => named("PlainError"),
            StatusCode::TOO_MANY_REQUESTS => named("ErrorEnvelope"),
            _ if !self.plain => named("ErrorEnvelope"),
            status if status.is_server_error() => {
                let either = AnyOfBuilder::new()
                    .item(named("PlainError"))
                    .item(named("ErrorEnvelope"));
                Schema::AnyOf(either.build()).into()
            }
            _ => named("PlainError"),
        }
    }
}

fn complete_response(status: StatusCode, response: &mut Response, is_limited: bool) {
    if response.description.is_empty() {
        response.description = if status.is_success() {
            "Done".to_owned()
        } else {
            status.canonical_reason().unwrap_or("Error").to_owned()
        };
    }
    let mut header = |name: &str| {
        let reference = RefOr::Ref(Ref::new(format!("#/components/headers/{name}")));
        response.headers.entry(name.to_owned()).or_insert(reference);
    };
    header(REQUEST_ID);
    if is_limited {
        header("RateLimit");
        header("RateLimit-Policy");
    }
    match status {
        StatusCode::TOO_MANY_REQUESTS | StatusCode::SERVICE_UNAVAILABLE => header("Retry-After"),
        StatusCode::UNAUTHORIZED => header("WWW-Authenticate"),
        _ => {}
    }
    if status.is_client_error() || status.is_server_error() {
        complete_error(status, response);
    }
}

/// Examples of an error's bodies, and its form as a problem.
fn complete_error(status: StatusCode, response: &mut Response) {
    let Some(RefOr::T(content)) = response.content.get_mut(JSON) else {
        return;
    };
    let sample = Sample::of(status, &response.description);
    if content.example.is_none() && content.examples.is_empty() {
        content.example = sample.in_shape_of(content);
    }
    let problem = RefOr::<Schema>::Ref(Ref::from_schema_name("ProblemDetails"));
    let problem = ContentBuilder::new()
        .schema(Some(problem))
        .example(Some(sample.problem()));
    response
        .content
        .entry(problem::MEDIA_TYPE.to_owned())
        .or_insert_with(|| problem.build().into());
}

/// An error as it may look.
struct Sample {
    status: StatusCode,
    message: String,
    code: &'static str,
}

impl Sample {
    /// What the layers around handlers say; what a handler says is described by it alone.
    fn of(status: StatusCode, description: &str) -> Self {
        let known = match status {
            StatusCode::UNAUTHORIZED => {
                Some(ApiError::Token(crate::auth::verifier::TokenError::Expired))
            }
            StatusCode::REQUEST_TIMEOUT => Some(ApiError::SlowBody),
            StatusCode::TOO_MANY_REQUESTS => Some(ApiError::TooManyRequests(1)),
            StatusCode::INTERNAL_SERVER_ERROR => Some(ApiError::Internal),
            StatusCode::SERVICE_UNAVAILABLE => Some(ApiError::Unavailable),
            _ => None,
        };
        match known.map(|error| error.problem()) {
            Some(problem) => Self {
                status,
                message: problem.detail,
                code: problem.code,
            },
            None => Self {
                status,
                message: description.to_owned(),
                code: problem::Problem::of_status(status).code,
            },
        }
    }

    /// The body in the shape that the content's schema has; nothing where there is a choice.
    fn in_shape_of(&self, content: &Content) -> Option<Value> {
        let Some(RefOr::Ref(schema)) = &content.schema else {
            return None;
        };
        let Self {
            status, message, ..
        } = self;
        match schema.ref_location.rsplit('/').next() {
            Some("ErrorEnvelope") => Some(json!({
                "success": false, "message": message,
                "error": {"code": status.as_u16(), "details": null},
            })),
            Some("PlainError") if *status == StatusCode::UNAUTHORIZED => {
                Some(json!({"success": false, "error": "Token expired", "message": message}))
            }
            Some("PlainError") => {
                Some(json!({"success": false, "error": message, "message": message}))
            }
            _ => None,
        }
    }

    fn problem(&self) -> Value {
        json!({
            "type": "about:blank",
            "title": self.status.canonical_reason(),
            "status": self.status.as_u16(),
            "detail": self.message,
            "instance": "urn:request-id:0b0e4b6ac6ff4ee0b2e9b5f2a7b8a2c1",
            "code": self.code,
            "errors": [],
        })
    }
}

/// The headers that answers share.
fn add_headers(components: &mut Components) {
    let headers = [
        (
            REQUEST_ID,
            Type::String,
            "The request's id: the client's if it was plain, else a new one",
            json!("0b0e4b6ac6ff4ee0b2e9b5f2a7b8a2c1"),
        ),
        (
            "RateLimit-Policy",
            Type::String,
            "How many requests (`q`) are allowed in how many seconds (`w`); absent where there is no limit",
            json!(r#""reads";q=1200;w=60"#),
        ),
        (
            "RateLimit",
            Type::String,
            "How many requests are left (`r`), and in how many seconds all are again (`t`)",
            json!(r#""reads";r=1199;t=1"#),
        ),
        (
            "Retry-After",
            Type::Integer,
            "Seconds after which to try again",
            json!(2),
        ),
        (
            "WWW-Authenticate",
            Type::String,
            "How to authenticate",
            json!("Bearer"),
        ),
    ];
    for (name, kind, description, example) in headers {
        let schema = ObjectBuilder::new()
            .schema_type(SchemaType::Type(kind))
            .examples([example]);
        let header: Header = HeaderBuilder::new()
            .schema(Some(schema.build()))
            .description(Some(description))
            .build();
        components.headers.insert(name.to_owned(), header.into());
    }
}

/// Numbers and truth values that nobody gave an example are shown as 0 and false.
fn exemplify(schema: &mut RefOr<Schema>) {
    let RefOr::T(Schema::Object(object)) = schema else {
        return;
    };
    for property in object.properties.values_mut() {
        exemplify(property);
        let RefOr::T(Schema::Object(property)) = property else {
            continue;
        };
        if property.example.is_some() || !property.examples.is_empty() {
            continue;
        }
        property.example = match &property.schema_type {
            SchemaType::Type(Type::Integer | Type::Number) => Some(json!(0)),
            SchemaType::Type(Type::Boolean) => Some(json!(false)),
            _ => None,
        };
    }
}
