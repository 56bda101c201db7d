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
    // Hashes of generated passwords, and accounts named by the namespace.
    "platform.hhottdogg.shop/secrets-fingerprint",
    "platform.hhottdogg.shop/database-account",
    "account",
    "fingerprint",
    "credentialRevision",
    "user",
    POKE,
];

/// Fields that tell how often something changed, or what was before.
const HISTORICAL: &[&str] = &[
    "generation",
    "observedGeneration",
    "platform.hhottdogg.shop/generation",
    "lastGood",
    "history",
    "quarantine",
    "revision",
];

/// Every object, each field on a line of its own.
pub fn of(namespace: &Namespace, name: &str) -> String {
    render(namespace, name)
}

/// The same, without what depends on the way by which the spec came to be what it is: Jobs of
/// images that ran before, and a number of pods that is not the spec's.
pub fn of_spec(namespace: &Namespace, name: &str) -> String {
    let mut namespace = namespace.clone();
    let is_fixed = is_fixed(&namespace);
    let current = current_job(&namespace);
    namespace
        .objects
        .retain(|(kind, name), _| kind != "Job" || current.as_ref() == Some(name));
    for ((kind, _), value) in &mut namespace.objects {
        if kind == "Job" {
            // Made once for an image, as the spec was then.
            value["spec"] = Value::Null;
        }
        forget(value, is_fixed);
    }
    render(&namespace, name)
}

/// Whether the spec says how many pods there are.
fn is_fixed(namespace: &Namespace) -> bool {
    let mut objects = namespace.objects.iter();
    objects.any(|((kind, _), value)| kind == "PostService" && value["spec"]["replicas"].is_i64())
}

/// The Job of the image that the spec asks for.
fn current_job(namespace: &Namespace) -> Option<String> {
    let mut objects = namespace.objects.iter();
    let (_, service) = objects.find(|((kind, _), _)| kind == "PostService")?;
    if service["spec"]["database"]["migrations"]["enabled"] == false {
        return None;
    }
    let job = service["status"]["migration"]["job"].as_str()?;
    Some(job.to_owned())
}

fn forget(value: &mut Value, is_fixed: bool) {
    match value {
        Value::Object(fields) => {
            fields.retain(|name, _| {
                let pods = name.to_lowercase().ends_with("replicas")
                    && name != "minReplicas"
                    && name != "maxReplicas";
                !HISTORICAL.contains(&name.as_str()) && (is_fixed || !pods)
            });
            fields
                .values_mut()
                .for_each(|value| forget(value, is_fixed));
        }
        Value::Array(elements) => elements
            .iter_mut()
            .for_each(|value| forget(value, is_fixed)),
        _ => {}
    }
}

/// Digits of a revision's id: a hash of secret values, which differ from run to run.
const ID: usize = 12;

/// `name` without the id of a revision at its end.
pub fn without_id(name: &str) -> String {
    match name.rsplit_once('-') {
        Some((rest, id)) if is_id(id) => format!("{rest}-REVISION"),
        _ => name.to_owned(),
    }
}

fn is_id(text: &str) -> bool {
    let is_digit = |b: u8| matches!(b, b'0'..=b'9' | b'a'..=b'f');
    text.len() == ID && text.bytes().all(is_digit)
}

/// Names the revisions in the order in which they were made, and those that are gone all the same.
fn name_revisions(namespace: &Namespace, mut text: String) -> String {
    let mut known: Vec<_> = namespace
        .objects
        .iter()
        .filter(|((kind, _), _)| kind == "ControllerRevision")
        .filter_map(|((_, name), value)| {
            Some((value["revision"].as_i64(), name.rsplit_once('-')?.1))
        })
        .collect();
    known.sort_unstable();
    for (number, (_, id)) in known.into_iter().enumerate() {
        text = text.replace(id, &format!("REVISION-{number}"));
    }
    let gone = |line: &str| {
        let words = line.split('"').map(|word| {
            if is_id(word) {
                "REVISION".to_owned()
            } else {
                without_id(word)
            }
        });
        words.collect::<Vec<_>>().join("\"")
    };
    text.lines().map(|line| gone(line) + "\n").collect()
}

fn render(namespace: &Namespace, name: &str) -> String {
    let mut text = String::new();
    for ((kind, object), value) in &namespace.objects {
        let mut value = value.clone();
        if kind == "Secret" {
            hide_values(&mut value);
        }
        normalise(&mut value);
        let body = serde_json::to_string_pretty(&value).unwrap();
        text.extend([kind, " ", object, "\n", &body, "\n"]);
    }
    name_revisions(namespace, text.replace(name, "NAMESPACE"))
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
            fields.retain(|name, value| {
                name != "annotations" || value.as_object().is_none_or(|map| !map.is_empty())
            });
        }
        Value::Array(elements) => {
            elements.iter_mut().for_each(normalise);
            if elements.iter().all(|element| element["type"].is_string()) {
                elements.sort_by_key(|element| element["type"].to_string());
            }
        }
        Value::String(text) if is_time(text) => *value = Value::String("TIME".into()),
        Value::String(text) if is_uid(text) => *value = Value::String("UID".into()),
        _ => {}
    }
}

/// A UUID.
fn is_uid(text: &str) -> bool {
    let parts: Vec<_> = text.split('-').map(str::len).collect();
    parts == [8, 4, 4, 4, 12] && text.bytes().all(|b| b == b'-' || b.is_ascii_hexdigit())
}

/// RFC 3339.
fn is_time(text: &str) -> bool {
    let bytes = text.as_bytes();
    bytes.len() >= 20 && bytes[4] == b'-' && bytes[10] == b'T' && bytes[bytes.len() - 1] == b'Z'
}
