//! Wishes about one post or many in one transaction, with one statement for all that are alike.
//!
//! Posts that somebody else has locked are left, so that nobody waits, and none of those who come after.
//! A post's likes are written only under its lock.

use super::{Deed, Existing, LikeAttempt};
use crate::{
    board::{Liked, Step},
    store::{mysql::views::list, views::padded},
};
use sqlx::{Connection, MySql, MySqlConnection, QueryBuilder};
use std::collections::{BTreeMap, HashMap, HashSet};

/// Fulfils wishes. Those about posts that are locked or not visible are left, and the second of somebody
/// about the same post.
pub(super) async fn run(
    connection: &mut MySqlConnection,
    attempts: &[LikeAttempt<'_>],
) -> Result<Vec<Option<Liked>>, sqlx::Error> {
    let mut transaction = connection.begin().await?;
    let mut counts = lock(&mut transaction, attempts).await?;
    let existing = existing(&mut transaction, attempts).await?;
    let (mut changes, mut likers) = (Changes::default(), HashSet::new());
    let mut done = Vec::with_capacity(attempts.len());
    for attempt in attempts {
        let wish = attempt.wish;
        let Some(count) = counts.get_mut(wish.post.as_str()) else {
            done.push(None);
            continue;
        };
        let like = (wish.post.as_str().to_owned(), wish.liker.id().to_owned());
        let is_first = likers.insert(like.clone());
        done.push(
            is_first.then(|| match attempt.deed(existing.get(&like), *count) {
                Deed::Nothing(liked) => liked,
                Deed::Take(step, like_id, state) => {
                    *count = state.like_count;
                    changes.add(attempt, step, like_id);
                    Ok(state)
                }
            }),
        );
    }
    changes.write(&mut transaction).await?;
    for (attempt, step, like_id) in changes.steps {
        attempt.begin(step, like_id);
    }
    transaction.commit().await?;
    Ok(done)
}

/// Locks the posts that are visible and free; how many likes each has.
async fn lock(
    transaction: &mut MySqlConnection,
    attempts: &[LikeAttempt<'_>],
) -> Result<HashMap<String, i64>, sqlx::Error> {
    let mut posts: Vec<&str> = attempts.iter().map(|a| a.wish.post.as_str()).collect();
    posts.sort_unstable();
    posts.dedup();
    let posts = padded(&posts);
    let text = format!(
        "SELECT id, CAST(COALESCE(like_count, 0) AS SIGNED) FROM posts FORCE INDEX (PRIMARY) \
         WHERE id IN ({}) AND status = 'visible' ORDER BY id FOR UPDATE SKIP LOCKED",
        list(posts.len(), "?", ", ")
    );
    let query = posts
        .into_iter()
        .fold(sqlx::query_as(&text), |query, post| query.bind(*post));
    let counts: Vec<(String, i64)> = query.fetch_all(transaction).await?;
    Ok(counts.into_iter().collect())
}

/// The likes of these likers that are there, by post and liker.
async fn existing(
    transaction: &mut MySqlConnection,
    attempts: &[LikeAttempt<'_>],
) -> Result<HashMap<(String, String), Existing>, sqlx::Error> {
    let attempts = padded(attempts);
    let like = "(post_id = ? AND user_id = ?)";
    let text = format!(
        "SELECT post_id, user_id, id, verified FROM likes WHERE {}",
        list(attempts.len(), like, " OR ")
    );
    let mut query = sqlx::query_as(&text);
    for attempt in attempts {
        query = query
            .bind(attempt.wish.post.as_str())
            .bind(attempt.wish.liker.id());
    }
    let likes: Vec<(String, String, String, bool)> = query.fetch_all(transaction).await?;
    let like = |(post, user, id, verified)| ((post, user), (id, verified));
    Ok(likes.into_iter().map(like).collect())
}

/// What has to be written.
#[derive(Default)]
struct Changes<'a> {
    steps: Vec<(&'a LikeAttempt<'a>, Step, String)>,
    /// By post: how many likes more it has.
    more: BTreeMap<&'a str, i64>,
}

impl<'a> Changes<'a> {
    fn add(&mut self, attempt: &'a LikeAttempt<'a>, step: Step, like_id: String) {
        let by = match step {
            Step::Add => 1,
            Step::Remove => -1,
            Step::Verify | Step::Keep | Step::Refuse => 0,
        };
        *self.more.entry(attempt.wish.post.as_str()).or_default() += by;
        self.steps.push((attempt, step, like_id));
    }

    async fn write(&self, transaction: &mut MySqlConnection) -> Result<(), sqlx::Error> {
        self.insert(transaction).await?;
        for (step, text) in [
            (Step::Remove, "DELETE FROM likes WHERE id IN"),
            (Step::Verify, "UPDATE likes SET verified = TRUE WHERE id IN"),
        ] {
            let ids: Vec<&str> = self.of(step).map(|(_, id)| id).collect();
            if ids.is_empty() {
                continue;
            }
            let ids = padded(&ids);
            let text = format!("{text} ({})", list(ids.len(), "?", ", "));
            let query = ids
                .into_iter()
                .fold(sqlx::query(&text), |query, id| query.bind(*id));
            query.execute(&mut *transaction).await?;
        }
        self.count(transaction).await
    }

    fn of(&self, step: Step) -> impl Iterator<Item = (&'a LikeAttempt<'a>, &str)> {
        let steps = self.steps.iter().filter(move |(_, its, _)| *its == step);
        steps.map(|(attempt, _, id)| (*attempt, id.as_str()))
    }

    async fn insert(&self, transaction: &mut MySqlConnection) -> Result<(), sqlx::Error> {
        let added: Vec<_> = self.of(Step::Add).collect();
        if added.is_empty() {
            return Ok(());
        }
        let is_one = added.len() == 1;
        let mut query = QueryBuilder::<MySql>::new(
            "INSERT INTO likes (id, post_id, user_id, created_at, verified) ",
        );
        query.push_values(added, |mut row, (attempt, id)| {
            let wish = attempt.wish;
            row.push_bind(id)
                .push_bind(wish.post.as_str())
                .push_bind(wish.liker.id())
                .push_bind(wish.at.to_string())
                .push_bind(wish.liker.is_verified());
        });
        // Of any length: too many texts to be kept.
        let query = query.build().persistent(is_one);
        query.execute(transaction).await.map(drop)
    }

    async fn count(&self, transaction: &mut MySqlConnection) -> Result<(), sqlx::Error> {
        let more: Vec<_> = self.more.iter().filter(|(_, more)| **more != 0).collect();
        if more.is_empty() {
            return Ok(());
        }
        let more = padded(&more);
        let text = format!(
            "UPDATE posts SET like_count = COALESCE(like_count, 0) + CASE id {} ELSE 0 END, \
             updated_at = updated_at WHERE id IN ({})",
            list(more.len(), "WHEN ? THEN ?", " "),
            list(more.len(), "?", ", ")
        );
        let mut query = sqlx::query(&text);
        for (post, more) in &more {
            query = query.bind(**post).bind(**more);
        }
        for (post, _) in &more {
            query = query.bind(**post);
        }
        query.execute(transaction).await.map(drop)
    }
}
