//! One full report, exec to exit, against `eu-stack -p` on the same process in the same run.

use std::{
    collections::HashSet, fmt::Write as _, path::Path, process::Command, thread::sleep,
    time::Duration,
};

use anyhow::{Context, Result, ensure};
use leakprobe_workloads::Running;

use super::{
    Findings, largest,
    measured::{self, Measured},
    median,
};

const WANTED_RATIO: f64 = 50.0;
const WANTED_RSS_MIB: f64 = 150.0;

/// Measures both in turns: leakprobe's runs stand before, between and after the peer's.
fn in_turns(leakprobe: &Path, many: &mut Running, quick: bool) -> Result<[Vec<Measured>; 2]> {
    let (rounds, runs) = if quick { (1, 2) } else { (2, 4) };
    let pid = many.pid().to_string();
    let mut ours = Vec::new();
    let mut theirs = Vec::new();
    for round in 0..=rounds {
        for _ in 0..runs {
            let mut command = Command::new(leakprobe);
            command.args(["--json", "--duration", "0", "--pid", &pid]);
            let one = measured::measure(&mut command, Duration::from_secs(60))?;
            check_report(&one.stdout)?;
            ours.push(one);
        }
        if round < rounds {
            let mut command = Command::new("eu-stack");
            command.args(["-p", &pid]);
            let one = measured::measure(&mut command, Duration::from_secs(300))?;
            check_stacks(&one.stdout)?;
            theirs.push(one);
            // It stopped every thread, and so began every wait anew: leakprobe leaves out those
            // shorter than a second.
            sleep(Duration::from_millis(1500));
        }
    }
    Ok([ours, theirs])
}

/// Measures both, and says whether leakprobe is as far ahead as it should be.
pub fn measure(leakprobe: &Path, many: &mut Running, quick: bool) -> Result<Findings> {
    let [ours, theirs] = in_turns(leakprobe, many, quick)?;
    let mut markdown = String::from(
        "\n### A full report\n\n\
         | command | runs | median, s | fastest, s | slowest, s | CPU, s | peak memory, MiB |\n\
         | --- | --- | --- | --- | --- | --- | --- |\n",
    );
    let our_median = row(&mut markdown, "leakprobe --json --duration 0 --pid", &ours);
    let their_median = row(&mut markdown, "eu-stack -p", &theirs);
    let ratio = their_median / our_median.max(1e-9);
    let rss = largest(ours.iter().map(|m| m.peak_rss as f64 / 1_048_576.0));
    let _ = writeln!(
        markdown,
        "\nRatio of the medians: **{ratio:.0}** (wanted: at least {WANTED_RATIO:.0}). Peak memory \
         of leakprobe: **{rss:.0} MiB** (wanted: under {WANTED_RSS_MIB:.0})."
    );
    let mut missed = Vec::new();
    if ratio < WANTED_RATIO {
        missed.push(format!("only {ratio:.1} times as fast as eu-stack"));
    }
    if rss >= WANTED_RSS_MIB {
        missed.push(format!("{rss:.0} MiB of memory"));
    }
    Ok(Findings { markdown, missed })
}

/// One line of the table; returns its median.
fn row(markdown: &mut String, name: &str, runs: &[Measured]) -> f64 {
    let seconds: Vec<f64> = runs.iter().map(|m| m.wall.as_secs_f64()).collect();
    let fastest = seconds.iter().copied().fold(f64::INFINITY, f64::min);
    let middle = median(seconds.clone());
    let _ = writeln!(
        markdown,
        "| `{name}` | {} | {middle:.3} | {fastest:.3} | {:.3} | {:.3} | {:.0} |",
        runs.len(),
        largest(seconds.iter().copied()),
        median(runs.iter().map(|m| m.cpu.as_secs_f64()).collect()),
        largest(runs.iter().map(|m| m.peak_rss as f64 / 1_048_576.0)),
    );
    middle
}

/// A report is only full if every thread is in it, over all of its stacks, by name.
fn check_report(json: &str) -> Result<()> {
    let report: serde_json::Value = serde_json::from_str(json).context("leakprobe's report")?;
    let sites = report["sites"].as_array().context("the report has no sites")?;
    let waiters: u64 = sites.iter().filter_map(|s| s["count"].as_u64()).sum();
    ensure!(waiters >= 10_000, "the report has {waiters} of 10,000 waiters");
    let leaves: HashSet<&str> = sites
        .iter()
        .flat_map(|site| site["stack"].as_array().into_iter().flatten())
        .filter_map(|frame| frame["function"].as_str())
        .filter(|name| name.starts_with("leaf_"))
        .collect();
    ensure!(leaves.len() == 250, "the report names {} of 250 stacks", leaves.len());
    Ok(())
}

/// So is eu-stack's.
fn check_stacks(text: &str) -> Result<()> {
    let threads = text.lines().filter(|line| line.starts_with("TID ")).count();
    ensure!(threads >= 10_000, "eu-stack printed {threads} of 10,000 threads");
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    // Check that a report that lacks threads, stacks or names is not taken for a full one.
    #[test]
    fn half_a_report_is_refused() {
        let report = |count: u64, leaves: usize| {
            let sites: Vec<String> = (0..leaves)
                .map(|i| format!(r#"{{"count":{count},"stack":[{{"function":"leaf_{i}"}}]}}"#))
                .collect();
            format!(r#"{{"sites":[{}]}}"#, sites.join(","))
        };
        assert!(check_report(&report(40, 250)).is_ok());
        assert!(check_report(&report(39, 250)).is_err());
        assert!(check_report(&report(50, 249)).is_err());
        assert!(check_report("{}").is_err());
        assert!(check_stacks("TID 1:\n#0 0x1 read\n").is_err());
    }
}
