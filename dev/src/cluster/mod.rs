//! A whole Kubernetes on this machine, from programs that [`crate::programs`] provides.

pub mod cgroup;
pub mod control_plane;
pub mod dns;
pub mod kubeconfig;
pub mod manifests;
pub mod metrics;
pub mod node;
pub mod pki;
