//! The pipeline's stages, with a board of their own to deploy to.

use std::io::Write as _;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use dev::aws::{ecr, eks};
use dev::images::{self, OPERATOR, SERVICE};
use dev::paths::Paths;
use dev::pipeline::buildspec::{Buildspec, Name};
use dev::pipeline::codebuild::{self, Build, Project};
use dev::pipeline::tools::Tools;
use dev::progress::Progress;
use serde_json::Value;

use crate::board::{Board, EXAMPLE};

/// Its rights are those of the build project's role: no access entry.
const BUILDER: &str = "local-builder";
/// Where the commits are said to come from.
const SOURCE_URL: &str = "https://github.com/example/post-service";

/// Not `println!`, which the test harness keeps from a test that passes.
pub fn say(line: &str) {
    let _ = writeln!(std::io::stderr(), "pipeline {line}");
}

/// A commit: its hash, and what its source compiles to.
pub struct Commit {
    hash: String,
    /// Instead of the service of the checkout.
    service: Option<PathBuf>,
}

impl Commit {
    /// The checkout as it is.
    pub fn good() -> Self {
        let hash = dev::state::random_hex(20).unwrap();
        Self {
            hash,
            service: None,
        }
    }

    /// One whose service ends as soon as it shall serve.
    pub async fn crashing(line: &Line) -> Self {
        let program = images::example(&line.paths, "crashing_service").await;
        Self {
            service: Some(program.unwrap()),
            ..Self::good()
        }
    }

    /// The tag of its images.
    pub fn tag(&self) -> String {
        self.hash[..7].to_owned()
    }
}

/// A stage that ended, and where its artifacts are.
pub struct Stage {
    build: Build,
    artifacts: PathBuf,
}

impl Stage {
    pub fn assert_succeeded(&self) {
        assert!(self.succeeded(), "{}", self.output());
    }

    pub fn succeeded(&self) -> bool {
        self.build.succeeded()
    }

    pub fn code(&self, phase: Name) -> Option<i32> {
        self.build.code(phase)
    }

    pub fn output(&self) -> &str {
        &self.build.output
    }

    /// Whether this was printed.
    pub fn ran(&self, text: &str) -> bool {
        self.build.output.contains(text)
    }

    pub fn exported(&self, variable: &str) -> String {
        self.build.exported[variable].clone()
    }

    pub fn artifact(&self, file: &str) -> Vec<u8> {
        std::fs::read(self.artifacts.join(file)).unwrap()
    }

    /// The object that `deploy` printed.
    pub fn verdict(&self) -> Value {
        serde_json::from_slice(&self.artifact("verdict.json")).unwrap()
    }
}

/// The pipeline.
pub struct Line {
    pub board: Board,
    pub paths: Paths,
    tools: Tools,
    work: tempfile::TempDir,
}

impl Line {
    /// A board that serves, whose tag is the pipeline's from now on, as the guide has it.
    pub async fn open(board: Board) -> Self {
        let paths = Paths::find().unwrap();
        let tools = Tools::obtain(&paths, &Progress::new()).await.unwrap();
        board.make_ready().await;
        board.posts().await;
        let first = format!("first-{}", board.namespace);
        let tag = board.kit.push_service(&first).await.unwrap().tag;
        let hand_over = [
            "deploy",
            EXAMPLE,
            "-n",
            &board.namespace,
            "--tag",
            &tag,
            "--force",
        ];
        let kubeconfig = board.kit.kubeconfig();
        board
            .kit
            .post_operator(&kubeconfig, &hand_over)
            .await
            .unwrap();
        Self {
            board,
            paths,
            tools,
            work: tempfile::tempdir().unwrap(),
        }
    }

    fn repository(program: images::Program) -> String {
        format!("{}/{}", ecr::registry(), program.0)
    }

