//! Asks for every visible post once after an adoption, from the newest number down.
//!
//! The position is in the database: a restart goes on where the last process was, and several
//! processes side by side merely ask twice. A batch is left behind when every count was told. While
//! the comment service fails as a whole, the sweep stays where it is; a post that it refuses again
//! and again while others are answered is passed by (reads of it will ask again).

use super::{RefreshError, Refresher};
use crate::{
    board::PostId,
    store::{CommentSweep, StoreError},
};
use futures::StreamExt;
use std::{sync::Arc, time::Duration};

/// Posts between two writes of the position.
const BATCH: u32 = 32;
/// Requests at a time: reads come first.
const CONCURRENT: usize = 2;
/// How often a post is asked for before it is passed by.
const ATTEMPTS: u32 = 4;

/// What a step came to.
enum Step {
    /// The adoption has not finished.
    Waiting,
    Advanced,
    Done,
}

/// Sweeps to the end; spawn it.
pub(super) async fn run(refresher: Arc<Refresher>) {
    loop {
        match step(&refresher).await {
            Ok(Step::Done) => return,
            Ok(Step::Advanced) => {}
            Ok(Step::Waiting) => tokio::time::sleep(refresher.pace.look).await,
            Err(error) => {
                tracing::debug!(%error, "the sweep over comment counts waits");
                tokio::time::sleep(refresher.pace.look).await;
            }
        }
    }
}

/// Asks for one batch, from wherever the processes together have come.
async fn step(refresher: &Refresher) -> Result<Step, StoreError> {
    let store = &refresher.store;
    let before = match store.comment_sweep().await? {
        CommentSweep::Waiting => return Ok(Step::Waiting),
        CommentSweep::Done => return Ok(Step::Done),
        CommentSweep::Left { before } => before,
    };
    let batch = store.comment_sweep_batch(before, BATCH).await?;
    let Some(lowest) = batch.lowest else {
        store.advance_comment_sweep(0).await?;
        tracing::info!("the comment counts of all adopted posts have been asked for");
        return Ok(Step::Done);
    };
    refresh_all(refresher, batch.posts).await;
    store.advance_comment_sweep(lowest).await?;
    Ok(Step::Advanced)
}

/// Returns when each post was asked for as well as can be.
async fn refresh_all(refresher: &Refresher, mut posts: Vec<PostId>) {
    let mut service_is_well = false;
    for attempt in 1_u32.. {
        let round = round(refresher, posts).await;
        service_is_well |= round.any_told;
        posts = round.failed;
        if posts.is_empty() {
            return;
        }
        if service_is_well && attempt >= ATTEMPTS {
            tracing::warn!(
                ?posts,
                "comment counts passed by: they could not be asked for"
            );
            return;
        }
        tokio::time::sleep(pause(refresher, attempt)).await;
    }
}

struct Round {
    /// The service answered at least one of them, if only by refusing it.
    any_told: bool,
    failed: Vec<PostId>,
}

async fn round(refresher: &Refresher, posts: Vec<PostId>) -> Round {
    let start = Round {
        any_told: false,
        failed: Vec::new(),
    };
    futures::stream::iter(posts)
        .map(async |id| {
            refresher.wait_until_healthy().await;
            let result = refresher.refresh(&id).await;
            (id, result)
        })
        .buffer_unordered(CONCURRENT)
        .fold(start, async |mut round, (id, result)| {
            match result {
                Ok(_) | Err(RefreshError::NoPost) => round.any_told = true,
                // The service does not know the post: asking again would only cost time.
                Err(RefreshError::Source(error)) if error.is_unknown_post() => {
                    round.any_told = true;
                }
                Err(error) => {
                    tracing::debug!(%id, %error, "comment count not refreshed");
                    round.any_told |= matches!(
                        &error,
                        RefreshError::Source(error) if error.concerns_one_post()
                    );
                    round.failed.push(id);
                }
            }
            round
        })
        .await
}

/// Between two rounds over the same posts.
fn pause(refresher: &Refresher, attempt: u32) -> Duration {
    let doublings = attempt.saturating_sub(1).min(16);
    let pause = refresher.pace.pause.saturating_mul(1 << doublings);
    pause.min(refresher.pace.longest_pause)
}
