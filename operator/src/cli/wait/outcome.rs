//! How `deploy`, `wait` and `retry --wait` end: a sentence or one JSON object, and an exit code.

use std::process::ExitCode;
use std::time::Duration;

use serde::Serialize;

use super::follow::{Ended, Followed};
use super::verdict::{Cause, Judgement};
use crate::api::v1alpha1::{ImageRef, PostService};
use crate::cli::advice::advice;
use crate::cli::ages;
use crate::cli::connection::Trouble;
use crate::cli::output::{self, Output};

/// The word of a verdict.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub enum Word {
    /// Pods of the wanted image serve.
    Ready,
    /// They will not.
    Failed,
    /// The time was over first.
    TimedOut,
    /// Somebody wants something else.
    Superseded,
    /// Ctrl-C.
    Interrupted,
    /// The question could not be put, or not be answered.
    Error,
}

impl Word {
    /// What the shell is told.
    pub fn code(self) -> u8 {
        match self {
            Self::Ready => 0,
            Self::Failed | Self::Error => 1,
            Self::TimedOut | Self::Superseded => 2,
            Self::Interrupted => 130,
        }
    }
}

/// The end, as `-o json` prints it. Fields are added, never renamed.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Outcome {
    /// Name of the `PostService`.
    pub name: String,
    /// Its namespace; null where none was named and no cluster was found.
    pub namespace: Option<String>,
    /// The tag that was asked for.
    pub tag: Option<String>,
    /// The verdict.
    pub verdict: Word,
    /// Reason in CamelCase: a condition's, or `TimedOut`, `Superseded`, `Interrupted`, `Deleted`, or
    /// that of an error.
    pub reason: String,
    /// A sentence.
    pub message: String,
    /// What to do about it.
    pub what_to_do: Option<String>,
    /// Generation of the spec that the verdict speaks of.
    pub generation: Option<i64>,
    /// The image that pods run.
    pub image: Option<ImageRef>,
    /// Seconds that it took.
    pub seconds: u64,
}

impl Outcome {
    /// The outcome of having followed an object for `took`.
    pub fn of(followed: Followed, tag: Option<String>, took: Duration) -> Self {
        let Followed { ended, service } = followed;
        let (verdict, cause) = match ended {
            Ended::Judged(Judgement::Ready(cause)) => (Word::Ready, cause),
            Ended::Judged(Judgement::Superseded(cause)) => (Word::Superseded, cause),
            Ended::Judged(Judgement::Failed(cause) | Judgement::Doubtful(cause)) => {
                (Word::Failed, cause)
            }
            Ended::Judged(Judgement::AsBefore(_) | Judgement::Undecided) => (
                Word::TimedOut,
                Cause::new("TimedOut", "nothing was decided"),
            ),
            Ended::TimedOut(last) => {
                let took = ages::short(took);
                let message = format!("not decided after {took}; at last: {last}");
                (Word::TimedOut, Cause::new("TimedOut", message))
            }
            Ended::Interrupted => (Word::Interrupted, Cause::new("Interrupted", "interrupted")),
            Ended::Trouble(trouble) => {
                let cause = Cause::new(trouble.reason(), trouble.to_string());
                (Word::Error, cause)
            }
        };
        Self::new(&service, verdict, cause, tag, took)
    }

    fn new(
        service: &PostService,
        verdict: Word,
        cause: Cause,
        tag: Option<String>,
        took: Duration,
    ) -> Self {
        let namespace = service.metadata.namespace.clone();
        let name = service.metadata.name.clone().unwrap_or_default();
        let what_to_do = what_to_do(
            verdict,
            &cause.reason,
            namespace.as_deref().unwrap_or_default(),
            &name,
        );
        let status = service.status.as_ref();
        Self {
            name,
            namespace,
            tag,
            verdict,
            reason: cause.reason,
            message: cause.message,
            what_to_do,
            generation: service.metadata.generation,
            image: status.and_then(|status| status.image.current.clone()),
            seconds: took.as_secs(),
        }
    }

    /// The outcome where something was in the way.
    pub fn error(
        trouble: &Trouble,
        name: &str,
        namespace: Option<&str>,
        tag: Option<&str>,
    ) -> Self {
        Self {
            name: name.to_owned(),
            namespace: namespace.map(str::to_owned),
            tag: tag.map(str::to_owned),
            verdict: Word::Error,
            reason: trouble.reason().to_owned(),
            message: trouble.to_string(),
            what_to_do: None,
            generation: None,
            image: None,
            seconds: 0,
        }
    }

