//! Servers of one test stage or measurement, in a folder of their own on free ports of 127.0.0.1.

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result};

use crate::aws::{self, cognito, ecr, s3};
use crate::cluster::control_plane::ControlPlane;
use crate::cluster::pki::Pki;
use crate::mysql::{self, MySql};
use crate::network::free_port;
use crate::paths::Paths;
use crate::process::{self, Processes};
use crate::programs::mysql::Kind;
use crate::programs::{self, go, python};
use crate::progress::{Progress, Step};
use crate::state::{Secrets, random_hex};

/// Behaves alike in every run: what it finds wrong is found again.
const SCHEMATHESIS: &str = "4.32.5";
const LOOPBACK: &str = "127.0.0.1";

/// The folder of all runs' servers; each run has one named by its process id.
fn folder(paths: &Paths) -> PathBuf {
    paths.data.with_file_name("post-service-dev-tests")
}

/// Servers that a test stage or a measurement starts; [`clean`] ends them.
#[derive(Debug)]
pub struct Backends<'a> {
    progress: &'a Progress,
    paths: Paths,
    processes: Processes,
    secrets: Secrets,
}

impl<'a> Backends<'a> {
    /// Makes the run's folders; nothing is started yet.
    pub fn new(paths: &Paths, progress: &'a Progress) -> Result<Self> {
        let paths = paths.isolated_in(&folder(paths).join(std::process::id().to_string()));
        for folder in [&paths.run, &paths.logs()] {
            std::fs::create_dir_all(folder)
                .with_context(|| format!("cannot create the folder {}", folder.display()))?;
        }
        let processes = Processes::new(&paths.run, &paths.logs());
        Ok(Self {
            progress,
            processes,
            secrets: Secrets::generate()?,
            paths,
        })
    }

    /// The pid files and logs of everything that is started here.
    pub fn processes(&self) -> &Processes {
        &self.processes
    }

    /// The folder of this run's data.
    pub fn data(&self) -> &Path {
        &self.paths.data
    }

    /// The passwords of this run's servers.
    pub fn secrets(&self) -> &Secrets {
        &self.secrets
    }

    /// Starts MySQL or MariaDB; returns the administrator's URL.
    pub async fn database(&self, kind: Kind) -> Result<String> {
        let data = self.paths.data.join(kind.name());
        let port = self.database_on(kind, data, vec![]).await?;
        Ok(mysql::admin_url(LOOPBACK, port, &self.secrets))
    }

    /// Starts a database server on this data folder, with these arguments besides; returns its port.
    pub async fn database_on(&self, kind: Kind, data: PathBuf, extra: Vec<String>) -> Result<u16> {
        let server = programs::mysql::obtain(&self.paths, self.progress, kind).await?;
        let port = free_port()?;
        let mysql = MySql {
            server,
            data,
            run: self.paths.run.clone(),
            address: LOOPBACK,
            port,
            extra,
        };
        let why = "starting a database server";
        let start = async |step: Step| {
            let version = mysql.start(&self.processes, &self.secrets).await?;
            step.say(format!("version {version} on {LOOPBACK}:{port}"));
            Ok(())
        };
        self.progress.step(kind.title(), why, start).await?;
        Ok(port)
    }

    /// Starts the ECR stand-in; returns its endpoint.
    pub async fn ecr(&self) -> Result<String> {
        let port = free_port()?;
        let why = "starting ministack";
        let start = async |_step| {
            let venv = aws::environment(&self.paths).await?;
            ecr::start(&venv, &self.processes, LOOPBACK, port).await
        };
        self.progress.step("ECR", why, start).await?;
        Ok(format!("http://{LOOPBACK}:{port}"))
    }

    /// Starts the Cognito stand-in; returns its endpoint.
    pub async fn cognito(&self) -> Result<String> {
        let port = free_port()?;
        let why = "starting moto";
        let start = async |_step| {
            let venv = aws::environment(&self.paths).await?;
            cognito::start(&venv, &self.processes, LOOPBACK, port).await
        };
        self.progress.step("Cognito", why, start).await?;
        Ok(format!("http://{LOOPBACK}:{port}"))
    }

    /// Starts the S3 stand-in; returns its endpoint and the account that it knows.
    pub async fn s3(&self) -> Result<(String, s3::Account)> {
        let account = s3::Account {
            key: random_hex(8)?,
            secret: random_hex(20)?,
        };
        let why = "starting SeaweedFS";
        let start = async |_step| {
            let venv = s3::environment(&self.paths).await?;
            let data = self.paths.data.join("s3");
            let folders = (data.as_path(), self.paths.run.as_path());
            s3::start(&venv, &self.processes, folders, &account).await
        };
        let endpoint = self.progress.step("S3", why, start).await?;
        Ok((endpoint, account))
    }

    /// Installs schemathesis into the cache; returns the program.
    pub async fn schemathesis(&self) -> Result<String> {
        let requirement = format!("schemathesis=={SCHEMATHESIS}");
        let why = "preparing the checker of the OpenAPI document";
        let install = async |_step| {
            python::environment(&self.paths, "schemathesis", SCHEMATHESIS, &[&requirement]).await
        };
        let venv = self.progress.step("schemathesis", why, install).await?;
        Ok(venv.join("bin/schemathesis").display().to_string())
    }

    /// Starts etcd and an API server without controllers; returns the path of a kubeconfig.
    pub async fn api_server(&self) -> Result<String> {
        let programs = go::kubernetes(&self.paths, self.progress).await?;
        let port = free_port()?;
        let server = format!("https://{LOOPBACK}:{port}");
        let pki = Pki::ensure(&self.paths.data.join("pki"), &server)?;
        let plane = ControlPlane {
            programs: &programs,
            processes: &self.processes,
            pki: &pki,
            etcd_data: self.paths.data.join("etcd"),
            audit_log: None,
            token_reviewer: None,
            etcd_ports: (free_port()?, free_port()?, free_port()?),
            address: LOOPBACK,
            port,
        };
        let why = "starting etcd and kube-apiserver, without controllers,";
        self.progress
            .step("API server", why, async |_step| plane.start_api(true).await)
            .await?;
        Ok(self.paths.kubeconfig().display().to_string())
    }
}

/// Ends the servers of this run and deletes their data.
pub async fn clean(paths: &Paths) -> Result<()> {
    remove(&folder(paths).join(std::process::id().to_string())).await
}

/// Ends what killed runs left.
pub async fn sweep(paths: &Paths) -> Result<()> {
    for entry in std::fs::read_dir(folder(paths))
        .into_iter()
        .flatten()
        .flatten()
    {
        let owner = entry
            .file_name()
            .to_str()
            .and_then(|name| name.parse().ok());
        if owner.and_then(process::identify).is_none() {
            remove(&entry.path()).await?;
        }
    }
    Ok(())
}

async fn remove(folder: &Path) -> Result<()> {
    if !folder.exists() {
        return Ok(());
    }
    let processes = Processes::new(&folder.join("run"), &folder.join("data/logs"));
    // Their data goes too, so there is nothing to flush: the short way.
    for stray in processes.strays() {
        process::end(&stray, Duration::ZERO).await?;
    }
    std::fs::remove_dir_all(folder).with_context(|| format!("cannot delete {}", folder.display()))
}
