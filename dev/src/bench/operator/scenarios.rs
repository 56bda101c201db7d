//! What is measured, in order.

use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::Result;
use kube::ResourceExt as _;
use kube::api::DynamicObject;

use super::process::{Access, Operator};
use super::sightings::Sightings;
use super::world::{World, kind, many};
use crate::bench::report::Report;
use crate::bench::statistics::Samples;
use crate::install::ready;
use crate::process::Processes;
use crate::progress::{Progress, Step};

/// Longer than the operator's period of polling, so that each object has at least one pass.
const WINDOW: Duration = Duration::from_secs(35);
const PATIENCE: Duration = Duration::from_mins(3);
const MANY: usize = 1000;
/// Five a second for a minute.
const ARRIVALS: usize = 300;
const BETWEEN_ARRIVALS: Duration = Duration::from_millis(200);
const UNRELATED: usize = 10_000;
/// Numbers of stopped PostServices, each in a namespace and with an operator of its own.
const LEVELS: [(usize, &str); 4] = [
    (1, "bench-1"),
    (10, "bench-10"),
    (100, "bench-100"),
    (MANY, "bench-1000"),
];

/// The servers and the operator's program.
pub(super) struct Bench<'a> {
    pub(super) progress: &'a Progress,
    pub(super) processes: &'a Processes,
    pub(super) binary: &'a Path,
    pub(super) access: Access,
    pub(super) world: World,
}

impl<'a> Bench<'a> {
    /// Measures everything.
    pub(super) async fn all(&self, report: &mut Report) -> Result<()> {
        let why = "pushing 1000 images into the ECR stand-in";
        let push = async |_| self.world.push_images(MANY).await;
        self.progress.step("images", why, push).await?;
        for (count, namespace) in LEVELS {
            let title = format!("{count} stopped");
            let why = format!(
                "creating {count} stopped PostServices, then watching {} s of rest",
                WINDOW.as_secs()
            );
            let level = async |step| self.stopped(count, namespace, report, step).await;
            self.progress.step(&title, &why, level).await?;
        }
        let why = "5 a second for a minute, each with a Secret, an image and a database of its own";
        let work = async |step| self.full(report, step).await;
        self.progress.step("arrivals", why, work).await
    }

