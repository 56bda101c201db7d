//! What measurements have in common: how programs are built, what of them the kernel tells, and the
//! machine.

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result};
use clap::ValueEnum;

use crate::command::Command;
use crate::images;
use crate::paths::Paths;
use crate::process::Processes;
use crate::progress::{Progress, Step};

const MIB: f64 = 1024.0 * 1024.0;

/// How a measured program is built.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(super) enum Profile {
    Release,
    Dev,
}

/// Ends when a program has ended that nobody stopped: nothing can come of the rest.
pub(super) async fn unexpected_end(processes: &Processes) -> anyhow::Error {
    let mut suspect = None;
    loop {
        tokio::time::sleep(Duration::from_millis(500)).await;
        match processes.dead() {
            // Twice: one that is being stopped is dead for a moment before it is forgotten.
            Some((name, message)) if suspect.as_ref() == Some(&name) => {
                return anyhow::anyhow!(message);
            }
            dead => suspect = dead.map(|(name, _)| name),
        }
    }
}

/// Builds these packages, as images carry them; returns the folder of their programs.
pub(super) async fn build(
    paths: &Paths,
    progress: &Progress,
    packages: &[&str],
    profile: Profile,
) -> Result<PathBuf> {
    let (name, folder) = match profile {
        Profile::Release => (images::PROFILE, "release"),
        Profile::Dev => ("dev", "debug"),
    };
    let why = "compiling what is measured, as images carry it";
    let compile = async |step: Step| images::compile(paths, name, packages, &step).await;
    progress.step("build", why, compile).await?;
    Ok(paths.target().join(folder))
}

/// The machine, and which state of which program is measured.
pub(super) async fn facts(
    paths: &Paths,
    profile: Profile,
    (name, binary): (&'static str, &Path),
) -> Vec<(&'static str, String)> {
    let read = |path: &str, key: &str| {
        let text = std::fs::read_to_string(path).unwrap_or_default();
        let line = text.lines().find(|line| line.starts_with(key));
        let value = line.and_then(|line| line.split_once(':'));
        value.map_or_else(|| "unknown".into(), |(_, value)| value.trim().to_owned())
    };
    let output = async |command: Command| match command.run().await {
        Ok(text) => text.trim().to_owned(),
        Err(_) => "unknown".to_owned(),
    };
    let cores = std::thread::available_parallelism().map_or(0, std::num::NonZero::get);
    let commit = Command::new("git")
        .args(["describe", "--always", "--dirty"])
        .folder(&paths.checkout);
    let mut facts = vec![
        (
            "processor",
            format!("{cores} × {}", read("/proc/cpuinfo", "model name")),
        ),
        ("memory", read("/proc/meminfo", "MemTotal")),
        (name, output(Command::new(binary).arg("--version")).await),
        ("commit", output(commit).await),
    ];
    if profile == Profile::Dev {
        facts.push(("profile", "dev: the figures say nothing".to_owned()));
    }
    facts
}

/// Resident memory of a process, in MiB.
pub(super) fn resident(pid: i32) -> Result<f64> {
    let path = format!("/proc/{pid}/status");
    let status = std::fs::read_to_string(&path)
        .with_context(|| format!("the program ended: cannot read {path}"))?;
    parse_resident(&status).with_context(|| format!("no VmRSS in {path}"))
}

/// Processor time of a process since its start, in seconds.
pub(super) fn processor(pid: i32) -> Result<f64> {
    let path = format!("/proc/{pid}/stat");
    let stat = std::fs::read_to_string(&path)
        .with_context(|| format!("the program ended: cannot read {path}"))?;
    parse_processor(&stat).with_context(|| format!("unexpected content of {path}"))
}

/// `VmRSS` of `/proc/PID/status`, in MiB (proc(5): the unit is kB, meaning 1024 bytes).
fn parse_resident(status: &str) -> Option<f64> {
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix("VmRSS:"))?;
    let kib: f64 = line.split_whitespace().next()?.parse().ok()?;
    Some(kib * 1024.0 / MIB)
}

/// User and system time of `/proc/PID/stat`, in seconds (proc(5), fields 14 and 15; Linux counts
/// them in hundredths for user space).
fn parse_processor(stat: &str) -> Option<f64> {
    let (_, rest) = stat.rsplit_once(')')?;
    let mut fields = rest.split_whitespace().skip(11);
    let user: f64 = fields.next()?.parse().ok()?;
    let system: f64 = fields.next()?.parse().ok()?;
    Some((user + system) / 100.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_and_processor_time_are_read_from_proc() {
        let mib = parse_resident("Name:\tx\nVmHWM:\t 9 kB\nVmRSS:\t   20480 kB\n").unwrap();
        assert!((mib - 20.0).abs() < 1e-9);
        assert_eq!(parse_resident("Name:\tx\n"), None);
        let stat = "7 (a) b) S 1 7 7 0 -1 4194560 1 2 3 4 150 50 7 8 20 0 1 0 987654 1 2 3";
        assert!((parse_processor(stat).unwrap() - 2.0).abs() < 1e-9);
        assert_eq!(parse_processor("7 (a"), None);
    }
}
