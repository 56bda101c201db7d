//! `cargo dev bench service`.

mod ceiling;
mod content;
mod counters;
mod database;
mod dataset;
mod issuer;
mod kinds;
mod limits;
mod material;
mod overload;
mod plot;
mod results;
mod same;
mod targets;
mod words;
mod wrk;

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use clap::ValueEnum as _;

use self::content::Board;
use self::counters::Counters;
use self::database::Database;
use self::dataset::Dataset;
use self::issuer::Issuer;
use self::kinds::Kind;
use self::material::Material;
use self::results::{Results, Row};
use self::targets::Target;
use self::wrk::{Load, Sample, Wrk};
use super::machine::{self, Profile};
use crate::backends::Backends;
use crate::images;
use crate::packages;
use crate::paths::Paths;
use crate::progress::Progress;

/// Connections that requests are sent on, the most telling number first.
const CONNECTIONS: [u32; 3] = [16, 1, 256];
/// How long after the last request memory is looked at once more.
const CALM: Duration = Duration::from_secs(5);
/// Answers whose length the ceiling's answers have on average.
const ANSWERS: u64 = 8;

/// How to measure the service.
#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    /// Posts on the board: a number such as 100k, 1m or 10m. A large board is made once, in tens of
    /// minutes and 14 GB of disk for 10m (kept, and as much again during a run).
    #[arg(long, default_value = "100k", value_name = "NUMBER", value_parser = posts)]
    posts: u64,
    /// The database that the service runs on.
    #[arg(long, value_enum, default_value_t = Database::Mysql)]
    database: Database,
    /// Measure only this kind of request; may be repeated.
    #[arg(long, value_enum, value_name = "NAME")]
    only: Vec<Kind>,
    /// Numbers of connections to measure with.
    #[arg(long, value_name = "NUMBERS", value_delimiter = ',', default_values_t = CONNECTIONS)]
    #[arg(value_parser = clap::value_parser!(u32).range(1..=1000))]
    connections: Vec<u32>,
    /// Instead: four times as many requests as the service can answer, of some kinds.
    #[arg(long)]
    overload: bool,
    /// Seconds of each measurement.
    #[arg(long, default_value_t = 2, value_parser = clap::value_parser!(u64).range(1..=3600))]
    seconds: u64,
    /// Folder of the results: `service-<database>-<posts>` with the endings `.md`, `.csv` and
    /// `.svg`. Default: `target/bench` of the checkout.
    #[arg(long, value_name = "FOLDER")]
    output: Option<PathBuf>,
    /// Measure this program instead of building one.
    #[arg(long, value_name = "FILE")]
    binary: Option<PathBuf>,
    /// How to build; figures of `dev` say nothing.
    #[arg(long, value_enum, default_value_t = Profile::Release, hide = true)]
    profile: Profile,
}

/// Builds, fills a database, measures, prints and writes.
pub(super) async fn run(paths: &Paths, progress: &Progress, arguments: &Arguments) -> Result<()> {
    packages::install(paths, progress, &[packages::BUILD, packages::LOAD]).await?;
    let (service, ceiling) = programs(paths, progress, arguments).await?;
    let backends = Backends::new(paths, progress)?;
    let dataset = Dataset {
        paths,
        progress,
        backends: &backends,
        service: &service,
        database: arguments.database,
        board: Board::new(arguments.posts),
    };
    let database = dataset.serve().await?;
    let results = results(paths, progress, arguments, &service).await;
    let measured = tokio::select! {
        measured = measure(arguments, dataset, &database, &ceiling, &results) => measured,
        death = machine::unexpected_end(backends.processes()) => Err(death),
    };
    // What was measured before a failure is worth having.
    println!("\n{}", results.markdown());
    progress.line(&format!("written to {}.md, .csv and .svg", results.place()));
    measured
}