    /// Prints it, and gives what the shell is told.
    pub fn finish(&self, output: Output) -> anyhow::Result<ExitCode> {
        match output {
            Output::Json => output::print_json(self)?,
            Output::Text if self.verdict == Word::Error => {
                output::complain(&self.message);
            }
            Output::Text => output::print(&self.text()),
        }
        Ok(ExitCode::from(self.verdict.code()))
    }

    fn text(&self) -> String {
        let name = match &self.namespace {
            Some(namespace) => format!("{namespace}/{}", self.name),
            None => self.name.clone(),
        };
        let took = ages::short(Duration::from_secs(self.seconds));
        let tag = self
            .tag
            .as_ref()
            .or_else(|| self.image.as_ref()?.tag.as_ref());
        let of_tag = tag
            .map(|tag| format!(" with tag {tag}"))
            .unwrap_or_default();
        let (reason, message) = (&self.reason, &self.message);
        let mut text = match self.verdict {
            Word::Ready if reason == "Stopped" => format!("{name} is as asked for: {message}"),
            Word::Ready => format!("{name} is ready{of_tag} after {took}: {message}"),
            Word::Failed => format!("{name} failed{of_tag}: {reason}: {message}"),
            Word::TimedOut | Word::Interrupted | Word::Superseded | Word::Error => {
                format!("{name}{of_tag}: {message}")
            }
        };
        if let Some(what_to_do) = &self.what_to_do {
            text.push_str("\nWhat to do: ");
            text.push_str(what_to_do);
        }
        text
    }
}

fn what_to_do(verdict: Word, reason: &str, namespace: &str, name: &str) -> Option<String> {
    let again = format!(
        "`post-operator wait {name} -n {namespace}` waits on, `post-operator status {name} -n {namespace}` shows it"
    );
    match verdict {
        Word::Ready | Word::Error => None,
        Word::TimedOut | Word::Interrupted => {
            Some(format!("the rollout goes on in the cluster; {again}"))
        }
        Word::Failed | Word::Superseded => advice(reason, namespace, name),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn outcome(verdict: Word, reason: &str) -> Outcome {
        let mut service = PostService::new("api", crate::cli::sample::spec("1.4.3"));
        service.metadata.namespace = Some("shop".into());
        let cause = Cause::new(reason, "something happened");
        let took = Duration::from_secs(200);
        Outcome::new(&service, verdict, cause, Some("1.4.3".into()), took)
    }

    #[test]
    fn codes_are_those_of_the_help() {
        use Word::*;
        let words = [Ready, Failed, Error, TimedOut, Superseded, Interrupted];
        assert_eq!(words.map(Word::code), [0, 1, 1, 2, 2, 130]);
        for word in words {
            let code = format!("\n  {:<4} ", word.code());
            assert!(output::EXIT_CODES.contains(&code), "{word:?}");
        }
    }

    #[test]
    fn a_failure_says_why_and_what_to_do() {
        let text = outcome(Word::Failed, "RolledBack").text();
        assert!(
            text.starts_with("shop/api failed with tag 1.4.3: RolledBack: something happened\n"),
            "{text}"
        );
        assert!(text.contains("What to do: "), "{text}");
        assert!(text.contains("`post-operator retry api -n shop`"), "{text}");
    }

    #[test]
    fn the_end_of_waiting_is_not_the_end_of_the_rollout() {
        for word in [Word::TimedOut, Word::Interrupted] {
            let text = outcome(word, "TimedOut").text();
            assert!(text.contains("goes on in the cluster"), "{text}");
            assert!(text.contains("post-operator status api -n shop"), "{text}");
        }
    }

    #[test]
    fn the_object_for_programs_has_these_fields() {
        let json = serde_json::to_value(outcome(Word::Ready, "UpToDate")).unwrap();
        let fields: Vec<_> = json
            .as_object()
            .unwrap()
            .keys()
            .map(String::as_str)
            .collect();
        let mut expected = [
            "name",
            "namespace",
            "tag",
            "verdict",
            "reason",
            "message",
            "whatToDo",
            "generation",
            "image",
            "seconds",
        ];
        let mut fields = fields;
        fields.sort_unstable();
        expected.sort_unstable();
        assert_eq!(fields, expected);
        assert_eq!(json["verdict"], "Ready");
        assert_eq!(json["seconds"], 200);
    }
}
