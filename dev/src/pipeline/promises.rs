//! What the files of `pipeline/` promise, read from them.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use super::buildspec::Buildspec;
use super::tools;

const BUILDSPECS: [&str; 2] = ["buildspec.yml", "buildspec-deploy.yml"];
/// Set by CodeBuild, or by every shell.
const GIVEN: [&str; 5] = [
    "CODEBUILD_BUILD_SUCCEEDING",
    "CODEBUILD_RESOLVED_SOURCE_VERSION",
    "CODEBUILD_SRC_DIR",
    "HOME",
    "PATH",
];

fn path(file: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../pipeline")
        .join(file)
}

fn text(file: &str) -> String {
    std::fs::read_to_string(path(file)).unwrap()
}

fn commands(file: &str) -> Vec<String> {
    let spec = Buildspec::read(&path(file)).unwrap();
    let phases = spec.phases();
    phases
        .flat_map(|(_, phase)| phase.commands.iter().chain(&phase.finally).cloned())
        .collect()
}

/// The names in capitals behind each `$` or `${`.
fn referenced(command: &str) -> BTreeSet<String> {
    let names = command.split('$').skip(1).map(|rest| {
        let rest = rest.strip_prefix('{').unwrap_or(rest);
        let end = rest.find(|c: char| !(c.is_ascii_uppercase() || c.is_ascii_digit() || c == '_'));
        rest[..end.unwrap_or(rest.len())].to_owned()
    });
    names
        .filter(|name| name.starts_with(|c: char| c.is_ascii_uppercase()))
        .collect()
}

#[test]
fn every_command_of_several_lines_stops_at_its_first_failure() {
    for file in BUILDSPECS {
        for command in commands(file) {
            assert!(command.starts_with("set -eu"), "{file}: {command}");
            // It would end the shell that CodeBuild may share between commands.
            assert!(
                !command
                    .lines()
                    .any(|line| line.trim_start().starts_with("exit")),
                "{command}"
            );
        }
    }
}

#[test]
fn every_variable_is_documented_made_by_a_command_or_given() {
    for file in BUILDSPECS {
        let (text, commands) = (text(file), commands(file).join("\n"));
        let header = text.split("version: 0.2").next().unwrap();
        for name in referenced(&commands) {
            let documented = header.contains(&format!("#   {name} "));
            let made = commands.contains(&format!("{name}="));
            let given = GIVEN.contains(&name.as_str());
            assert!(documented || made || given, "{file}: {name}");
        }
    }
}

#[test]
fn no_value_of_an_account_is_in_a_file() {
    for file in BUILDSPECS.iter().chain(&["Dockerfile"]) {
        let text = text(file);
        for literal in [
            "AKIA",
            "arn:aws",
            "amazonaws.com/p",
            "SECRET_ACCESS_KEY",
            "PASSWORD=",
        ] {
            assert!(!text.contains(literal), "{file}: {literal}");
        }
        let digits = text.split(|c: char| !c.is_ascii_digit());
        assert!(
            !digits.into_iter().any(|run| run.len() == 12),
            "{file}: an account's number"
        );
        if file.starts_with("buildspec") {
            let spec = Buildspec::read(&path(file)).unwrap();
            assert!(spec.env.variables.is_empty(), "{file}");
        }
    }
}

#[test]
fn a_pushed_tag_is_never_pushed_again() {
    let commands = commands("buildspec.yml").join("\n");
    for line in commands.lines().filter(|line| line.contains("docker push")) {
        assert!(line.trim_start().starts_with("if [ -z \"$"), "{line}");
    }
    let tags: Vec<_> = commands.matches(":$IMAGE_TAG").collect();
    assert!(!tags.is_empty() && !commands.contains(":latest"));
}

#[test]
fn what_other_stages_need_is_exported_and_handed_on() {
    let spec = Buildspec::read(&path("buildspec.yml")).unwrap();
    let exported = ["IMAGE_TAG", "IMAGE_DIGEST", "OPERATOR_IMAGE_DIGEST"];
    assert_eq!(spec.env.exported_variables, exported);
    for file in ["buildspec-deploy.yml", "post-operator", "image.json"] {
        assert!(spec.artifacts.files.contains(&file.to_owned()), "{file}");
    }
}

#[test]
fn the_tests_compile_the_same_maker_of_bills_of_materials() {
    let named = format!("cargo-cyclonedx@{}", tools::CYCLONEDX);
    assert!(text("buildspec.yml").contains(&named));
}

#[test]
fn every_variable_of_the_module_can_be_set_in_the_example() {
    let example = text("terraform/examples/complete/main.tf");
    let passed: BTreeSet<_> = example
        .lines()
        .filter_map(|line| line.split_once(" = var."))
        .filter(|(name, variable)| name.trim() == *variable)
        .map(|(_, variable)| variable)
        .collect();
    let module = text("terraform/variables.tf");
    let variables = module
        .lines()
        .filter_map(|line| line.strip_prefix("variable \"")?.strip_suffix("\" {"));
    assert!(!passed.is_empty());
    assert_eq!(variables.collect::<BTreeSet<_>>(), passed);
}

#[test]
fn images_run_without_root_and_know_where_they_come_from() {
    let text = text("Dockerfile");
    let images: Vec<_> = text
        .split("FROM gcr.io/distroless/cc-debian12:nonroot")
        .skip(1)
        .collect();
    assert_eq!(images.len(), 2);
    for image in images {
        assert!(image.contains("USER 65532:65532") && image.contains("HEALTHCHECK"));
        for label in [
            "title",
            "description",
            "licenses",
            "version",
            "revision",
            "source",
        ] {
            assert!(
                image.contains(&format!("org.opencontainers.image.{label}=")),
                "{label}"
            );
        }
        assert!(image.contains("ENTRYPOINT [") && !image.contains("RUN "));
    }
    let builds = text
        .lines()
        .filter(|line| line.contains("cargo ") && !line.contains("prepare"));
    for line in builds.filter(|line| line.starts_with("RUN")) {
        assert!(line.contains("--locked"), "{line}");
    }
    assert!(text.contains("touch --date=\"@${SOURCE_DATE_EPOCH}\""));
}