/// The service and the ceiling.
async fn programs(
    paths: &Paths,
    progress: &Progress,
    arguments: &Arguments,
) -> Result<(PathBuf, PathBuf)> {
    const CEILING: &str = "ceiling";
    let [service, operator] = images::PROGRAMS;
    // The operator for the sake of what it shares with the service.
    let packages = match arguments.binary {
        Some(_) => &[CEILING][..],
        None => &[service, operator, CEILING],
    };
    let built = machine::build(paths, progress, packages, arguments.profile).await?;
    let program = match &arguments.binary {
        Some(binary) => std::path::absolute(binary)?,
        None => built.join(service),
    };
    ensure!(program.is_file(), "no service at {}", program.display());
    Ok((program, built.join(CEILING)))
}

async fn results<'a>(
    paths: &Paths,
    progress: &'a Progress,
    arguments: &Arguments,
    service: &Path,
) -> Results<'a> {
    let folder = arguments.output.clone();
    let folder = folder.unwrap_or_else(|| paths.checkout.join("target/bench"));
    let what = if arguments.overload {
        "overload"
    } else {
        "service"
    };
    let stem = format!(
        "{what}-{}-{}",
        arguments.database.name(),
        round(arguments.posts)
    );
    let mut facts = machine::facts(paths, arguments.profile, ("service", service)).await;
    let load = std::fs::read_to_string("/proc/loadavg").unwrap_or_default();
    facts.push(("load of the machine before", load.trim().to_owned()));
    facts.push(("posts", arguments.posts.to_string()));
    facts.push(("seconds of each measurement", arguments.seconds.to_string()));
    Results::new(progress, folder, stem, facts)
}

async fn measure(
    arguments: &Arguments,
    dataset: Dataset<'_>,
    database: &str,
    ceiling: &Path,
    results: &Results<'_>,
) -> Result<()> {
    let processes = dataset.backends.processes();
    let mut counters = Counters::connect(database, dataset.database).await?;
    results.fact("database", counters.version().await?)?;
    let issuer = Issuer::start().await?;
    let service = Target::service(processes, dataset.service, database, &issuer).await?;
    let started = service.first_answer.as_secs_f64() * 1e3;
    results.fact(
        "start to first answer",
        format!("{started:.0} ms (limit 300 ms)"),
    )?;
    results.fact(
        "RSS after the start",
        format!("{:.1} MiB", service.resident()?),
    )?;
    let kinds = kinds(&arguments.only);
    let why = "asking the service for places in its lists and for the length of its answers";
    let gather = async |_step| {
        let mut material = Material::gather(dataset.board, &service.url, &issuer).await?;
        let lengths = lengths(&kinds, &material, &service.url).await?;
        // Some of these requests have created posts.
        material.find_places(&service.url).await?;
        Ok((material, lengths))
    };
    let (material, lengths) = dataset.progress.step("requests", why, gather).await?;
    let routes = (dataset.database, &lengths);
    let ceiling = Target::ceiling(processes, ceiling, database, routes).await?;
    let why = "comparing the posts in the ceiling's answers with the service's";
    let compare = async |_step| {
        let urls = (&*service.url, &*ceiling.url);
        same::expect_the_same_posts(&kinds, &material, urls).await
    };
    for kind in dataset.progress.step("ceiling", why, compare).await? {
        let line = format!("not compared, since the service gave it up: {kind}");
        dataset.progress.line(&line);
    }
    let before = counters.read().await?;
    let mut bench = Bench {
        board: dataset.board,
        service,
        ceiling,
        counters,
        material,
        wrk: Wrk::new(dataset.backends.data(), processes.log("wrk"))?,
        time: Duration::from_secs(arguments.seconds),
        sent: 0,
    };
    for kind in kinds {
        let (progress, name) = (dataset.progress, kind.title());
        if arguments.overload {
            if overload::KINDS.contains(&kind) {
                let all = async |_step| bench.overloaded(kind, results).await;
                progress.step(name, "four times its peak", all).await?;
            }
            continue;
        }
        let why = format!("measuring on {:?} connections", arguments.connections);
        let all = async |_step| bench.kind(kind, &arguments.connections, results).await;
        progress.step(name, &why, all).await?;
    }
    let deadlocks = bench.counters.read().await?.since(before).deadlocks;
    results.fact(
        "deadlocks, those of the ceiling among them",
        format!("{deadlocks:.0}"),
    )?;
    let calm = async |_step| {
        tokio::time::sleep(CALM).await;
        bench.service.resident()
    };
    let why = "waiting for what the service gives back";
    let resident = dataset.progress.step("memory", why, calm).await?;
    results.fact(
        "RSS five seconds after the last request",
        format!("{resident:.1} MiB (limit 25 MiB)"),
    )?;
    bench.ceiling.stop().await?;
    bench.service.stop().await
}

