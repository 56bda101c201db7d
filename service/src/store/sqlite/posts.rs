//! Posts in SQLite.

use super::{SqliteStore, categories, media::schedule_deletions, remembered, totals};
use crate::{
    board::{Created, Edit, IdempotencyKey, KstTime, NewPost, Post, PostId, Refusal, View},
    store::{
        FoundPost, PostStore, ReadPost, StoreError, posts::Guarded, rows::PostRow,
        totals::WHOLE_BOARD,
    },
};
use async_trait::async_trait;
use sqlx::{FromRow, SqliteConnection};

const READ_POST: &str = concat!(
    "SELECT ",
    post_columns!(),
    " FROM posts p WHERE p.id = ? AND p.status = 'visible'"
);

const FIND_POST: &str = concat!(
    "SELECT ",
    post_columns!(),
    ", EXISTS(SELECT 1 FROM post_views v WHERE v.day = ? AND v.post_id = ? AND v.viewer = ?) \
     AS is_counted FROM posts p WHERE p.id = ? AND p.status = 'visible'"
);

#[derive(FromRow)]
struct ViewedRow {
    #[sqlx(flatten)]
    post: PostRow,
    is_counted: i64,
}

#[async_trait]
impl PostStore for SqliteStore {
    async fn create_post(
        &self,
        post: NewPost,
        key: Option<&IdempotencyKey>,
    ) -> Result<Created, StoreError> {
        let mut transaction = self.writer.begin_with("BEGIN IMMEDIATE").await?;
        if let Some(key) = key
            && let Some(created) = remembered::claim(&mut transaction, &post, key).await?
        {
            return Ok(created);
        }
        let name = post.category.as_str();
        let category_id = categories::category_id(&mut transaction, name, post.created_at).await?;
        let number: i64 = sqlx::query_scalar(
            "UPDATE post_numbers SET last = last + 1 WHERE id = 1 RETURNING last",
        )
        .fetch_one(&mut *transaction)
        .await?;
        insert(&mut transaction, &post, &category_id, number).await?;
        for scope in [category_id.as_str(), WHOLE_BOARD] {
            totals::shift(&mut transaction, scope, number, 1).await?;
        }
        transaction.commit().await?;
        Ok(Created::New(post))
    }

    async fn find_posts(&self, views: &[View]) -> Vec<FoundPost> {
        // One by one: no network lies in between.
        let mut found = Vec::with_capacity(views.len());
        for view in views {
            found.push(self.find(view).await);
        }
        found
    }

    async fn read_posts(&self, ids: &[PostId]) -> Vec<ReadPost> {
        let mut posts = Vec::with_capacity(ids.len());
        for id in ids {
            posts.push(self.read(id).await);
        }
        posts
    }

    async fn edit_post(
        &self,
        id: &PostId,
        user: &str,
        edit: &Edit,
        seen: Option<i64>,
        now: KstTime,
    ) -> Result<Result<(), Refusal>, StoreError> {
        let mut transaction = self.writer.begin_with("BEGIN IMMEDIATE").await?;
        let post = match checked(&mut transaction, id, user, seen).await? {
            Ok(post) => post,
            Err(refusal) => return Ok(Err(refusal)),
        };
        if edit.is_empty() {
            return Ok(Ok(()));
        }
        let category = match &edit.category {
            Some(name) => {
                let name = name.as_str();
                let id = categories::category_id(&mut transaction, name, now).await?;
                Some((id, name))
            }
            None => None,
        };
        update(&mut transaction, id, edit, category.as_ref(), now).await?;
        if let Some((to, _)) = category
            && post.category_id.as_deref() != Some(to.as_str())
        {
            if let Some(from) = &post.category_id {
                totals::shift(&mut transaction, from, post.number, -1).await?;
            }
            totals::shift(&mut transaction, &to, post.number, 1).await?;
        }
        transaction.commit().await?;
        Ok(Ok(()))
    }

