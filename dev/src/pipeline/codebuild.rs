//! Runs a buildspec as CodeBuild does: phases in order, `finally`, what follows a failure, exported
//! variables, artifacts.
//!
//! In one point it is stricter. Each command has a shell of its own, to which only exported variables
//! and the working folder come from the one before; AWS promises no more for certain than that.
//!
//! <https://docs.aws.amazon.com/codebuild/latest/userguide/view-build-details-phases.html>

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

use super::buildspec::{Buildspec, Name, OnFailure, Phase};
use crate::command;

/// What CodeBuild tells the commands: whether no phase has failed yet.
const SUCCEEDING: &str = "CODEBUILD_BUILD_SUCCEEDING";

/// A shell's environment.
pub type Environment = BTreeMap<String, String>;

/// A build to run.
#[derive(Debug)]
pub struct Project<'a> {
    /// What to do.
    pub buildspec: &'a Buildspec,
    /// The unpacked source.
    pub source: &'a Path,
    /// All that the first command finds, with `PATH`; nothing comes from this process.
    pub environment: Environment,
    /// Where the output goes.
    pub log: PathBuf,
}

/// A phase that ran.
#[derive(Debug, Clone)]
pub struct Ran {
    /// Which.
    pub name: Name,
    /// The exit code of the command that ended it.
    pub code: i32,
    /// How long it took.
    pub took: Duration,
}

/// A build that ended.
#[derive(Debug)]
pub struct Build {
    /// Its phases, in order.
    pub phases: Vec<Ran>,
    /// The exported variables that have a value.
    pub exported: Environment,
    /// Everything that was printed.
    pub output: String,
}

impl Build {
    /// Whether CodePipeline goes on.
    pub fn succeeded(&self) -> bool {
        self.phases.iter().all(|phase| phase.code == 0)
    }

    /// The exit code of a phase, if it ran.
    pub fn code(&self, name: Name) -> Option<i32> {
        let ran = self.phases.iter().find(|phase| phase.name == name)?;
        Some(ran.code)
    }
}

/// Runs a build; its artifacts are put into `artifacts`. A failing command is no error here.
pub async fn run(project: Project<'_>, artifacts: &Path) -> Result<Build> {
    let mut shell = Shell {
        environment: initial(&project),
        folder: project.source.to_owned(),
        log: project.log.clone(),
        state: tempfile::tempdir().context("no temporary folder")?,
    };
    let (mut phases, mut aborted) = (Vec::new(), false);
    for (name, phase) in project.buildspec.phases() {
        let ran = shell.phase(name, phase).await?;
        let failed = ran.code != 0;
        phases.push(ran);
        if failed {
            shell.environment.insert(SUCCEEDING.into(), "0".into());
            if !goes_on(name, phase.on_failure) {
                aborted = true;
                break;
            }
        }
    }
    // "Always attempted, even if the BUILD phase fails".
    if !aborted && !project.buildspec.artifacts.files.is_empty() {
        phases.push(collect(&project, artifacts)?);
    }
    let exported = project.buildspec.env.exported_variables.iter();
    let exported = exported
        .filter_map(|name| Some((name.clone(), shell.environment.get(name)?.clone())))
        .collect();
    let output = std::fs::read(&project.log).unwrap_or_default();
    Ok(Build {
        phases,
        exported,
        output: String::from_utf8_lossy(&output).into_owned(),
    })
}

/// The variables of CodeBuild, under those of the project.
fn initial(project: &Project<'_>) -> Environment {
    let mut environment = project.buildspec.env.variables.clone();
    let source = project.source.display().to_string();
    environment.insert("CODEBUILD_SRC_DIR".into(), source);
    environment.insert("CODEBUILD_BUILD_ID".into(), "local:1".into());
    environment.insert("CODEBUILD_INITIATOR".into(), "codepipeline/local".into());
    environment.insert("CODEBUILD_CI".into(), "true".into());
    environment.insert(SUCCEEDING.into(), "1".into());
    environment.extend(project.environment.clone());
    environment
}

/// Whether the next phase runs after this one has failed.
fn goes_on(name: Name, on_failure: Option<OnFailure>) -> bool {
    match on_failure {
        Some(OnFailure::Abort) => false,
        Some(OnFailure::Continue) => true,
        None => matches!(name, Name::Build | Name::PostBuild),
    }
}

struct Shell {
    environment: Environment,
    folder: PathBuf,
    log: PathBuf,
    state: tempfile::TempDir,
}

impl Shell {
    async fn phase(&mut self, name: Name, phase: &Phase) -> Result<Ran> {
        let (began, mut code) = (Instant::now(), 0);
        for command in &phase.commands {
            code = self.command(command).await?;
            if code != 0 {
                break;
            }
        }
        for command in &phase.finally {
            let last = self.command(command).await?;
            code = if code == 0 { last } else { code };
        }
        let took = began.elapsed();
        Ok(Ran { name, code, took })
    }

