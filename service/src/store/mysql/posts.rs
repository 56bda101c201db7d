//! Posts in MySQL.

use super::{
    MySqlStore, adoption::Stage, is_duplicate, media::schedule_deletions, remembered,
    search::index, totals,
};
use crate::{
    board::{Created, Edit, IdempotencyKey, KstTime, NewPost, PostId, Refusal, View},
    store::{FoundPost, PostStore, ReadPost, StoreError, posts::Guarded, totals::WHOLE_BOARD},
};
use async_trait::async_trait;
use sqlx::{Connection, MySqlConnection};

#[async_trait]
impl PostStore for MySqlStore {
    async fn create_post(
        &self,
        post: NewPost,
        key: Option<&IdempotencyKey>,
    ) -> Result<Created, StoreError> {
        if let Some(key) = key
            && let Some(created) = self.remembered(&post, key).await?
        {
            return Ok(created);
        }
        let category_id = self.category_id(&post.category, post.created_at).await?;
        self.ensure_author_total(post.author.id()).await?;
        loop {
            let number = self.next_number().await?;
            for scope in [category_id.as_str(), WHOLE_BOARD] {
                self.ensure_totals(scope, number).await?;
            }
            let stored = self.heal(attempt!(self.writing(), |connection| insert(
                connection,
                &post,
                &category_id,
                number,
                key
            )))?;
            match (stored, key) {
                (Inserted::Stored, _) => return Ok(Created::New(post)),
                // An old service, which counts for itself, was faster: take the next.
                (Inserted::NumberTaken, _) => {}
                (Inserted::KeyLocked, _) => return Ok(Created::InFlight),
                (Inserted::KeyTaken, Some(key)) => {
                    let created = self.remembered(&post, key).await?;
                    return Ok(created.unwrap_or(Created::InFlight));
                }
                (Inserted::KeyTaken, None) => return Err(sqlx::Error::RowNotFound.into()),
            }
        }
    }

    async fn find_posts(&self, views: &[View]) -> Vec<FoundPost> {
        let found = self.find(views).await;
        found.unwrap_or_else(|error| vec![Err(error); views.len()])
    }

    async fn read_posts(&self, ids: &[PostId]) -> Vec<ReadPost> {
        let posts = self.read(ids).await;
        posts.unwrap_or_else(|error| vec![Err(error); ids.len()])
    }

    async fn edit_post(
        &self,
        id: &PostId,
        user: &str,
        edit: &Edit,
        seen: Option<i64>,
        now: KstTime,
    ) -> Result<Result<(), Refusal>, StoreError> {
        let stage = self.stage().await?;
        // Before anything is made for the edit; checked again under the lock.
        let unlocked = attempt!(self.reading(), |connection| peek(connection, id, stage))?;
        match unlocked.map(|post| post.check(user, seen)) {
            None => return Ok(Err(Refusal::Missing)),
            Some(Err(refusal)) => return Ok(Err(refusal)),
            Some(Ok(())) => {}
        }
        let category = match &edit.category {
            Some(name) => Some((self.category_id(name, now).await?, name.as_str())),
            None => None,
        };
        if let Some((category_id, _)) = &category {
            self.ensure_totals_of(id, category_id).await?;
        }
        self.heal(attempt!(self.writing(), |connection, repeated| async {
            let mut transaction = connection.begin().await?;
            let Some(post) = lock(&mut transaction, id, stage).await? else {
                return Ok(Err(Refusal::Missing));
            };
            if repeated && seen == Some(post.version - 1) {
                // An earlier attempt of this edit may have moved the version.
                let current = written(&mut transaction, id).await?;
                if edit.is_done_by(&current.0, &current.1, &current.2) {
                    return Ok(Ok(()));
                }
            }
            if let Err(refusal) = post.check(user, seen) {
                return Ok(Err(refusal));
            }
            if edit.is_empty() {
                return Ok(Ok(()));
            }
            let new_category = category.as_ref().map(|(id, name)| (id.as_str(), *name));
            let old = match edit.title {
                Some(_) => index::grams_of(&mut transaction, id).await?,
                None => index::Grams::new(),
            };
            update(&mut transaction, id, edit, new_category, now).await?;
            raise_version(&mut transaction, id, stage).await?;
            if edit.title.is_some() {
                let new = index::grams_of(&mut transaction, id).await?;
                index::replace(&mut transaction, post.number, &old, &new).await?;
            }
            if let Some((new, _)) = new_category {
                totals::moved(&mut transaction, &post, new).await?;
            }
            transaction.commit().await?;
            Ok(Ok(()))
        }))
    }

