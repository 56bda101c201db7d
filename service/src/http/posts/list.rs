//! Lists of posts.

use super::view::PostView;
use crate::board::{
    Cursor, Direction, Freshness, Order, Page, PageLimits, PageRequest, Post, PostFilter, PostId,
    SortKey, User,
};
use crate::comments::Comments;
use crate::http::{
    caller::Caller,
    envelope::ListEnvelope,
    error::{ApiError, ErrorEnvelope, PlainError},
    etag::ETag,
    extract::Params,
    params::IfNoneMatch,
    reads::{ListQuery, Reads},
    rendered::Rendered,
};
use axum::{
    extract::{OriginalUri, State},
    response::Response,
};
use http::{HeaderMap, HeaderValue, Uri, header};
use serde::Deserialize;
use url::form_urlencoded;
use utoipa::IntoParams;

/// Which page of a list.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub struct PageParams {
    /// From 1; below means 1.
    #[param(value_type = Option<i64>)]
    page: Option<String>,
    /// Entries a page; at most `MAX_PAGE_SIZE`.
    #[param(value_type = Option<i64>)]
    per_page: Option<String>,
    /// Another name of `per_page`.
    #[param(value_type = Option<i64>)]
    size: Option<String>,
    /// Instead of `page`: `meta.next_cursor` of the page before, in the same order. Posts that come
    /// or go meanwhile shift nothing, and deep pages cost no more than the first.
    cursor: Option<String>,
}

impl PageParams {
    fn request(&self, order: Order, limits: PageLimits) -> Result<PageRequest, ApiError> {
        let size = match self.per_page {
            Some(_) => number("per_page", self.per_page.as_deref())?,
            None => number("size", self.size.as_deref())?,
        };
        let page = number("page", self.page.as_deref())?;
        let Some(cursor) = self.cursor.as_deref().filter(|text| !text.is_empty()) else {
            return Ok(PageRequest::numbered(page, size, limits));
        };
        if page.is_some() {
            let message = "page와 cursor는 함께 사용할 수 없습니다.";
            return Err(ApiError::field("cursor", message));
        }
        let cursor: Cursor = cursor
            .parse()
            .map_err(|_| ApiError::field("cursor", "cursor가 올바르지 않습니다."))?;
        if cursor.order != order {
            let message = "cursor는 같은 정렬 순서로만 사용할 수 있습니다.";
            return Err(ApiError::field("cursor", message));
        }
        Ok(PageRequest::after(cursor, size, limits))
    }
}

/// Which posts a list holds and in which order.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub struct ListParams {
    /// In the title, taken literally.
    q: Option<String>,
    /// Another name of `q`.
    search: Option<String>,
    /// Only this category.
    category_id: Option<String>,
    /// Only the category of this name.
    category: Option<String>,
    /// Only this author.
    user_id: Option<String>,
    /// `latest` (default) or `popular`: most liked, then newest.
    sort: Option<String>,
    /// `created_at`, `view_count`, `like_count` or `comment_count`; equal ones newest first.
    #[serde(rename = "sortBy")]
    sort_by: Option<String>,
    /// `desc` (default) or `asc`.
    #[serde(rename = "sortOrder")]
    sort_order: Option<String>,
}

impl ListParams {
    fn order(&self) -> Result<Order, ApiError> {
        let given = |value: &Option<String>| value.clone().filter(|text| !text.is_empty());
        if let Some(sort) = given(&self.sort) {
            let popular = sort == "popular";
            return Ok(if popular {
                Order::POPULAR
            } else {
                Order::LATEST
            });
        }
        let key = match given(&self.sort_by).as_deref() {
            None | Some("created_at") => SortKey::Created,
            Some("view_count") => SortKey::Views,
            Some("like_count") => SortKey::Likes,
            Some("comment_count") => SortKey::Comments,
            Some(_) => {
                return Err(ApiError::field(
                    "sortBy",
                    "sortBy는 created_at, view_count, like_count, comment_count 중 하나여야 합니다.",
                ));
            }
        };
        let direction = match given(&self.sort_order).as_deref() {
            None | Some("desc" | "DESC") => Direction::Descending,
            Some("asc" | "ASC") => Direction::Ascending,
            Some(_) => {
                let message = "sortOrder는 asc 또는 desc여야 합니다.";
                return Err(ApiError::field("sortOrder", message));
            }
        };
        Ok(Order { key, direction })
    }

    fn filter(self) -> PostFilter {
        let given = |value: Option<String>| value.filter(|text| !text.is_empty());
        PostFilter {
            category_id: given(self.category_id),
            category: given(self.category),
            user_id: given(self.user_id),
            search: given(self.q).or(given(self.search)),
        }
    }
}

/// A number in the query string; nothing at all counts as absent.
fn number(name: &'static str, text: Option<&str>) -> Result<Option<i64>, ApiError> {
    let Some(text) = text.map(str::trim).filter(|text| !text.is_empty()) else {
        return Ok(None);
    };
    let refused = |_| ApiError::field(name, format!("{name}은(는) 정수여야 합니다."));
    text.parse().map(Some).map_err(refused)
}

