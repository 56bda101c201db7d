//! Four times as many requests as the service can answer: what it answers, how soon it refuses the
//! rest, and what others notice of it.

use std::convert::Infallible;
use std::fmt;
use std::time::{Duration, Instant};

use anyhow::{Result, bail, ensure};
use reqwest::StatusCode;
use tokio::time::{Interval, MissedTickBehavior};

use super::kinds::Kind;
use super::wrk::Load;
use super::{Bench, request};
use crate::bench::statistics::Samples;

/// Cheap and dear ones, reads and writes.
pub(super) const KINDS: [Kind; 7] = [
    Kind::List,
    Kind::Author,
    Kind::Detail,
    Kind::SearchCommon,
    Kind::SearchCharacter,
    Kind::LikeSpread,
    Kind::Create,
];
/// Times its peak rate.
const LOAD: f64 = 4.0;
/// On which the peak is reached: on the first of these without a refusal. Clients who are refused at once
/// and ask again share what others wait for, and more is answered than is asked for.
const PEAK_CONNECTIONS: [u32; 2] = [64, 16];
const CONNECTIONS: u32 = 1_000;
/// What is under way at the end counts for nothing, and a search may wait for a second and a half.
const LEAST_TIME: Duration = Duration::from_secs(8);
/// One looks how it goes on this often.
const PROBE: Duration = Duration::from_millis(20);
/// The least that counts as so many: its clients wait for answers, too.
const LEAST_LOAD: f64 = 3.0;
/// Fewer looks at `/livez` tell nothing of the slowest hundredth.
const LEAST_LOOKS: usize = 100;
/// Requests one after the other when it is over.
const AFTERWARDS: usize = 20;

pub(super) const HEADER: [&str; 9] = [
    "4 × its peak of",
    "peak/s",
    "offered/s",
    "answered/s",
    "of peak",
    "refused after, p99 ms",
    "/livez p99 ms",
    "afterwards, slowest ms",
    "met",
];

/// What one kind of request came to.
#[derive(Debug, Clone)]
pub(super) struct Overload {
    pub(super) kind: Kind,
    peak: f64,
    offered: f64,
    answered: f64,
    refused: Samples,
    alive: Samples,
    /// At `/livez`.
    looks: usize,
    afterwards: Samples,
}

impl Overload {
    /// A row of the table.
    pub(super) fn cells(&self) -> Vec<String> {
        let p99 = |samples: &Samples| milliseconds(samples.percentile(99));
        vec![
            self.kind.title().to_owned(),
            format!("{:.0}", self.peak),
            format!("{:.0}", self.offered),
            format!("{:.0}", self.answered),
            format!("{:.0} %", self.answered / self.peak * 100.0),
            p99(&self.refused),
            p99(&self.alive),
            milliseconds(self.afterwards.percentile(100)),
            self.met().to_owned(),
        ]
    }

    /// Under this load three quarters of the peak are answered, others are refused within 50 ms, and the process
    /// seems alive all the time.
    fn met(&self) -> &'static str {
        let is_soon = |samples: &Samples| {
            let p99 = samples.percentile(99);
            p99.is_none_or(|p99| p99 <= Duration::from_millis(50))
        };
        let is_load = self.offered >= LEAST_LOAD * self.peak && self.looks >= LEAST_LOOKS;
        let is_answered = self.answered >= 0.75 * self.peak;
        if !is_answered || !is_soon(&self.refused) || !is_soon(&self.alive) {
            "NO"
        } else if is_load {
            "yes"
        } else {
            "too little load"
        }
    }
}

impl fmt::Display for Overload {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (offered, answered, peak) = (self.offered, self.answered, self.peak);
        let (title, met) = (self.kind.title(), self.met());
        write!(
            f,
            "{title}: {offered:.0}/s offered, {answered:.0}/s answered, peak {peak:.0}/s {met}"
        )
    }
}

fn milliseconds(time: Option<Duration>) -> String {
    time.map_or_else(
        || "none".to_owned(),
        |time| format!("{:.1}", time.as_secs_f64() * 1e3),
    )
}