    async fn delete_post(
        &self,
        id: &PostId,
        user: &str,
        seen: Option<i64>,
        now: KstTime,
    ) -> Result<Result<(), Refusal>, StoreError> {
        self.ensure_own_totals(id).await?;
        let stage = self.stage().await?;
        self.heal(attempt!(self.writing(), |connection, repeated| async {
            let mut transaction = connection.begin().await?;
            let Some(post) = lock(&mut transaction, id, stage).await? else {
                // An earlier attempt may have deleted it.
                return Ok(if repeated {
                    Ok(())
                } else {
                    Err(Refusal::Missing)
                });
            };
            if let Err(refusal) = post.check(user, seen) {
                return Ok(Err(refusal));
            }
            sqlx::query("UPDATE posts SET status = 'deleted', updated_at = ? WHERE id = ?")
                .bind(now.to_string())
                .bind(id.as_str())
                .execute(&mut *transaction)
                .await?;
            raise_version(&mut transaction, id, stage).await?;
            schedule_deletions(&mut transaction, post.media_files.as_deref(), now).await?;
            let old = index::grams_of(&mut transaction, id).await?;
            index::replace(&mut transaction, post.number, &old, &index::Grams::new()).await?;
            let author = post.user_id.as_deref();
            let place = (author, post.category_id.as_deref(), post.number);
            totals::count(&mut transaction, place, -1).await?;
            transaction.commit().await?;
            Ok(Ok(()))
        }))
    }
}

/// What became of an insert.
enum Inserted {
    Stored,
    /// Another post has this number.
    NumberTaken,
    /// Another post was stored under this key.
    KeyTaken,
    /// A transaction that stores one is under way.
    KeyLocked,
}

/// The key, the post and the totals it changes, in lock order.
async fn insert(
    connection: &mut MySqlConnection,
    post: &NewPost,
    category_id: &str,
    number: i64,
    key: Option<&IdempotencyKey>,
) -> Result<Inserted, sqlx::Error> {
    let mut transaction = connection.begin().await?;
    if let Some(key) = key {
        match remembered::claim(&mut transaction, post, key).await? {
            remembered::Claim::Ours => {}
            // By an earlier attempt, whose commit was not acknowledged; or by somebody else.
            remembered::Claim::Taken => {
                transaction.rollback().await?;
                let stored = is_stored(connection, &post.id).await?;
                return Ok(if stored {
                    Inserted::Stored
                } else {
                    Inserted::KeyTaken
                });
            }
            remembered::Claim::Locked => return Ok(Inserted::KeyLocked),
        }
    }
    let inserted = insert_row(&mut transaction, post, category_id, number).await;
    match inserted {
        // Ids are random: a taken one is this post, from an attempt whose commit was not
        // acknowledged; its totals were committed with it.
        Err(error) if is_duplicate(&error) => {
            transaction.rollback().await?;
            let stored = is_stored(connection, &post.id).await?;
            return Ok(if stored {
                Inserted::Stored
            } else {
                Inserted::NumberTaken
            });
        }
        result => result?,
    }
    index::add(&mut transaction, &post.id, &post.title).await?;
    let place = (Some(post.author.id()), Some(category_id), number);
    totals::count(&mut transaction, place, 1).await?;
    transaction.commit().await?;
    Ok(Inserted::Stored)
}

