//! How the deploy stage ends after each verdict. Scripts stand for its programs, so that no cluster is
//! needed and every call can fail.

use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use dev::pipeline::buildspec::Buildspec;
use dev::pipeline::codebuild::{self, Build, Project};

/// The command line of AWS, for an image without a mark; a call with the text of `BROKEN` fails.
const AWS: &str = r#"#!/bin/bash
case "$*" in
  *"$BROKEN"*) exit 254 ;;
  *put-image*) echo "the mark is set" ;;
  *imageDigest=*) echo '{"images": [{"imageId": {"imageDigest": "sha256:0"}}]}' ;;
  *imageTag=*) echo '{"images": []}' ;;
esac
"#;

fn script(file: &Path, text: &str) {
    std::fs::create_dir_all(file.parent().unwrap()).unwrap();
    std::fs::write(file, text).unwrap();
    std::fs::set_permissions(file, std::fs::Permissions::from_mode(0o755)).unwrap();
}

/// The deploy stage, where `post-operator deploy` prints a verdict and ends with a code.
async fn deploy(verdict: &str, code: u8, broken: &str) -> Build {
    let folder = tempfile::tempdir().unwrap();
    let (source, bin) = (folder.path().join("source"), folder.path().join("bin"));
    let program = format!("#!/bin/bash\necho '{{\"verdict\": \"{verdict}\"}}'\nexit {code}\n");
    script(&source.join("post-operator"), &program);
    script(&bin.join("aws"), AWS);
    let path = format!("{}:{}", bin.display(), std::env::var("PATH").unwrap());
    let environment = [
        ("PATH", &*path),
        ("BROKEN", broken),
        ("CLUSTER_NAME", "board"),
        ("NAMESPACE", "board"),
        ("POST_SERVICE", "board"),
        ("SERVICE_REPOSITORY", "example.com/post-service"),
        ("DEPLOY_TIMEOUT", "1m"),
        ("IMAGE_TAG", "abcdef0"),
        ("IMAGE_DIGEST", "sha256:0"),
    ];
    let environment = environment.map(|(name, value)| (name.to_owned(), value.to_owned()));
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("../pipeline/buildspec-deploy.yml");
    let project = Project {
        buildspec: &Buildspec::read(&file).unwrap(),
        source: &source,
        environment: environment.into(),
        log: folder.path().join("log"),
    };
    codebuild::run(project, &source).await.unwrap()
}

#[tokio::test]
async fn another_tag_is_no_failure_and_only_an_image_that_serves_is_marked() {
    for (verdict, code, succeeds) in [
        ("Ready", 0, true),
        ("Superseded", 2, true),
        ("TimedOut", 2, false),
        ("Failed", 1, false),
        ("Error", 1, false),
    ] {
        let build = deploy(verdict, code, "no call").await;
        let marked = build.output.contains("the mark is set");
        let expected = (succeeds, verdict == "Ready");
        assert_eq!(
            (build.succeeded(), marked),
            expected,
            "{verdict}: {build:?}"
        );
    }
}

#[tokio::test]
async fn an_image_that_cannot_be_marked_serves_all_the_same() {
    for broken in ["batch-get-image", "imageDigest=", "put-image"] {
        let build = deploy("Ready", 0, broken).await;
        let warned = build.output.contains("WARNING: NOT MARKED");
        assert!(build.succeeded() && warned, "{broken}: {build:?}");
    }
}
