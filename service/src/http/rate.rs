//! How many requests one user or client may make a minute, in this process.
//!
//! The headers are those of draft-ietf-httpapi-ratelimit-headers: `RateLimit-Policy` tells the
//! quota, `RateLimit` what is left of it (`r`) and in how many seconds all of it is there again
//! (`t`). Tokens come back one by one (GCRA), so that `Retry-After` is mostly shorter than `t`.

use super::{caller::Caller, error::ApiError};
use axum::extract::Request;
use governor::{
    Quota, RateLimiter,
    clock::{Clock, DefaultClock},
    middleware::StateInformationMiddleware,
    state::keyed::DashMapStateStore,
};
use http::{HeaderMap, HeaderName, HeaderValue, Method};
use std::{
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
    num::NonZeroU32,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU32, Ordering},
    },
    time::Duration,
};

/// The quota of a class of requests.
pub const POLICY: HeaderName = HeaderName::from_static("ratelimit-policy");
/// What is left of it.
pub const LIMIT: HeaderName = HeaderName::from_static("ratelimit");

const WINDOW: Duration = Duration::from_mins(1);
/// Clients are forgotten once their quota is whole again; this is looked for once in so many
/// requests.
const SWEEP_EVERY: u32 = 10_000;
/// With more clients than this at once, unknown ones are counted by larger networks.
const CROWDED: usize = 100_000;
/// Paths that load balancers, Kubernetes and browsers' documentation pages ask for.
const EXEMPT: [&str; 5] = [
    "/health",
    "/api/v1/health",
    "/livez",
    "/readyz",
    "/api/openapi.json",
];
const EXEMPT_UNDER: &str = "/api/docs";

/// Who is counted: users by id, everybody else by network.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
enum Key {
    User(Box<str>),
    V4(Ipv4Addr),
    V6(Ipv6Addr),
}

impl Key {
    /// None: nobody can be told apart from anybody.
    fn of(caller: &Caller, crowded: bool) -> Option<Self> {
        if let Some(user) = caller.user() {
            return Some(Self::User(user.id().into()));
        }
        caller
            .address()
            .map(|address| Self::of_address(address, crowded))
    }

    /// IPv6 clients own their /64, so that an address says nothing. In a flood of addresses,
    /// memory stays bounded by /16 and /32.
    fn of_address(address: IpAddr, crowded: bool) -> Self {
        match (address, crowded) {
            (IpAddr::V4(v4), false) => Self::V4(v4),
            (IpAddr::V4(v4), true) => Self::V4(Ipv4Addr::from_bits(v4.to_bits() >> 16 << 16)),
            (IpAddr::V6(v6), false) => Self::V6(Ipv6Addr::from_bits(v6.to_bits() >> 64 << 64)),
            (IpAddr::V6(v6), true) => Self::V6(Ipv6Addr::from_bits(v6.to_bits() >> 96 << 96)),
        }
    }
}

/// What is counted apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Class {
    Reads,
    Writes,
}

impl Class {
    /// None: not counted.
    fn of(method: &Method, path: &str) -> Option<Self> {
        if *method == Method::OPTIONS || EXEMPT.contains(&path) || path.starts_with(EXEMPT_UNDER) {
            return None;
        }
        Some(match *method {
            Method::GET | Method::HEAD => Self::Reads,
            _ => Self::Writes,
        })
    }

    fn name(self) -> &'static str {
        match self {
            Self::Reads => "reads",
            Self::Writes => "writes",
        }
    }
}

/// Whether requests of this method to this path are counted.
pub fn is_limited(method: &Method, path: &str) -> bool {
    Class::of(method, path).is_some()
}

/// What became of a request that was counted. Times are in whole seconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Verdict {
    quota: u32,
    remaining: u32,
    whole_in: u64,
    /// Set if the request is refused.
    retry_after: Option<u64>,
}

impl Verdict {
    fn write(self, class: Class, headers: &mut HeaderMap) {
        let (name, window) = (class.name(), WINDOW.as_secs());
        let Self {
            quota,
            remaining,
            whole_in,
            ..
        } = self;
        let policy = format!("\"{name}\";q={quota};w={window}");
        let limit = format!("\"{name}\";r={remaining};t={whole_in}");
        for (header, text) in [(POLICY, policy), (LIMIT, limit)] {
            if let Ok(value) = HeaderValue::from_str(&text) {
                headers.insert(header, value);
            }
        }
    }
}

