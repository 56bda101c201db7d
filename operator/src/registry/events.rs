//! Changes of ECR repositories, as `EventBridge` tells them to an SQS queue. They make known at once
//! what polling finds out later; polling goes on, since events come "on a best effort basis" (Amazon
//! ECR user guide, "Amazon ECR events and `EventBridge`").

use std::time::Duration;

use aws_config::retry::RetryConfig;
use aws_config::timeout::TimeoutConfig;
use aws_config::{Region, SdkConfig};
use aws_sdk_sqs::Client;
use aws_sdk_sqs::error::ProvideErrorMetadata as _;
use aws_sdk_sqs::types::{DeleteMessageBatchRequestEntry, Message};
use serde::Deserialize;

use super::Address;

/// How long the queue holds a request back until there is a message: the longest that it does
/// (`ReceiveMessage`, `WaitTimeSeconds`).
const WAIT: Duration = Duration::from_secs(20);
/// The most messages that one answer may carry (`ReceiveMessage`, `MaxNumberOfMessages`).
const BATCH: i32 = 10;
/// Pauses after failures, growing from the first to the last.
const PAUSES: (Duration, Duration) = (Duration::from_secs(1), Duration::from_mins(1));

/// The queue with the events.
pub struct Queue {
    client: Client,
    url: String,
}

#[derive(Debug, thiserror::Error)]
#[error(
    "queue {url} cannot be read, images are looked for at scanInterval only: {detail}. Correct --events-queue-url, or allow sqs:ReceiveMessage and sqs:DeleteMessage to the operator's role"
)]
struct Unreadable {
    url: String,
    detail: String,
}

impl Queue {
    /// The queue at `url`, in the region that the URL names or else in that of `config`.
    pub fn new(config: &SdkConfig, url: String) -> Self {
        let timeouts = TimeoutConfig::builder()
            .operation_attempt_timeout(WAIT + Duration::from_secs(10))
            .build();
        let mut builder = aws_sdk_sqs::config::Builder::from(config)
            .timeout_config(timeouts)
            .retry_config(RetryConfig::disabled());
        if let Some(region) = region(&url) {
            builder = builder.region(Region::new(region.to_owned()));
        }
        let client = Client::from_conf(builder.build());
        Self { client, url }
    }

    /// Calls `changed` with each repository in which something happened; never ends.
    pub async fn follow(&self, changed: impl Fn(&Address)) {
        let mut pause = None;
        loop {
            match self.receive().await {
                Ok(messages) => {
                    if pause.take().is_some() {
                        tracing::info!(queue = self.url, "the queue of push events is read again");
                    }
                    for message in &messages {
                        handle(message.body().unwrap_or_default(), &changed);
                    }
                    self.delete(&messages).await;
                }
                Err(error) => {
                    if pause.is_none() {
                        tracing::warn!(%error, "no push events");
                    }
                    let next = pause.map_or(PAUSES.0, |pause| PAUSES.1.min(pause * 2));
                    tokio::time::sleep(*pause.insert(next)).await;
                }
            }
        }
    }

    async fn receive(&self) -> Result<Vec<Message>, Unreadable> {
        let seconds = i32::try_from(WAIT.as_secs()).unwrap_or(i32::MAX);
        let answer = self
            .client
            .receive_message()
            .queue_url(&self.url)
            .wait_time_seconds(seconds)
            .max_number_of_messages(BATCH)
            .send()
            .await;
        match answer {
            Ok(answer) => Ok(answer.messages.unwrap_or_default()),
            Err(error) => Err(Unreadable {
                url: self.url.clone(),
                detail: error.code().unwrap_or("no answer").to_owned(),
            }),
        }
    }

    /// What is not deleted comes again, and does no harm.
    async fn delete(&self, messages: &[Message]) {
        let entries = messages.iter().enumerate().filter_map(|(index, message)| {
            DeleteMessageBatchRequestEntry::builder()
                .id(index.to_string())
                .receipt_handle(message.receipt_handle()?)
                .build()
                .ok()
        });
        let entries: Vec<_> = entries.collect();
        if entries.is_empty() {
            return;
        }
        let request = self.client.delete_message_batch().queue_url(&self.url);
        if let Err(error) = request.set_entries(Some(entries)).send().await {
            let code = error.code().unwrap_or("no answer");
            tracing::warn!(
                code,
                queue = self.url,
                "messages could not be deleted: allow sqs:DeleteMessage"
            );
        }
    }
}

/// The region in a queue's URL, `https://sqs.<region>.amazonaws.com/<account>/<name>`.
fn region(url: &str) -> Option<&str> {
    let host = url.split_once("://")?.1.split('/').next()?;
    host.strip_prefix("sqs.")?
        .split_once(".amazonaws.com")
        .map(|(region, _)| region)
}

fn handle(body: &str, changed: impl Fn(&Address)) {
    match repository(body) {
        Ok(Some(repository)) => {
            tracing::debug!(repository = repository.name, "changed in the registry");
            changed(&repository);
        }
        Ok(None) => {}
        Err(error) => {
            tracing::warn!(%error, "a message in the queue of push events is no EventBridge event: deleted");
        }
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "kebab-case")]
struct Event {
    detail_type: String,
    account: String,
    region: String,
    detail: serde_json::Value,
}

#[derive(Deserialize)]
#[serde(rename_all = "kebab-case")]
struct ImageAction {
    result: String,
    repository_name: String,
}

/// The repository in which, as a message says, something happened to an image: a push, but also a
/// deletion. `None`: the event is another one.
fn repository(body: &str) -> Result<Option<Address>, serde_json::Error> {
    let event: Event = serde_json::from_str(body)?;
    if event.detail_type != "ECR Image Action" {
        return Ok(None);
    }
    let action: ImageAction = serde_json::from_value(event.detail)?;
    Ok((action.result == "SUCCESS").then_some(Address {
        account: event.account,
        region: event.region,
        name: action.repository_name,
    }))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn event(detail_type: &str, result: &str) -> String {
        json!({
            "version": "0", "id": "13cde686-328b-6117-af20-0e5566167482",
            "detail-type": detail_type, "source": "aws.ecr", "account": "123456789012",
            "time": "2019-11-16T01:54:34Z", "region": "us-west-2", "resources": [],
            "detail": {"result": result, "repository-name": "team/p", "image-digest": "sha256:7f",
                "action-type": "PUSH", "image-tag": "latest"},
        })
        .to_string()
    }

    #[test]
    fn a_push_names_the_repository_as_a_spec_does() {
        let named = repository(&event("ECR Image Action", "SUCCESS")).unwrap();
        let spec = Address::parse("123456789012.dkr.ecr.us-west-2.amazonaws.com/team/p");
        assert_eq!(named, spec);
    }

    #[test]
    fn other_events_are_passed_over_and_what_is_none_is_an_error() {
        for (type_, result) in [
            ("ECR Image Action", "FAILURE"),
            ("ECR Image Scan", "SUCCESS"),
        ] {
            assert_eq!(
                repository(&event(type_, result)).unwrap(),
                None,
                "{type_} {result}"
            );
        }
        for body in ["", "hello", "{}", r#"{"detail-type": "ECR Image Action"}"#] {
            assert!(repository(body).is_err(), "{body}");
        }
    }

    #[test]
    fn the_region_is_that_of_the_queue() {
        let url = "https://sqs.eu-west-1.amazonaws.com/123456789012/pushes";
        assert_eq!(region(url), Some("eu-west-1"));
        assert_eq!(region("http://127.0.0.1:4566/123456789012/pushes"), None);
    }
}