    /// The build stage.
    pub async fn build(&self, title: &str, commit: &Commit) -> Stage {
        let source = self.source(commit);
        let mut environment = self.tools.environment(&self.paths, BUILDER);
        environment.extend(
            [
                ("CODEBUILD_RESOLVED_SOURCE_VERSION", commit.hash.clone()),
                ("SERVICE_REPOSITORY", Self::repository(SERVICE)),
                ("OPERATOR_REPOSITORY", Self::repository(OPERATOR)),
                ("SOURCE_URL", SOURCE_URL.to_owned()),
                ("BINARIES", "prebuilt".to_owned()),
            ]
            .map(|(name, value)| (name.to_owned(), value)),
        );
        let spec = Buildspec::read(&source.join("pipeline/buildspec.yml")).unwrap();
        let artifacts = self.folder("artifacts");
        let project = Project {
            buildspec: &spec,
            source: &source,
            environment,
            log: source.with_extension("log"),
        };
        let build = codebuild::run(project, &artifacts).await.unwrap();
        report("build", title, &build);
        Stage { build, artifacts }
    }

    /// The deploy stage, in the artifact of the build stage.
    pub async fn deploy(&self, title: &str, built: &Stage, access_key: &str) -> Stage {
        let source = self.folder("deploy");
        for file in std::fs::read_dir(&built.artifacts).unwrap().flatten() {
            std::fs::copy(file.path(), source.join(file.file_name())).unwrap();
        }
        let mut environment = self.tools.environment(&self.paths, access_key);
        environment.extend(
            [
                ("CLUSTER_NAME", eks::CLUSTER.to_owned()),
                ("NAMESPACE", self.board.namespace.clone()),
                ("POST_SERVICE", EXAMPLE.to_owned()),
                ("SERVICE_REPOSITORY", Self::repository(SERVICE)),
                ("DEPLOY_TIMEOUT", "3m".to_owned()),
                ("IMAGE_TAG", built.exported("IMAGE_TAG")),
                ("IMAGE_DIGEST", built.exported("IMAGE_DIGEST")),
            ]
            .map(|(name, value)| (name.to_owned(), value)),
        );
        let spec = Buildspec::read(&source.join("buildspec-deploy.yml")).unwrap();
        let project = Project {
            buildspec: &spec,
            source: &source,
            environment,
            log: source.with_extension("log"),
        };
        let ended = codebuild::run(project, &source).await.unwrap();
        report("deploy", title, &ended);
        let verdict = ended.output.lines().find(|line| line.contains(" after "));
        say(&format!("{:<8}{}", "verdict", verdict.unwrap_or("none")));
        Stage {
            build: ended,
            artifacts: source,
        }
    }

    fn folder(&self, name: &str) -> PathBuf {
        let unique = dev::state::random_hex(4).unwrap();
        let folder = self.work.path().join(format!("{name}-{unique}"));
        std::fs::create_dir(&folder).unwrap();
        folder
    }

    /// What CodePipeline unpacks: the files of the commit, without Git; and what they compile to.
    fn source(&self, commit: &Commit) -> PathBuf {
        let source = self.folder("source");
        let listed = std::process::Command::new("git")
            .args([
                "ls-files",
                "-z",
                "--cached",
                "--others",
                "--exclude-standard",
            ])
            .current_dir(&self.paths.checkout)
            .output()
            .unwrap();
        let listed = String::from_utf8(listed.stdout).unwrap();
        for file in listed.split_terminator('\0') {
            copy(&self.paths.checkout.join(file), &source.join(file));
        }
        let release = source.join("target/release");
        for program in [SERVICE, OPERATOR] {
            let compiled = images::binary(&self.paths, program);
            let instead = commit.service.clone().filter(|_| program == SERVICE);
            copy(&instead.unwrap_or(compiled), &release.join(program.0));
        }
        source
    }

    /// The digest of a tag of the service.
    pub async fn digest_of(&self, tag: &str) -> Option<String> {
        ecr::digest(SERVICE.0, tag).await
    }