type Limiter<C> = RateLimiter<Key, DashMapStateStore<Key>, C, StateInformationMiddleware>;

/// One class's quota and who has used how much of it.
struct Bucket<C: Clock> {
    quota: NonZeroU32,
    limiter: Limiter<C>,
    clock: C,
    counted: AtomicU32,
    crowded: AtomicBool,
}

impl<C: Clock + Clone> Bucket<C> {
    fn new(quota: u32, clock: C) -> Option<Self> {
        let quota = NonZeroU32::new(quota)?;
        Some(Self {
            quota,
            limiter: RateLimiter::dashmap_with_clock(Quota::per_minute(quota), clock.clone())
                .with_middleware(),
            clock,
            counted: AtomicU32::new(0),
            crowded: AtomicBool::new(false),
        })
    }

    fn check(&self, caller: &Caller) -> Option<Verdict> {
        let key = Key::of(caller, self.crowded.load(Ordering::Relaxed))?;
        if self.counted.fetch_add(1, Ordering::Relaxed) % SWEEP_EVERY == SWEEP_EVERY - 1 {
            self.sweep();
        }
        let quota = self.quota.get();
        Some(match self.limiter.check_key(&key) {
            Ok(state) => {
                let remaining = state.remaining_burst_capacity().min(quota);
                Verdict {
                    quota,
                    remaining,
                    whole_in: self.refill(quota - remaining),
                    retry_after: None,
                }
            }
            Err(until) => {
                let wait = until.wait_time_from(self.clock.now());
                Verdict {
                    quota,
                    remaining: 0,
                    whole_in: self.refill(quota),
                    retry_after: Some(whole_seconds(wait).max(1)),
                }
            }
        })
    }

    /// In how many seconds this much of the quota has come back.
    fn refill(&self, used: u32) -> u64 {
        whole_seconds(WINDOW * used / self.quota.get())
    }

    /// Forgets those whose quota is whole again.
    fn sweep(&self) {
        self.limiter.retain_recent();
        self.limiter.shrink_to_fit();
        let crowded = self.limiter.len() > CROWDED;
        if crowded && !self.crowded.load(Ordering::Relaxed) {
            tracing::warn!("requests come from very many addresses: counting them by network");
        }
        self.crowded.store(crowded, Ordering::Relaxed);
    }
}

/// Rounded up.
fn whole_seconds(time: Duration) -> u64 {
    time.as_secs() + u64::from(time.subsec_nanos() > 0)
}

/// The limits of reads and writes; no limit where the setting is 0.
#[derive(Clone)]
pub struct Limits(Arc<Buckets<DefaultClock>>);

struct Buckets<C: Clock> {
    reads: Option<Bucket<C>>,
    writes: Option<Bucket<C>>,
}

impl<C: Clock + Clone> Buckets<C> {
    fn new(reads: u32, writes: u32, clock: &C) -> Self {
        Self {
            reads: Bucket::new(reads, clock.clone()),
            writes: Bucket::new(writes, clock.clone()),
        }
    }

    fn check(&self, class: Class, caller: &Caller) -> Option<Verdict> {
        let bucket = match class {
            Class::Reads => self.reads.as_ref(),
            Class::Writes => self.writes.as_ref(),
        };
        bucket?.check(caller)
    }
}

impl Limits {
    /// So many reads and writes a minute; 0 is any number.
    pub fn per_minute(reads: u32, writes: u32) -> Self {
        Self(Arc::new(Buckets::new(
            reads,
            writes,
            &DefaultClock::default(),
        )))
    }

    /// Counts a request, if it is of those that are limited and somebody is known to have sent it.
    pub(super) fn count(&self, request: &Request) -> Option<Counted> {
        let class = Class::of(request.method(), request.uri().path())?;
        let caller = request.extensions().get::<Caller>()?;
        let verdict = self.0.check(class, caller)?;
        Some(Counted { class, verdict })
    }
}

/// A request that was counted.
#[derive(Debug, Clone, Copy)]
pub(super) struct Counted {
    class: Class,
    verdict: Verdict,
}