/// List posts, newest first.
#[utoipa::path(
    get,
    path = "/posts",
    tag = "posts",
    params(PageParams, ListParams, IfNoneMatch),
    responses(
        (status = OK, body = ListEnvelope<PostView>, headers(
            ("ETag" = String, description = "Of all but the views"),
            ("Link" = String, description = "The next page, `rel=\"next\"`, if there is one"))),
        (status = NOT_MODIFIED, description = "The client knows this"),
        (status = BAD_REQUEST, body = ErrorEnvelope,
            description = "A parameter is wrong; the message names it"),
    )
)]
pub async fn list_posts(
    State(reads): State<Reads>,
    State(limits): State<PageLimits>,
    State(comments): State<Comments>,
    OriginalUri(uri): OriginalUri,
    caller: Caller,
    headers: HeaderMap,
    parameters: (Params<PageParams>, Params<ListParams>),
) -> Result<Response, ApiError> {
    let (Params(page), Params(list)) = parameters;
    let order = list.order()?;
    let query = ListQuery {
        order,
        page: page.request(order, limits)?,
        filter: list.filter(),
        freshness: caller.freshness(),
    };
    let list = reads.list(query).await?;
    comments.seen(&list.posts);
    Ok(list.answer(&uri, &headers))
}

/// List the caller's own posts, newest first.
#[utoipa::path(
    get,
    path = "/posts/my",
    tag = "posts",
    params(PageParams, IfNoneMatch),
    security(("bearer" = [])),
    responses(
        (status = OK, body = ListEnvelope<PostView>, headers(
            ("ETag" = String, description = "Of all but the views"),
            ("Link" = String, description = "The next page, `rel=\"next\"`, if there is one"))),
        (status = NOT_MODIFIED, description = "The client knows this"),
        (status = BAD_REQUEST, body = ErrorEnvelope,
            description = "A parameter is wrong; the message names it"),
        (status = UNAUTHORIZED, body = PlainError, description = "No valid token"),
    )
)]
pub async fn my_posts(
    State(reads): State<Reads>,
    State(limits): State<PageLimits>,
    State(comments): State<Comments>,
    user: User,
    OriginalUri(uri): OriginalUri,
    headers: HeaderMap,
    Params(page): Params<PageParams>,
) -> Result<Response, ApiError> {
    let filter = PostFilter {
        user_id: Some(user.id().to_owned()),
        ..PostFilter::default()
    };
    let query = ListQuery {
        filter,
        order: Order::LATEST,
        page: page.request(Order::LATEST, limits)?,
        freshness: Freshness::Latest,
    };
    let list = reads.list(query).await?;
    comments.seen(&list.posts);
    Ok(list.answer(&uri, &headers))
}

/// A page of a list as it is answered, whoever asks.
#[derive(Debug)]
pub struct ListAnswer {
    rendered: Rendered,
    next: Option<Cursor>,
    posts: Vec<PostId>,
}

impl ListAnswer {
    /// Writes the page.
    pub fn of(page: Page<Post>) -> Self {
        let posts = page.items.iter().map(|post| post.id.clone()).collect();
        let next = page.next;
        let envelope = ListEnvelope::<PostView>::of(page);
        Self {
            rendered: Rendered::new(ETag::of(&envelope), &envelope),
            next,
            posts,
        }
    }

    /// The answer to a request for this address.
    fn answer(&self, uri: &Uri, headers: &HeaderMap) -> Response {
        let mut answer = self.rendered.unless_known(headers);
        let link = self.next.map(|cursor| link_to_next(uri, cursor));
        if let Some(link) = link.and_then(|link| HeaderValue::from_str(&link).ok()) {
            answer.headers_mut().insert(header::LINK, link);
        }
        answer
    }
}

/// The request's own address with a cursor in place of the page (RFC 8288).
fn link_to_next(uri: &Uri, cursor: Cursor) -> String {
    let query = uri.query().unwrap_or_default();
    let kept = form_urlencoded::parse(query.as_bytes())
        .filter(|(name, _)| !matches!(&**name, "page" | "cursor"));
    let query = form_urlencoded::Serializer::new(String::new())
        .extend_pairs(kept)
        .append_pair("cursor", &cursor.to_string())
        .finish();
    format!("<{}?{query}>; rel=\"next\"", uri.path())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_link_keeps_the_filter_and_drops_the_page() {
        let uri: Uri = "/api/v1/posts?q=%ED%95%9C%20a&page=3&per_page=2"
            .parse()
            .unwrap();
        let cursor = Cursor {
            order: Order::LATEST,
            value: 1,
            number: 1,
        };
        let link = link_to_next(&uri, cursor);
        let expected =
            format!("</api/v1/posts?q=%ED%95%9C+a&per_page=2&cursor={cursor}>; rel=\"next\"");
        assert_eq!(link, expected);
    }
}
