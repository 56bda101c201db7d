//! Building the images with pipeline/Dockerfile and pushing them under their ECR names.

use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use sha2::{Digest, Sha256};

use crate::aws::ecr;
use crate::command::Command;
use crate::paths::{self, Paths};
use crate::programs::debian;
use crate::progress::Step;

/// The base image in pipeline/Dockerfile.
const BASE: &str = "gcr.io/distroless/cc-debian12:nonroot";
/// What that image is made of. Registries of images are not needed: it is put together here.
const BASE_PACKAGES: [&str; 6] = [
    "libc6",
    "libgcc-s1",
    "ca-certificates",
    "tzdata",
    "base-files",
    "netbase",
];
/// Parts of those packages that no program in the image opens.
const BASE_WITHOUT: [&str; 8] = [
    "usr/share/man",
    "usr/share/locale",
    "usr/share/lintian",
    "usr/share/bug",
    "usr/lib/x86_64-linux-gnu/gconv",
    "usr/share/common-licenses",
    "usr/sbin",
    "sbin",
];

/// One of the two programs that run in pods.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Program(pub &'static str);

/// The service.
pub const SERVICE: Program = Program("post-service");
/// The operator.
pub const OPERATOR: Program = Program("post-operator");

/// The packages of both.
pub const PROGRAMS: [&str; 2] = [SERVICE.0, OPERATOR.0];

/// A pushed image.
#[derive(Debug, Clone)]
pub struct Image {
    /// `<account>.dkr.ecr.<region>.amazonaws.com/<name>`
    pub repository: String,
    /// Its tag.
    pub tag: String,
    /// The manifest's digest, `sha256:…`
    pub digest: String,
}

/// buildah with its storage in the data folder.
pub fn buildah(paths: &Paths, args: &[&str]) -> Command {
    let (verb, rest) = args.split_first().unwrap_or((&"", &[]));
    // Without user namespaces and overlay mounts of its own: works in containers and CI too.
    let isolation: &[&str] = if *verb == "bud" {
        &["--isolation", "chroot"]
    } else {
        &[]
    };
    Command::new("buildah")
        .args(["--storage-driver", "vfs", "--root"])
        .arg(paths.data.join("buildah"))
        .arg("--runroot")
        .arg(paths.run.join("buildah"))
        .arg(verb)
        .args(isolation)
        .args(rest)
}

/// The cargo profile of programs in the local cluster: what production runs, so that figures taken
/// here hold there.
pub const PROFILE: &str = "release";

/// Compiles these packages. What both [`PROGRAMS`] share is compiled once only if both are compiled
/// together: one alone may ask less of it.
pub async fn compile(paths: &Paths, profile: &str, packages: &[&str], step: &Step) -> Result<()> {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    Command::new(cargo)
        .args(["build", "--profile", profile, "--locked"])
        .args(packages.iter().flat_map(|package| ["-p", package]))
        .folder(&paths.checkout)
        .log(paths.logs().join("build-images.log"))
        .shown_in(step)
        .run()
        .await
        .map(drop)
}

/// The image of a compiled program in local storage; built unless it was built from the same
/// program before. Returns its local name, which contains the hash of what it was made from.
pub async fn build(paths: &Paths, program: Program, step: &Step) -> Result<String> {
    let binary = binary(paths, program);
    let name = format!("localhost/{}:{}", program.0, fingerprint(paths, &binary)?);
    let before = std::fs::read_to_string(latest(paths, program)).ok();
    paths::write(&latest(paths, program), &name)?;
    if is_stored(paths, &name).await {
        return Ok(name);
    }
    ensure_base(paths, step).await?;
    step.say(format!("building the image of {}", program.0));
    // The whole checkout is not needed: a small context keeps buildah quick.
    let context = tempfile::tempdir().context("no temporary folder")?;
    for one in [SERVICE, OPERATOR] {
        let target = context.path().join("target/release").join(one.0);
        std::fs::create_dir_all(target.parent().unwrap_or(&target))?;
        std::fs::copy(self::binary(paths, one), target)?;
    }
    buildah(paths, &["bud", "--quiet", "--pull-never", "--layers=false"])
        .args([
            "--build-arg",
            "BINARIES=prebuilt",
            "--target",
            program.0,
            "--tag",
            &name,
            "--file",
        ])
        .arg(paths.checkout.join("pipeline/Dockerfile"))
        .arg(context.path())
        .log(paths.logs().join("build-images.log"))
        .run()
        .await?;
    forget(paths, before).await;
    Ok(name)
}

