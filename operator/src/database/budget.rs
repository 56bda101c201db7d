//! Whether the server has room for all the connections that pods may hold at once. Pure.

/// Connections left to administrators, backups and monitoring.
pub const RESERVE: u64 = 10;
/// What holds connections beside the pods: the operator's looks and a migration.
const OTHERS: u64 = 3;

/// Connections at the worst moment of a rollout.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Budget {
    /// Pods at once.
    pub pods: u64,
    /// Connections a pod may hold.
    pub pool_size: u64,
    /// Connections that the server leaves them.
    pub available: u64,
}

impl Budget {
    /// Pods at the peak of a rollout: `replicas` old ones beside as many new ones as `max_surge`, a
    /// number or a percentage (rounded up, as the Deployment controller does), allows.
    pub fn new(replicas: u64, max_surge: &str, pool_size: u64, available: u64) -> Self {
        let surge = match max_surge.strip_suffix('%') {
            Some(percent) => percent
                .parse::<u64>()
                .map_or(replicas, |percent| (replicas * percent).div_ceil(100)),
            None => max_surge.parse().unwrap_or(replicas),
        };
        Self {
            pods: replicas + surge,
            pool_size,
            available,
        }
    }

    /// A sentence with the numbers and the mend, where the connections may not suffice.
    pub fn warning(self) -> Option<String> {
        let Self {
            pods,
            pool_size,
            available,
        } = self;
        let needed = pods * pool_size + OTHERS;
        (needed > available).then(|| {
            format!(
                "at the peak of a rollout {pods} pods × {pool_size} connections + {OTHERS} = {needed} may be open, but the server leaves {available} (max_connections less {RESERVE} for administrators, or max_user_connections): lower spec.database.poolSize, spec.autoscaling.maxReplicas or spec.rollout.maxSurge, or raise max_connections to {}",
                needed + RESERVE
            )
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_peak_counts_old_and_new_pods() {
        assert_eq!(Budget::new(3, "100%", 8, 100).pods, 6);
        assert_eq!(Budget::new(3, "25%", 8, 100).pods, 4);
        assert_eq!(Budget::new(3, "2", 8, 100).pods, 5);
    }

    #[test]
    fn the_warning_carries_the_numbers() {
        assert_eq!(Budget::new(3, "100%", 8, 51).warning(), None);
        let warning = Budget::new(3, "100%", 8, 50).warning().unwrap();
        assert!(
            warning.contains("6 pods × 8 connections + 3 = 51"),
            "{warning}"
        );
        assert!(warning.contains("to 61"), "{warning}");
    }
}
