//! Which image runs by a policy, and whether the registry keeps it.

use std::time::{Duration, Instant, SystemTime};

use crate::open::{idle, running};
use crate::world::{PATIENCE, World};
use aws_sdk_sqs::types::QueueAttributeName::{self, ApproximateNumberOfMessages};
use post_operator::api::v1alpha1::PostService;
use serde_json::{Value, json};

fn commits() -> Value {
    json!({"newestPushed": {"pattern": "^[0-9a-f]{7,40}$"}})
}

/// Until the registry, which counts seconds, gives later push times.
async fn next_second() {
    let now = || {
        let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
        since.unwrap().as_secs()
    };
    let begun = now();
    while now() == begun {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

async fn desired(world: &World, digest: &str) {
    world
        .wait::<PostService, _>("post-service", digest, |service| {
            let desired = service.status.as_ref()?.image.desired.as_ref()?;
            (desired.digest == digest).then_some(())
        })
        .await;
}

#[tokio::test]
async fn a_policy_follows_pushes_and_goes_back_only_with_the_spec() {
    let world = running!("policy");
    world.create_secrets().await;
    world.push_image("main").await;
    world.create_following(commits(), "10s").await;
    let said = world
        .condition("ImageResolved", "False", "NoMatchingTag")
        .await;
    assert!(
        said.contains("none of the 1 tags") && said.contains("^[0-9a-f]{7,40}$"),
        "{said}"
    );

    let first = world.push_image("fffffff").await;
    world.roll_out(&first).await;
    world.condition("ImageRetained", "True", "Retained").await;
    next_second().await;
    let second = world.push_image("0000000").await;
    world.roll_out(&second).await;
    let image = world.service().await.status.unwrap().image.desired.unwrap();
    assert_eq!(image.tag.as_deref(), Some("0000000"));
    assert!(image.pushed_at.is_some());

    world.delete_image(&second).await;
    let said = world.condition("ImageRetained", "False", "Gone").await;
    assert!(
        said.contains(&second) && said.contains("Push it again"),
        "{said}"
    );
    world.condition("ImageResolved", "True", "Resolved").await;
    desired(&world, &second).await;
    world.deployment_running(&second).await;

    world.create_following(commits(), "11s").await;
    desired(&world, &first).await;
    world.close().await;
}

#[tokio::test]
async fn the_highest_version_of_a_range_runs() {
    let world = running!("semver");
    world.create_secrets().await;
    let wanted = world.push_image("v1.10.0").await;
    next_second().await;
    for other in ["1.9.9", "2.0.0", "1.11.0-rc.1", "latest"] {
        world.push_image(other).await;
    }
    let range = json!({"semver": {"range": ">=1.0.0 <2.0.0"}});
    world.create_following(range, "10s").await;
    desired(&world, &wanted).await;
    world.close().await;
}

#[tokio::test]
async fn a_push_event_is_acted_upon_at_once() {
    let mut world = idle!("pushes");
    let (sqs, url) = world.create_events_queue().await;
    world.start_operator();
    world.create_secrets().await;
    let first = world.push_image("aaaaaaa").await;
    world.create_following(commits(), "12h").await;
    desired(&world, &first).await;
    next_second().await;
    let second = world.push_image("bbbbbbb").await;
    let event = json!({
        "version": "0", "id": "13cde686-328b-6117-af20-0e5566167482", "source": "aws.ecr",
        "detail-type": "ECR Image Action", "account": "123456789012",
        "time": "2026-01-01T00:00:00Z", "region": "ap-northeast-2", "resources": [],
        "detail": {"result": "SUCCESS", "repository-name": world.repository_name(),
            "image-digest": second, "action-type": "PUSH", "image-tag": "bbbbbbb"},
    });
    for body in ["no event".to_owned(), event.to_string()] {
        let message = sqs.send_message().queue_url(&url).message_body(body);
        message.send().await.unwrap();
    }
    desired(&world, &second).await;
    is_empty(&sqs, &url).await;
    world.close().await;
}

/// Waits until every message, the malformed one too, is deleted.
async fn is_empty(sqs: &aws_sdk_sqs::Client, url: &str) {
    let begun = Instant::now();
    loop {
        let wanted = [
            ApproximateNumberOfMessages,
            QueueAttributeName::ApproximateNumberOfMessagesNotVisible,
        ];
        let answer = sqs.get_queue_attributes().queue_url(url);
        let answer = answer.set_attribute_names(Some(wanted.into())).send().await;
        let answer = answer.unwrap();
        let counts = answer.attributes().unwrap();
        if counts.len() == 2 && counts.values().all(|count| count == "0") {
            return;
        }
        assert!(begun.elapsed() < PATIENCE, "messages are left: {counts:?}");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

#[tokio::test]
async fn an_image_that_a_lifecycle_rule_takes_next_is_told_and_does_not_hinder() {
    let mut world = idle!("lifecycle");
    world.pace.retention = Duration::from_secs(1);
    world.pace.poll = Duration::from_secs(1);
    world.start_operator();
    let digest = world.make_ready("1.4.2").await;
    world.condition("ImageRetained", "True", "Retained").await;
    let keep_one = json!({"rules": [{
        "rulePriority": 5, "action": {"type": "expire"},
        "selection": {"tagStatus": "any", "countType": "imageCountMoreThan", "countNumber": 1},
    }]});
    world.set_lifecycle(keep_one).await;
    let said = world.condition("ImageRetained", "False", "Expiring").await;
    assert!(
        said.contains("rule 5") && said.contains("deployed-1.4.2"),
        "{said}"
    );
    world.condition("Ready", "True", "UpToDate").await;
    world.delete_image(&digest).await;
    world.condition("ImageRetained", "False", "Gone").await;
    world.deployment_running(&digest).await;
    world.close().await;
}

#[tokio::test]
async fn a_tag_of_another_registry_is_resolved_without_credentials() {
    let world = running!("oci");
    world.create_secrets().await;
    let digest = world.push_image("1.4.2").await;
    let endpoint = std::env::var("TEST_ECR_ENDPOINT").unwrap();
    let host = endpoint.trim_start_matches("http://");
    let repository = format!("{host}/{}", world.repository_name());
    let elsewhere = json!({"image": {"repository": repository}});
    world.create_service("1.4.2", elsewhere.clone()).await;
    desired(&world, &digest).await;
    world.create_service("9.9.9", elsewhere).await;
    world
        .condition("ImageResolved", "False", "TagNotFound")
        .await;
    let retained = |service: PostService| {
        let conditions = service.status.unwrap().conditions;
        conditions.into_iter().find(|c| c.type_ == "ImageRetained")
    };
    assert_eq!(retained(world.service().await), None);
    world.close().await;
}
