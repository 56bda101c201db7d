//! The screen of `status`. Pure.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};
use k8s_openapi::jiff::Timestamp;

use super::view::{self, EventView, RolloutView, View};
use crate::api::v1alpha1::{ImageRef, MigrationState, RolloutStep};
use crate::cli::ages;
use crate::cli::history::digest;
use crate::cli::output::table;

/// The screen of `view` at `now`.
pub fn text(view: &View, now: Timestamp) -> String {
    let mut rows = Vec::new();
    images(view, now, &mut rows);
    if let Some(rollout) = &view.rollout {
        add(&mut rows, "Rollout", self::rollout(rollout, now));
    }
    add(&mut rows, "Pods", view.pods.clone());
    add(&mut rows, "Migration", migration(view));
    add(&mut rows, "Database", database(view, now));
    add(&mut rows, "Endpoints", endpoints(view));
    add(
        &mut rows,
        "Not fine",
        view.not_fine.iter().map(|c| condition(c, now)),
    );
    add(&mut rows, "Last failure", failure(view, now));
    match &view.events {
        Some(events) => add(&mut rows, "Events", events.iter().map(|e| event(e, now))),
        None => add(
            &mut rows,
            "Events",
            ["not shown: you may not list events here".to_owned()],
        ),
    }
    add(&mut rows, "What to do", view.what_to_do.clone());
    format!("{}\n\n{}", headline(view), table(&rows))
}

/// A row for each line, the first of which has the label.
fn add(rows: &mut Vec<Vec<String>>, label: &str, lines: impl IntoIterator<Item = String>) {
    let labels = std::iter::once(label).chain(std::iter::repeat(""));
    let lines = lines
        .into_iter()
        .flat_map(|line| line.lines().map(str::to_owned).collect::<Vec<_>>());
    rows.extend(
        labels
            .zip(lines)
            .map(|(label, line)| vec![label.to_owned(), line]),
    );
}

fn headline(view: &View) -> String {
    let word = if view.ready { "ready" } else { "NOT READY" };
    let View {
        namespace,
        name,
        reason,
        message,
        generation,
        ..
    } = view;
    let said = format!("{namespace}/{name}: {word}, {reason}: {message}");
    if view.is_observed || reason == view::UNKNOWN {
        return said;
    }
    format!(
        "{said}\nThe operator has not seen generation {generation} of the spec yet: this speaks of an earlier one."
    )
}

fn images(view: &View, now: Timestamp, rows: &mut Vec<Vec<String>>) {
    let mut lines = vec![format!("asked for: {}", view.asked)];
    let known = [
        ("desired:   ", &view.image.desired),
        ("running:   ", &view.image.current),
        ("last good: ", &view.image.last_good),
    ];
    for (label, image) in known {
        lines.extend(
            image
                .as_ref()
                .map(|image| format!("{label}{}", self::image(image, now))),
        );
    }
    add(rows, "Image", lines);
}

fn image(image: &ImageRef, now: Timestamp) -> String {
    let tag = image.tag.as_deref().unwrap_or("(no tag)");
    let pushed = image.pushed_at.as_ref();
    let pushed = pushed.map(|at| format!(", pushed {}", ages::ago(at, now)));
    format!(
        "{tag} ({}){}",
        digest(&image.digest),
        pushed.unwrap_or_default()
    )
}

fn rollout(rollout: &RolloutView, now: Timestamp) -> Vec<String> {
    let status = &rollout.status;
    let since = |label: &str, time: &Option<Time>| {
        let time = time.as_ref()?;
        Some(format!("{label} {}", ages::ago(time, now)))
    };
    let left = rollout.bake_seconds_left.map(|seconds| {
        format!(
            "{} of the bake left",
            ages::short(std::time::Duration::from_secs(seconds))
        )
    });
    let times = [
        since("began", &status.started_at),
        since("last progress", &status.last_progress_at),
        left,
        since("paused", &status.paused_at),
    ];
    let times = times.into_iter().flatten().collect::<Vec<_>>().join(", ");
    vec![format!("{}: {}", step(status.step), rollout.message), times]
}

fn step(step: RolloutStep) -> &'static str {
    match step {
        RolloutStep::Idle => "idle",
        RolloutStep::Migrating => "migrating",
        RolloutStep::Baking => "baking, the first new pod beside all old ones",
        RolloutStep::RollingOut => "rolling out",
        RolloutStep::RollingBack => "rolling back to the last good version",
    }
}