/// Those that were chosen, in the order in which they are measured.
fn kinds(only: &[Kind]) -> Vec<Kind> {
    let all = Kind::value_variants().iter().copied();
    all.filter(|kind| only.is_empty() || only.contains(kind))
        .collect()
}

/// The average length of the service's answers to each kind of request.
async fn lengths(
    kinds: &[Kind],
    material: &Material,
    url: &str,
) -> Result<HashMap<&'static str, (Kind, usize)>> {
    let client = reqwest::Client::new();
    let mut lengths = HashMap::new();
    for kind in kinds.iter().flat_map(|kind| kind.parts()) {
        let mut bytes = 0;
        for number in 0..ANSWERS {
            let line = kind.service_line(material, number);
            let answer = request(&client, url, &line)?.send().await?;
            // A search that takes too long is refused, and measured all the same.
            let status = answer.status();
            if !status.is_success() && status != reqwest::StatusCode::SERVICE_UNAVAILABLE {
                let text = answer.text().await?;
                bail!("the service answers {status} to {}: {text}", kind.title());
            }
            bytes += answer.bytes().await?.len();
        }
        let average = bytes / usize::try_from(ANSWERS)?;
        lengths.insert(kind.name(), (kind, average));
    }
    Ok(lengths)
}

/// The request of a line, as wrk's script sends it.
fn request(client: &reqwest::Client, url: &str, line: &str) -> Result<reqwest::RequestBuilder> {
    let mut fields = line.split('\t');
    let mut field = || fields.next().context("a line is too short");
    let (method, path, body) = (field()?, field()?, field()?.to_owned());
    let mut request = client
        .request(method.parse()?, format!("{url}{path}"))
        .header("Content-Type", "application/json")
        .body(body);
    for header in fields {
        let (name, value) = header.split_once(": ").context("a header has no value")?;
        request = request.header(name, value);
    }
    Ok(request)
}

/// Everything that runs, and how far it is.
struct Bench<'a> {
    board: Board,
    service: Target<'a>,
    ceiling: Target<'a>,
    counters: Counters,
    material: Material,
    wrk: Wrk,
    time: Duration,
    /// Requests made until now: no measurement repeats another's, unless it shall.
    sent: u64,
}

