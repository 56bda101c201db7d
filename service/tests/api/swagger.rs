//! Swagger UI in a real browser.

use crate::kit::{self, Service, browser::Browser, database::Database, tokens};
use serde_json::Value;

/// The part of the page that is about `GET /api/v1/posts`.
const LIST: &str = "#operations-posts-list_posts";

#[tokio::test(flavor = "multi_thread")]
async fn posts_are_listed_by_a_click_on_execute() {
    let programs = (
        kit::variable("TEST_CHROMIUM"),
        kit::variable("TEST_CHROMEDRIVER"),
    );
    let (Some(chromium), Some(driver)) = programs else {
        return;
    };
    let service = Service::on(Database::sqlite()).await;
    let title = "브라우저가 찾을 글";
    service.publish(&tokens::alice(), title, "자유").await;

    let browser = Browser::start(&chromium, &driver).await;
    browser.open(&format!("{}/api/docs/", service.base)).await;
    browser
        .click(&format!("{LIST} .opblock-summary-control"))
        .await;
    browser.click(&format!("{LIST} .try-out__btn")).await;
    browser.click(&format!("{LIST} button.execute")).await;

    let answer = format!("{LIST} .live-responses-table .response");
    let shown = browser.text(&answer).await;
    assert!(shown.starts_with("200"), "{shown}");
    assert!(shown.contains(title), "{shown}");

    // The page needs nothing from elsewhere.
    let loaded = browser
        .run("return performance.getEntriesByType('resource').map(e => e.name)")
        .await;
    let loaded: Vec<_> = loaded
        .as_array()
        .expect("names")
        .iter()
        .filter_map(Value::as_str)
        .collect();
    assert!(
        loaded.iter().any(|url| url.ends_with("/api/openapi.json")),
        "{loaded:?}"
    );
    let foreign = |url: &&str| !url.starts_with(&service.base) && !url.starts_with("data:");
    assert_eq!(loaded.into_iter().find(foreign), None);
}
