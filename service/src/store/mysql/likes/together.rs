//! Wishes about one post or many in one transaction, with one statement for all that are alike.
//!
//! Posts that somebody else has locked are left, so that nobody waits, and none of those who come after.
//! A post's likes are written only under its lock.

use super::{Deed, Existing, LikeAttempt};
use crate::{
    board::{LikeRefusal, LikeWish, Liked, Step},
    store::{mysql::views::list, views::padded},
};
use sqlx::{Connection, MySql, MySqlConnection, QueryBuilder};
use std::collections::{BTreeMap, HashMap, HashSet};

/// Fulfils wishes in their order; those about posts that somebody else has locked are left.
pub(super) async fn run(
    connection: &mut MySqlConnection,
    attempts: &[LikeAttempt<'_>],
) -> Result<Vec<Option<Liked>>, sqlx::Error> {
    let mut transaction = connection.begin().await?;
    let mut counts = lock(&mut transaction, attempts).await?;
    let locked = locked_by_others(&mut transaction, attempts, &counts).await?;
    let mut likes = Likes::read(&mut transaction, attempts).await?;
    let mut done = Vec::with_capacity(attempts.len());
    for attempt in attempts {
        let post = attempt.wish.post.as_str();
        done.push(match counts.get_mut(post) {
            Some(count) => Some(likes.fulfil(attempt, count)),
            None if locked.contains(post) => None,
            None => Some(Err(LikeRefusal::Missing)),
        });
    }
    likes.write(&mut transaction).await?;
    for (attempt, step, like_id) in likes.steps {
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

/// The visible posts among those that were not locked.
async fn locked_by_others(
    transaction: &mut MySqlConnection,
    attempts: &[LikeAttempt<'_>],
    counts: &HashMap<String, i64>,
) -> Result<HashSet<String>, sqlx::Error> {
    let posts = attempts.iter().map(|a| a.wish.post.as_str());
    let absent: Vec<&str> = posts.filter(|post| !counts.contains_key(*post)).collect();
    if absent.is_empty() {
        return Ok(HashSet::new());
    }
    let absent = padded(&absent);
    let text = format!(
        "SELECT id FROM posts WHERE id IN ({}) AND status = 'visible'",
        list(absent.len(), "?", ", ")
    );
    let query = absent
        .into_iter()
        .fold(sqlx::query_scalar(&text), |query, post| query.bind(*post));
    let visible: Vec<String> = query.fetch_all(transaction).await?;
    Ok(visible.into_iter().collect())
}

/// The likes of these likers on these posts.
struct Likes<'a> {
    standing: BTreeMap<(String, String), Standing<'a>>,
    /// By post: how many likes more it has.
    more: BTreeMap<&'a str, i64>,
    steps: Vec<(&'a LikeAttempt<'a>, Step, String)>,
}

/// How one stands.
#[derive(Default)]
struct Standing<'a> {
    was: Option<Existing>,
    is: Option<Existing>,
    /// The wish that made it.
    by: Option<&'a LikeWish>,
}

impl Standing<'_> {
    /// The id of a like that is no more.
    fn removed(&self) -> Option<&str> {
        let (was, is) = (self.was.as_ref()?, self.is.as_ref());
        is.is_none_or(|is| is.0 != was.0).then_some(&was.0)
    }

    /// The id of a like that became verified.
    fn verified(&self) -> Option<&str> {
        let (was, is) = (self.was.as_ref()?, self.is.as_ref()?);
        (was.0 == is.0 && !was.1 && is.1).then_some(&was.0)
    }

    /// A like that was not there, and the wish that made it.
    fn added(&self) -> Option<(&Existing, &LikeWish)> {
        let is = self.is.as_ref()?;
        let is_new = self.was.as_ref().is_none_or(|was| was.0 != is.0);
        is_new.then_some((is, self.by?))
    }
}

impl<'a> Likes<'a> {
    async fn read(
        transaction: &mut MySqlConnection,
        attempts: &[LikeAttempt<'_>],
    ) -> Result<Self, sqlx::Error> {
        let attempts = padded(attempts);
        let like = "(post_id = ? AND user_id = ?)";
        let text = format!(
            "SELECT post_id, user_id, id, verified FROM likes WHERE {}",
            list(attempts.len(), like, " OR ")
        );
        let mut query = sqlx::query_as(&text);
        for attempt in attempts {
            let wish = attempt.wish;
            query = query.bind(wish.post.as_str()).bind(wish.liker.id());
        }
        let found: Vec<(String, String, String, bool)> = query.fetch_all(transaction).await?;
        let standing = found.into_iter().map(|(post, user, id, verified)| {
            let was = Some((id, verified));
            let standing = Standing {
                is: was.clone(),
                was,
                by: None,
            };
            ((post, user), standing)
        });
        Ok(Self {
            standing: standing.collect(),
            more: BTreeMap::new(),
            steps: vec![],
        })
    }

    fn fulfil(&mut self, attempt: &'a LikeAttempt<'a>, count: &mut i64) -> Liked {
        let wish = attempt.wish;
        let like = (wish.post.as_str().to_owned(), wish.liker.id().to_owned());
        let standing = self.standing.entry(like).or_default();
        let (step, like_id, state) = match attempt.deed(standing.is.as_ref(), *count) {
            Deed::Nothing(liked) => return liked,
            Deed::Take(step, like_id, state) => (step, like_id, state),
        };
        standing.is = match step {
            Step::Add => Some((like_id.clone(), wish.liker.is_verified())),
            Step::Verify => Some((like_id.clone(), true)),
            Step::Remove | Step::Keep | Step::Refuse => None,
        };
        if step == Step::Add {
            standing.by = Some(wish);
        }
        *self.more.entry(wish.post.as_str()).or_default() += state.like_count - *count;
        *count = state.like_count;
        self.steps.push((attempt, step, like_id));
        Ok(state)
    }

    async fn write(&self, transaction: &mut MySqlConnection) -> Result<(), sqlx::Error> {
        let standing = || self.standing.values();
        let removed: Vec<&str> = standing().filter_map(Standing::removed).collect();
        let verified: Vec<&str> = standing().filter_map(Standing::verified).collect();
        // Before the same liker's new ones.
        change(transaction, "DELETE FROM likes", &removed).await?;
        change(transaction, "UPDATE likes SET verified = TRUE", &verified).await?;
        self.insert(transaction).await?;
        self.count(transaction).await
    }

    async fn insert(&self, transaction: &mut MySqlConnection) -> Result<(), sqlx::Error> {
        let added: Vec<_> = self.standing.values().filter_map(Standing::added).collect();
        if added.is_empty() {
            return Ok(());
        }
        let is_one = added.len() == 1;
        let mut query = QueryBuilder::<MySql>::new(
            "INSERT INTO likes (id, post_id, user_id, created_at, verified) ",
        );
        query.push_values(added, |mut row, ((id, verified), wish)| {
            row.push_bind(id)
                .push_bind(wish.post.as_str())
                .push_bind(wish.liker.id())
                .push_bind(wish.at.to_string())
                .push_bind(*verified);
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

/// Changes the likes of these ids, if there are any.
async fn change(
    transaction: &mut MySqlConnection,
    change: &str,
    ids: &[&str],
) -> Result<(), sqlx::Error> {
    if ids.is_empty() {
        return Ok(());
    }
    let ids = padded(ids);
    let text = format!("{change} WHERE id IN ({})", list(ids.len(), "?", ", "));
    let query = ids
        .into_iter()
        .fold(sqlx::query(&text), |query, id| query.bind(*id));
    query.execute(transaction).await.map(drop)
}
