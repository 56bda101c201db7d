//! Clients that read and write all the time, and count what fails.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use serde_json::json;
use tokio::task::JoinSet;

/// A client that keeps its connection opens another one this often, so that it does not stay with
/// one pod for ever.
const KEPT: Duration = Duration::from_secs(2);

/// How hard the clients try.
#[derive(Clone, Copy)]
pub struct Rate {
    /// Clients of each sort: readers and writers, on kept and on new connections.
    pub clients: usize,
    /// Rest of each between two requests.
    pub rest: Duration,
}

impl Rate {
    /// Some requests at any moment.
    pub const STEADY: Self = Self {
        clients: 1,
        rest: Duration::from_millis(20),
    };
    /// More than a pod's CPU request allows for.
    pub const HEAVY: Self = Self {
        clients: 4,
        rest: Duration::from_millis(5),
    };
}

/// What the clients saw.
#[derive(Debug, Default)]
pub struct Seen {
    pub requests: usize,
    /// Each with the time since the start and its cause.
    pub failures: Vec<String>,
}

/// Clients at work.
pub struct Load {
    stop: Arc<AtomicBool>,
    clients: JoinSet<Seen>,
}

impl Load {
    /// Starts clients of the API at `url`.
    pub fn start(url: &str, token: &str, rate: Rate) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let mut clients = JoinSet::new();
        for _ in 0..rate.clients {
            for (writes, keeps) in [(false, false), (false, true), (true, false), (true, true)] {
                let client = Client {
                    url: format!("{url}/api/v1/posts"),
                    token: token.to_owned(),
                    rest: rate.rest,
                    writes,
                    keeps,
                };
                clients.spawn(client.run(stop.clone()));
            }
        }
        Self { stop, clients }
    }

    /// Ends the clients after their present requests.
    pub async fn stop(self) -> Seen {
        self.stop.store(true, Ordering::Relaxed);
        let mut all = Seen::default();
        for seen in self.clients.join_all().await {
            all.requests += seen.requests;
            all.failures.extend(seen.failures);
        }
        all
    }
}

struct Client {
    url: String,
    token: String,
    rest: Duration,
    writes: bool,
    keeps: bool,
}

impl Client {
    async fn run(self, stop: Arc<AtomicBool>) -> Seen {
        let (mut seen, begun) = (Seen::default(), Instant::now());
        while !stop.load(Ordering::Relaxed) {
            let (client, opened) = (self.connection(), Instant::now());
            while opened.elapsed() < KEPT && !stop.load(Ordering::Relaxed) {
                seen.requests += 1;
                if let Err(error) = self.once(&client).await {
                    let at = begun.elapsed().as_secs_f64();
                    seen.failures.push(format!("{at:.2} s: {error}"));
                }
                // A steady rate, so that the load does not decide how long things take.
                tokio::time::sleep(self.rest).await;
            }
        }
        seen
    }

    fn connection(&self) -> reqwest::Client {
        reqwest::Client::builder()
            .pool_max_idle_per_host(usize::from(self.keeps))
            .timeout(Duration::from_secs(10))
            .build()
            .unwrap()
    }

    async fn once(&self, client: &reqwest::Client) -> Result<(), String> {
        let (request, expected) = if self.writes {
            let body = json!({"title": "글", "content": "내용", "category": "자유"});
            let request = client.post(&self.url).bearer_auth(&self.token);
            (request.json(&body), 201)
        } else {
            (client.get(&self.url), 200)
        };
        let answer = request.send().await.map_err(|error| format!("{error:?}"))?;
        let status = answer.status().as_u16();
        let text = answer.text().await.map_err(|error| format!("{error:?}"))?;
        if status == expected {
            Ok(())
        } else {
            Err(format!("{status}: {text}"))
        }
    }
}
