//! What is measured, in order.

use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use clap::ValueEnum;
use kube::ResourceExt as _;
use kube::api::DynamicObject;
use tokio::task::JoinSet;

use super::process::{Access, Operator};
use super::sightings::Sightings;
use super::world::{World, kind, many};
use crate::bench::histogram::Histogram;
use crate::bench::report::Report;
use crate::bench::statistics::Samples;
use crate::install::ready;
use crate::process::Processes;
use crate::progress::{Progress, Step};

/// Longer than the operator's period of polling, so that each object has at least one pass.
const WINDOW: Duration = Duration::from_secs(35);
const PATIENCE: Duration = Duration::from_mins(2);
/// For rollouts of hundreds at once: as long as the API server takes for ten thousand writes.
const LONG_PATIENCE: Duration = Duration::from_mins(10);
const MANY: usize = 1000;
/// Five a second for a minute.
const ARRIVALS: usize = 300;
const BETWEEN_ARRIVALS: Duration = Duration::from_millis(200);
const UNRELATED: usize = 10_000;
/// Limit of the 99th percentile of a pass that has nothing to do, in milliseconds.
const PASS: f64 = 10.0;

/// A number of stopped `PostService`s, with a namespace and an operator of its own.
#[derive(Debug, Clone, Copy)]
struct Level {
    count: usize,
    /// Of the namespace and of the operator.
    name: &'static str,
}

const SMALL: [Level; 3] = [
    level(1, "bench-1"),
    level(10, "bench-10"),
    level(100, "bench-100"),
];
const LARGE: [Level; 1] = [level(MANY, "bench-1000")];
const CROWDED: &str = "bench-unrelated";

const fn level(count: usize, name: &'static str) -> Level {
    Level { count, name }
}

/// A part of the measurement.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(super) enum Part {
    /// 1, 10, 100 and 1000 stopped `PostService`s.
    Growth,
    /// 5 a second for a minute, then 1000 with all children.
    Arrivals,
    /// Secrets and `ConfigMap`s that nobody refers to.
    Unrelated,
}

/// The servers and the operator's program.
pub(super) struct Bench<'a> {
    pub(super) progress: &'a Progress,
    pub(super) processes: &'a Processes,
    pub(super) binary: &'a Path,
    pub(super) access: Access,
    pub(super) world: World,
}

impl<'a> Bench<'a> {
    /// Measures everything, or only one part.
    pub(super) async fn all(&self, only: Option<Part>, report: &Report<'_>) -> Result<()> {
        let wanted = |part| only.is_none_or(|only| only == part);
        if wanted(Part::Growth) {
            let why = "1, 10 and 100 stopped PostServices, each number with an operator of its own";
            let work = async |step| self.stopped(&SMALL, report, step).await;
            self.progress.step("small", why, work).await?;
            let why = "1000 stopped PostServices, created at once";
            let work = async |step| self.stopped(&LARGE, report, step).await;
            self.progress.step("large", why, work).await?;
        }
        if wanted(Part::Arrivals) {
            let why = "5 a second for a minute, each with a Secret and a database of its own";
            let work = async |step| self.full(report, step).await;
            self.progress.step("arrivals", why, work).await?;
        }
        if wanted(Part::Unrelated) {
            let why = "10,000 Secrets and 10,000 ConfigMaps that nobody refers to";
            let work = async |step| self.unrelated(report, step).await;
            self.progress.step("unrelated", why, work).await?;
        }
        Ok(())
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

    /// Levels of growth, side by side.
    async fn stopped(&self, levels: &[Level], report: &Report<'_>, step: Step) -> Result<()> {
        let begin = levels
            .iter()
            .map(|level| self.create(*level, report, &step));
        let operators = futures::future::try_join_all(begin).await?;
        self.world.quiet(PATIENCE).await?;
        self.touched(levels, &operators, report, &step).await?;
        for (level, operator) in levels.iter().zip(operators) {
            let promised = |limit| (level.count == MANY).then_some(limit);
            let memory = operator.steady_resident().await?;
            report.add_at(level.count, "memory", (Some(memory), "MiB"), promised(40.0))?;
            let time = operator.processor()?;
            report.add_at(level.count, "processor time", (Some(time), "s"), None)?;
            operator.stop().await?;
            let again = self.start(level.name, level.name, true).await?;
            let first = (seconds(again.first_pass), "s");
            report.add_at(level.count, "start → first pass", first, Some(1.0))?;
            again.stop().await?;
        }
        Ok(())
    }

    /// Creates a level's objects at once; returns when all have a status.
    async fn create(
        &self,
        Level { count, name }: Level,
        report: &Report<'_>,
        step: &Step,
    ) -> Result<Operator<'a>> {
        self.world.namespace(name).await?;
        let operator = self.start(name, name, false).await?;
        if count == 1 {
            let idle = operator.steady_resident().await?;
            report.add("memory, no PostServices", Some(idle), "MiB", Some(20.0))?;
        }
        let mut reported = Sightings::of(self.world.post_services(name), reported);
        let began = Instant::now();
        many(0..count, |n| self.world.create_stopped(name, n)).await?;
        let last = reported.wait(("reported", count), PATIENCE, step).await?;
        let last = last.into_values().max();
        let took = last.map(|last| last.duration_since(began));
        let limit = (count == MANY).then_some(60.0);
        let what = "created at once → all reported";
        report.add_at(count, what, (seconds(took), "s"), limit)?;
        Ok(operator)
    }

