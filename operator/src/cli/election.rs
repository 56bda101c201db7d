use std::time::Duration;

use clap::Args;

use crate::lease::Settings;

/// Shortest duration: a slow call must fit in several times.
const SHORTEST: Duration = Duration::from_secs(5);

/// Settings of the election among replicas.
#[derive(Debug, Args)]
#[command(next_help_heading = "Leader election")]
pub(super) struct Election {
    /// Name of the Lease that the replicas compete for: the same for all of them, another for each
    /// installation in a namespace.
    #[arg(long, env = "LEASE_NAME", default_value = "post-operator")]
    lease_name: String,
    /// Namespace of the Lease. Where it is absent (outside a cluster, unless set), there is no
    /// election: make sure that no other operator watches the same namespaces.
    #[arg(long, env = "POD_NAMESPACE")]
    lease_namespace: Option<String>,
    /// A leader that has not renewed the Lease for so long is replaced, in whole seconds, at least
    /// 5s. Shorter: a sooner replacement of a leader that died. Longer: a longer outage of the API
    /// server that it survives (two thirds of this).
    #[arg(long, env = "LEASE_DURATION", default_value = "15s", value_parser = parse_duration)]
    lease_duration: Duration,
    /// Act at once, without election. Only for a single replica.
    #[arg(long = "no-leader-election", env = "NO_LEADER_ELECTION")]
    alone: bool,
}

fn parse_duration(text: &str) -> Result<Duration, String> {
    text.parse::<kube::core::Duration>()
        .ok()
        .filter(|parsed| !parsed.is_negative())
        .map(Duration::from)
        .filter(|parsed| *parsed >= SHORTEST && parsed.subsec_nanos() == 0)
        .ok_or_else(|| format!("{text:?} is not a duration of whole seconds, 5s or more"))
}

impl Election {
    /// What to compete for; `None` where there is no election, which is logged.
    pub(super) fn settings(self) -> Option<Settings> {
        if self.alone {
            tracing::info!("no leader election: --no-leader-election");
            return None;
        }
        let Some(namespace) = self.lease_namespace.filter(|name| !name.is_empty()) else {
            tracing::info!(
                "no leader election: neither --lease-namespace nor POD_NAMESPACE names a place for the Lease"
            );
            return None;
        };
        let pod = std::env::var("POD_NAME").unwrap_or_else(|_| "post-operator".to_owned());
        Some(Settings {
            namespace,
            name: self.lease_name,
            identity: format!("{pod}_{}", uuid::Uuid::new_v4()),
            duration: self.lease_duration,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_whole_seconds_and_not_too_short() {
        assert_eq!(parse_duration("15s"), Ok(Duration::from_secs(15)));
        assert_eq!(parse_duration("1m"), Ok(Duration::from_mins(1)));
        for wrong in ["4s", "15", "5500ms", "-15s", ""] {
            assert!(parse_duration(wrong).is_err(), "{wrong}");
        }
    }
}
