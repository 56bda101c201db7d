//! The shape of every successful answer.

use crate::board::Page;
use axum::{
    Json,
    response::{IntoResponse, Response},
};
use serde::Serialize;
use std::borrow::Cow;
use utoipa::ToSchema;

/// `{"success": true, "message": …, "data": …}`.
#[derive(Debug, Serialize, ToSchema)]
pub struct Envelope<T> {
    /// Always true.
    #[schema(example = true)]
    success: bool,
    /// For people.
    #[schema(example = "Success")]
    message: Cow<'static, str>,
    /// What was asked for.
    data: T,
}

impl<T> Envelope<T> {
    /// Data with the usual message.
    pub fn ok(data: T) -> Self {
        Self::with_message("Success", data)
    }

    /// Data with a message of its own.
    pub fn with_message(message: impl Into<Cow<'static, str>>, data: T) -> Self {
        Self {
            success: true,
            message: message.into(),
            data,
        }
    }
}

impl<T: Serialize> IntoResponse for Envelope<T> {
    fn into_response(self) -> Response {
        Json(self).into_response()
    }
}

/// A page of a list: the envelope with `meta`.
#[derive(Debug, Serialize, ToSchema)]
pub struct ListEnvelope<T> {
    /// Always true.
    #[schema(example = true)]
    success: bool,
    /// For people.
    #[schema(example = "Success")]
    message: &'static str,
    /// The entries of this page.
    data: Vec<T>,
    /// Where the page stands in the whole list.
    meta: Meta,
}

/// Where a page stands in the whole list.
#[derive(Debug, Serialize, ToSchema)]
pub struct Meta {
    /// This page, from 1.
    #[schema(example = 1)]
    page: u64,
    /// Entries a page.
    #[schema(example = 10)]
    per_page: u32,
    /// Entries in the whole list.
    #[schema(example = 39)]
    total: u64,
    /// Pages in the whole list.
    #[schema(example = 4)]
    pages: u64,
    /// True if there are more than `total`: searches are counted up to 1,000.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    #[schema(required = false)]
    total_is_lower_bound: bool,
}

impl<T> ListEnvelope<T> {
    /// A page of the board, its entries turned into what the API shows.
    pub fn of<Item>(page: Page<Item>) -> Self
    where
        T: From<Item>,
    {
        let meta = Meta {
            page: page.request.number,
            per_page: page.request.size,
            total: page.total,
            pages: page.pages(),
            total_is_lower_bound: page.total_is_lower_bound,
        };
        let data = page.items.into_iter().map(T::from).collect();
        Self {
            success: true,
            message: "Success",
            data,
            meta,
        }
    }
}

impl<T: Serialize> IntoResponse for ListEnvelope<T> {
    fn into_response(self) -> Response {
        Json(self).into_response()
    }
}
