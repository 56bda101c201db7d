//! What can be done on the board: the domain's verbs over a store and a clock.

use super::{
    Category, CategoryName, Clock, Created, Draft, Edit, Filter, Freshness, IdempotencyKey,
    KstTime, LikeWish, Liked, Liker, NewPost, Order, Page, PageRequest, Post, PostId, Refusal,
    User, View, ViewerHash, Wish,
    counted::CountedViews,
    crowd::{Crowd, SharedPlace},
    idempotency::InFlight,
};
use crate::{
    fresh::{Collected, Limits},
    store::{FoundPost, FulfilledWish, ReadPost, Store, StoreError, Views},
};
use futures::future::BoxFuture;
use std::{fmt, sync::Arc};
use thiserror::Error;

/// Posts looked at at the same time are read together, no more than 64 with one statement: of few lengths,
/// each prepared once. Two statements at a time: more would be shorter ones, and cost more than they gain.
const TOGETHER: Limits = Limits {
    keys: 64,
    batches: 2,
};

/// Likes wished for at the same time are made together: one transaction for up to 64 of them, each post
/// locked once. One transaction at a time: two would stand in each other's way.
const LIKED_TOGETHER: Limits = Limits {
    keys: 64,
    batches: 1,
};

/// How often a like is tried with others. Who has locked its post has mostly done with it by the next time.
const TRIES_TOGETHER: usize = 8;

/// The board: everything the API does to posts, likes and categories goes through here.
/// Cheap to clone.
#[derive(Clone)]
pub struct Board(Arc<Parts>);

