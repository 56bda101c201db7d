//! A revision: everything that a rollout brings about, kept as a `ControllerRevision`, and the
//! Secret with the values that its pods read. Both are immutable, so that a return to an earlier
//! revision is a return to exactly what ran then.

use k8s_openapi::api::apps::v1::{ControllerRevision, Deployment};
use k8s_openapi::api::core::v1::{PodTemplateSpec, Secret};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{ObjectMeta, OwnerReference};
use k8s_openapi::apimachinery::pkg::runtime::RawExtension;
use kube::{Resource as _, ResourceExt as _};
use secrecy::ExposeSecret as _;
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use super::{
    Credentials, EnvSource, FINGERPRINT, PodInputs, Settings, metadata, own_secrets, template,
    truncated,
};
use crate::api::v1alpha1::ImageRef;
use crate::controller::validate::Validated;
use crate::registry::Digest;
use crate::rollout::machine::Candidate;

/// Bytes of a hash that make an id.
const ID_BYTES: usize = 6;

/// What a rollout brings about.
#[derive(Clone, Debug, PartialEq)]
pub struct Revision {
    /// Hash of image, inputs and secret values.
    pub id: String,
    /// Rises with each revision.
    pub number: i64,
    /// The image.
    pub digest: Digest,
    /// What it was made from.
    pub content: Content,
    /// The pods' template.
    pub template: PodTemplateSpec,
}

/// What a revision is made from.
#[derive(Serialize, Deserialize, Clone, Debug, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct Content {
    /// The image, as the registry knew it.
    pub image: ImageRef,
    /// What of the spec the pods depend on.
    pub inputs: PodInputs,
    /// Hash of the secret values.
    pub fingerprint: String,
    /// Account of the database, where the operator makes it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub account: Option<String>,
    /// Secret with the values; `None`: pods of an older version of the operator read them elsewhere.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub env: Option<String>,
}

/// Form of `ControllerRevision.data`.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Data<C, T> {
    #[serde(flatten)]
    content: C,
    template: T,
}

impl Content {
    /// Whether pods made from both would be the same, but for what versions of the operator differ in.
    pub fn is_same(&self, other: &Self) -> bool {
        self.image.digest == other.image.digest
            && self.inputs == other.inputs
            && self.fingerprint == other.fingerprint
    }
}

/// The revision for an image, the `inputs` of a spec and the present secret values.
pub fn new(
    spec: &Validated,
    image: &ImageRef,
    inputs: &PodInputs,
    credentials: &Credentials,
    settings: &Settings,
) -> Option<Revision> {
    let mut content = Content {
        image: image.clone(),
        inputs: inputs.clone(),
        fingerprint: credentials.fingerprint.clone(),
        account: credentials.account.clone(),
        env: None,
    };
    let id = id(&[
        &content.image.digest,
        &serde_json::to_string(&content.inputs).ok()?,
        &content.fingerprint,
    ]);
    content.env = Some(own_secrets::env_name(&spec.id.name, &id));
    rendered(spec, id, content, credentials, settings)
}

/// The same, under an id of its own, where this version of the operator makes another template of
/// it.
pub fn updated(
    spec: &Validated,
    kept: &Revision,
    credentials: &Credentials,
    settings: &Settings,
) -> Option<Revision> {
    let made = |id: &str| {
        let content = Content {
            env: Some(own_secrets::env_name(&spec.id.name, id)),
            ..kept.content.clone()
        };
        rendered(spec, id.to_owned(), content, credentials, settings)
    };
    let present = made(&kept.id)?;
    if present.template == kept.template {
        return None;
    }
    let template = serde_json::to_string(&present.template).ok()?;
    made(&id(&[&kept.id, &template]))
}

fn rendered(
    spec: &Validated,
    id: String,
    content: Content,
    credentials: &Credentials,
    settings: &Settings,
) -> Option<Revision> {
    let digest = Digest::parse(&content.image.digest)?;
    let env = EnvSource {
        secret: content.env.as_deref().unwrap_or_default(),
        keys: credentials.env.keys().map(String::as_str).collect(),
        account: content.account.as_deref(),
    };
    let name = &spec.id.name;
    Some(Revision {
        template: template::render(name, &id, &content.inputs, &digest, &env, settings),
        id,
        number: 0,
        digest,
        content,
    })
}

