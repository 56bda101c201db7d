//! How many pods, and who says so. Pure.
//!
//! Two field managers keep the number out of each other's way: the main one applies the Deployment
//! without `spec.replicas`; a second one applies nothing but that, and only
//!
//! | Authority    | when                                              | what              |
//! |--------------|---------------------------------------------------|-------------------|
//! | `Stopped`    | the live number is not 0                          | 0                 |
//! | `Fixed`      | the live number differs                           | the spec's        |
//! | `Autoscaler` | the live number is 0 and no autoscaler is there   | `minReplicas`     |
//! | `Nobody`     | it is 0 because the service was stopped           | what was before   |
//!
//! The second manager never applies without the field: as its last owner it would reset it to 1.
//! The field becomes the autoscaler's when the autoscaler first changes it.

use std::num::ParseIntError;

use k8s_openapi::api::apps::v1::Deployment;
use kube::ResourceExt as _;

use crate::api::v1alpha1::PostServiceSpec;

/// Annotation of a stopped Deployment: the number of pods before. It tells a zero that the operator
/// wrote from one of somebody else.
pub const BEFORE_STOP: &str = "platform.hhottdogg.shop/replicas-before-stop";
/// Annotation of a Deployment that the second manager made whole, until it has given up everything
/// but the number.
pub const INITIAL: &str = "platform.hhottdogg.shop/initial-replicas";
/// What the API server makes of an absent `spec.replicas` (Kubernetes API reference,
/// `DeploymentSpec.replicas`).
pub const API_DEFAULT: i32 = 1;

/// Who decides the number of pods.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Authority {
    /// `stopped`: there shall be none.
    Stopped,
    /// `replicas`, without autoscaling.
    Fixed(i32),
    /// The `HorizontalPodAutoscaler`, within these bounds.
    Autoscaler {
        /// Fewest pods.
        min: i32,
        /// Most pods.
        max: i32,
    },
    /// Somebody outside, such as KEDA.
    Nobody,
}

impl Authority {
    /// Whom the spec names.
    pub fn of(spec: &PostServiceSpec) -> Self {
        let bounds = &spec.autoscaling;
        match (spec.stopped, bounds.enabled, spec.replicas) {
            (true, _, _) => Self::Stopped,
            (false, true, _) => Self::Autoscaler {
                min: bounds.min_replicas,
                max: bounds.max_replicas,
            },
            (false, false, Some(replicas)) => Self::Fixed(replicas),
            (false, false, None) => Self::Nobody,
        }
    }

    /// As few pods as the spec can mean, of a Deployment that shall have `wanted`: with fewer
    /// serving, not everything asked for is in place.
    pub fn fewest(self, wanted: i32) -> i32 {
        match self {
            Self::Stopped => 0,
            Self::Fixed(replicas) => replicas,
            // Who scales an autoscaled Deployment to 0 by hand switches the autoscaler off.
            Self::Autoscaler { min, .. } => min.min(wanted),
            Self::Nobody => wanted.min(1),
        }
    }

    /// The number for a Deployment that is made now: what an earlier one had (`before`), as far as
    /// the spec permits.
    fn initial(self, before: Option<i32>) -> i32 {
        let before = before.filter(|&before| before > 0);
        match self {
            Self::Stopped => 0,
            Self::Fixed(replicas) => replicas,
            Self::Autoscaler { min, max } => before.unwrap_or(min).min(max).max(min),
            Self::Nobody => before.unwrap_or(API_DEFAULT),
        }
    }
}

/// What is seen of the number of pods.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Seen {
    /// The live Deployment.
    pub deployment: Option<Number>,
    /// An autoscaler of the operator's is there.
    pub autoscaler: bool,
}

/// The number in a Deployment.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Number {
    /// `spec.replicas`.
    pub replicas: i32,
    /// Value of [`BEFORE_STOP`].
    pub before_stop: Option<i32>,
    /// [`INITIAL`] is there.
    pub initial: bool,
}