    /// Runs a command and takes over what it exported; returns its exit code.
    async fn command(&mut self, command: &str) -> Result<i32> {
        let saved = self.state.path().join("environment");
        let script = self.state.path().join("script.sh");
        let save = format!("trap 'env -0 > \"{}\"' EXIT\n", saved.display());
        std::fs::write(&script, format!("{save}{command}\n"))?;
        let log = command::open_log(&self.log)?;
        let status = tokio::process::Command::new("bash")
            .arg(&script)
            .env_clear()
            .envs(&self.environment)
            .current_dir(&self.folder)
            .stdin(Stdio::null())
            .stdout(log.try_clone()?)
            .stderr(log)
            .kill_on_drop(true)
            .status()
            .await
            .context("cannot start bash")?;
        let saved = std::fs::read(&saved).context("the shell left no environment")?;
        self.environment = parse(&saved);
        if let Some(folder) = self.environment.get("PWD") {
            self.folder = PathBuf::from(folder);
        }
        Ok(status.code().unwrap_or(128))
    }
}

/// Reads what `env -0` printed.
fn parse(saved: &[u8]) -> Environment {
    let text = String::from_utf8_lossy(saved);
    let pairs = text.split('\0').filter_map(|pair| pair.split_once('='));
    // Those that bash sets for itself.
    pairs
        .filter(|(name, _)| !["_", "SHLVL"].contains(name))
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .collect()
}

/// Copies the artifacts. What is missing fails the phase, as it does in AWS. Modes are not kept: an
/// archive need not know them.
fn collect(project: &Project<'_>, artifacts: &Path) -> Result<Ran> {
    let began = Instant::now();
    let spec = &project.buildspec.artifacts;
    let base = spec.base_directory.as_deref().unwrap_or(".");
    let mut code = 0;
    for file in &spec.files {
        let (from, to) = (project.source.join(base).join(file), artifacts.join(file));
        if !from.is_file() {
            code = 1;
            continue;
        }
        if to.exists() {
            bail!("{} is there already", to.display());
        }
        std::fs::create_dir_all(to.parent().unwrap_or(artifacts))?;
        std::io::copy(
            &mut std::fs::File::open(from)?,
            &mut std::fs::File::create(to)?,
        )?;
    }
    Ok(Ran {
        name: Name::UploadArtifacts,
        code,
        took: began.elapsed(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Scene {
        folder: tempfile::TempDir,
        build: Build,
    }

    async fn run_phases(phases: &str) -> Scene {
        let folder = tempfile::tempdir().unwrap();
        let text = format!(
            "version: 0.2\nenv: {{shell: bash, exported-variables: [A, B]}}\nphases: {phases}\nartifacts: {{base-directory: out, files: [a.txt]}}"
        );
        let source = folder.path().join("source");
        std::fs::create_dir(&source).unwrap();
        let project = Project {
            buildspec: &Buildspec::parse(&text).unwrap(),
            source: &source,
            environment: [("PATH".to_owned(), std::env::var("PATH").unwrap())].into(),
            log: folder.path().join("log"),
        };
        let build = run(project, &folder.path().join("artifacts")).await;
        Scene {
            build: build.unwrap(),
            folder,
        }
    }

    fn codes(build: &Build) -> Vec<(&str, i32)> {
        let phases = build.phases.iter();
        phases.map(|ran| (ran.name.text(), ran.code)).collect()
    }

    #[tokio::test]
    async fn exported_variables_and_the_folder_go_on_and_nothing_else() {
        let scene = run_phases(
            "{install: {commands: ['export A=1; B=2; mkdir out; cd out']}, build: {commands: ['echo $A-$B > a.txt']}}",
        )
        .await;
        assert!(scene.build.succeeded(), "{:?}", scene.build);
        assert_eq!(scene.build.exported, [("A".into(), "1".into())].into());
        let artifact = scene.folder.path().join("artifacts/a.txt");
        assert_eq!(std::fs::read_to_string(artifact).unwrap(), "1-\n");
    }

    #[tokio::test]
    async fn after_a_failed_build_come_its_last_words_and_post_build_knows() {
        let scene = run_phases(
            "{build: {commands: ['echo one', 'exit 3', 'echo two'], finally: ['echo three']}, post_build: {commands: ['echo succeeding: $CODEBUILD_BUILD_SUCCEEDING']}}",
        )
        .await;
        let expected = [("build", 3), ("post_build", 0), ("upload_artifacts", 1)];
        assert_eq!(codes(&scene.build), expected);
        assert_eq!(scene.build.output, "one\nthree\nsucceeding: 0\n");
        assert!(!scene.build.succeeded());
    }

    #[tokio::test]
    async fn a_failure_before_the_build_or_abort_ends_all() {
        for phases in [
            "{install: {commands: ['false']}, build: {commands: ['echo built']}}",
            "{pre_build: {commands: ['false']}, post_build: {commands: ['echo built']}}",
            "{build: {on-failure: ABORT, commands: ['false']}, post_build: {commands: ['echo built']}}",
        ] {
            let scene = run_phases(phases).await;
            assert_eq!(scene.build.phases.len(), 1, "{phases}");
            assert_eq!(scene.build.output, "");
        }
    }
}
