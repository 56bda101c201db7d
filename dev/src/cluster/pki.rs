//! The cluster's certificates and keys.

use std::net::IpAddr;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa,
    Issuer, KeyPair, KeyUsagePurpose,
};

use super::kubeconfig;
use crate::network::HOST;
use crate::paths;

/// Raised when the set of certificates changes, so that old ones are made anew.
const VERSION: &str = "2";

/// Kubernetes takes the user from the common name and the groups from the organizations.
struct Identity {
    file: &'static str,
    user: &'static str,
    group: Option<&'static str>,
}

const CLIENTS: &[Identity] = &[
    Identity {
        file: "admin",
        user: "admin",
        group: Some("system:masters"),
    },
    Identity {
        file: "controller-manager",
        user: "system:kube-controller-manager",
        group: None,
    },
    Identity {
        file: "scheduler",
        user: "system:kube-scheduler",
        group: None,
    },
    Identity {
        file: "kubelet",
        user: super::node::USER,
        group: Some("system:nodes"),
    },
    Identity {
        file: "kube-proxy",
        user: "system:kube-proxy",
        group: None,
    },
];

/// The folder of certificates, keys and kubeconfigs.
#[derive(Debug, Clone)]
pub struct Pki {
    folder: PathBuf,
}

impl Pki {
    /// Makes the files unless they are there; the kubeconfigs lead to `server`.
    pub fn ensure(folder: &Path, server: &str) -> Result<Self> {
        let pki = Self {
            folder: folder.to_owned(),
        };
        let marker = pki.path("complete");
        let complete = format!("{VERSION} {server}");
        if std::fs::read_to_string(&marker).is_ok_and(|text| text == complete) {
            return Ok(pki);
        }
        pki.make(server)
            .context("cannot make the cluster's certificates")?;
        paths::write(&marker, complete)?;
        Ok(pki)
    }

    /// A file of the folder, e.g. `ca.crt`.
    pub fn path(&self, file: &str) -> PathBuf {
        self.folder.join(file)
    }

    /// The same as text for a command line.
    pub fn arg(&self, file: &str) -> String {
        self.path(file).display().to_string()
    }

    fn make(&self, server: &str) -> Result<()> {
        let ca = self.authority("ca", "post-service-dev")?;
        for client in CLIENTS {
            let names: &[&str] = if client.file == "kubelet" {
                &[super::node::NAME, HOST]
            } else {
                &[]
            };
            self.issue(&ca, client.file, client.user, client.group, names)?;
            let read = |file: String| std::fs::read_to_string(self.path(&file));
            let text = kubeconfig::render(&kubeconfig::Access {
                server,
                ca: &read("ca.crt".to_owned())?,
                certificate: &read(format!("{}.crt", client.file))?,
                key: &read(format!("{}.key", client.file))?,
            })?;
            paths::write_private(&self.path(&format!("{}.kubeconfig", client.file)), &text)?;
        }
        let names = [
            "localhost",
            "kubernetes",
            "kubernetes.default",
            "kubernetes.default.svc",
            "kubernetes.default.svc.cluster.local",
            "127.0.0.1",
            HOST,
            "10.96.0.1",
        ];
        self.issue(&ca, "apiserver", "kube-apiserver", None, &names)?;
        self.issue(&ca, "etcd", "etcd", None, &["127.0.0.1", HOST])?;
        let front = self.authority("front-proxy-ca", "post-service-dev-front-proxy")?;
        self.issue(&front, "front-proxy", "front-proxy-client", None, &[])?;
        let key = KeyPair::generate()?;
        paths::write_private(&self.path("service-account.key"), &key.serialize_pem())?;
        paths::write(&self.path("service-account.pub"), key.public_key_pem())
    }

    fn authority(&self, file: &str, name: &str) -> Result<Issuer<'static, KeyPair>> {
        let mut params = CertificateParams::default();
        params.distinguished_name = DistinguishedName::new();
        params.distinguished_name.push(DnType::CommonName, name);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![
            KeyUsagePurpose::KeyCertSign,
            KeyUsagePurpose::DigitalSignature,
        ];
        let key = KeyPair::generate()?;
        paths::write(
            &self.path(&format!("{file}.crt")),
            params.self_signed(&key)?.pem(),
        )?;
        paths::write_private(&self.path(&format!("{file}.key")), &key.serialize_pem())?;
        Ok(Issuer::new(params, key))
    }

    fn issue(
        &self,
        issuer: &Issuer<'_, KeyPair>,
        file: &str,
        user: &str,
        group: Option<&str>,
        names: &[&str],
    ) -> Result<()> {
        let mut params = CertificateParams::new(
            names
                .iter()
                .map(|name| (*name).to_owned())
                .collect::<Vec<_>>(),
        )?;
        params.distinguished_name = DistinguishedName::new();
        params.distinguished_name.push(DnType::CommonName, user);
        if let Some(group) = group {
            params
                .distinguished_name
                .push(DnType::OrganizationName, group);
        }
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages = vec![
            ExtendedKeyUsagePurpose::ServerAuth,
            ExtendedKeyUsagePurpose::ClientAuth,
        ];
        params.use_authority_key_identifier_extension = true;
        debug_assert!(
            names
                .iter()
                .all(|name| name.parse::<IpAddr>().is_ok() || name.is_ascii())
        );
        let key = KeyPair::generate()?;
        paths::write(
            &self.path(&format!("{file}.crt")),
            params.signed_by(&key, issuer)?.pem(),
        )?;
        paths::write_private(&self.path(&format!("{file}.key")), &key.serialize_pem())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn certificates_are_made_once_and_private_keys_are_private() {
        use std::os::unix::fs::PermissionsExt as _;
        let folder = tempfile::tempdir().unwrap();
        let pki = Pki::ensure(folder.path(), "https://10.244.0.1:6443").unwrap();
        let first = std::fs::read_to_string(pki.path("apiserver.crt")).unwrap();
        Pki::ensure(folder.path(), "https://10.244.0.1:6443").unwrap();
        assert_eq!(
            std::fs::read_to_string(pki.path("apiserver.crt")).unwrap(),
            first
        );
        for file in [
            "ca.key",
            "admin.key",
            "service-account.key",
            "admin.kubeconfig",
        ] {
            let mode = std::fs::metadata(pki.path(file))
                .unwrap()
                .permissions()
                .mode();
            assert_eq!(mode & 0o777, 0o600, "{file}");
        }
        Pki::ensure(folder.path(), "https://127.0.0.1:9999").unwrap();
        assert_ne!(
            std::fs::read_to_string(pki.path("apiserver.crt")).unwrap(),
            first
        );
    }
}
