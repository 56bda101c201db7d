//! `healthcheck`: asks the service on this machine whether it is ready.

use std::{
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    time::Duration,
};
use thiserror::Error;

const TIMEOUT: Duration = Duration::from_secs(3);

/// Why the service is not ready.
#[derive(Debug, Error)]
pub enum HealthcheckError {
    /// Nobody answers.
    #[error("cannot ask {url}: {source}")]
    Unreachable {
        /// What was asked.
        url: String,
        /// What happened.
        source: reqwest::Error,
    },
    /// It says so itself.
    #[error("{url} answered {status}: {reason}")]
    NotReady {
        /// What was asked.
        url: String,
        /// The answer's status.
        status: reqwest::StatusCode,
        /// The answer's text.
        reason: String,
    },
}

/// Succeeds if the service listening on this address is ready.
pub async fn healthcheck(listen: SocketAddr) -> Result<(), HealthcheckError> {
    let url = format!("http://{}/readyz", on_loopback(listen));
    let unreachable = |source| HealthcheckError::Unreachable {
        url: url.clone(),
        source,
    };
    let client = reqwest::Client::builder()
        .timeout(TIMEOUT)
        .no_proxy()
        .build()
        .map_err(unreachable)?;
    let response = client.get(&url).send().await.map_err(unreachable)?;
    let status = response.status();
    if status.is_success() {
        return Ok(());
    }
    let reason = response.text().await.map_err(unreachable)?;
    Err(HealthcheckError::NotReady {
        url,
        status,
        reason,
    })
}

/// The address this machine reaches a listener at.
fn on_loopback(listen: SocketAddr) -> SocketAddr {
    let ip = match listen.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(ip) if ip.is_unspecified() => Ipv6Addr::LOCALHOST.into(),
        ip => ip,
    };
    SocketAddr::new(ip, listen.port())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_listener_on_every_address_is_asked_on_loopback() {
        for (listen, asked) in [
            ("0.0.0.0:8082", "127.0.0.1:8082"),
            ("[::]:8082", "[::1]:8082"),
            ("10.1.2.3:80", "10.1.2.3:80"),
        ] {
            assert_eq!(on_loopback(listen.parse().unwrap()).to_string(), asked);
        }
    }
}
