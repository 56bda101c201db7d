//! The shape of every successful answer.

use crate::board::{Page, Start};
use axum::{
    Json,
    response::{IntoResponse, Response},
};
use serde::Serialize;
use std::borrow::Cow;
use utoipa::{
    PartialSchema, ToSchema,
    openapi::{
        RefOr,
        schema::{ObjectBuilder, Schema, SchemaType, Type},
    },
};

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

/// No data: `null`.
#[derive(Debug, Serialize)]
pub struct Nothing;

impl PartialSchema for Nothing {
    fn schema() -> RefOr<Schema> {
        ObjectBuilder::new()
            .schema_type(SchemaType::new(Type::Null))
            .description(Some("Nothing"))
            .examples([serde_json::Value::Null])
            .into()
    }
}

impl ToSchema for Nothing {}

/// A page of a list: the envelope with `meta`.
#[derive(Debug, Hash, Serialize, ToSchema)]
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
#[derive(Debug, Hash, Serialize, ToSchema)]
pub struct Meta {
    /// This page, from 1; absent on a page after a cursor.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(example = 1)]
    page: Option<u64>,
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
    /// The `cursor` of the next page, if there is one.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(example = "Y3JlYXRlZC1kZXNjLjEwLjEw")]
    next_cursor: Option<String>,
}

impl<T> ListEnvelope<T> {
    /// A page of the board, its entries turned into what the API shows.
    pub fn of<Item>(page: Page<Item>) -> Self
    where
        T: From<Item>,
    {
        let meta = Meta {
            page: match page.request.start {
                Start::Page(number) => Some(number),
                Start::After(_) => None,
            },
            per_page: page.request.size,
            total: page.total,
            pages: page.pages(),
            total_is_lower_bound: page.total_is_lower_bound,
            next_cursor: page.next.map(|cursor| cursor.to_string()),
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