/// Frees the space of the image before and of build stages; the registry has what pods may need.
async fn forget(paths: &Paths, before: Option<String>) {
    if let Some(before) = before {
        let _ = buildah(paths, &["rmi", &before]).run().await;
    }
    let _ = buildah(paths, &["rmi", "--prune"]).run().await;
}

/// The file with the local name of the image that was built last.
fn latest(paths: &Paths, program: Program) -> PathBuf {
    paths.data.join("images").join(program.0)
}

/// Pushes the image that `up` built under another tag, with a digest of its own.
pub async fn push_variant(paths: &Paths, program: Program, tag: &str) -> Result<Image> {
    let base = std::fs::read_to_string(latest(paths, program))
        .with_context(|| format!("the image of {} was never built", program.0))?;
    let local = format!("localhost/{}-variant:{tag}", program.0);
    build_inline(
        paths,
        &format!("FROM {base}\nLABEL variant={tag}\n"),
        None,
        &local,
    )
    .await?;
    push(paths, &local, program, tag).await
}

/// The stand-in of the service that the product replaces, `dev/examples/old_service.rs`, on the same
/// base as the product's images.
pub async fn push_old_service(paths: &Paths) -> Result<Image> {
    const EXAMPLE: &str = "old_service";
    let binary = example(paths, EXAMPLE).await?;
    let local = format!("localhost/old-service:{}", fingerprint(paths, &binary)?);
    if !is_stored(paths, &local).await {
        let context = tempfile::tempdir().context("no temporary folder")?;
        std::fs::copy(&binary, context.path().join(EXAMPLE))?;
        let dockerfile = format!("FROM {BASE}\nCOPY {EXAMPLE} /\nENTRYPOINT [\"/{EXAMPLE}\"]\n");
        build_inline(paths, &dockerfile, Some(context.path()), &local).await?;
    }
    push(paths, &local, Program("old-service"), "1").await
}

/// A program of `dev/examples`, compiled.
pub async fn example(paths: &Paths, name: &str) -> Result<PathBuf> {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    Command::new(cargo)
        .args(["build", "--locked", "-p", "dev", "--example", name])
        .folder(&paths.checkout)
        .log(paths.logs().join("build-images.log"))
        .run()
        .await?;
    Ok(paths.target().join("debug/examples").join(name))
}

/// How an image of the service goes wrong (`dev/examples/faulty_service.rs`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Fault {
    /// It ends at once.
    Exits,
    /// It never listens.
    Hangs,
    /// It is alive and never ready.
    Unready,
    /// It is ready and answers every request with 500.
    Errors,
    /// It serves for six seconds and dies.
    Dies,
    /// Its program is of another architecture.
    Foreign,
    /// Its migration adds a column; it ends at once.
    Newer,
}

impl Fault {
    /// Its word.
    pub fn name(self) -> &'static str {
        match self {
            Self::Exits => "exits",
            Self::Hangs => "hangs",
            Self::Unready => "unready",
            Self::Errors => "errors",
            Self::Dies => "dies",
            Self::Foreign => "foreign",
            Self::Newer => "newer",
        }
    }
}

