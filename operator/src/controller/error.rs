//! Why a pass ends early.

use kube::Resource;

use super::pass::PASS_LIMIT;
use super::store::Ended;

/// Why a pass ended early. The next one comes by itself.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A read failed.
    #[error("could not read {what}: {source}")]
    Read {
        /// What was read.
        what: &'static str,
        /// The API server's or the connection's word.
        source: kube::Error,
    },
    /// A write failed.
    #[error("could not write {kind} {name}: {source}")]
    Write {
        /// Kind of the object.
        kind: String,
        /// Its name.
        name: String,
        /// The API server's or the connection's word.
        source: kube::Error,
    },
    /// A child's name is taken.
    #[error(
        "{kind} {name} exists and does not belong to this PostService: {}remove it, or rename the PostService",
        take_over(kind)
    )]
    ObjectConflict {
        /// Kind of the object.
        kind: String,
        /// Its name.
        name: String,
    },
    /// A typed value did not turn into JSON.
    #[error("could not encode an object: {0}")]
    Encode(serde_json::Error),
    /// The pass took longer than [`PASS_LIMIT`].
    #[error("the pass took longer than {} s", PASS_LIMIT.as_secs())]
    Slow,
    /// A watch ended for good.
    #[error("the cache of children ended")]
    CacheEnded(#[from] Ended),
}

/// How an object of that kind could be taken over instead.
fn take_over(kind: &str) -> &'static str {
    match kind {
        "Deployment" => "name it in spec.adopt.deployment to take it over, ",
        "Service" => "name it in spec.adopt.service to take it over, ",
        "HorizontalPodAutoscaler" => {
            "name it in spec.adopt.horizontalPodAutoscaler to take it over, "
        }
        _ => "",
    }
}

impl Error {
    /// The reason of condition `Stalled`, when trying again alone mends nothing.
    pub(super) fn stalls(&self) -> Option<&'static str> {
        match self {
            Self::ObjectConflict { .. } => Some("ObjectConflict"),
            Self::Read { source, .. } | Self::Write { source, .. } => match source {
                kube::Error::Api(status) if status.is_forbidden() => Some("AccessDenied"),
                kube::Error::Api(status) if matches!(status.code, 400 | 422) => Some("InvalidSpec"),
                _ => None,
            },
            Self::Encode(_) | Self::Slow | Self::CacheEnded(_) => None,
        }
    }

    pub(super) fn write<K: Resource<DynamicType = ()>>(name: &str, source: kube::Error) -> Self {
        Self::Write {
            kind: K::kind(&()).into_owned(),
            name: name.to_owned(),
            source,
        }
    }
}