async fn insert_row(
    transaction: &mut MySqlConnection,
    post: &NewPost,
    category_id: &str,
    number: i64,
) -> Result<(), sqlx::Error> {
    sqlx::query(
        "INSERT INTO posts (id, No, username, user_id, category, category_id, title, content, \
         status, view_count, like_count, comment_count, media_count, created_at, updated_at) \
         VALUES (?, ?, ?, ?, ?, ?, ?, ?, 'visible', 0, 0, 0, 0, ?, ?)",
    )
    .bind(post.id.as_str())
    .bind(number)
    .bind(post.author.name())
    .bind(post.author.id())
    .bind(post.category.as_str())
    .bind(category_id)
    .bind(&post.title)
    .bind(&post.content)
    .bind(post.created_at.to_string())
    .bind(post.created_at.to_string())
    .execute(transaction)
    .await
    .map(drop)
}

async fn update(
    transaction: &mut MySqlConnection,
    id: &PostId,
    edit: &Edit,
    category: Option<(&str, &str)>,
    now: KstTime,
) -> Result<(), sqlx::Error> {
    sqlx::query(
        "UPDATE posts SET title = COALESCE(?, title), content = COALESCE(?, content), \
         category = COALESCE(?, category), category_id = COALESCE(?, category_id), \
         updated_at = ? WHERE id = ?",
    )
    .bind(edit.title.as_deref())
    .bind(edit.content.as_deref())
    .bind(category.map(|(_, name)| name))
    .bind(category.map(|(id, _)| id))
    .bind(now.to_string())
    .bind(id.as_str())
    .execute(transaction)
    .await
    .map(drop)
}

/// Title, content and category as they are.
async fn written(
    transaction: &mut MySqlConnection,
    id: &PostId,
) -> Result<(String, String, String), sqlx::Error> {
    sqlx::query_as(
        "SELECT COALESCE(title, ''), COALESCE(content, ''), COALESCE(category, '') \
         FROM posts WHERE id = ?",
    )
    .bind(id.as_str())
    .fetch_one(transaction)
    .await
}

/// A post was changed. While there is no version, none is raised.
pub(super) async fn raise_version(
    transaction: &mut MySqlConnection,
    id: &PostId,
    stage: Stage,
) -> Result<(), sqlx::Error> {
    if stage == Stage::Adopting {
        return Ok(());
    }
    sqlx::query("UPDATE posts SET version = version + 1, updated_at = updated_at WHERE id = ?")
        .bind(id.as_str())
        .execute(transaction)
        .await
        .map(drop)
}

/// The visible post of this id as it is at this moment.
async fn peek(
    connection: &mut MySqlConnection,
    id: &PostId,
    stage: Stage,
) -> Result<Option<Guarded>, sqlx::Error> {
    sqlx::query_as(match stage {
        Stage::Adopting => select_guarded!("0", "WHERE id = ? AND status = 'visible'"),
        Stage::Finished => select_guarded!("version", "WHERE id = ? AND status = 'visible'"),
    })
    .bind(id.as_str())
    .fetch_optional(connection)
    .await
}

/// The visible post of this id, locked until the end of the transaction. While there is no version
/// it has one that nobody can have seen.
pub(super) async fn lock(
    transaction: &mut MySqlConnection,
    id: &PostId,
    stage: Stage,
) -> Result<Option<Guarded>, sqlx::Error> {
    sqlx::query_as(match stage {
        Stage::Adopting => {
            select_guarded!("0", "WHERE id = ? AND status = 'visible' FOR UPDATE")
        }
        Stage::Finished => {
            select_guarded!("version", "WHERE id = ? AND status = 'visible' FOR UPDATE")
        }
    })
    .bind(id.as_str())
    .fetch_optional(transaction)
    .await
}

async fn is_stored(connection: &mut MySqlConnection, id: &PostId) -> Result<bool, sqlx::Error> {
    let found: Option<i64> = sqlx::query_scalar("SELECT 1 FROM posts WHERE id = ?")
        .bind(id.as_str())
        .fetch_optional(connection)
        .await?;
    Ok(found.is_some())
}
