//! The objects of a namespace as text, without what differs between two runs of the same story.

use serde_json::Value;

use crate::cluster::Namespace;

/// Annotation by which a test calls a pass.
pub const POKE: &str = "faults.test/poke";

/// Fields that say who and when, or that the API server draws by lot.
const ACCIDENTAL: &[&str] = &[
    "uid",
    "resourceVersion",
    "creationTimestamp",
    "managedFields",
    "clusterIP",
    "clusterIPs",
    "nodePort",
    "healthCheckNodePort",
    // The hash of a whole object, with its owner's uid.
    "platform.hhottdogg.shop/applied",
    POKE,
];

/// Every object, each field on a line of its own.
pub fn of(namespace: &Namespace, name: &str) -> String {
    let mut text = String::new();
    for ((kind, object), value) in &namespace.objects {
        let mut value = value.clone();
        if kind == "Secret" {
            hide_values(&mut value);
        }
        normalise(&mut value);
        let body = serde_json::to_string_pretty(&value).unwrap();
        text.push_str(&format!("{kind} {object}\n{body}\n"));
    }
    text.replace(name, "NAMESPACE")
}

/// Lines that only one of two snapshots has.
pub fn difference(expected: &str, found: &str) -> String {
    let missing = only_in(expected, found).map(|line| format!("- {line}"));
    let extra = only_in(found, expected).map(|line| format!("+ {line}"));
    missing.chain(extra).collect::<Vec<_>>().join("\n")
}

fn only_in<'t>(one: &'t str, other: &'t str) -> impl Iterator<Item = &'t str> {
    let mut others: Vec<_> = other.lines().collect();
    one.lines().filter(move |line| {
        let at = others.iter().position(|known| known == line);
        at.map(|at| others.swap_remove(at)).is_none()
    })
}

/// Generated values differ; which keys there are does not.
fn hide_values(secret: &mut Value) {
    for value in secret["data"].as_object_mut().into_iter().flatten() {
        *value.1 = Value::Null;
    }
}

fn normalise(value: &mut Value) {
    match value {
        Value::Object(fields) => {
            fields.retain(|name, _| !ACCIDENTAL.contains(&name.as_str()));
            fields.values_mut().for_each(normalise);
            fields.retain(|name, value| name != "annotations" || value.as_object().is_none_or(|map| !map.is_empty()));
        }
        Value::Array(elements) => {
            elements.iter_mut().for_each(normalise);
            if elements.iter().all(|element| element["type"].is_string()) {
                elements.sort_by_key(|element| element["type"].to_string());
            }
        }
        Value::String(text) if is_time(text) => *value = Value::String("TIME".into()),
        _ => {}
    }
}

/// RFC 3339.
fn is_time(text: &str) -> bool {
    let bytes = text.as_bytes();
    bytes.len() >= 20 && bytes[4] == b'-' && bytes[10] == b'T' && bytes[bytes.len() - 1] == b'Z'
}
