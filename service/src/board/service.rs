//! What can be done on the board: the domain's verbs over a store and a clock.

use super::{
    Category, CategoryName, Clock, Created, Draft, Edit, Filter, IdempotencyKey, KstTime,
    LikeRefusal, LikeState, Liker, NewPost, Order, Page, PageRequest, Post, PostId, Refusal, User,
    View, ViewerHash, Wish, idempotency::InFlight,
};
use crate::{
    fresh::{Collected, Limits},
    store::{FoundPost, Store, StoreError, Views},
};
use std::{fmt, sync::Arc};
use thiserror::Error;

/// Posts looked at at the same time are read together, no more than 64 with one statement: those of
/// 1, 4, 16 and 64 are prepared once each. Three statements at a time keep a database busy.
const TOGETHER: Limits = Limits {
    keys: 64,
    batches: 3,
};

/// The board: everything the API does to posts, likes and categories goes through here.
/// Cheap to clone.
#[derive(Clone)]
pub struct Board(Arc<Parts>);

struct Parts {
    store: Arc<dyn Store>,
    clock: Arc<dyn Clock>,
    viewers: ViewerHash,
    views: Views,
    posts: Collected<View, FoundPost>,
    in_flight: InFlight,
}

/// Which visible posts a list holds, as clients say it: a category by id or by name.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash)]
pub struct PostFilter {
    /// In the category of this id.
    pub category_id: Option<String>,
    /// In the category of this name, if no id is given.
    pub category: Option<String>,
    /// By this author.
    pub user_id: Option<String>,
    /// With this text in the title, taken literally.
    pub search: Option<String>,
}

impl Board {
    /// A board on this store, telling time by this clock, which counts views through this queue.
    pub fn new(
        store: Arc<dyn Store>,
        clock: Arc<dyn Clock>,
        viewers: ViewerHash,
        views: Views,
    ) -> Self {
        let reader = Arc::clone(&store);
        let read = move |views: Vec<View>| {
            let store = Arc::clone(&reader);
            async move { store.find_posts(&views).await }
        };
        Self(Arc::new(Parts {
            posts: Collected::new("post", TOGETHER, read),
            store,
            clock,
            viewers,
            views,
            in_flight: InFlight::default(),
        }))
    }

    /// Publishes a draft in the author's name, once per key. Its category is made on first use.
    pub async fn publish(
        &self,
        draft: Draft,
        author: User,
        key: Option<&IdempotencyKey>,
    ) -> Result<Created, StoreError> {
        let _guard = match key.map(|key| self.0.in_flight.enter(author.id(), key)) {
            Some(None) => return Ok(Created::InFlight),
            guard => guard,
        };
        let post = NewPost::new(PostId::random(), draft, author, self.now());
        self.0.store.create_post(post, key).await
    }

    /// The visible post of this id, looked at by this viewer, who is counted once a day.
    pub async fn post(&self, id: &PostId, viewer: &str) -> Result<Option<Post>, StoreError> {
        let view = self.0.viewers.view(id, viewer, self.now());
        let Some((mut post, counted)) = self.0.posts.read(view.clone()).await?? else {
            return Ok(None);
        };
        if !counted {
            // Not stored yet, but seen by whoever caused it.
            post.view_count += 1;
            self.0.views.record(view);
        }
        Ok(Some(post))
    }

    /// One page of the visible posts that match.
    pub async fn posts(
        &self,
        filter: PostFilter,
        order: Order,
        page: PageRequest,
    ) -> Result<Page<Post>, StoreError> {
        let category_id = match (filter.category_id, filter.category) {
            (None, Some(name)) => {
                let Ok(name) = CategoryName::parse("category", Some(&name)) else {
                    return Ok(Page::empty(page));
                };
                match self.0.store.find_category(name.as_str()).await? {
                    Some(id) => Some(id),
                    None => return Ok(Page::empty(page)),
                }
            }
            (id, _) => id,
        };
        let filter = Filter {
            category_id,
            user_id: filter.user_id,
            search: filter.search,
        };
        self.0.store.list_posts(&filter, order, page).await
    }

    /// Changes a post of this user; `seen` is the version it must still be at.
    pub async fn edit(
        &self,
        id: &PostId,
        user: &User,
        edit: &Edit,
        seen: Option<i64>,
    ) -> Result<Result<(), Refusal>, StoreError> {
        self.0
            .store
            .edit_post(id, user.id(), edit, seen, self.now())
            .await
    }

    /// Deletes a post of this user; `seen` is the version it must still be at.
    pub async fn delete(
        &self,
        id: &PostId,
        user: &User,
        seen: Option<i64>,
    ) -> Result<Result<(), Refusal>, StoreError> {
        self.0
            .store
            .delete_post(id, user.id(), seen, self.now())
            .await
    }

    /// Makes or takes back a like.
    pub async fn like(
        &self,
        id: &PostId,
        liker: &Liker,
        wish: Wish,
    ) -> Result<Result<LikeState, LikeRefusal>, StoreError> {
        self.0.store.like(id, liker, wish, self.now()).await
    }

    /// Whether a user likes a post; nothing if there is no such post.
    pub async fn is_liked(&self, id: &PostId, user: &str) -> Result<Option<bool>, StoreError> {
        self.0.store.is_liked(id, user).await
    }

    /// All categories, by name.
    pub async fn categories(&self) -> Result<Vec<Category>, StoreError> {
        self.0.store.list_categories().await
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
        let created = self.0.store.create_category(&category).await?;
        Ok(created.then_some(category).ok_or(CategoryExists))
    }

    fn now(&self) -> KstTime {
        KstTime::at(self.0.clock.now())
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
