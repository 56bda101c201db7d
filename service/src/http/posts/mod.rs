//! Posts: one file per thing that can be done with them.

mod create;
mod edit;
pub(super) mod list;
mod read;
mod view;

use super::App;
use utoipa_axum::{router::OpenApiRouter, routes};

/// Routes under the API's base.
pub fn router() -> OpenApiRouter<App> {
    OpenApiRouter::new()
        .routes(routes!(list::list_posts, create::create_post))
        .routes(routes!(list::my_posts))
        .routes(routes!(
            read::read_post,
            edit::replace_post,
            edit::edit_post,
            edit::delete_post
        ))
}
