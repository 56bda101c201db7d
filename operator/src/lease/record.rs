//! What a lease's record says, and what is written into it. Pure but for the time stamps, which are
//! for people: no decision reads them.

use std::time::{Duration, Instant};

use k8s_openapi::api::coordination::v1::LeaseSpec;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::MicroTime;
use k8s_openapi::jiff::Timestamp;

/// Whether a lease may be taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// Its holder lives, as far as can be told.
    Held,
    /// It was let go, or its holder has been silent for too long.
    Free,
}

/// The record as last seen, and since when it has been the same.
#[derive(Debug, Default)]
pub(super) struct Observation {
    last: Option<(LeaseSpec, Instant)>,
}

impl Observation {
    /// Judges what is seen at `now`. A record seen for the first time counts from now: how old it is
    /// only another machine's clock could say.
    pub(super) fn judge(
        &mut self,
        seen: Option<&LeaseSpec>,
        ours: Duration,
        now: Instant,
    ) -> Verdict {
        let Some((spec, _)) = seen.zip(holder(seen)) else {
            return Verdict::Free;
        };
        let since = match &self.last {
            Some((last, since)) if last == spec => *since,
            _ => now,
        };
        self.last = Some((spec.clone(), since));
        // The holder may have been started with another duration.
        let theirs = spec.lease_duration_seconds.unwrap_or_default();
        let theirs = Duration::from_secs(theirs.unsigned_abs().into());
        if now - since < ours.max(theirs) {
            Verdict::Held
        } else {
            Verdict::Free
        }
    }
}

/// Who holds it.
pub(super) fn holder(spec: Option<&LeaseSpec>) -> Option<&str> {
    spec?
        .holder_identity
        .as_deref()
        .filter(|name| !name.is_empty())
}

/// The record of a lease taken by `identity`.
pub(super) fn taken(previous: Option<&LeaseSpec>, identity: &str, duration: Duration) -> LeaseSpec {
    let transitions = previous.map(|spec| spec.lease_transitions.unwrap_or_default());
    let mut spec = LeaseSpec {
        holder_identity: Some(identity.to_owned()),
        acquire_time: Some(MicroTime(Timestamp::now())),
        lease_transitions: Some(transitions.map_or(0, |count| count.saturating_add(1))),
        ..previous.cloned().unwrap_or_default()
    };
    renew(&mut spec, duration);
    spec
}

/// Makes the record differ from what the others have seen.
pub(super) fn renew(spec: &mut LeaseSpec, duration: Duration) {
    spec.renew_time = Some(MicroTime(Timestamp::now()));
    spec.lease_duration_seconds = i32::try_from(duration.as_secs()).ok();
}

/// Clears the holder.
pub(super) fn release(spec: &mut LeaseSpec) {
    spec.holder_identity = None;
    spec.renew_time = Some(MicroTime(Timestamp::now()));
}

#[cfg(test)]
mod tests {
    use super::*;

    const OURS: Duration = Duration::from_secs(15);
    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn a_silent_holder_is_replaced_after_the_whole_duration_by_our_clock() {
        let (mut observation, start) = (Observation::default(), Instant::now());
        let mut spec = taken(None, "a", OURS);
        // However old it says it is.
        spec.renew_time = Some(MicroTime(Timestamp::UNIX_EPOCH));
        let mut judge = |after: u32, spec: &LeaseSpec| {
            observation.judge(Some(spec), OURS, start + after * SECOND)
        };
        assert_eq!(judge(0, &spec), Verdict::Held);
        assert_eq!(judge(14, &spec), Verdict::Held);
        renew(&mut spec, OURS);
        assert_eq!(judge(15, &spec), Verdict::Held);
        assert_eq!(judge(29, &spec), Verdict::Held);
        assert_eq!(judge(30, &spec), Verdict::Free);
    }

    #[test]
    fn a_released_lease_is_free_at_once() {
        let (mut observation, now) = (Observation::default(), Instant::now());
        let mut spec = taken(None, "a", OURS);
        assert_eq!(observation.judge(Some(&spec), OURS, now), Verdict::Held);
        release(&mut spec);
        assert_eq!(observation.judge(Some(&spec), OURS, now), Verdict::Free);
        assert_eq!(observation.judge(None, OURS, now), Verdict::Free);
    }

    #[test]
    fn a_holder_with_a_longer_duration_gets_it() {
        let (mut observation, start) = (Observation::default(), Instant::now());
        let spec = taken(None, "a", 4 * OURS);
        let mut judge = |after: u32| observation.judge(Some(&spec), OURS, start + after * SECOND);
        assert_eq!(judge(0), Verdict::Held);
        assert_eq!(judge(59), Verdict::Held);
        assert_eq!(judge(60), Verdict::Free);
    }

    #[test]
    fn each_taking_is_counted() {
        let first = taken(None, "a", OURS);
        assert_eq!(first.lease_transitions, Some(0));
        assert_eq!(taken(Some(&first), "b", OURS).lease_transitions, Some(1));
    }
}