struct Parts {
    store: Arc<dyn Store>,
    clock: Arc<dyn Clock>,
    viewers: ViewerHash,
    views: Views,
    /// Views that need not be looked up.
    counted: CountedViews,
    posts: Collected<PostId, ReadPost>,
    looks: Collected<View, FoundPost>,
    late_looks: Collected<View, FoundPost>,
    likes: Collected<LikeWish, Option<FulfilledWish>>,
    in_flight: InFlight,
    readers: Crowd,
    writers: Crowd,
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
        let connections = store.pool().limit;
        Self(Arc::new(Parts {
            counted: CountedViews::default(),
            posts: read_together(&store),
            looks: looked_at_together("look", &store, Freshness::Latest),
            late_looks: looked_at_together("late look", &store, Freshness::MayLag),
            likes: liked_together(&store),
            store,
            clock,
            viewers,
            views,
            in_flight: InFlight::default(),
            readers: Crowd::on_pool(connections),
            writers: Crowd::on_pool(connections),
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
        let _place = self.0.writers.queue().await?;
        let post = NewPost::new(PostId::random(), draft, author, self.now());
        self.0.store.create_post(post, key).await
    }

    /// The visible post of this id, looked at by this viewer, who is counted once a day.
    pub async fn post(
        &self,
        id: &PostId,
        viewer: &str,
        freshness: Freshness,
    ) -> Result<Option<Post>, StoreError> {
        let parts = &*self.0;
        let view = parts.viewers.view(id, viewer, self.now());
        let freshness = self.available(freshness);
        // What is known is known of the latest state, not of a late one.
        let counted = (freshness == Freshness::Latest).then_some(&parts.counted);
        if counted.is_some_and(|counted| counted.contains(&view)) {
            return parts.posts.read(id.clone()).await?;
        }
        let looks = match freshness {
            Freshness::Latest => &parts.looks,
            Freshness::MayLag => &parts.late_looks,
        };
        let Some((mut post, is_counted)) = looks.read(view.clone()).await?? else {
            return Ok(None);
        };
        if !is_counted {
            // Not stored yet, but seen by whoever caused it.
            post.view_count += 1;
            parts.views.record(view);
        } else if let Some(counted) = counted {
            counted.remember(&view);
        }
        Ok(Some(post))
    }

    /// A place for a read of posts or categories that many wait for: taken when the first of them comes,
    /// kept until it has ended. Who finds none is refused at once and not after having waited.
    pub fn enter_to_read(&self) -> Result<SharedPlace, StoreError> {
        self.0.readers.enter_for_others()
    }

    /// One page of the visible posts that match.
    pub async fn posts(
        &self,
        filter: PostFilter,
        order: Order,
        page: PageRequest,
        freshness: Freshness,
        _place: SharedPlace,
    ) -> Result<Page<Post>, StoreError> {
        self.read(freshness, |store| {
            Box::pin(list_posts(store, &filter, order, page))
        })
        .await
    }

    /// Changes a post of this user; `seen` is the version it must still be at.
    pub async fn edit(
        &self,
        id: &PostId,
        user: &User,
        edit: &Edit,
        seen: Option<i64>,
    ) -> Result<Result<(), Refusal>, StoreError> {
        let _place = self.0.writers.queue().await?;
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
        let _place = self.0.writers.queue().await?;
        self.0
            .store
            .delete_post(id, user.id(), seen, self.now())
            .await
    }

    /// Makes or takes back a like.
    pub async fn like(&self, id: &PostId, liker: &Liker, wish: Wish) -> Result<Liked, StoreError> {
        let place = self.0.writers.enter()?;
        let wish = LikeWish {
            id: super::new_id(),
            post: id.clone(),
            liker: liker.clone(),
            wish,
            at: self.now(),
        };
        for _ in 0..TRIES_TOGETHER {
            if let Some(fulfilled) = self.0.likes.read(wish.clone()).await? {
                return fulfilled;
            }
        }
        let _place = self.0.writers.wait(place).await?;
        self.0.store.fulfil(&wish).await
    }

    /// Whether another change would not be refused for want of room. Whoever finds room may still lose it.
    pub fn has_room_to_write(&self) -> bool {
        self.0.writers.has_place()
    }

    /// Whether a user likes a post; nothing if there is no such post.
    pub async fn is_liked(&self, id: &PostId, user: &str) -> Result<Option<bool>, StoreError> {
        let _place = self.0.readers.enter()?;
        self.0.store.is_liked(id, user).await
    }

    /// All categories, by name.
    pub async fn categories(
        &self,
        freshness: Freshness,
        _place: SharedPlace,
    ) -> Result<Vec<Category>, StoreError> {
        self.read(freshness, |store| store.list_categories()).await
    }

    /// Makes a category, unless there is one of this name.
    pub async fn create_category(
        &self,
        name: CategoryName,
    ) -> Result<Result<Category, CategoryExists>, StoreError> {
        let _place = self.0.writers.queue().await?;
        let category = Category {
            id: super::new_id(),
            name: name.as_str().to_owned(),
            created_at: self.now(),
        };
        let created = self.0.store.create_category(&category).await?;
        Ok(created.then_some(category).ok_or(CategoryExists))
    }

    /// How late the answer is at most that somebody gets now who may get one of this freshness: the
    /// latest, unless there is a replica.
    pub fn available(&self, freshness: Freshness) -> Freshness {
        match self.0.store.replica() {
            Some(_) => freshness,
            None => Freshness::Latest,
        }
    }

    /// Asks the replica where the answer may be late; else, and if the replica is not there, the
    /// store itself.
    async fn read<'a, T>(
        &'a self,
        freshness: Freshness,
        ask: impl Fn(&'a dyn Store) -> BoxFuture<'a, Result<T, StoreError>> + Send,
    ) -> Result<T, StoreError> {
        if let Some(replica) = replica(&*self.0.store, freshness) {
            match ask(replica).await {
                Err(StoreError::Unavailable(error)) => {
                    tracing::debug!(%error, "the replica does not answer");
                }
                answer => return answer,
            }
        }
        ask(&*self.0.store).await
    }

    fn now(&self) -> KstTime {
        KstTime::at(self.0.clock.now())
    }
}

/// Who is asked first where the answer may be late.
fn replica(store: &dyn Store, freshness: Freshness) -> Option<&dyn Store> {
    match freshness {
        Freshness::Latest => None,
        Freshness::MayLag => store.replica(),
    }
}

/// Posts, each batch read by one statement.
fn read_together(store: &Arc<dyn Store>) -> Collected<PostId, ReadPost> {
    let store = Arc::clone(store);
    Collected::new("post", TOGETHER, move |ids: Vec<PostId>| {
        let store = Arc::clone(&store);
        async move { store.read_posts(&ids).await }
    })
}

/// Posts of this freshness and whether these views of them are counted, each batch read by one
/// statement.
fn looked_at_together(
    name: &'static str,
    store: &Arc<dyn Store>,
    freshness: Freshness,
) -> Collected<View, FoundPost> {
    let store = Arc::clone(store);
    Collected::new(name, TOGETHER, move |views: Vec<View>| {
        let store = Arc::clone(&store);
        async move { find_posts(&*store, &views, freshness).await }
    })
}

/// Likes, each batch made by one transaction.
fn liked_together(store: &Arc<dyn Store>) -> Collected<LikeWish, Option<FulfilledWish>> {
    let store = Arc::clone(store);
    Collected::new("like", LIKED_TOGETHER, move |wishes: Vec<LikeWish>| {
        let store = Arc::clone(&store);
        async move { store.fulfil_together(&wishes).await }
    })
}

async fn find_posts(store: &dyn Store, views: &[View], freshness: Freshness) -> Vec<FoundPost> {
    if let Some(replica) = replica(store, freshness) {
        let found = replica.find_posts(views).await;
        let is_away = |found: &FoundPost| matches!(found, Err(StoreError::Unavailable(_)));
        if !found.iter().any(is_away) {
            return found;
        }
        tracing::debug!("the replica does not answer");
    }
    store.find_posts(views).await
}

/// The page of a filter that may name its category.
async fn list_posts(
    store: &dyn Store,
    filter: &PostFilter,
    order: Order,
    page: PageRequest,
) -> Result<Page<Post>, StoreError> {
    let category_id = match (&filter.category_id, &filter.category) {
        (None, Some(name)) => {
            let Ok(name) = CategoryName::parse("category", Some(name)) else {
                return Ok(Page::empty(page));
            };
            match store.find_category(name.as_str()).await? {
                Some(id) => Some(id),
                None => return Ok(Page::empty(page)),
            }
        }
        (id, _) => id.clone(),
    };
    let filter = Filter {
        category_id,
        user_id: filter.user_id.clone(),
        search: filter.search.clone(),
    };
    store.list_posts(&filter, order, page).await
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