impl Counted {
    /// If it is one too many.
    pub(super) fn refusal(self) -> Option<ApiError> {
        self.verdict.retry_after.map(ApiError::TooManyRequests)
    }

    /// Tells the client what is left of its quota.
    pub(super) fn tell(self, headers: &mut HeaderMap) {
        self.verdict.write(self.class, headers);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use governor::clock::FakeRelativeClock;

    fn from(address: &str) -> Caller {
        Caller::from_address(address.parse().unwrap())
    }

    fn refused(buckets: &Buckets<FakeRelativeClock>, class: Class, caller: &Caller) -> Option<u64> {
        buckets.check(class, caller).unwrap().retry_after
    }

    #[test]
    fn a_quota_is_used_up_and_comes_back() {
        let clock = FakeRelativeClock::default();
        let buckets = Buckets::new(60, 2, &clock);
        let client = from("203.0.113.1");
        let verdict = |class| buckets.check(class, &client).unwrap();
        assert_eq!(
            verdict(Class::Writes),
            Verdict {
                quota: 2,
                remaining: 1,
                whole_in: 30,
                retry_after: None
            }
        );
        assert_eq!(verdict(Class::Writes).remaining, 0);
        let refused = Verdict {
            quota: 2,
            remaining: 0,
            whole_in: 60,
            retry_after: Some(30),
        };
        assert_eq!(verdict(Class::Writes), refused);
        assert_eq!(
            verdict(Class::Reads).remaining,
            59,
            "reads are counted apart"
        );
        clock.advance(Duration::from_secs(29));
        assert_eq!(verdict(Class::Writes).retry_after, Some(1));
        clock.advance(Duration::from_secs(1));
        assert_eq!(verdict(Class::Writes).retry_after, None);
    }

    #[test]
    fn nobody_uses_up_the_quota_of_another() {
        let buckets = Buckets::new(0, 1, &FakeRelativeClock::default());
        for client in [
            "203.0.113.1",
            "203.0.113.2",
            "2001:db8:0:1::1",
            "2001:db8:0:2::1",
        ] {
            assert_eq!(
                refused(&buckets, Class::Writes, &from(client)),
                None,
                "{client}"
            );
        }
        let neighbour = from("2001:db8:0:1:ffff::9");
        assert!(
            refused(&buckets, Class::Writes, &neighbour).is_some(),
            "one /64 is one client"
        );
    }

    #[test]
    fn a_quota_of_zero_and_a_client_unknown_are_not_limited() {
        let buckets = Buckets::new(0, 1, &FakeRelativeClock::default());
        assert_eq!(buckets.check(Class::Reads, &from("203.0.113.1")), None);
        assert_eq!(buckets.check(Class::Writes, &Caller::default()), None);
    }

    #[test]
    fn memory_stays_bounded_in_a_flood_of_addresses() {
        let clock = FakeRelativeClock::default();
        let bucket = Bucket::new(60, clock.clone()).unwrap();
        let flood = |from_bits: u32| {
            for bits in from_bits..from_bits + 150_000 {
                bucket.check(&Caller::from_address(Ipv4Addr::from_bits(bits).into()));
            }
        };
        flood(0x0b00_0000);
        let most = CROWDED + SWEEP_EVERY as usize;
        assert!((CROWDED..=most + 16).contains(&bucket.limiter.len()));
        clock.advance(WINDOW * 2);
        bucket.sweep();
        assert_eq!(
            (bucket.limiter.len(), bucket.crowded.load(Ordering::Relaxed)),
            (0, false)
        );
    }

    #[test]
    fn probes_documents_and_preflights_are_not_counted() {
        for path in [
            "/health",
            "/livez",
            "/readyz",
            "/api/v1/health",
            "/api/docs/index.html",
        ] {
            assert_eq!(Class::of(&Method::GET, path), None, "{path}");
        }
        assert_eq!(Class::of(&Method::OPTIONS, "/api/v1/posts"), None);
        assert_eq!(
            Class::of(&Method::HEAD, "/api/v1/posts"),
            Some(Class::Reads)
        );
        for method in [Method::POST, Method::PUT, Method::PATCH, Method::DELETE] {
            assert_eq!(Class::of(&method, "/api/v1/posts"), Some(Class::Writes));
        }
    }
}