    /// Calls a pass of each object that has nothing to do.
    async fn touched(
        &self,
        levels: &[Level],
        operators: &[Operator<'_>],
        report: &Report<'_>,
        step: &Step,
    ) -> Result<()> {
        step.detail("calling passes that have nothing to do");
        let writes = self.world.writes().await?;
        let mut touches = 0;
        for (level, operator) in levels.iter().zip(operators) {
            let before = operator.passes().await?;
            self.world.touch(level.name, level.count).await?;
            touches += level.count;
            let passes = operator.more_passes(&before, level.count, PATIENCE).await?;
            for (percent, limit) in [(50, None), (99, Some(PASS))] {
                let what = format!("pass with nothing to do, p{percent}");
                let found = (milliseconds(&passes, percent), "ms");
                report.add_at(level.count, &what, found, limit)?;
            }
        }
        self.world.quiet(PATIENCE).await?;
        let made = count(touches).context("too many touches")?;
        let writes = self.world.writes().await? - writes - made;
        let what = format!("writes of {touches} passes with nothing to do");
        report.add(what, Some(writes), "requests", Some(0.0))
    }

    /// Objects that do not concern the operator do not fill its memory.
    async fn unrelated(&self, report: &Report<'_>, step: Step) -> Result<()> {
        self.world.namespace(CROWDED).await?;
        self.world.create_stopped(CROWDED, 0).await?;
        let operator = self.start(CROWDED, CROWDED, true).await?;
        self.world.quiet(PATIENCE).await?;
        let before = operator.steady_resident().await?;
        step.detail("creating them");
        many(0..UNRELATED, |n| self.world.create_unrelated(CROWDED, n)).await?;
        let more = operator.steady_resident().await? - before;
        let what = format!("memory for {UNRELATED} unrelated Secrets and ConfigMaps each");
        report.add(what, Some(more), "MiB", Some(5.0))?;
        operator.stop().await
    }

    async fn full(&self, report: &Report<'_>, step: Step) -> Result<()> {
        let (world, name) = (&self.world, "bench-full");
        world.namespace(name).await?;
        let controllers = Aborted(world.play_controllers(name));
        let operator = self.start(name, name, false).await?;
        let mut ready = Sightings::of(world.post_services(name), is_ready);
        self.arrivals(name, report, &step).await?;
        let began = Instant::now();
        many(ARRIVALS..MANY, |n| world.create_full(name, n)).await?;
        ready.wait(("ready", MANY), LONG_PATIENCE, &step).await?;
        let what = |what: &str| format!("{MANY} with all children: {what}");
        let took = seconds(Some(began.elapsed()));
        let created = what("700 created at once → all ready");
        report.add(created, took, "s", None)?;
        self.rest(&operator, &what, report, &step).await?;
        let memory = operator.steady_resident().await?;
        report.add(what("memory"), Some(memory), "MiB", Some(80.0))?;
        let time = operator.processor()?;
        report.add(what("processor time"), Some(time), "s", None)?;
        operator.stop().await?;
        let again = self.start(name, name, true).await?;
        let first = seconds(again.first_pass);
        report.add(what("start → first pass"), first, "s", Some(1.0))?;
        world.quiet(PATIENCE).await?;
        let memory = again.steady_resident().await?;
        let restarted = what("memory after a restart");
        report.add(restarted, Some(memory), "MiB", Some(80.0))?;
        drop(controllers);
        again.stop().await
    }

    /// From the creation of a `PostService` to its first children: Service and migration Job.
    async fn arrivals(&self, name: &str, report: &Report<'_>, step: &Step) -> Result<()> {
        let world = &self.world;
        let services = world.api(name, &kind("", "v1", "Service"));
        let mut services = Sightings::of(services, owner);
        let mut jobs = Sightings::of(world.api(name, &kind("batch", "v1", "Job")), owner);
        let mut ticks = tokio::time::interval(BETWEEN_ARRIVALS);
        // A task each: a slow creation does not hold up the next.
        let mut creations = JoinSet::new();
        let mut created = Vec::new();
        for number in 0..ARRIVALS {
            ticks.tick().await;
            let (world, name) = (world.clone(), name.to_owned());
            creations.spawn(async move {
                let began = world.create_full(&name, number).await?;
                anyhow::Ok((format!("s{number}"), began))
            });
            while let Some(done) = creations.try_join_next() {
                created.push(done??);
            }
            step.detail(&format!("{number} of {ARRIVALS} created"));
        }
        while let Some(done) = creations.join_next().await {
            created.push(done??);
        }
        let services = services
            .wait(("Services", ARRIVALS), PATIENCE, step)
            .await?;
        let jobs = jobs
            .wait(("migration Jobs", ARRIVALS), PATIENCE, step)
            .await?;
        let applied = created.iter().filter_map(|(name, began)| {
            let last = services.get(name)?.max(jobs.get(name)?);
            Some(last.duration_since(*began))
        });
        let applied: Samples = applied.collect();
        let measured = count(applied.count());
        report.add("5 a second: measured", measured, "PostServices", None)?;
        for (percent, limit) in [(50, None), (95, Some(2.0)), (100, None)] {
            let what = format!("5 a second: created → applied, p{percent}");
            report.add(what, seconds(applied.percentile(percent)), "s", limit)?;
        }
        Ok(())
    }

    /// Passes of a period of polling, which have nothing to do.
    async fn rest(
        &self,
        operator: &Operator<'_>,
        what: &impl Fn(&str) -> String,
        report: &Report<'_>,
        step: &Step,
    ) -> Result<()> {
        self.world.quiet(PATIENCE).await?;
        step.detail("watching passes that have nothing to do");
        let (passes, writes) = (operator.passes().await?, self.world.writes().await?);
        tokio::time::sleep(WINDOW).await;
        let passes = operator.passes().await?.since(&passes);
        let writes = self.world.writes().await? - writes;
        report.add(what("passes at rest"), Some(passes.count()), "passes", None)?;
        for (percent, limit) in [(50, None), (99, Some(PASS))] {
            let title = what(&format!("pass at rest, p{percent}"));
            report.add(title, milliseconds(&passes, percent), "ms", limit)?;
        }
        report.add(what("writes at rest"), Some(writes), "requests", Some(0.0))
    }
}

fn milliseconds(passes: &Histogram, percent: u8) -> Option<f64> {
    let found = passes.quantile(f64::from(percent) / 100.0);
    found.map(|duration| duration.as_secs_f64() * 1000.0)
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
