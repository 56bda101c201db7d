//! `cargo dev up`: everything, in the order in which it can start.

use anyhow::Result;
use tokio::try_join;

use crate::aws::{self, cognito, cognito::Pool, ecr, eks};
use crate::cluster::control_plane::{self, ControlPlane};
use crate::cluster::node::{self, NodeParts};
use crate::cluster::pki::Pki;
use crate::cluster::{dns, metrics};
use crate::images::{self, Image};
use crate::install::{self, Installation};
use crate::mysql::{self, MySql};
use crate::network::{self, HOST};
use crate::paths::Paths;
use crate::process::Processes;
use crate::programs::mysql::Kind;
use crate::programs::{cache, go, pause};
use crate::progress::Progress;
use crate::state::{self, Lock, Secrets};
use crate::{down, loadbalancer, packages, preflight, programs};

/// Port of the API server on the bridge.
pub const API_PORT: u16 = 6443;
const ETCD_PORTS: (u16, u16, u16) = (2379, 2380, 2381);

/// Every daemon of a complete cluster.
pub fn daemons() -> Vec<&'static str> {
    let mut names = Vec::new();
    names.extend(control_plane::DAEMONS);
    names.extend(node::DAEMONS);
    names.extend([
        dns::DAEMON,
        metrics::DAEMON,
        mysql::DAEMON,
        ecr::DAEMON,
        cognito::DAEMON,
        eks::DAEMON,
        loadbalancer::DAEMON,
    ]);
    names
}

/// Whether a complete cluster runs.
pub fn is_running(paths: &Paths) -> bool {
    let processes = Processes::new(&paths.run, &paths.logs());
    daemons().into_iter().all(|name| processes.is_running(name))
}

/// Brings the local cluster up, as far as it is not up yet, with the product in it.
pub async fn run(paths: &Paths, progress: &Progress) -> Result<()> {
    preflight::user_and_system()?;
    let _lock = Lock::take()?;
    let local = prepare(paths, progress).await?;
    let (client, (pool, (service, operator))) =
        try_join!(start_cluster_and_mysql(paths, progress, &local), async {
            let (pool, ()) =
                try_join!(start_aws(paths, progress, &local), compile(paths, progress))?;
            Ok((pool, make_images(paths, progress).await?))
        },)?;
    let helm = go::helm(paths, progress).await?;
    let installation = Installation {
        paths,
        progress,
        client: &client,
        helm: &helm,
        context: None,
    };
    installation
        .local(&operator, &service, &pool, &local.secrets)
        .await
}

/// What the parts that start side by side share.
struct Local {
    processes: Processes,
    secrets: Secrets,
}

async fn prepare(paths: &Paths, progress: &Progress) -> Result<Local> {
    cache::sweep(paths);
    let must_build = go::kubectl(paths).is_err();
    preflight::check(paths, must_build).await?;
    let processes = Processes::new(&paths.run, &paths.logs());
    let any = daemons().into_iter().any(|name| processes.is_running(name));
    state::check_owner(paths, any)?;
    let foreign = state::owner(paths).is_some_and(|owner| owner != paths.checkout);
    if foreign || (!is_running(paths) && down::is_anything_left(paths).await) {
        progress.line("clearing what an earlier run left");
        down::stop_all(paths).await?;
    }
    packages::install(paths, progress, &[packages::BUILD, packages::CLUSTER]).await?;
    std::fs::create_dir_all(&paths.run)?;
    std::fs::create_dir_all(paths.logs())?;
    state::own(paths)?;
    network::up(&paths.run).await?;
    Ok(Local {
        processes,
        secrets: Secrets::ensure(paths)?,
    })
}

/// The same without the product: nothing is compiled or installed.
pub async fn run_cluster_only(paths: &Paths, progress: &Progress) -> Result<()> {
    preflight::user_and_system()?;
    let _lock = Lock::take()?;
    let local = prepare(paths, progress).await?;
    try_join!(
        start_cluster_and_mysql(paths, progress, &local),
        start_aws(paths, progress, &local),
    )
    .map(drop)
}

/// Go builds, Rust builds and downloads run side by side: each waits for something else.
async fn start_cluster_and_mysql(
    paths: &Paths,
    progress: &Progress,
    local: &Local,
) -> Result<kube::Client> {
    let (client, ()) = try_join!(
        start_cluster(paths, progress, local),
        start_mysql(paths, progress, local)
    )?;
    loadbalancer::start(paths, &local.processes).await?;
    Ok(client)
}

