//! A sign of life from whatever takes longer than a reader's patience.

use std::time::Duration;
use tokio::time::{Instant, interval_at};

/// After this long the first sign is given.
const FIRST: Duration = Duration::from_secs(2);
/// And then one this often.
const EVERY: Duration = Duration::from_secs(10);

/// Where lines for the reader go.
pub type Say = fn(&str);

/// Waits for the work, saying from time to time how long it has taken.
pub(super) async fn watched<T>(say: Say, what: &str, work: impl Future<Output = T>) -> T {
    let started = Instant::now();
    let mut signs = interval_at(started + FIRST, EVERY);
    tokio::pin!(work);
    loop {
        tokio::select! {
            result = &mut work => return result,
            _ = signs.tick() => say(&format!("{what}: {} s so far", started.elapsed().as_secs())),
        }
    }
}

/// How far a walk over many rows has come, said from time to time.
pub(super) struct Walk {
    say: Say,
    what: &'static str,
    seen: u64,
    next: Instant,
}

impl Walk {
    pub(super) fn new(say: Say, what: &'static str) -> Self {
        Self {
            say,
            what,
            seen: 0,
            next: Instant::now() + FIRST,
        }
    }

    /// So many more rows are done, up to this post number if they are posts.
    pub(super) fn advance(&mut self, rows: usize, number: Option<i64>) {
        self.seen += rows as u64;
        if Instant::now() >= self.next {
            let place = number.map_or(String::new(), |number| format!(", at No {number}"));
            (self.say)(&format!("{}: {} done{place}", self.what, self.seen));
            self.next = Instant::now() + EVERY;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Mutex;

    static SAID: Mutex<Vec<String>> = Mutex::new(Vec::new());

    #[tokio::test(start_paused = true)]
    async fn work_is_heard_of_after_two_seconds_and_then_every_ten() {
        let say: Say = |line| SAID.lock().unwrap().push(line.to_owned());
        watched(say, "a", tokio::time::sleep(Duration::from_millis(1_900))).await;
        assert!(SAID.lock().unwrap().is_empty());
        watched(say, "b", tokio::time::sleep(Duration::from_secs(13))).await;
        assert_eq!(*SAID.lock().unwrap(), ["b: 2 s so far", "b: 12 s so far"]);
    }
}