impl Bench<'_> {
    const WARM_UP: Load = Load {
        connections: 16,
        time: Duration::from_secs(1),
        pause: Duration::ZERO,
    };

    async fn overloaded(&mut self, kind: Kind, results: &Results<'_>) -> Result<()> {
        let (service, _) = self.lines(kind);
        self.wrk
            .run(&self.service.url, &service, Self::WARM_UP)
            .await?;
        results.overload(self.overload(kind).await?)?;
        self.service.empty_log()
    }

    async fn kind(&mut self, kind: Kind, connections: &[u32], results: &Results<'_>) -> Result<()> {
        let (service, ceiling) = self.lines(kind);
        for (target, lines) in [(&self.service, service), (&self.ceiling, ceiling)] {
            self.wrk.run(&target.url, &lines, Self::WARM_UP).await?;
            self.counters.settle().await?;
        }
        for connections in connections {
            let row = self.row(kind, *connections).await?;
            if row.ceiling.errors > 0.0 {
                bail!(
                    "the ceiling fails in {} requests of {}",
                    row.ceiling.errors,
                    kind.title()
                );
            }
            results.add(row)?;
        }
        self.service.empty_log()
    }

    async fn row(&mut self, kind: Kind, connections: u32) -> Result<Row> {
        let (service, ceiling) = self.lines(kind);
        let (before, processor) = (self.counters.read().await?, self.service.processor()?);
        let sample = self.send(&service, connections, true).await?;
        let processor = self.service.processor()? - processor;
        let count = self.counters.read().await?.since(before);
        self.counters.settle().await?;
        let resident = self.service.resident()?;
        let ceiling = self.send(&ceiling, connections, false).await?;
        self.counters.settle().await?;
        let requests = sample.requests.max(1.0);
        Ok(Row {
            kind,
            connections,
            service: sample,
            ceiling,
            statements: count.statements / requests,
            rows: count.rows / requests,
            processor: processor / requests * 1e4,
            resident,
            limits: kind.limits(connections, self.board),
        })
    }

    async fn send(&self, lines: &[String], connections: u32, to_service: bool) -> Result<Sample> {
        let target = if to_service {
            &self.service
        } else {
            &self.ceiling
        };
        let load = Load {
            connections,
            time: self.time,
            pause: Duration::ZERO,
        };
        self.wrk.run(&target.url, lines, load).await
    }

    /// The next requests to the service, and to the ceiling.
    fn lines(&mut self, kind: Kind) -> (Vec<String>, Vec<String>) {
        let first = if kind.is_repeated() { 0 } else { self.sent };
        let numbers = first..first + kind.requests();
        self.sent = self.sent.max(numbers.end);
        let service = numbers.clone();
        let service = service.map(|n| kind.service_line(&self.material, n));
        let ceiling = numbers.map(|n| kind.ceiling_line(&self.material, n));
        (service.collect(), ceiling.collect())
    }
}

/// Reads `100k`, `10m` or a plain number of posts.
fn posts(text: &str) -> Result<u64, String> {
    let lower = text.to_ascii_lowercase();
    let (digits, factor) = match (lower.strip_suffix('k'), lower.strip_suffix('m')) {
        (Some(thousands), _) => (thousands, 1_000),
        (_, Some(millions)) => (millions, 1_000_000),
        _ => (&*lower, 1),
    };
    let number = digits.parse::<u64>().ok();
    let number = number.and_then(|number| number.checked_mul(factor));
    number
        .filter(|number| (1_000..=100_000_000).contains(number))
        .ok_or_else(|| "a number of posts from 1k to 100m, such as 100k".to_owned())
}

/// As [`posts`] reads it.
fn round(posts: u64) -> String {
    match posts {
        millions if millions % 1_000_000 == 0 => format!("{}m", millions / 1_000_000),
        thousands if thousands % 1_000 == 0 => format!("{}k", thousands / 1_000),
        other => other.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_of_posts_are_read_as_they_are_written() {
        for text in ["2k", "100k", "1m", "10m", "1234"] {
            assert_eq!(round(posts(text).unwrap()), text);
        }
        for text in ["", "k", "999", "1g", "-5k", "99999999999m"] {
            assert!(posts(text).is_err(), "{text}");
        }
    }

    #[test]
    fn chosen_kinds_are_measured_in_the_usual_order() {
        assert_eq!(
            kinds(&[Kind::Detail, Kind::List]),
            [Kind::List, Kind::Detail]
        );
        assert_eq!(kinds(&[]).len(), Kind::value_variants().len());
    }

    #[test]
    fn a_line_becomes_the_request_that_it_says() {
        let line = "POST\t/a?b=c\t{\"d\":1}\tX-E: f: g";
        let client = reqwest::Client::new();
        let request = super::request(&client, "http://127.0.0.1:1", line).unwrap();
        let request = request.build().unwrap();
        assert_eq!(request.url().as_str(), "http://127.0.0.1:1/a?b=c");
        assert_eq!(request.headers()["x-e"], "f: g");
        assert_eq!(request.body().unwrap().as_bytes(), Some(&b"{\"d\":1}"[..]));
    }
}