/// An image of the service that goes wrong in this way.
pub async fn push_faulty_service(paths: &Paths, fault: Fault, tag: &str) -> Result<Image> {
    const EXAMPLE: &str = "faulty_service";
    let base = std::fs::read_to_string(latest(paths, SERVICE))
        .with_context(|| format!("the image of {} was never built", SERVICE.0))?;
    let context = tempfile::tempdir().context("no temporary folder")?;
    let binary = example(paths, EXAMPLE).await?;
    let program = context.path().join(EXAMPLE);
    std::fs::copy(&binary, &program)?;
    if fault == Fault::Foreign {
        make_foreign(&program)?;
    }
    let local = format!("localhost/faulty-service:{tag}");
    let dockerfile = format!(
        "FROM {base}\nCOPY {EXAMPLE} /\nENV FAULT={}\nENTRYPOINT [\"/{EXAMPLE}\"]\n",
        fault.name()
    );
    build_inline(paths, &dockerfile, Some(context.path()), &local).await?;
    push(paths, &local, SERVICE, tag).await
}

/// Says in the program's ELF header that it is for 64-bit ARM.
fn make_foreign(program: &Path) -> Result<()> {
    /// Place of `e_machine` in the header, and `EM_AARCH64`: elf(5).
    const MACHINE: (u64, u16) = (18, 183);
    std::fs::File::options()
        .write(true)
        .open(program)?
        .write_all_at(&MACHINE.1.to_le_bytes(), MACHINE.0)
        .context("cannot change the program's header")
}

/// An image with busybox, for pods that look around in the cluster.
pub async fn push_tools(paths: &Paths) -> Result<Image> {
    let local = "localhost/tools:1";
    if !is_stored(paths, local).await {
        let log = paths.logs().join("build-images.log");
        let work = tempfile::tempdir().context("no temporary folder")?;
        let (debs, root) = (work.path().join("debs"), work.path().join("root"));
        download(&["busybox-static"], &debs, &log).await?;
        std::fs::create_dir_all(&root)?;
        debian::unpack(&debs, &root, &log).await?;
        let dockerfile = "FROM scratch\nCOPY root/bin/busybox /bin/busybox\nCOPY root/bin/busybox /bin/sh\nUSER 65532:65532\n";
        build_inline(paths, dockerfile, Some(work.path()), local).await?;
    }
    push(paths, local, Program("tools"), "1").await
}

async fn build_inline(
    paths: &Paths,
    dockerfile: &str,
    context: Option<&Path>,
    tag: &str,
) -> Result<()> {
    let empty = tempfile::tempdir().context("no temporary folder")?;
    let context = context.unwrap_or(empty.path());
    std::fs::write(context.join("Dockerfile"), dockerfile)?;
    buildah(paths, &["bud", "--quiet", "--pull-never", "--tag", tag])
        .arg(context)
        .log(paths.logs().join("build-images.log"))
        .run()
        .await
        .map(drop)
}

/// Downloads Debian packages of this machine's release.
async fn download(packages: &[&str], folder: &Path, log: &Path) -> Result<()> {
    std::fs::create_dir_all(folder)?;
    // apt-get would drop to a user that may not write here; signatures are checked all the same.
    let apt = Command::new("apt-get")
        .args(["download", "-q", "-o", "APT::Sandbox::User=root"])
        .args(packages)
        .folder(folder)
        .log(log);
    apt.run()
        .await
        .map(drop)
        .context("cannot download Debian packages")
}

/// Where a compiled program is.
pub fn binary(paths: &Paths, program: Program) -> PathBuf {
    paths.target().join(PROFILE).join(program.0)
}

fn fingerprint(paths: &Paths, binary: &Path) -> Result<String> {
    let mut hash = Sha256::new();
    for file in [binary, &paths.checkout.join("pipeline/Dockerfile")] {
        hash.update(
            std::fs::read(file).with_context(|| format!("cannot read {}", file.display()))?,
        );
    }
    Ok(hex::encode(&hash.finalize()[..8]))
}

async fn is_stored(paths: &Paths, name: &str) -> bool {
    buildah(
        paths,
        &[
            "inspect",
            "--type",
            "image",
            "--format",
            "{{.FromImage}}",
            name,
        ],
    )
    .run()
    .await
    .is_ok()
}

