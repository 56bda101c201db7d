//! The certificate authority of the database, in the pods.

use k8s_openapi::api::core::v1::{
    EnvVar, KeyToPath, PodSpec, SecretVolumeSource, Volume, VolumeMount,
};

use crate::api::v1alpha1::TlsMode;
use crate::controller::validate::Validated;

const VOLUME: &str = "database-tls";
const FOLDER: &str = "/etc/post-service/database-tls";
const FILE: &str = "ca.pem";

/// `pod` with the authority's file in every container, where the spec names one.
pub(super) fn mounted(spec: &Validated, mut pod: PodSpec) -> PodSpec {
    let Some(reference) = &spec.spec.database.tls.ca_secret_ref else {
        return pod;
    };
    let file = KeyToPath {
        key: reference.key.clone(),
        path: FILE.into(),
        mode: None,
    };
    pod.volumes.get_or_insert_default().push(Volume {
        name: VOLUME.into(),
        secret: Some(SecretVolumeSource {
            secret_name: Some(reference.name.clone()),
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
pub(super) fn environment(spec: &Validated) -> Vec<EnvVar> {
    let tls = &spec.spec.database.tls;
    let mode = match tls.mode {
        TlsMode::Preferred => None,
        TlsMode::Required => Some("Required"),
        TlsMode::VerifyCA => Some("VerifyCA"),
        TlsMode::VerifyIdentity => Some("VerifyIdentity"),
    };
    let ca = tls.ca_secret_ref.as_ref();
    let ca = ca.map(|_| format!("{FOLDER}/{FILE}"));
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
