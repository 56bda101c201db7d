//! Which field is seen where.

mod application;
mod surroundings;

use Expected::{Gone, Holds, Is};
use serde_json::{Value, json};

/// What is found at the place.
#[derive(Clone, Debug)]
pub enum Expected {
    /// This value.
    Is(Value),
    /// A text with this in it.
    Holds(String),
    /// No such object.
    Gone,
}

/// A field's value and its effect. Values differ from the defaults.
#[derive(Clone, Debug)]
pub struct Row {
    /// Name of the `PostService` that has it.
    pub service: &'static str,
    /// Path below `spec`, without indices.
    pub field: &'static str,
    pub value: Value,
    /// Kind of the object in which it is seen; one that belongs to the `PostService`.
    pub kind: &'static str,
    /// JSON pointer into the object; `env` and `conditions` are by name and by type.
    pub pointer: String,
    pub expected: Expected,
}

fn row(
    service: &'static str,
    field: &'static str,
    value: Value,
    (kind, pointer): (&'static str, &str),
    expected: Expected,
) -> Row {
    Row {
        service,
        field,
        value,
        kind,
        pointer: pointer.to_owned(),
        expected,
    }
}

/// Behind a load balancer of its own, with autoscaling.
pub const BALANCED: &str = "balanced";
/// In the cluster alone, with what is optional turned off.
pub const PLAIN: &str = "plain";
/// Bound to a target group.
pub const BOUND: &str = "bound";
/// Open to the world.
pub const PUBLIC: &str = "public";
/// With a database that is not there.
pub const ABSENT: &str = "absent";
/// Suspended from the beginning.
pub const SUSPENDED: &str = "suspended";

/// The whole table, for an image of this repository and digest.
pub fn rows(repository: &str, digest: &str) -> Vec<Row> {
    [
        image(repository, digest),
        rollout(),
        database(),
        application::rows(),
        surroundings::rows(),
    ]
    .concat()
}

fn image(repository: &str, digest: &str) -> Vec<Row> {
    let container = ("Deployment", "/spec/template/spec/containers/0/image");
    let secrets = ("Deployment", "/spec/template/spec/imagePullSecrets");
    vec![
        row(
            BALANCED,
            "image.repository",
            json!(repository),
            container,
            Holds(format!("{repository}@")),
        ),
        row(
            BALANCED,
            "image.tag",
            json!(BALANCED),
            ("PostService", "/status/image/desired/tag"),
            Is(json!(BALANCED)),
        ),
        row(
            PLAIN,
            "image.digest",
            json!(digest),
            container,
            Is(json!(format!("{repository}@{digest}"))),
        ),
        row(
            BALANCED,
            "image.pullSecrets",
            json!(["registry"]),
            secrets,
            Is(json!([{"name": "registry"}])),
        ),
        row(
            SUSPENDED,
            "suspend",
            json!(true),
            ("PostService", "/status/conditions/Ready/reason"),
            Is(json!("Suspended")),
        ),
        row(SUSPENDED, "suspend", json!(true), ("Service", ""), Gone),
    ]
}

fn rollout() -> Vec<Row> {
    let surge = ("Deployment", "/spec/strategy/rollingUpdate/maxSurge");
    let deadline = ("Deployment", "/spec/progressDeadlineSeconds");
    let sleep = "/spec/template/spec/containers/0/lifecycle/preStop/sleep/seconds";
    let grace = "/spec/template/spec/terminationGracePeriodSeconds";
    vec![
        row(
            BALANCED,
            "rollout.maxSurge",
            json!("50%"),
            surge,
            Is(json!("50%")),
        ),
        row(PLAIN, "rollout.maxSurge", json!("2"), surge, Is(json!(2))),
        row(
            BALANCED,
            "rollout.progressDeadline",
            json!("7m"),
            deadline,
            Is(json!(420)),
        ),
        row(
            BALANCED,
            "rollout.drainDelay",
            json!("200s"),
            ("Deployment", sleep),
            Is(json!(200)),
        ),
        row(
            BALANCED,
            "rollout.drainDelay",
            json!("200s"),
            ("Deployment", grace),
            Is(json!(230)),
        ),
        row(
            BALANCED,
            "rollout.drainDelay",
            json!("200s"),
            ("PostService", "/status/drainDelay"),
            Holds("200".into()),
        ),
    ]
}

/// A variable of the serving container, by value.
fn variable(
    service: &'static str,
    field: &'static str,
    value: Value,
    name: &str,
    expected: &str,
) -> Row {
    let pointer = format!("/spec/template/spec/containers/0/env/{name}/value");
    row(
        service,
        field,
        value,
        ("Deployment", &pointer),
        Is(json!(expected)),
    )
}

/// The value that a variable of the serving container has from the Secret of its revision.
fn secret_value(
    service: &'static str,
    field: &'static str,
    value: Value,
    name: &str,
    expected: &'static str,
) -> Row {
    let pointer = format!("/{name}");
    row(
        service,
        field,
        value,
        ("Environment", &pointer),
        Holds(expected.to_owned()),
    )
}

fn database() -> Vec<Row> {
    let deadline = ("Job", "/spec/activeDeadlineSeconds");
    let ready = ("PostService", "/status/conditions/DatabaseReady/status");
    let absent = json!({"name": "absent-db", "key": "database-url"});
    vec![
        secret_value(
            PLAIN,
            "database.urlSecretRef.name",
            json!("other-db"),
            "DATABASE_URL",
            "@localhost:",
        ),
        secret_value(
            PLAIN,
            "database.urlSecretRef.key",
            json!("url"),
            "DATABASE_URL",
            "@localhost:",
        ),
        secret_value(
            PLAIN,
            "database.readUrlSecretRef.name",
            json!("other-db"),
            "DATABASE_READ_URL",
            "@127.0.0.2:",
        ),
        secret_value(
            PLAIN,
            "database.readUrlSecretRef.key",
            json!("read-url"),
            "DATABASE_READ_URL",
            "@127.0.0.2:",
        ),
        row(
            ABSENT,
            "database.urlSecretRef",
            absent,
            ready,
            Is(json!("False")),
        ),
        row(
            ABSENT,
            "database.createDatabase",
            json!(false),
            ready,
            Is(json!("False")),
        ),
        row(
            PLAIN,
            "database.migrations.enabled",
            json!(false),
            ("Job", ""),
            Gone,
        ),
        row(
            BALANCED,
            "database.migrations.timeout",
            json!("3m"),
            deadline,
            Is(json!(180)),
        ),
        variable(
            BALANCED,
            "database.poolSize",
            json!(5),
            "DATABASE_POOL_SIZE",
            "5",
        ),
    ]
}
