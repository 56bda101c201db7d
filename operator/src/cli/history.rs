use std::process::ExitCode;

use clap::Args;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use k8s_openapi::jiff::Timestamp;
use serde::Serialize;

use super::ages;
use super::connection::{Target, Trouble};
use super::output::{self, Output};
use crate::api::v1alpha1::{
    HistoryEntry, PostService, PostServiceStatus, QuarantineCause, QuarantineEntry, RolloutResult,
};

/// Settings of `history`.
#[derive(Debug, Args)]
pub(super) struct History {
    #[command(flatten)]
    target: Target,
    /// Form of the answer; as JSON it has the entries of .status.history and .status.quarantine.
    #[arg(short, long, value_enum, default_value_t)]
    output: Output,
}

/// Prints the last rollouts, and those that are not tried again.
pub(super) async fn history(arguments: History) -> anyhow::Result<ExitCode> {
    let service = match read(&arguments.target).await {
        Ok(service) => service,
        Err(trouble) => return Ok(output::complain(&trouble)),
    };
    let past = Past::of(&service);
    match arguments.output {
        Output::Json => output::print_json(&past)?,
        Output::Text => output::print(&past.text(Timestamp::now())),
    }
    Ok(ExitCode::SUCCESS)
}

async fn read(target: &Target) -> Result<PostService, Trouble> {
    target.connect().await?.get().await
}

/// What is remembered.
#[derive(Debug, Serialize)]
struct Past {
    name: Option<String>,
    namespace: Option<String>,
    /// Newest first.
    history: Vec<HistoryEntry>,
    /// Newest first.
    quarantine: Vec<QuarantineEntry>,
}

impl Past {
    fn of(service: &PostService) -> Self {
        let PostServiceStatus {
            history,
            quarantine,
            ..
        } = service.status.clone().unwrap_or_default();
        Self {
            name: service.metadata.name.clone(),
            namespace: service.metadata.namespace.clone(),
            history,
            quarantine,
        }
    }

    fn text(&self, now: Timestamp) -> String {
        let mut parts = vec![if self.history.is_empty() {
            "No rollout has ended yet.".to_owned()
        } else {
            output::table(&self.rollouts(now))
        }];
        if !self.quarantine.is_empty() {
            let title = "Not tried again until the spec or the retry annotation changes:";
            parts.push(format!("{title}\n{}", output::table(&self.failures(now))));
        }
        parts.join("\n\n")
    }

    fn rollouts(&self, now: Timestamp) -> Vec<Vec<String>> {
        let row = |entry: &HistoryEntry| {
            vec![
                when(entry.at.as_ref(), now),
                result(entry.result).to_owned(),
                entry.tag.clone().unwrap_or_else(|| "-".to_owned()),
                digest(&entry.digest).to_owned(),
                entry.id.clone(),
            ]
        };
        headed(
            ["ENDED", "RESULT", "TAG", "DIGEST", "ROLLOUT"],
            self.history.iter().map(row),
        )
    }

    fn failures(&self, now: Timestamp) -> Vec<Vec<String>> {
        let row = |entry: &QuarantineEntry| {
            vec![
                when(entry.at.as_ref(), now),
                cause(entry.cause).to_owned(),
                self.tag(entry).unwrap_or("-").to_owned(),
                digest(&entry.digest).to_owned(),
                entry
                    .reason
                    .split_whitespace()
                    .collect::<Vec<_>>()
                    .join(" "),
            ]
        };
        headed(
            ["FAILED", "BLAMED", "TAG", "DIGEST", "REASON"],
            self.quarantine.iter().map(row),
        )
    }

    /// The tag of a quarantined rollout, as long as it is among the last ones.
    fn tag(&self, entry: &QuarantineEntry) -> Option<&str> {
        let mut rollouts = self.history.iter();
        rollouts
            .find(|past| past.digest == entry.digest)?
            .tag
            .as_deref()
    }
}

fn headed(titles: [&str; 5], rows: impl Iterator<Item = Vec<String>>) -> Vec<Vec<String>> {
    let titles = titles.map(str::to_owned).to_vec();
    std::iter::once(titles).chain(rows).collect()
}

fn when(at: Option<&Time>, now: Timestamp) -> String {
    at.map_or_else(|| "-".to_owned(), |at| ages::ago(at, now))
}

/// The first twelve digits.
pub(super) fn digest(digest: &str) -> &str {
    let digits = digest.strip_prefix("sha256:").unwrap_or(digest);
    digits.get(..12).unwrap_or(digits)
}

fn result(result: RolloutResult) -> &'static str {
    match result {
        RolloutResult::Succeeded => "succeeded",
        RolloutResult::RolledBack => "rolled back",
        RolloutResult::Superseded => "superseded",
    }
}

fn cause(cause: QuarantineCause) -> &'static str {
    match cause {
        QuarantineCause::Image => "image",
        QuarantineCause::Configuration => "settings",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::sample;

    fn past() -> Past {
        let at = |text: &str| Some(Time(text.parse().unwrap()));
        let mut service = sample::seen("1.4.3", &[]);
        let status = service.status.as_mut().unwrap();
        let bad = format!("sha256:{}", "b".repeat(64));
        status.history = vec![
            HistoryEntry {
                id: "bad".into(),
                tag: Some("1.4.3".into()),
                digest: bad.clone(),
                result: RolloutResult::RolledBack,
                at: at("2026-01-02T03:01:05Z"),
            },
            HistoryEntry {
                id: "good".into(),
                digest: sample::image("1.4.2").digest,
                ..HistoryEntry::default()
            },
        ];
        status.quarantine = vec![QuarantineEntry {
            id: "bad".into(),
            digest: bad,
            reason: "pod api-1 exited with 1:\n  no such table".into(),
            at: at("2026-01-02T03:01:05Z"),
            ..QuarantineEntry::default()
        }];
        Past::of(&service)
    }

    #[test]
    fn rollouts_and_failures_are_two_tables() {
        let text = past().text(sample::now());
        assert_eq!(
            text,
            "\
ENDED   RESULT       TAG    DIGEST        ROLLOUT
3m ago  rolled back  1.4.3  bbbbbbbbbbbb  bad
-       succeeded    -      0123456789ab  good

Not tried again until the spec or the retry annotation changes:
FAILED  BLAMED  TAG    DIGEST        REASON
3m ago  image   1.4.3  bbbbbbbbbbbb  pod api-1 exited with 1: no such table"
        );
    }

    #[test]
    fn nothing_yet_is_said() {
        let past = Past::of(&sample::service("1"));
        assert_eq!(past.text(sample::now()), "No rollout has ended yet.");
    }
}