impl Number {
    /// Reads it.
    pub fn of(deployment: &Deployment) -> Self {
        let annotations = deployment.annotations();
        let before = annotations.get(BEFORE_STOP);
        let before: Option<Result<i32, ParseIntError>> = before.map(|text| text.parse());
        Self {
            replicas: wanted(deployment),
            before_stop: before.map(|parsed| parsed.unwrap_or(API_DEFAULT)),
            initial: annotations.contains_key(INITIAL),
        }
    }
}

/// `spec.replicas` of a Deployment.
pub fn wanted(deployment: &Deployment) -> i32 {
    let replicas = deployment.spec.as_ref().and_then(|spec| spec.replicas);
    replicas.unwrap_or(API_DEFAULT)
}

/// What shall become of the autoscaler.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Autoscaler {
    /// It shall be there, after the Deployment has pods: it does nothing for one that has none.
    Apply,
    /// Its time has not come.
    Keep,
    /// It shall be gone, before anybody else writes the number.
    Remove,
}

/// A write of the second manager.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Write {
    /// `spec.replicas`.
    pub replicas: i32,
    /// To be remembered in [`BEFORE_STOP`].
    pub before_stop: Option<i32>,
    /// Take the field from its owner; otherwise an owner who meanwhile changed it wins.
    pub force: bool,
}

/// What a pass does about the number of pods.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Scaling {
    /// The autoscaler.
    pub autoscaler: Autoscaler,
    /// The number for a Deployment that this pass makes.
    pub initial: i32,
    /// The number for the one that is there.
    pub write: Option<Write>,
}

/// Decides. `before`: pods at the last report. `starts`: pods may be started, since they would run
/// what is wanted.
pub fn scaling(authority: Authority, seen: &Seen, before: Option<i32>, starts: bool) -> Scaling {
    let write = seen
        .deployment
        .and_then(|live| write(authority, live, seen.autoscaler, starts));
    let replicas = match (write, seen.deployment) {
        (Some(write), _) => write.replicas,
        (None, Some(live)) => live.replicas,
        (None, None) if starts => authority.initial(before),
        (None, None) => 0,
    };
    let autoscaler = match authority {
        Authority::Autoscaler { .. } if seen.autoscaler || replicas > 0 => Autoscaler::Apply,
        Authority::Autoscaler { .. } => Autoscaler::Keep,
        Authority::Stopped | Authority::Fixed(_) | Authority::Nobody => Autoscaler::Remove,
    };
    Scaling {
        autoscaler,
        initial: authority.initial(before),
        write,
    }
}

