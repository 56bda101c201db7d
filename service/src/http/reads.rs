//! Reads whose answer does not depend on who asks: those who ask for the same at the same time share
//! one read of the database and one body.
//!
//! Lists are shared here and not in the store, so that writing them, which costs as much as reading
//! them, is shared too. What belongs to one request stays in its handler: whether the client knows
//! the answer, and the link to the next page, which repeats the request's address.

use super::{categories, posts::list::ListAnswer, rendered::Rendered};
use crate::{
    board::{Board, Freshness, Order, PageRequest, PostFilter},
    fresh::Shared,
    store::StoreError,
};
use std::sync::Arc;

/// Shared reads of the board. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Reads {
    board: Board,
    lists: Shared<ListQuery, Result<Arc<ListAnswer>, StoreError>>,
    categories: Shared<Freshness, Result<Rendered, StoreError>>,
}

/// All that a page of a list depends on.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct ListQuery {
    /// Which posts the list holds.
    pub filter: PostFilter,
    /// In which order.
    pub order: Order,
    /// Which page.
    pub page: PageRequest,
    /// How late it may be.
    pub freshness: Freshness,
}

impl Reads {
    /// Reads of this board.
    pub fn new(board: Board) -> Self {
        Self {
            board,
            lists: Shared::new("list"),
            categories: Shared::new("categories"),
        }
    }

    /// A page of a list.
    pub async fn list(&self, query: ListQuery) -> Result<Arc<ListAnswer>, StoreError> {
        let query = ListQuery {
            freshness: self.board.available(query.freshness),
            ..query
        };
        let begin = || {
            let place = self.board.enter_to_read().map_err(Err)?;
            let (board, query) = (self.board.clone(), query.clone());
            Ok(async move {
                let ListQuery {
                    filter,
                    order,
                    page,
                    freshness,
                } = query;
                let page = board.posts(filter, order, page, freshness, place).await?;
                Ok(Arc::new(ListAnswer::of(page)))
            })
        };
        self.lists.read(query.clone(), begin).await?
    }

    /// All categories, by name.
    pub async fn categories(&self, freshness: Freshness) -> Result<Rendered, StoreError> {
        let freshness = self.board.available(freshness);
        let begin = || {
            let place = self.board.enter_to_read().map_err(Err)?;
            let board = self.board.clone();
            Ok(async move {
                let categories = board.categories(freshness, place).await?;
                Ok(categories::render(categories))
            })
        };
        self.categories.read(freshness, begin).await?
    }
}
