//! What can be done on the board: the domain's verbs over a store and a clock.

use super::{
    Category, CategoryName, Clock, Draft, Filter, KstTime, NewPost, Order, Page, PageRequest, Post,
    PostId, User,
};
use crate::store::{Store, StoreError};
use std::{fmt, sync::Arc};
use thiserror::Error;

/// The board: everything the API does to posts and categories goes through here.
#[derive(Clone)]
pub struct Board {
    store: Arc<dyn Store>,
    clock: Arc<dyn Clock>,
}

impl Board {
    /// A board on this store, telling time by this clock.
    pub fn new(store: Arc<dyn Store>, clock: Arc<dyn Clock>) -> Self {
        Self { store, clock }
    }

    /// Publishes a draft in the author's name. Its category is made on first use.
    pub async fn publish(&self, draft: Draft, author: User) -> Result<NewPost, StoreError> {
        let post = NewPost::new(PostId::random(), draft, author, self.now());
        self.store.create_post(&post).await?;
        Ok(post)
    }

    /// The visible post of this id.
    pub async fn post(&self, id: &PostId) -> Result<Option<Post>, StoreError> {
        self.store.find_post(id).await
    }

    /// One page of the visible posts that match.
    pub async fn posts(
        &self,
        filter: &Filter,
        order: Order,
        page: PageRequest,
    ) -> Result<Page<Post>, StoreError> {
        self.store.list_posts(filter, order, page).await
    }

    /// All categories, by name.
    pub async fn categories(&self) -> Result<Vec<Category>, StoreError> {
        self.store.list_categories().await
    }

    /// Makes a category, unless there is one of this name.
    pub async fn create_category(
        &self,
        name: CategoryName,
    ) -> Result<Result<Category, CategoryExists>, StoreError> {
        let category = Category {
            id: super::new_id(),
            name: name.as_str().to_owned(),
            created_at: self.now(),
        };
        let created = self.store.create_category(&category).await?;
        Ok(created.then_some(category).ok_or(CategoryExists))
    }

    fn now(&self) -> KstTime {
        KstTime::at(self.clock.now())
    }
}

impl fmt::Debug for Board {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Board").finish_non_exhaustive()
    }
}

/// There is a category of this name already.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("the category exists")]
pub struct CategoryExists;
