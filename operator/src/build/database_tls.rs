//! The certificate authority of the database, in the pods.

use k8s_openapi::api::core::v1::{
    EnvVar, KeyToPath, PodSpec, SecretVolumeSource, Volume, VolumeMount,
};

use super::PodInputs;
use crate::api::v1alpha1::TlsMode;

const VOLUME: &str = "database-tls";
const FOLDER: &str = "/etc/post-service/database-tls";
const FILE: &str = "ca.pem";

/// Key of the authority in the Secret that serving pods read.
pub const CA: &str = "ca.pem";

/// `pod` with the authority's file in every container, from this key of a Secret.
pub(super) fn mounted(mut pod: PodSpec, secret: &str, key: &str) -> PodSpec {
    let file = KeyToPath {
        key: key.to_owned(),
        path: FILE.into(),
        mode: None,
    };
    pod.volumes.get_or_insert_default().push(Volume {
        name: VOLUME.into(),
        secret: Some(SecretVolumeSource {
            secret_name: Some(secret.to_owned()),
            items: Some(vec![file]),
            ..SecretVolumeSource::default()
        }),
        ..Volume::default()
    });
    for container in &mut pod.containers {
        container
            .volume_mounts
            .get_or_insert_default()
            .push(VolumeMount {
                name: VOLUME.into(),
                mount_path: FOLDER.into(),
                read_only: Some(true),
                ..VolumeMount::default()
            });
    }
    pod
}

/// Settings of `post-service`. `Preferred` demands nothing: it is left out, so that an `ssl-mode` in
/// the URL stands.
pub(super) fn environment(inputs: &PodInputs) -> Vec<EnvVar> {
    let mode = match inputs.tls_mode {
        TlsMode::Preferred => None,
        TlsMode::Required => Some("Required"),
        TlsMode::VerifyCA => Some("VerifyCA"),
        TlsMode::VerifyIdentity => Some("VerifyIdentity"),
    };
    let ca = inputs.has_ca.then(|| format!("{FOLDER}/{FILE}"));
    [
        ("DATABASE_TLS_MODE", mode.map(str::to_owned)),
        ("DATABASE_TLS_CA", ca),
    ]
    .into_iter()
    .filter_map(|(name, value)| {
        Some(EnvVar {
            name: name.into(),
            value: Some(value?),
            value_from: None,
        })
    })
    .collect()
}
