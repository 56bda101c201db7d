//! A buildspec file, as far as those in `pipeline/` use its language: what is not known here is an
//! error, so that nothing is left out silently.
//!
//! The language: <https://docs.aws.amazon.com/codebuild/latest/userguide/build-spec-ref.html>

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::{Context, Result, ensure};
use serde::Deserialize;

/// The file.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Buildspec {
    version: f64,
    /// What commands find in their environment, and who runs them.
    #[serde(default)]
    pub env: Env,
    /// What is done.
    pub phases: Phases,
    /// What is handed on.
    #[serde(default)]
    pub artifacts: Artifacts,
    #[serde(default, rename = "cache")]
    _cache: Cache,
}

/// Its environment.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Env {
    shell: Option<String>,
    /// Variables and their values.
    #[serde(default)]
    pub variables: BTreeMap<String, String>,
    /// Variables that other stages read.
    #[serde(default)]
    pub exported_variables: Vec<String>,
}

/// Its phases, in the order in which they run.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Phases {
    install: Option<Phase>,
    pre_build: Option<Phase>,
    build: Option<Phase>,
    post_build: Option<Phase>,
}

/// The name of a phase.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Name {
    /// Programs that the image lacks.
    Install,
    /// What must be there first.
    PreBuild,
    /// The work.
    Build,
    /// What follows it, even if it failed.
    PostBuild,
    /// Artifacts are collected.
    UploadArtifacts,
}

impl Name {
    /// As the file has it, and CodeBuild's log in capitals.
    pub fn text(self) -> &'static str {
        match self {
            Self::Install => "install",
            Self::PreBuild => "pre_build",
            Self::Build => "build",
            Self::PostBuild => "post_build",
            Self::UploadArtifacts => "upload_artifacts",
        }
    }
}

/// The commands of a phase.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Phase {
    /// What a failing command means for the phases after it.
    pub on_failure: Option<OnFailure>,
    /// Run in order, up to the first that fails.
    pub commands: Vec<String>,
    /// Run after them, whatever happened.
    #[serde(default)]
    pub finally: Vec<String>,
}

/// What a failed phase means for the next.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum OnFailure {
    /// It does not run.
    Abort,
    /// It runs.
    Continue,
}

/// What the build leaves.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Artifacts {
    /// Folder of the files, in that of the source.
    pub base_directory: Option<String>,
    /// Their paths in it.
    #[serde(default)]
    pub files: Vec<String>,
}

/// What a project with a cache keeps between its builds; here there is none.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct Cache {
    #[serde(default, rename = "paths")]
    _paths: Vec<String>,
}

impl Buildspec {
    /// Reads a file.
    pub fn read(path: &Path) -> Result<Self> {
        let text = std::fs::read_to_string(path);
        let text = text.with_context(|| format!("cannot read {}", path.display()))?;
        Self::parse(&text).with_context(|| format!("in {}", path.display()))
    }

    /// Reads its text.
    pub fn parse(text: &str) -> Result<Self> {
        let spec: Self = serde_yaml::from_str(text)?;
        ensure!(spec.version.to_string() == "0.2", "version is not 0.2");
        ensure!(
            spec.env.shell.as_deref() == Some("bash"),
            "env.shell is not bash"
        );
        let pattern = spec.artifacts.files.iter().find(|file| file.contains('*'));
        ensure!(
            pattern.is_none(),
            "artifacts.files are named one by one: a missing one shall be noticed"
        );
        Ok(spec)
    }

    /// The phases that it has, in order.
    pub fn phases(&self) -> impl Iterator<Item = (Name, &Phase)> {
        [
            (Name::Install, &self.phases.install),
            (Name::PreBuild, &self.phases.pre_build),
            (Name::Build, &self.phases.build),
            (Name::PostBuild, &self.phases.post_build),
        ]
        .into_iter()
        .filter_map(|(name, phase)| Some((name, phase.as_ref()?)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn phases_come_in_their_own_order() {
        let text = "version: 0.2\nenv: {shell: bash}\nphases: {post_build: {commands: [b]}, install: {commands: [a]}}";
        let spec = Buildspec::parse(text).unwrap();
        let names: Vec<_> = spec.phases().map(|(name, _)| name.text()).collect();
        assert_eq!(names, ["install", "post_build"]);
    }

    #[test]
    fn what_is_not_known_here_is_refused() {
        for text in [
            "version: 0.1\nenv: {shell: bash}\nphases: {}",
            "version: 0.2\nenv: {}\nphases: {}",
            "version: 0.2\nenv: {shell: bash}\nphases: {}\nbatch: {}",
            "version: 0.2\nenv: {shell: bash}\nphases: {test: {commands: []}}",
            "version: 0.2\nenv: {shell: bash}\nphases: {build: {run-as: me, commands: []}}",
            "version: 0.2\nenv: {shell: bash}\nphases: {}\nartifacts: {files: ['**/*']}",
        ] {
            assert!(Buildspec::parse(text).is_err(), "{text}");
        }
    }
}