impl Bench<'_> {
    /// Loads the service with four times what it can do of this kind.
    pub(super) async fn overload(&mut self, kind: Kind) -> Result<Overload> {
        let peak = self.peak(kind).await?;
        ensure!(peak > 0.0, "{} is not answered at all", kind.title());
        let load = Load {
            connections: CONNECTIONS,
            time: self.time.max(LEAST_TIME),
            pause: Duration::from_secs_f64(f64::from(CONNECTIONS) / (LOAD * peak)),
        };
        let (lines, _) = self.lines(kind);
        let (last_lines, _) = self.lines(kind);
        let mut seen = Probes::new(&self.service.url);
        let sample = tokio::select! {
            sample = self.wrk.run(&self.service.url, &lines, load) => sample?,
            never = seen.watch(&lines) => match never? {},
        };
        let afterwards = seen.afterwards(&last_lines).await?;
        self.counters.settle().await?;
        Ok(Overload {
            kind,
            peak,
            offered: sample.rate(),
            answered: sample.answered(),
            refused: seen.refused.into_iter().collect(),
            looks: seen.alive.len(),
            alive: seen.alive.into_iter().collect(),
            afterwards,
        })
    }

    /// How many of these requests are answered a second.
    async fn peak(&mut self, kind: Kind) -> Result<f64> {
        let mut peak = 0.0;
        for connections in PEAK_CONNECTIONS {
            let load = Load {
                connections,
                time: self.time.max(LEAST_TIME),
                pause: Duration::ZERO,
            };
            let (lines, _) = self.lines(kind);
            let sample = self.wrk.run(&self.service.url, &lines, load).await?;
            self.counters.settle().await?;
            peak = sample.answered();
            if sample.errors < 1.0 {
                break;
            }
        }
        Ok(peak)
    }
}

/// What somebody sees who is not part of the load.
struct Probes<'a> {
    url: &'a str,
    client: reqwest::Client,
    /// How long it took to be refused, and to hear that the process is alive.
    refused: Vec<Duration>,
    alive: Vec<Duration>,
}

impl<'a> Probes<'a> {
    fn new(url: &'a str) -> Self {
        Self {
            url,
            client: reqwest::Client::new(),
            refused: vec![],
            alive: vec![],
        }
    }

    /// Looks at both at their own pace: a request that waits for its turn keeps no look at `/livez`
    /// waiting.
    async fn watch(&mut self, lines: &[String]) -> Result<Infallible> {
        let (url, client) = (self.url, &self.client);
        let alive = async {
            let mut ticks = ticks();
            loop {
                ticks.tick().await;
                let (status, time) = timed(client.get(format!("{url}/livez"))).await?;
                ensure!(status.is_success(), "/livez answers {status}");
                self.alive.push(time);
            }
        };
        let refused = async {
            let mut ticks = ticks();
            for line in lines.iter().cycle() {
                ticks.tick().await;
                let (status, time) = timed(request(client, url, line)?).await?;
                if status == StatusCode::SERVICE_UNAVAILABLE {
                    self.refused.push(time);
                }
            }
            bail!("there are no requests")
        };
        tokio::select! {
            never = alive => never,
            never = refused => never,
        }
    }

    /// Some requests one after the other when it is over.
    async fn afterwards(&self, lines: &[String]) -> Result<Samples> {
        let mut times = Vec::new();
        for line in lines.iter().take(AFTERWARDS) {
            let (status, time) = timed(request(&self.client, self.url, line)?).await?;
            ensure!(status.is_success(), "{status} after the load had ended");
            times.push(time);
        }
        Ok(times.into_iter().collect())
    }
}

fn ticks() -> Interval {
    let mut ticks = tokio::time::interval(PROBE);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Skip);
    ticks
}

async fn timed(request: reqwest::RequestBuilder) -> Result<(StatusCode, Duration)> {
    let begun = Instant::now();
    let answer = request.send().await?;
    let status = answer.status();
    answer.bytes().await?;
    Ok((status, begun.elapsed()))
}