/// Pushes a local image as `repository:tag` unless the registry has that very one.
pub async fn push(paths: &Paths, local: &str, program: Program, tag: &str) -> Result<Image> {
    ecr::ensure_repository(program.0).await?;
    let noted = paths
        .data
        .join("pushed")
        .join(local.rsplit(':').next().unwrap_or(local));
    let repository = format!("{}/{}", ecr::registry(), program.0);
    let image = |digest: String| Image {
        repository,
        tag: tag.to_owned(),
        digest,
    };
    let there = ecr::digest(program.0, tag).await;
    if let (Some(there), Ok(pushed)) = (there, std::fs::read_to_string(&noted))
        && there == pushed
    {
        return Ok(image(there));
    }
    let digest_file = tempfile::NamedTempFile::new().context("no temporary file")?;
    buildah(
        paths,
        &[
            "push",
            "--quiet",
            "--tls-verify=false",
            "--creds",
            "AWS:local",
        ],
    )
    .arg("--digestfile")
    .arg(digest_file.path())
    .arg(local)
    .arg(format!("docker://{}/{}:{tag}", ecr::address(), program.0))
    .log(paths.logs().join("build-images.log"))
    .run()
    .await?;
    let digest = std::fs::read_to_string(digest_file.path())?
        .trim()
        .to_owned();
    paths::write(&noted, &digest)?;
    Ok(image(digest))
}

/// Puts the base image together from Debian's packages under its real name.
pub async fn ensure_base(paths: &Paths, step: &Step) -> Result<()> {
    if is_stored(paths, BASE).await {
        return Ok(());
    }
    step.say(format!(
        "putting the base image {BASE} together from Debian's packages"
    ));
    let log = paths.logs().join("build-images.log");
    let work = tempfile::tempdir().context("no temporary folder")?;
    let (debs, root) = (work.path().join("debs"), work.path().join("root"));
    std::fs::create_dir_all(&root)?;
    download(&BASE_PACKAGES, &debs, &log).await?;
    debian::unpack(&debs, &root, &log).await?;
    finish_base(&root)?;
    let dockerfile = "FROM scratch\nCOPY root /\nUSER 65532:65532\nWORKDIR /home/nonroot\n\
        ENV PATH=/usr/local/bin:/usr/bin:/bin SSL_CERT_FILE=/etc/ssl/certs/ca-certificates.crt\n";
    build_inline(paths, dockerfile, Some(work.path()), BASE).await
}

/// What the packages' own install scripts would do.
fn finish_base(root: &Path) -> Result<()> {
    for folder in BASE_WITHOUT {
        let _ = std::fs::remove_dir_all(root.join(folder));
    }
    keep_licences_only(&root.join("usr/share/doc"))?;
    let mut bundle = String::new();
    for authority in std::fs::read_dir(root.join("usr/share/ca-certificates/mozilla"))?.flatten() {
        bundle.push_str(&std::fs::read_to_string(authority.path())?);
    }
    paths::write(&root.join("etc/ssl/certs/ca-certificates.crt"), bundle)?;
    paths::write(
        &root.join("etc/passwd"),
        "root:x:0:0:root:/root:/sbin/nologin\nnonroot:x:65532:65532:nonroot:/home/nonroot:/sbin/nologin\n",
    )?;
    paths::write(&root.join("etc/group"), "root:x:0:\nnonroot:x:65532:\n")?;
    paths::write(&root.join("etc/nsswitch.conf"), "hosts: files dns\n")?;
    std::fs::create_dir_all(root.join("home/nonroot"))?;
    std::os::unix::fs::chown(root.join("home/nonroot"), Some(65532), Some(65532))?;
    Ok(())
}

fn keep_licences_only(doc: &Path) -> Result<()> {
    for package in std::fs::read_dir(doc)?
        .flatten()
        .filter(|entry| entry.path().is_dir())
    {
        for file in std::fs::read_dir(package.path())?.flatten() {
            if file.file_name() != "copyright" && file.path().is_file() {
                std::fs::remove_file(file.path())?;
            }
        }
    }
    Ok(())
}
