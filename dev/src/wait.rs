//! Waiting for something to become true, never for a fixed time.

use std::future::Future;
use std::time::{Duration, Instant};

use anyhow::{Result, bail};

/// Calls `probe` until it returns `Ok`, at most for `deadline`.
///
/// The probe's error says what was seen instead; the last one ends up in the error of a deadline
/// that passed.
pub async fn until<T, E, F, P>(what: &str, deadline: Duration, mut probe: P) -> Result<T>
where
    E: std::fmt::Display,
    F: Future<Output = std::result::Result<T, E>>,
    P: FnMut() -> F,
{
    let began = Instant::now();
    let mut pause = Duration::from_millis(50);
    loop {
        let seen = match probe().await {
            Ok(value) => return Ok(value),
            Err(seen) => seen,
        };
        if began.elapsed() >= deadline {
            bail!(
                "{what}: not so after {} s; last seen: {seen}",
                deadline.as_secs()
            );
        }
        tokio::time::sleep(pause).await;
        pause = (pause * 3 / 2).min(Duration::from_millis(500));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_passed_deadline_tells_what_was_seen_last() {
        let error = until("the moon is blue", Duration::ZERO, async || {
            Err::<(), _>("it is grey")
        })
        .await
        .unwrap_err();
        assert_eq!(
            error.to_string(),
            "the moon is blue: not so after 0 s; last seen: it is grey"
        );
    }

    #[tokio::test]
    async fn it_returns_the_first_good_value() {
        let mut tries = 0;
        let value = until("three tries", Duration::from_secs(5), || {
            tries += 1;
            let now = tries;
            async move { if now == 3 { Ok(now) } else { Err("not yet") } }
        })
        .await
        .unwrap();
        assert_eq!(value, 3);
    }
}