    async fn delete_post(
        &self,
        id: &PostId,
        user: &str,
        seen: Option<i64>,
        now: KstTime,
    ) -> Result<Result<(), Refusal>, StoreError> {
        let mut transaction = self.writer.begin_with("BEGIN IMMEDIATE").await?;
        let post = match checked(&mut transaction, id, user, seen).await? {
            Ok(post) => post,
            Err(refusal) => return Ok(Err(refusal)),
        };
        sqlx::query(
            "UPDATE posts SET status = 'deleted', updated_at = ?, version = version + 1 \
             WHERE id = ?",
        )
        .bind(now.to_string())
        .bind(id.as_str())
        .execute(&mut *transaction)
        .await?;
        schedule_deletions(&mut transaction, post.media_files.as_deref(), now).await?;
        let scopes = post.category_id.iter().map(String::as_str);
        for scope in scopes.chain([WHOLE_BOARD]) {
            totals::shift(&mut transaction, scope, post.number, -1).await?;
        }
        transaction.commit().await?;
        Ok(Ok(()))
    }
}

impl SqliteStore {
    async fn read(&self, id: &PostId) -> ReadPost {
        let row: Option<PostRow> = sqlx::query_as(READ_POST)
            .bind(id.as_str())
            .fetch_optional(&self.readers)
            .await?;
        Ok(row.map(Post::try_from).transpose()?)
    }

    async fn find(&self, view: &View) -> FoundPost {
        let row: Option<ViewedRow> = sqlx::query_as(FIND_POST)
            .bind(view.day.to_string())
            .bind(view.post.as_str())
            .bind(&view.viewer[..])
            .bind(view.post.as_str())
            .fetch_optional(&self.readers)
            .await?;
        let found = row.map(|row| Ok((Post::try_from(row.post)?, row.is_counted != 0)));
        found.transpose().map_err(sqlx::Error::into)
    }
}

/// The visible post of this id, if this user may change it. Writers come one after the other: it is
/// as good as locked.
pub(super) async fn guarded(
    transaction: &mut SqliteConnection,
    id: &PostId,
) -> Result<Option<Guarded>, sqlx::Error> {
    sqlx::query_as(
        "SELECT No AS number, user_id, category_id, version, media_files FROM posts \
         WHERE id = ? AND status = 'visible'",
    )
    .bind(id.as_str())
    .fetch_optional(transaction)
    .await
}

async fn checked(
    transaction: &mut SqliteConnection,
    id: &PostId,
    user: &str,
    seen: Option<i64>,
) -> Result<Result<Guarded, Refusal>, sqlx::Error> {
    let Some(post) = guarded(transaction, id).await? else {
        return Ok(Err(Refusal::Missing));
    };
    Ok(post.check(user, seen).map(|()| post))
}

async fn insert(
    transaction: &mut SqliteConnection,
    post: &NewPost,
    category_id: &str,
    number: i64,
) -> Result<(), sqlx::Error> {
    sqlx::query(
        "INSERT INTO posts (id, No, username, user_id, category, category_id, title, content, \
         status, created_at, updated_at) VALUES (?, ?, ?, ?, ?, ?, ?, ?, 'visible', ?, ?)",
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
    transaction: &mut SqliteConnection,
    id: &PostId,
    edit: &Edit,
    category: Option<&(String, &str)>,
    now: KstTime,
) -> Result<(), sqlx::Error> {
    sqlx::query(
        "UPDATE posts SET title = COALESCE(?, title), content = COALESCE(?, content), \
         category = COALESCE(?, category), category_id = COALESCE(?, category_id), \
         updated_at = ?, version = version + 1 WHERE id = ?",
    )
    .bind(edit.title.as_deref())
    .bind(edit.content.as_deref())
    .bind(category.map(|(_, name)| *name))
    .bind(category.map(|(id, _)| id.as_str()))
    .bind(now.to_string())
    .bind(id.as_str())
    .execute(transaction)
    .await
    .map(drop)
}
