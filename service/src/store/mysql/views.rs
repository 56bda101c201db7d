//! Views in MySQL.

use super::MySqlStore;
use crate::{
    board::{PostId, View},
    store::{
        StoreError, ViewStore,
        views::{padded, pieces},
    },
};
use async_trait::async_trait;
use jiff::civil::Date;
use sqlx::{Connection, MySqlConnection};
use std::collections::{BTreeMap, HashSet};

/// Views that one statement inserts, or posts that it changes, at most.
const WRITTEN: usize = 256;
/// Views that one statement looks for, at most: each costs more the more there are.
const EXAMINED: usize = 64;

#[async_trait]
impl ViewStore for MySqlStore {
    async fn record_views(&self, views: &[View]) -> Result<(), StoreError> {
        // Who reads a post that a view of is stored asks for none: nearly always all are new.
        let mut new: Vec<&View> = views.iter().collect();
        while !attempt!(self.writing(), |connection| record(connection, &new))? {
            let known = attempt!(self.writing(), |connection| known(connection, views))?;
            let is_new = |view: &&View| !known.contains(&key(view));
            new = views.iter().filter(is_new).collect();
        }
        Ok(())
    }

    async fn purge_views(&self, before: Date) -> Result<u64, StoreError> {
        self.purge(
            "DELETE FROM post_views WHERE day < ? LIMIT ?",
            &before.to_string(),
        )
        .await
    }
}

/// Post and viewer. (A viewer's hash is another one each day.)
type Key = (Vec<u8>, Vec<u8>);

fn key(view: &View) -> Key {
    (view.post.as_str().as_bytes().to_vec(), view.viewer.to_vec())
}

/// Stores and counts these views. False, and nothing done, if one of them is stored already.
async fn record(connection: &mut MySqlConnection, views: &[&View]) -> Result<bool, sqlx::Error> {
    if views.is_empty() {
        return Ok(true);
    }
    let mut transaction = connection.begin().await?;
    if insert(&mut transaction, views).await? < views.len() as u64 {
        transaction.rollback().await?;
        return Ok(false);
    }
    count(&mut transaction, views).await?;
    transaction.commit().await?;
    Ok(true)
}

/// Which of these are stored.
async fn known(
    connection: &mut MySqlConnection,
    views: &[View],
) -> Result<HashSet<Key>, sqlx::Error> {
    let mut known = HashSet::new();
    for piece in pieces(views, EXAMINED) {
        // Alternatives of equalities, which both servers turn into index look-ups.
        let text = format!(
            "SELECT CAST(post_id AS BINARY), viewer FROM post_views WHERE {}",
            list(
                piece.len(),
                "(day = ? AND post_id = ? AND viewer = ?)",
                " OR "
            )
        );
        let mut query = sqlx::query_as(&text);
        for view in piece {
            query = query
                .bind(view.day.to_string())
                .bind(view.post.as_str())
                .bind(&view.viewer[..]);
        }
        known.extend(query.fetch_all(&mut *connection).await?);
    }
    Ok(known)
}

/// Inserts views in their order, which is every writer's, and tells how many were new.
async fn insert(transaction: &mut MySqlConnection, views: &[&View]) -> Result<u64, sqlx::Error> {
    let mut inserted = 0;
    for piece in pieces(views, WRITTEN) {
        let text = format!(
            "INSERT IGNORE INTO post_views (day, post_id, viewer) VALUES {}",
            list(piece.len(), "(?, ?, ?)", ", ")
        );
        let mut query = sqlx::query(&text);
        for view in piece {
            query = query
                .bind(view.day.to_string())
                .bind(view.post.as_str())
                .bind(&view.viewer[..]);
        }
        inserted += query.execute(&mut *transaction).await?.rows_affected();
    }
    Ok(inserted)
}

/// Adds the views to the posts' counters, in the order of ids.
async fn count(transaction: &mut MySqlConnection, views: &[&View]) -> Result<(), sqlx::Error> {
    let mut counts: BTreeMap<&PostId, i64> = BTreeMap::new();
    for view in views {
        *counts.entry(&view.post).or_default() += 1;
    }
    let counts: Vec<_> = counts.into_iter().collect();
    for piece in pieces(&counts, WRITTEN) {
        // Most have one view. An alternative costs a comparison of each row with its id.
        let several: Vec<_> = piece.iter().filter(|(_, count)| *count > 1).collect();
        let several = padded(&several);
        let added = match several.len() {
            0 => "1".to_owned(),
            length => format!("CASE id {} ELSE 1 END", list(length, "WHEN ? THEN ?", " ")),
        };
        let text = format!(
            "UPDATE posts SET view_count = COALESCE(view_count, 0) + {added}, \
             updated_at = updated_at WHERE id IN ({})",
            list(piece.len(), "?", ", ")
        );
        let mut query = sqlx::query(&text);
        for (post, count) in several {
            query = query.bind(post.as_str()).bind(*count);
        }
        for (post, _) in piece {
            query = query.bind(post.as_str());
        }
        query.execute(&mut *transaction).await?;
    }
    Ok(())
}

/// So many times the same.
pub(super) fn list(length: usize, item: &str, separator: &str) -> String {
    vec![item; length].join(separator)
}