    /// Whether the commit's image is marked as deployed.
    pub async fn assert_marked(&self, commit: &Commit, digest: Option<&String>) {
        let mark = format!("deployed-{}", commit.tag());
        assert_eq!(self.digest_of(&mark).await.as_ref(), digest, "{mark}");
    }

    /// What both images take, in the registry and unpacked.
    pub async fn report_sizes(&self, built: &Stage, largest: u64) {
        let images = [
            (SERVICE, "IMAGE_DIGEST"),
            (OPERATOR, "OPERATOR_IMAGE_DIGEST"),
        ];
        for (program, variable) in images {
            let digest = built.exported(variable);
            let stored = ecr::size(program.0, &digest).await.unwrap();
            let name = format!("{}@{digest}", Self::repository(program));
            let unpacked = self.inspect(&name, "{{.Size}}").await;
            let unpacked: u64 = unpacked.trim().parse().unwrap();
            let [stored_mb, unpacked_mb] = [stored, unpacked].map(|bytes| bytes / 100_000);
            say(&format!(
                "image    {:<14} {}.{} MB in the registry, {}.{} MB unpacked",
                program.0,
                stored_mb / 10,
                stored_mb % 10,
                unpacked_mb / 10,
                unpacked_mb % 10
            ));
            assert!(stored <= largest, "{stored}");
        }
    }

    /// Something about an image that is pulled first.
    async fn inspect(&self, name: &str, format: &str) -> String {
        self.tools.docker(&["pull", "--quiet", name]).await.unwrap();
        let inspect = ["image", "inspect", "--format", format, name];
        self.tools.docker(&inspect).await.unwrap()
    }

    /// The image says which commit it is.
    pub async fn assert_labels(&self, built: &Stage, commit: &Commit) {
        let digest = built.exported("IMAGE_DIGEST");
        let name = format!("{}@{digest}", Self::repository(SERVICE));
        let labels = self.inspect(&name, "{{json .Config.Labels}}").await;
        let labels: Value = serde_json::from_str(&labels).unwrap();
        let label = |name: &str| labels[format!("org.opencontainers.image.{name}")].clone();
        assert_eq!(label("revision"), commit.hash.as_str());
        assert_eq!(label("version"), env!("CARGO_PKG_VERSION"));
        assert_eq!(label("source"), SOURCE_URL);
        let health = self.inspect(&name, "{{json .HealthCheck}}").await;
        assert!(health.contains("healthcheck"), "{health}");
    }

    /// Each program's lists what it is made of.
    pub fn assert_bills_of_materials(built: &Stage) {
        for (program, part) in [(SERVICE, "sqlx"), (OPERATOR, "kube")] {
            let bill = built.artifact(&format!("{}.cdx.json", program.0));
            let bill: Value = serde_json::from_slice(&bill).unwrap();
            assert_eq!(bill["metadata"]["component"]["name"], program.0);
            let parts = bill["components"].as_array().unwrap();
            assert!(parts.iter().any(|component| component["name"] == part));
            say(&format!(
                "bill of materials of {}: {} parts",
                program.0,
                parts.len()
            ));
        }
    }

    pub async fn close(self) {
        self.board.close().await;
    }
}

fn copy(from: &Path, to: &Path) {
    std::fs::create_dir_all(to.parent().unwrap()).unwrap();
    // A file that the checkout has removed is still in its index.
    if !from.is_file() {
        return;
    }
    std::fs::copy(from, to).unwrap();
    let mode = from.metadata().unwrap().permissions().mode();
    std::fs::set_permissions(to, std::fs::Permissions::from_mode(mode)).unwrap();
}

/// Prints each phase with its result.
fn report(stage: &str, title: &str, build: &Build) {
    for ran in &build.phases {
        let result = match ran.code {
            0 => "ok".to_owned(),
            code => format!("exit {code}"),
        };
        say(&format!(
            "{stage:<8}{title:<24}{:<17}{result:<8}{:>5.1} s",
            ran.name.text(),
            ran.took.as_secs_f64()
        ));
    }
}