fn write(authority: Authority, live: Number, autoscaled: bool, starts: bool) -> Option<Write> {
    let set = |replicas| {
        Some(Write {
            replicas,
            before_stop: None,
            force: true,
        })
    };
    let annotated = live.initial || live.before_stop.is_some();
    match authority {
        Authority::Stopped => (live.replicas != 0).then(|| Write {
            replicas: 0,
            before_stop: Some(live.before_stop.unwrap_or(live.replicas)),
            force: true,
        }),
        Authority::Fixed(replicas) if live.replicas == 0 && replicas > 0 && !starts => None,
        Authority::Fixed(replicas) if live.replicas != replicas || annotated => set(replicas),
        Authority::Fixed(_) => None,
        Authority::Autoscaler { min, .. } if live.replicas == 0 && !autoscaled => {
            starts.then(|| set(min)).flatten()
        }
        Authority::Nobody if live.replicas == 0 && live.before_stop.is_some() => {
            starts.then(|| live.before_stop.and_then(set)).flatten()
        }
        // Only the annotations go; the number is as its owner left it.
        Authority::Autoscaler { .. } | Authority::Nobody => annotated.then_some(Write {
            replicas: live.replicas,
            before_stop: None,
            force: false,
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const AUTO: Authority = Authority::Autoscaler { min: 2, max: 5 };

    fn seen(replicas: i32, autoscaler: bool) -> Seen {
        Seen {
            deployment: Some(Number {
                replicas,
                ..Number::default()
            }),
            autoscaler,
        }
    }

    fn written(authority: Authority, seen: &Seen) -> Option<i32> {
        let write = scaling(authority, seen, None, true).write;
        write.map(|write| write.replicas)
    }

    #[test]
    fn the_number_is_written_only_by_its_authority_and_only_where_it_differs() {
        let cases = [
            (Authority::Stopped, 3, true, Some(0)),
            (Authority::Stopped, 0, false, None),
            (Authority::Fixed(3), 3, false, None),
            (Authority::Fixed(3), 2, true, Some(3)),
            (Authority::Fixed(0), 2, false, Some(0)),
            (AUTO, 1, true, None),
            (AUTO, 9, false, None),
            (AUTO, 0, true, None),
            (AUTO, 0, false, Some(2)),
            (Authority::Nobody, 0, false, None),
            (Authority::Nobody, 7, true, None),
        ];
        for (authority, live, autoscaler, expected) in cases {
            assert_eq!(
                written(authority, &seen(live, autoscaler)),
                expected,
                "{authority:?} at {live}"
            );
        }
    }

    #[test]
    fn what_was_there_before_a_stop_comes_back_where_nobody_else_says_a_number() {
        let stop = scaling(Authority::Stopped, &seen(4, true), None, true);
        assert_eq!(stop.autoscaler, Autoscaler::Remove);
        assert_eq!(stop.write.unwrap().before_stop, Some(4));

        let stopped = Seen {
            deployment: Some(Number {
                replicas: 0,
                before_stop: Some(4),
                initial: false,
            }),
            autoscaler: false,
        };
        assert_eq!(written(Authority::Nobody, &stopped), Some(4));
        assert_eq!(written(AUTO, &stopped), Some(2));
        assert_eq!(written(Authority::Fixed(3), &stopped), Some(3));
    }

    #[test]
    fn a_scaling_by_hand_while_stopped_does_not_change_what_is_remembered() {
        let scaled = Seen {
            deployment: Some(Number {
                replicas: 1,
                before_stop: Some(4),
                initial: false,
            }),
            autoscaler: false,
        };
        let write = scaling(Authority::Stopped, &scaled, None, true).write;
        assert_eq!(write.unwrap().before_stop, Some(4));
    }

    #[test]
    fn no_pod_starts_before_its_image_may_run() {
        for authority in [AUTO, Authority::Fixed(3)] {
            let waiting = scaling(authority, &seen(0, false), None, false);
            assert_eq!(waiting.write, None);
            assert_ne!(waiting.autoscaler, Autoscaler::Apply);
        }
    }

    #[test]
    fn the_autoscaler_comes_with_the_first_pod_and_goes_with_its_authority() {
        let none = Seen::default();
        assert_eq!(
            scaling(AUTO, &none, None, false).autoscaler,
            Autoscaler::Keep
        );
        assert_eq!(
            scaling(AUTO, &none, None, true).autoscaler,
            Autoscaler::Apply
        );
        for authority in [Authority::Fixed(1), Authority::Nobody, Authority::Stopped] {
            let scaling = scaling(authority, &seen(1, true), None, true);
            assert_eq!(scaling.autoscaler, Autoscaler::Remove);
        }
    }

    #[test]
    fn a_deployment_that_comes_back_has_as_many_pods_as_before_within_the_bounds() {
        let initial =
            |authority, before| scaling(authority, &Seen::default(), before, true).initial;
        assert_eq!(initial(AUTO, None), 2);
        assert_eq!(initial(AUTO, Some(0)), 2);
        assert_eq!(initial(AUTO, Some(4)), 4);
        assert_eq!(initial(AUTO, Some(10)), 5);
        assert_eq!(initial(Authority::Fixed(0), Some(4)), 0);
        assert_eq!(initial(Authority::Nobody, Some(4)), 4);
        assert_eq!(initial(Authority::Nobody, None), 1);
    }
}