fn migration(view: &View) -> Option<String> {
    let migration = view.migration.as_ref()?;
    let state = match migration.state {
        MigrationState::Running => "running",
        MigrationState::Complete => "complete",
        MigrationState::Failed => "FAILED",
    };
    let of = digest(&migration.digest);
    let said = migration
        .message
        .as_ref()
        .map(|message| format!("\n{message}"));
    Some(format!(
        "{state}: Job {} of {of}{}",
        migration.job,
        said.unwrap_or_default()
    ))
}

fn database(view: &View, now: Timestamp) -> Option<String> {
    let database = view.database.as_ref()?;
    let schema = database.schema_version.as_ref();
    let schema = schema.map(|version| format!(", schema {version}"));
    let rotated = database.rotated_at.as_ref();
    let rotated = rotated.map(|at| format!(", password changed {}", ages::ago(at, now)));
    Some(format!(
        "{} as {}{}{}",
        database.name,
        database.user,
        schema.unwrap_or_default(),
        rotated.unwrap_or_default()
    ))
}

fn endpoints(view: &View) -> Vec<String> {
    let line = |endpoint: &crate::api::v1alpha1::Endpoint| {
        format!("{} ({})", endpoint.url, endpoint.scope)
    };
    view.endpoints.iter().map(line).collect()
}

fn condition(condition: &Condition, now: Timestamp) -> String {
    let Condition {
        type_,
        status,
        reason,
        message,
        last_transition_time,
        ..
    } = condition;
    let age = ages::ago(last_transition_time, now);
    format!("{type_}={status}, {reason}, {age}: {message}")
}

/// Why the last failed rollout failed, as long as its image is the one that is asked for.
fn failure(view: &View, now: Timestamp) -> Option<String> {
    let failure = view.last_failure.as_ref()?;
    let desired = view.image.desired.as_ref()?;
    if failure.digest != desired.digest {
        return None;
    }
    let at = failure
        .at
        .as_ref()
        .map(|at| format!(", {}", ages::ago(at, now)));
    Some(format!(
        "{}{}: {}",
        digest(&failure.digest),
        at.unwrap_or_default(),
        failure.reason
    ))
}

fn event(event: &EventView, now: Timestamp) -> String {
    let at = event
        .at
        .as_ref()
        .map(|at| format!("{}, ", ages::ago(at, now)));
    format!(
        "{}{}: {}",
        at.unwrap_or_default(),
        event.reason,
        event.message
    )
}

#[cfg(test)]
mod tests {
    use super::super::view::tests::baking;
    use super::*;
    use crate::api::v1alpha1::Endpoint;
    use crate::cli::sample;

    #[test]
    fn a_screen_reads_from_top_to_bottom() {
        let mut service = baking();
        let status = service.status.as_mut().unwrap();
        status.endpoints = vec![Endpoint {
            scope: "cluster".into(),
            url: "http://api.shop.svc:80".into(),
        }];
        let view = View::of(&service, None, sample::now());
        assert_eq!(
            text(&view, sample::now()),
            "\
shop/api: NOT READY, Progressing: because of Progressing

Image       asked for: tag 1.4.3
            desired:   1.4.3 (0123456789ab)
            running:   1.4.3 (0123456789ab)
            last good: 1.4.2 (0123456789ab)
Rollout     baking, the first new pod beside all old ones: because of Baking
            began 4m ago, last progress 1m30s ago, 1m30s of the bake left, paused 1m ago
Pods        2 of 3 pods serve
Endpoints   http://api.shop.svc:80 (cluster)
Not fine    DatabaseReady=False, Unreachable, 0s ago: because of Unreachable
Events      not shown: you may not list events here
What to do  let the operator and the pods reach the database: security group, network policy, address"
        );
    }

    #[test]
    fn a_status_of_an_earlier_spec_is_called_so() {
        let mut service = baking();
        service.metadata.generation = Some(4);
        let view = View::of(&service, Some(Vec::new()), sample::now());
        let text = text(&view, sample::now());
        assert!(text.contains("has not seen generation 4"), "{text}");
        assert!(!text.contains("Events"), "{text}");
    }
}
