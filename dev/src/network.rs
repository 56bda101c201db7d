//! The bridge that pods, the cluster and the stand-ins meet on; no other machine reaches it.

use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use serde::{Deserialize, Serialize};

use crate::command::Command;
use crate::paths;

/// Name of the bridge interface.
pub const BRIDGE: &str = "psdev0";
/// Address of this machine on the bridge: node, API server, database and stand-ins.
pub const HOST: &str = "10.244.0.1";
/// Addresses of pods.
pub const POD_CIDR: &str = "10.244.0.0/24";
/// Addresses of Services.
pub const SERVICE_CIDR: &str = "10.96.0.0/16";

/// Kernel settings that the cluster needs or that its parts change; `None`: changed by them,
/// we only put them back.
const SYSCTLS: &[(&str, Option<&str>)] = &[
    ("net.ipv4.ip_forward", Some("1")),
    ("net.bridge.bridge-nf-call-iptables", Some("1")),
    ("net.bridge.bridge-nf-call-ip6tables", None),
    ("net.ipv4.conf.all.route_localnet", None),
    ("vm.overcommit_memory", None),
    ("vm.panic_on_oom", None),
    ("kernel.panic", None),
    ("kernel.panic_on_oops", None),
    ("kernel.keys.root_maxkeys", None),
    ("kernel.keys.root_maxbytes", None),
];

/// Kernel settings as they were before the first start.
#[derive(Debug, Default, Serialize, Deserialize)]
struct Before(Vec<(String, String)>);

fn sysctl_path(name: &str) -> PathBuf {
    Path::new("/proc/sys").join(name.replace('.', "/"))
}

fn read_sysctl(name: &str) -> Option<String> {
    Some(
        std::fs::read_to_string(sysctl_path(name))
            .ok()?
            .trim()
            .to_owned(),
    )
}

/// Creates the bridge with its address and sets what forwarding needs.
pub async fn up(run: &Path) -> Result<()> {
    let saved = run.join("sysctls.json");
    if !saved.exists() {
        let before = SYSCTLS
            .iter()
            .filter_map(|(name, _)| Some(((*name).to_owned(), read_sysctl(name)?)))
            .collect();
        paths::write(&saved, serde_json::to_string(&Before(before))?)?;
    }
    for (name, value) in SYSCTLS {
        let Some(value) = value else { continue };
        if read_sysctl(name).is_some_and(|present| present != *value) {
            std::fs::write(sysctl_path(name), value)
                .with_context(|| format!("cannot set the kernel setting {name} to {value}"))?;
        }
    }
    if !exists() {
        ip(&["link", "add", BRIDGE, "type", "bridge"]).await?;
    }
    let addresses = ip(&["-brief", "address", "show", "dev", BRIDGE]).await?;
    let address = format!("{HOST}/24");
    if !addresses.split_whitespace().any(|word| word == address) {
        ip(&["address", "add", &address, "dev", BRIDGE]).await?;
    }
    ip(&["link", "set", BRIDGE, "up"]).await?;
    Ok(())
}

/// Whether the bridge is there.
pub fn exists() -> bool {
    Path::new("/sys/class/net").join(BRIDGE).exists()
}

/// Removes the bridge and puts the kernel settings back.
pub async fn down(run: &Path) -> Result<()> {
    if exists() {
        ip(&["link", "delete", BRIDGE]).await?;
    }
    let saved = run.join("sysctls.json");
    if let Ok(text) = std::fs::read_to_string(&saved) {
        let before: Before = serde_json::from_str(&text).unwrap_or_default();
        for (name, value) in before.0 {
            if read_sysctl(&name).is_some_and(|present| present != value) {
                std::fs::write(sysctl_path(&name), &value)
                    .with_context(|| format!("cannot set {name} back to {value}"))?;
            }
        }
        std::fs::remove_file(saved)?;
    }
    Ok(())
}

/// Refuses a machine whose routes already lead our addresses elsewhere.
pub async fn check_free() -> Result<()> {
    let routes = ip(&["-4", "route", "show"]).await?;
    match taken_by(&routes) {
        Some(route) => bail!(
            "the addresses {POD_CIDR} and {SERVICE_CIDR} of the local cluster are in use on this machine by the route `{route}`"
        ),
        None => Ok(()),
    }
}

/// The first route in the output of `ip route` that covers our addresses on another interface.
fn taken_by(routes: &str) -> Option<&str> {
    routes.lines().map(str::trim).find(|route| {
        let ours = route.split_whitespace().any(|word| word == BRIDGE);
        !ours
            && (route.starts_with("10.244.0.")
                || route.starts_with("10.244.0.0/")
                || route.starts_with("10.96."))
    })
}

async fn ip(args: &[&str]) -> Result<String> {
    Command::new("ip").args(args).run().await
}

/// Ports for servers: below those that Linux gives to outgoing connections (from 32768 on) and below
/// those of NodePort Services (from 30000 on), so that none is taken between choice and use, which is
/// seconds for a database whose tables are made first.
const PORTS: std::ops::Range<u16> = 20_000..30_000;

/// A TCP port on 127.0.0.1 that nothing listens on now.
pub fn free_port() -> Result<u16> {
    free_ports::<1>().map(|[port]| port)
}

/// Several such ports, each another.
pub fn free_ports<const COUNT: usize>() -> Result<[u16; COUNT]> {
    // Each is held until the last is found.
    let listeners: Vec<_> = std::iter::repeat_with(|| fastrand::u16(PORTS))
        .take(10 * PORTS.len())
        .filter_map(|port| std::net::TcpListener::bind((Ipv4Addr::LOCALHOST, port)).ok())
        .take(COUNT)
        .collect();
    let mut ports = [0; COUNT];
    for (place, port) in ports.iter_mut().enumerate() {
        let listener = listeners
            .get(place)
            .with_context(|| format!("no free port on 127.0.0.1 among {PORTS:?}"))?;
        *port = listener.local_addr()?.port();
    }
    Ok(ports)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_foreign_route_to_our_addresses_is_found() {
        let routes = "default via 192.0.2.1 dev eth0\n10.244.0.0/24 dev cni0 proto kernel\n";
        assert_eq!(
            taken_by(routes),
            Some("10.244.0.0/24 dev cni0 proto kernel")
        );
    }

    #[test]
    fn free_ports_differ() {
        let mut ports = free_ports::<16>().unwrap().to_vec();
        ports.sort_unstable();
        ports.dedup();
        assert_eq!(ports.len(), 16);
    }

    #[test]
    fn our_own_route_and_others_are_fine() {
        let routes = "default via 192.0.2.1 dev eth0\n10.244.0.0/24 dev psdev0 scope link\n10.1.0.0/16 dev x\n";
        assert_eq!(taken_by(routes), None);
    }
}
