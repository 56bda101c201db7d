//! Posts by their ids: one, or many with one statement.

use super::{MySqlStore, adoption::Stage, views::list};
use crate::{
    board::{Post, PostId, View},
    store::{FoundPost, ReadPost, StoreError, rows::PostRow, views::padded},
};
use sqlx::{FromRow, MySqlConnection, Row, mysql::MySqlRow};
use std::collections::{HashMap, HashSet};

/// The visible posts of some ids.
macro_rules! read {
    ($version:literal, $ids:expr) => {
        format!(
            concat!(
                "SELECT ",
                post_columns!($version),
                " FROM posts p WHERE p.id IN ({}) AND p.status = 'visible'"
            ),
            $ids
        )
    };
}

/// The visible post of an id and whether a view of it is stored. For one post a fifth faster than
/// the statement for many.
macro_rules! found_one {
    ($version:literal) => {
        concat!(
            "SELECT ",
            post_columns!($version),
            ", v.viewer IS NOT NULL AS is_counted FROM posts p \
             LEFT JOIN post_views v ON v.day = ? AND v.post_id = ? AND v.viewer = ? \
             WHERE p.id = ? AND p.status = 'visible'"
        )
    };
}

/// The visible posts of so many ids and which of so many views of them are stored: the posts' rows
/// end in two NULLs, the views' rows begin with one for each column of a post.
macro_rules! found {
    ($version:literal, $ids:expr, $views:expr) => {
        format!(
            concat!(
                "SELECT ",
                post_columns!($version),
                ", NULL AS viewed, NULL AS viewer FROM posts p \
                 WHERE p.id IN ({}) AND p.status = 'visible' \
                 UNION ALL SELECT {}, CAST(v.post_id AS BINARY), v.viewer FROM post_views v WHERE {}"
            ),
            $ids,
            list(POST_COLUMNS, "NULL", ", "),
            $views
        )
    };
}

/// How many `post_columns` there are.
const POST_COLUMNS: usize = 14;

impl MySqlStore {
    /// The posts of these views, in their order.
    pub(super) async fn find(&self, views: &[View]) -> Result<Vec<FoundPost>, StoreError> {
        let stage = self.stage().await?;
        if let [view] = views {
            return Ok(vec![self.find_one(view, stage).await]);
        }
        let padded = padded(views);
        let text = statement(padded.len(), stage);
        let rows = attempt!(self.reading(), |connection| read(
            connection, &text, &padded
        ))?;
        Ok(assign(views, rows))
    }

    /// The posts of these ids, in their order.
    pub(super) async fn read(&self, ids: &[PostId]) -> Result<Vec<ReadPost>, StoreError> {
        let padded = padded(ids);
        let placeholders = list(padded.len(), "?", ", ");
        let text = match self.stage().await? {
            Stage::Adopting => read!("1", placeholders),
            Stage::Finished => read!("p.version", placeholders),
        };
        let rows: Vec<PostRow> = attempt!(self.reading(), |connection| {
            let query = padded
                .iter()
                .fold(sqlx::query_as(&text), |query, id| query.bind(id.as_str()));
            query.fetch_all(connection)
        })?;
        let mut posts: HashMap<String, PostRow> =
            rows.into_iter().map(|row| (row.id.clone(), row)).collect();
        let read = ids.iter().map(|id| {
            let post = posts.remove(id.as_str()).map(Post::try_from);
            post.transpose().map_err(StoreError::from)
        });
        Ok(read.collect())
    }

    async fn find_one(&self, view: &View, stage: Stage) -> FoundPost {
        let text = match stage {
            Stage::Adopting => found_one!("1"),
            Stage::Finished => found_one!("p.version"),
        };
        let row: Option<ViewedRow> = attempt!(self.reading(), |connection| {
            sqlx::query_as(text)
                .bind(view.day.to_string())
                .bind(view.post.as_str())
                .bind(&view.viewer[..])
                .bind(view.post.as_str())
                .fetch_optional(connection)
        })?;
        let found = row.map(|row| Ok((Post::try_from(row.post)?, row.is_counted != 0)));
        found.transpose().map_err(sqlx::Error::into)
    }
}

#[derive(FromRow)]
struct ViewedRow {
    #[sqlx(flatten)]
    post: PostRow,
    is_counted: i64,
}

/// The text for so many views. A view that is there more than once harms nobody.
fn statement(length: usize, stage: Stage) -> String {
    let ids = list(length, "?", ", ");
    // Alternatives of equalities, which both servers turn into index look-ups.
    let view = "(v.day = ? AND v.post_id = ? AND v.viewer = ?)";
    let views = list(length, view, " OR ");
    match stage {
        Stage::Adopting => found!("1", ids, views),
        Stage::Finished => found!("p.version", ids, views),
    }
}

/// What was found for each of these views, in their order. Only who shares a post with another gets a copy.
fn assign(views: &[View], rows: Vec<FoundRow>) -> Vec<FoundPost> {
    let (mut posts, mut stored) = (HashMap::new(), Vec::new());
    for row in rows {
        match row {
            FoundRow::Post(post) => {
                let id = post.id.clone();
                posts.insert(id, Post::try_from(*post).map_err(StoreError::from));
            }
            FoundRow::View(post, viewer) => stored.push((post, viewer)),
        }
    }
    let stored: HashSet<(&[u8], &[u8])> = stored
        .iter()
        .map(|(post, viewer)| (&post[..], &viewer[..]))
        .collect();
    let mut wanted: HashMap<&PostId, usize> = HashMap::new();
    for view in views {
        *wanted.entry(&view.post).or_default() += 1;
    }
    let found = views.iter().map(|view| {
        let id = view.post.as_str();
        let others = wanted.get_mut(&view.post).map_or(0, |left| {
            *left -= 1;
            *left
        });
        let post = match others {
            0 => posts.remove(id),
            _ => posts.get(id).cloned(),
        };
        let is_stored = stored.contains(&(id.as_bytes(), &view.viewer[..]));
        Ok(post.transpose()?.map(|post| (post, is_stored)))
    });
    found.collect()
}

async fn read(
    connection: &mut MySqlConnection,
    text: &str,
    views: &[&View],
) -> Result<Vec<FoundRow>, sqlx::Error> {
    let mut query = sqlx::query_as(text);
    for view in views {
        query = query.bind(view.post.as_str());
    }
    for view in views {
        query = query
            .bind(view.day.to_string())
            .bind(view.post.as_str())
            .bind(&view.viewer[..]);
    }
    query.fetch_all(connection).await
}

enum FoundRow {
    Post(Box<PostRow>),
    /// Post and viewer. (A viewer's hash is another one each day.)
    View(Vec<u8>, Vec<u8>),
}

impl FromRow<'_, MySqlRow> for FoundRow {
    fn from_row(row: &MySqlRow) -> Result<Self, sqlx::Error> {
        let viewed: Option<Vec<u8>> = row.try_get(POST_COLUMNS)?;
        Ok(match viewed {
            Some(post) => Self::View(post, row.try_get(POST_COLUMNS + 1)?),
            None => Self::Post(Box::new(PostRow::from_row(row)?)),
        })
    }
}