    async fn start(
        &self,
        name: &'static str,
        namespace: &str,
        expects_pass: bool,
    ) -> Result<Operator<'a>> {
        let what = (name, self.binary, &self.access);
        Operator::start(self.processes, what, namespace, expects_pass).await
    }

    /// A level of growth.
    async fn stopped(
        &self,
        count: usize,
        namespace: &'static str,
        report: &mut Report,
        step: Step,
    ) -> Result<()> {
        self.world.namespace(namespace).await?;
        let operator = self.start(namespace, namespace, false).await?;
        if count == 1 {
            let idle = operator.steady_resident().await?;
            report.add("memory, no PostServices", Some(idle), "MiB", Some(20.0));
        }
        let mut reported = Sightings::of(self.world.post_services(namespace), reported);
        let began = Instant::now();
        many(0..count, |n| self.world.create_stopped(namespace, n)).await?;
        let last = reported.wait(("reported", count), PATIENCE, &step).await?;
        let took = last
            .into_values()
            .max()
            .map(|last| last.duration_since(began));
        let promised = |limit| (count == MANY).then_some(limit);
        let what = |what: &str| format!("{count} stopped: {what}");
        report.add(
            what("created at once → all reported"),
            seconds(took),
            "s",
            promised(60.0),
        );
        self.rest(&operator, &what, report, &step).await?;
        let memory = operator.steady_resident().await?;
        report.add(what("memory"), Some(memory), "MiB", promised(40.0));
        report.add(
            what("processor time"),
            Some(operator.processor()?),
            "s",
            None,
        );
        if count == 100 {
            self.unrelated(&operator, namespace, report, &step).await?;
        }
        operator.stop().await?;
        let again = self.start(namespace, namespace, true).await?;
        let first = seconds(again.first_pass);
        report.add(what("start → first pass"), first, "s", Some(1.0));
        again.stop().await
    }

    /// Passes that have nothing to do.
    async fn rest(
        &self,
        operator: &Operator<'_>,
        what: &impl Fn(&str) -> String,
        report: &mut Report,
        step: &Step,
    ) -> Result<()> {
        self.world.quiet(PATIENCE).await?;
        step.detail("watching passes that have nothing to do");
        let (passes, writes) = (operator.passes().await?, self.world.writes().await?);
        tokio::time::sleep(WINDOW).await;
        let passes = operator.passes().await?.since(&passes);
        let writes = self.world.writes().await? - writes;
        let milliseconds = |quantile| {
            let found = passes.quantile(quantile);
            found.map(|duration| duration.as_secs_f64() * 1000.0)
        };
        report.add(what("passes at rest"), Some(passes.count()), "passes", None);
        report.add(what("pass at rest, p50"), milliseconds(0.5), "ms", None);
        report.add(
            what("pass at rest, p99"),
            milliseconds(0.99),
            "ms",
            Some(10.0),
        );
        report.add(what("writes at rest"), Some(writes), "requests", Some(0.0));
        Ok(())
    }

    async fn unrelated(
        &self,
        operator: &Operator<'_>,
        namespace: &str,
        report: &mut Report,
        step: &Step,
    ) -> Result<()> {
        step.detail("creating unrelated Secrets and ConfigMaps");
        let before = operator.steady_resident().await?;
        many(0..UNRELATED, |n| self.world.create_unrelated(namespace, n)).await?;
        let more = operator.steady_resident().await? - before;
        let what = format!("memory for {UNRELATED} unrelated Secrets and ConfigMaps each");
        report.add(what, Some(more), "MiB", Some(5.0));
        Ok(())
    }

    async fn full(&self, report: &mut Report, step: Step) -> Result<()> {
        let (world, namespace) = (&self.world, "bench-full");
        world.namespace(namespace).await?;
        let controllers = Aborted(world.play_controllers(namespace));
        let operator = self.start("bench-full", namespace, false).await?;
        let services = kind("", "v1", "Service");
        let jobs = kind("batch", "v1", "Job");
        let mut services =
            Sightings::of(world.api(namespace, &services), |o| o.metadata.name.clone());
        let mut jobs = Sightings::of(world.api(namespace, &jobs), owner);
        let mut ready = Sightings::of(world.post_services(namespace), is_ready);
        let mut ticks = tokio::time::interval(BETWEEN_ARRIVALS);
        let mut created = Vec::new();
        for number in 0..ARRIVALS {
            ticks.tick().await;
            created.push((
                format!("s{number}"),
                world.create_full(namespace, number).await?,
            ));
            step.detail(&format!("{number} of {ARRIVALS} created"));
        }
        let services = services
            .wait(("Services", ARRIVALS), PATIENCE, &step)
            .await?;
        let jobs = jobs
            .wait(("migration Jobs", ARRIVALS), PATIENCE, &step)
            .await?;
        let applied: Samples = created
            .iter()
            .filter_map(|(name, began)| {
                let last = services.get(name)?.max(jobs.get(name)?);
                Some(last.duration_since(*began))
            })
            .collect();
        report.add(
            "5 a second: measured",
            count(applied.count()),
            "PostServices",
            None,
        );
        for (percent, limit) in [(50, None), (95, Some(2.0)), (100, None)] {
            let what = format!("5 a second: created → applied, p{percent}");
            report.add(what, seconds(applied.percentile(percent)), "s", limit);
        }
        let began = Instant::now();
        many(ARRIVALS..MANY, |n| world.create_full(namespace, n)).await?;
        ready.wait(("ready", MANY), PATIENCE, &step).await?;
        let what = |what: &str| format!("{MANY} with all children: {what}");
        report.add(
            what("700 created at once → all ready"),
            seconds(Some(began.elapsed())),
            "s",
            None,
        );
        self.rest(&operator, &what, report, &step).await?;
        let memory = operator.steady_resident().await?;
        report.add(what("memory"), Some(memory), "MiB", Some(80.0));
        report.add(
            what("processor time"),
            Some(operator.processor()?),
            "s",
            None,
        );
        operator.stop().await?;
        let again = self.start("bench-full", namespace, true).await?;
        report.add(
            what("start → first pass"),
            seconds(again.first_pass),
            "s",
            Some(1.0),
        );
        world.quiet(PATIENCE).await?;
        let memory = again.steady_resident().await?;
        report.add(
            what("memory after a restart"),
            Some(memory),
            "MiB",
            Some(80.0),
        );
        drop(controllers);
        again.stop().await
    }
}

struct Aborted(tokio::task::JoinHandle<()>);

impl Drop for Aborted {
    fn drop(&mut self) {
        self.0.abort();
    }
}

fn seconds(duration: Option<Duration>) -> Option<f64> {
    duration.map(|duration| duration.as_secs_f64())
}

fn count(number: usize) -> Option<f64> {
    u32::try_from(number).ok().map(f64::from)
}

/// Its name, once its status speaks of its present generation.
fn reported(object: &DynamicObject) -> Option<String> {
    let observed = object.data["status"]["observedGeneration"].as_i64();
    (observed.is_some() && observed == object.metadata.generation).then(|| object.name_any())
}

fn is_ready(object: &DynamicObject) -> Option<String> {
    let good =
        |condition: &ready::Condition| condition.kind == "Ready" && condition.status == "True";
    ready::conditions(object)
        .iter()
        .any(good)
        .then(|| object.name_any())
}

/// The name of the `PostService` that an object belongs to.
fn owner(object: &DynamicObject) -> Option<String> {
    let owners = object.owner_references();
    owners
        .iter()
        .find(|owner| owner.kind == "PostService")
        .map(|owner| owner.name.clone())
}
