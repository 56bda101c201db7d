//! When something was first seen through a watch of its own.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use futures::StreamExt as _;
use kube::api::{Api, DynamicObject};
use kube::runtime::{WatchStreamExt as _, watcher};
use tokio::sync::watch;
use tokio::task::JoinHandle;

use crate::progress::Step;

/// First sightings by name.
#[derive(Debug)]
pub(super) struct Sightings {
    seen: watch::Receiver<HashMap<String, Instant>>,
    task: JoinHandle<()>,
}

impl Drop for Sightings {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Sightings {
    /// Watches from now on; `name` gives the name under which an object counts, if it does.
    pub(super) fn of(
        api: Api<DynamicObject>,
        name: impl Fn(&DynamicObject) -> Option<String> + Send + 'static,
    ) -> Self {
        let (sender, seen) = watch::channel(HashMap::new());
        let task = tokio::spawn(async move {
            let objects = watcher(api, watcher::Config::default())
                .default_backoff()
                .applied_objects();
            let mut objects = std::pin::pin!(objects);
            while let Some(object) = objects.next().await {
                if let Some(name) = object.ok().as_ref().and_then(&name) {
                    sender.send_modify(|seen| {
                        seen.entry(name).or_insert_with(Instant::now);
                    });
                }
            }
        });
        Self { seen, task }
    }

    /// Waits until `count` were seen; returns all first sightings.
    pub(super) async fn wait(
        &mut self,
        (what, count): (&str, usize),
        patience: Duration,
        step: &Step,
    ) -> Result<HashMap<String, Instant>> {
        let deadline = Instant::now() + patience;
        loop {
            let now = self.seen.borrow_and_update().len();
            step.detail(&format!("{now} of {count} {what}"));
            if now >= count {
                return Ok(self.seen.borrow().clone());
            }
            let left = deadline.saturating_duration_since(Instant::now());
            match tokio::time::timeout(left, self.seen.changed()).await {
                Ok(changed) => changed.context("the watch ended")?,
                Err(_) => bail!("{now} of {count} {what} after {} s", patience.as_secs()),
            }
        }
    }
}