/// What a Deployment of an older version of the operator runs: `wanted`, if its pods were made for
/// the same.
pub fn imported(live: &Deployment, wanted: Option<&Revision>) -> Option<Revision> {
    let template = live.spec.as_ref()?.template.clone();
    let container = template.spec.as_ref()?.containers.first()?;
    let (repository, digest) = container.image.as_deref()?.rsplit_once('@')?;
    let digest = Digest::parse(digest)?;
    let annotations = template.metadata.as_ref()?.annotations.clone();
    let annotations = annotations.unwrap_or_default();
    let fingerprint = annotations.get(FINGERPRINT).cloned().unwrap_or_default();
    let wanted = wanted
        .filter(|wanted| wanted.digest == digest && wanted.content.fingerprint == fingerprint);
    let mut revision = match wanted {
        Some(wanted) => wanted.clone(),
        None => Revision {
            id: id(&[&serde_json::to_string(&template.spec).ok()?]),
            number: 0,
            content: Content {
                image: ImageRef {
                    repository: Some(repository.to_owned()),
                    digest: digest.to_string(),
                    ..ImageRef::default()
                },
                inputs: PodInputs::default(),
                fingerprint,
                account: annotations
                    .get(crate::database::vault::ACCOUNT_ANNOTATION)
                    .cloned(),
                env: None,
            },
            digest,
            template: PodTemplateSpec::default(),
        },
    };
    revision.content.env = None;
    revision.template = template;
    Some(revision)
}

/// The Secret with a revision's values. Goes with the revision's object, whose metadata this is.
pub fn secret(
    spec: &Validated,
    name: &str,
    keeper: &ObjectMeta,
    credentials: &Credentials,
) -> Secret {
    let values = credentials.env.iter();
    let values = values.map(|(key, value)| (key.clone(), value.expose_secret().to_owned()));
    let mut secret = own_secrets::empty(spec, name);
    secret.metadata.owner_references = Some(vec![OwnerReference {
        api_version: ControllerRevision::api_version(&()).into_owned(),
        kind: ControllerRevision::kind(&()).into_owned(),
        name: keeper.name.clone().unwrap_or_default(),
        uid: keeper.uid.clone().unwrap_or_default(),
        controller: Some(true),
        block_owner_deletion: None,
    }]);
    Secret {
        immutable: Some(true),
        string_data: Some(values.collect()),
        ..secret
    }
}

fn id(parts: &[&str]) -> String {
    let mut hash = Sha256::new();
    for part in parts {
        hash.update(part);
        hash.update([0]);
    }
    hex::encode(&hash.finalize()[..ID_BYTES])
}

/// Name of the revision of this `id`.
pub fn name(spec_name: &str, id: &str) -> String {
    format!("{}-{id}", truncated(spec_name))
}

impl Revision {
    /// As the state machine knows it.
    pub fn candidate(&self) -> Candidate {
        let image = &self.content.image;
        Candidate {
            id: self.id.clone(),
            digest: self.digest.clone(),
            tag: image.tag.clone(),
            pushed_at: image.pushed_at.as_ref().map(|time| time.0),
        }
    }

    /// The object that keeps it.
    pub(crate) fn object(&self, spec: &Validated) -> Option<ControllerRevision> {
        let data = Data {
            content: &self.content,
            template: &self.template,
        };
        Some(ControllerRevision {
            metadata: metadata(spec, &name(&spec.id.name, &self.id)),
            revision: self.number,
            data: Some(RawExtension(serde_json::to_value(data).ok()?)),
        })
    }

    /// Reads what was kept. `None`: not one of the operator's, or of a version that writes another
    /// form.
    pub fn parse(spec_name: &str, object: &ControllerRevision) -> Option<Self> {
        let prefix = name(spec_name, "");
        let id = object.name_any().strip_prefix(&prefix)?.to_owned();
        let data = object.data.as_ref()?.0.clone();
        let data: Data<Content, PodTemplateSpec> = serde_json::from_value(data).ok()?;
        Some(Self {
            id,
            number: object.revision,
            digest: Digest::parse(&data.content.image.digest)?,
            content: data.content,
            template: data.template,
        })
    }
}
