//! How long a rollout may take. Pure.

use std::time::Duration;

use crate::api::v1alpha1::PostService;
use crate::cli::ages;
use crate::controller::validate::{self, Validated};

/// For what no clock of the spec covers: the registry's answer, images pulled, nodes started.
const SLACK: Duration = Duration::from_mins(2);
/// Of a spec that the operator will refuse.
const UNKNOWN: Duration = Duration::from_mins(5);

/// The longest time that the spec lets a rollout take without a verdict, and what it is made of.
pub fn of(service: &PostService) -> (Duration, String) {
    let Ok(spec) = validate::spec(service) else {
        return (UNKNOWN, "the spec has a fault".to_owned());
    };
    let parts = parts(&spec);
    let whole = parts.iter().map(|(_, length)| *length).sum();
    let said = parts
        .iter()
        .filter(|(_, length)| !length.is_zero())
        .map(|(name, length)| format!("{name} {}", ages::short(*length)))
        .collect::<Vec<_>>()
        .join(" + ");
    (whole, said)
}

fn parts(spec: &Validated) -> [(&'static str, Duration); 5] {
    let migrates = spec.spec.database.migrations.enabled;
    [
        (
            "migration",
            if migrates {
                spec.migration_timeout
            } else {
                Duration::ZERO
            },
        ),
        ("bake", spec.bake),
        ("progress deadline", spec.progress_deadline),
        ("drain", spec.drain_delay),
        ("slack", SLACK),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::sample;

    #[test]
    fn every_clock_of_the_spec_counts() {
        let mut service = sample::service("1");
        let (whole, said) = of(&service);
        // 15m + 2m + 10m + 2m15s + 2m
        assert_eq!(whole, Duration::from_secs(31 * 60 + 15), "{said}");
        assert_eq!(
            said,
            "migration 15m + bake 2m + progress deadline 10m + drain 2m15s + slack 2m"
        );
        service.spec.database.migrations.enabled = false;
        service.spec.service.load_balancer.enabled = false;
        let (whole, said) = of(&service);
        assert_eq!(whole, Duration::from_secs(14 * 60 + 5), "{said}");
        assert!(!said.contains("migration"), "{said}");
    }

    #[test]
    fn a_faulty_spec_is_refused_soon() {
        let mut service = sample::service("1");
        service.spec.rollout.bake.duration = "soon".into();
        assert_eq!(of(&service).0, UNKNOWN);
    }
}