async fn start_cluster(paths: &Paths, progress: &Progress, local: &Local) -> Result<kube::Client> {
    let programs = go::kubernetes(paths, progress).await?;
    let processes = &local.processes;
    let pki = Pki::ensure(
        &paths.data.join("pki"),
        &format!("https://{HOST}:{API_PORT}"),
    )?;
    let why = "starting etcd, the API server, the controllers and the scheduler";
    let client = progress.step("control plane", why, async |step| {
        let plane = ControlPlane {
            programs: &programs,
            processes,
            pki: &pki,
            etcd_data: paths.data.join("etcd"),
            audit_log: Some(control_plane::audit_log(&paths.data)),
            token_reviewer: Some(eks::write_reviewer(paths)?),
            etcd_ports: ETCD_PORTS,
            address: HOST,
            port: API_PORT,
        };
        let client = plane.start_api(false).await?;
        plane.start_controllers().await?;
        eks::start(&pki, processes).await?;
        step.say(format!(
            "Kubernetes {} at https://{HOST}:{API_PORT}",
            go::KUBERNETES
        ));
        Ok(client)
    });
    let client = client.await?;
    progress
        .step(
            "node",
            "starting containerd, the kubelet and kube-proxy",
            async |step| {
                ecr::redirect_pulls(paths)?;
                let node = NodeParts {
                    programs: &programs,
                    paths,
                    processes,
                    pki: &pki,
                };
                node.forget_pods(&client).await?;
                node.start_containerd(&pause::obtain(paths).await?).await?;
                node.start(&client).await?;
                step.say("ready");
                Ok(())
            },
        )
        .await?;
    let coredns = go::coredns(paths, progress).await?;
    let metrics_server = go::metrics_server(paths, progress).await?;
    // Built here and not when it is needed: Go's builds follow each other, beside Rust's.
    go::helm(paths, progress).await?;
    let what = "starting the cluster's DNS and the source of `kubectl top`";
    progress
        .step("DNS and metrics", what, async |step| {
            dns::start(&coredns, paths, processes, &pki, &client).await?;
            metrics::start(&metrics_server, paths, processes, &pki, &client).await?;
            step.say("running");
            Ok(())
        })
        .await?;
    Ok(client)
}

async fn start_mysql(paths: &Paths, progress: &Progress, local: &Local) -> Result<()> {
    let server = programs::mysql::obtain(paths, progress, Kind::MySql).await?;
    progress
        .step("MySQL", "starting the database server", async |step| {
            let mysql = MySql {
                server,
                data: paths.data.join("mysql"),
                run: paths.run.clone(),
                address: HOST,
                port: mysql::PORT,
                extra: vec![],
            };
            let version = mysql.start(&local.processes, &local.secrets).await?;
            step.say(format!("version {version} on {HOST}:{}", mysql::PORT));
            Ok(())
        })
        .await
}

async fn start_aws(paths: &Paths, progress: &Progress, local: &Local) -> Result<Pool> {
    progress
        .step(
            "AWS stand-ins",
            "starting ministack (ECR) and moto (Cognito)",
            async |step| {
                let venv = aws::environment(paths).await?;
                try_join!(
                    ecr::start(&venv, &local.processes, HOST, ecr::PORT),
                    cognito::start(&venv, &local.processes, HOST, cognito::PORT),
                )?;
                let pool = cognito::ensure_pool(&local.secrets).await?;
                step.say(format!(
                    "registry on {}, user pool {}",
                    ecr::address(),
                    pool.id
                ));
                Ok(pool)
            },
        )
        .await
}

async fn compile(paths: &Paths, progress: &Progress) -> Result<()> {
    let why = "compiling post-service and post-operator";
    progress
        .step("programs", why, async |step| {
            images::compile(paths, images::PROFILE, &images::PROGRAMS, &step).await?;
            step.say("compiled");
            Ok(())
        })
        .await
}

async fn make_images(paths: &Paths, progress: &Progress) -> Result<(Image, Image)> {
    let example = install::example_image(paths)?;
    progress
        .step(
            "images",
            "building and pushing what changed",
            async |step| {
                let service = images::build(paths, images::SERVICE, &step).await?;
                let operator = images::build(paths, images::OPERATOR, &step).await?;
                let service = images::push(paths, &service, images::SERVICE, &example.tag).await?;
                let tag = operator.rsplit(':').next().unwrap_or("dev").to_owned();
                let operator = images::push(paths, &operator, images::OPERATOR, &tag).await?;
                step.say(format!(
                    "post-service:{} is {}",
                    service.tag, service.digest
                ));
                Ok((service, operator))
            },
        )
        .await
}
