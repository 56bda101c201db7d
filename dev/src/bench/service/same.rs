//! Whether the ceiling does the service's work: finds the same posts and writes them in the same way.

use anyhow::{Result, ensure};
use reqwest::{Client, StatusCode};
use serde_json::Value;

use super::kinds::Kind;
use super::material::Material;
use super::request;

/// Sends the first request of each kind that reads posts to both, and compares the posts in the answers.
/// Gives the kinds that were not compared: searches that the service gives up.
pub(super) async fn expect_the_same_posts(
    kinds: &[Kind],
    material: &Material,
    (service, ceiling): (&str, &str),
) -> Result<Vec<&'static str>> {
    let mut skipped = Vec::new();
    let client = Client::new();
    for kind in kinds.iter().filter(|kind| kind.reads_posts()) {
        let answer = async |url: &str, line: &str| {
            let request = request(&client, url, line)?;
            anyhow::Ok(request.send().await?)
        };
        let answered = answer(service, &kind.service_line(material, 0)).await?;
        if answered.status() == StatusCode::SERVICE_UNAVAILABLE {
            skipped.push(kind.title());
            continue;
        }
        let answered = answered.error_for_status()?;
        let expected = posts(answered.json::<Value>().await?["data"].take());
        let answered = answer(ceiling, &kind.ceiling_line(material, 0)).await?;
        let found = posts(answered.error_for_status()?.json().await?);
        let differ = found
            .iter()
            .zip(&expected)
            .find(|(one, other)| one != other);
        ensure!(
            differ.is_none() && found.len() == expected.len(),
            "{}: the ceiling finds {} posts and the service {}; the first that differ: {differ:#?}",
            kind.title(),
            found.len(),
            expected.len(),
        );
    }
    Ok(skipped)
}

/// One post or several, without their views: asking for one may count as a view.
fn posts(data: Value) -> Vec<Value> {
    let mut posts = match data {
        Value::Array(posts) => posts,
        post => vec![post],
    };
    for post in posts.iter_mut().filter_map(Value::as_object_mut) {
        post.remove("view_count");
    }
    posts
}
