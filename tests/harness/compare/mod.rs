//! Holding a report against the truth.

use std::{collections::HashMap, time::Duration};

use anyhow::{Context, Result, bail};
use leakprobe::report::{Report, Site, Verdict, Waiter};

use crate::{
    site_table,
    workloads::{Program, Running, Truth, Variant},
};
use check::Check;

mod check;
#[cfg(test)]
mod tests;

/// How good ages must be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ages {
    /// As exact as this.
    Within(Duration),
    /// Ranges that hold the truth.
    Range,
}

/// What can be seen of a workload at all.
#[derive(Clone, Copy, Debug)]
pub struct Sight {
    /// Its functions have names, files and lines.
    pub names: bool,
    /// It runs on musl.
    pub musl: bool,
    /// Its locks record who holds them, and so allow proofs.
    pub owners: bool,
    /// How good ages must be.
    pub ages: Ages,
}

impl Sight {
    /// What can be seen of a program built in some way.
    pub fn of(program: Program, variant: Variant) -> Self {
        Sight {
            names: variant.has_names(),
            musl: variant.is_musl(),
            owners: !variant.is_musl() && program != Program::RustWaits,
            ages: Ages::Within(Duration::from_millis(50)),
        }
    }

    /// The same where ages are only ranges.
    #[must_use]
    pub fn with_ranges(mut self) -> Self {
        self.ages = Ages::Range;
        self
    }
}

/// A process whose truth is known.
#[derive(Debug)]
pub struct Target<'a> {
    /// The truth.
    pub truth: &'a Truth,
    /// Its process id where leakprobe runs.
    pub pid: u32,
    /// The thread ids there, by those that the truth uses.
    pub tids: HashMap<u32, u32>,
    /// `CLOCK_REALTIME` less `CLOCK_MONOTONIC`, ns.
    pub clock_offset_ns: i64,
}

impl<'a> Target<'a> {
    /// A running workload, seen from here.
    ///
    /// # Errors
    ///
    /// It is gone.
    pub fn of(running: &'a Running) -> Result<Self> {
        Ok(Target {
            truth: &running.truth,
            pid: running.pid(),
            tids: running.tids()?,
            clock_offset_ns: clock_offset_ns(),
        })
    }

    /// A running workload, seen from inside its own PID namespace.
    ///
    /// # Errors
    ///
    /// It is gone.
    pub fn inside(running: &'a Running) -> Result<Self> {
        let mut target = Self::of(running)?;
        target.pid = running.truth.pid;
        target.tids = target.tids.keys().map(|&tid| (tid, tid)).collect();
        Ok(target)
    }

    fn tid(&self, own: u32) -> u32 {
        self.tids.get(&own).copied().unwrap_or(own)
    }
}

fn clock_offset_ns() -> i64 {
    let read = |clock| {
        let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
        // SAFETY: `time` is a valid timespec to write to.
        unsafe { libc::clock_gettime(clock, &mut time) };
        time.tv_sec * 1_000_000_000 + time.tv_nsec
    };
    read(libc::CLOCK_REALTIME) - read(libc::CLOCK_MONOTONIC)
}

/// Fails unless the report says of every wait of the target what is true: its site, function,
/// reason, object, owner, age and verdict; and calls nothing else leaked.
///
/// # Errors
///
/// All that is wrong, followed by the report's sites.
pub fn assert_truth(report: &Report, target: &Target<'_>, sight: &Sight) -> Result<()> {
    let mut wrong = Vec::new();
    let at_ns = moment_ns(&report.at)?;
    for wait in &target.truth.waits {
        let tid = target.tid(wait.tid);
        let found: Vec<(&Site, &Waiter)> = report
            .sites
            .iter()
            .flat_map(|s| s.waiters.iter().map(move |w| (s, w)))
            .filter(|(_, w)| w.pid == target.pid && w.id == tid.to_string())
            .collect();
        let [(site, waiter)] = found[..] else {
            wrong.push(format!(
                "{} (tid {tid}) stands in {} sites, not in one",
                wait.function(),
                found.len()
            ));
            continue;
        };
        let check = Check::new(wait, site, waiter, target, sight);
        let place = wait.function();
        let said = check.all(at_ns).into_iter();
        wrong.extend(said.map(|w| format!("{place} (tid {tid}): {w}")));
    }
    strangers(report, target, &mut wrong);
    if wrong.is_empty() {
        return Ok(());
    }
    let many = wrong.len();
    wrong.truncate(40);
    bail!(
        "{many} things are not as they should be:\n  {}\n{}",
        wrong.join("\n  "),
        site_table(report)
    )
}

/// RFC 3339 to nanoseconds since 1970.
fn moment_ns(text: &str) -> Result<i64> {
    let moment: jiff::Timestamp =
        text.parse().with_context(|| format!("the report's time is {text:?}"))?;
    i64::try_from(moment.as_nanosecond()).context("the report's time is out of range")
}

/// Whoever isn't in the truth may wait anywhere, but is never leaked.
fn strangers(report: &Report, target: &Target<'_>, wrong: &mut Vec<String>) {
    let leaked = report
        .sites
        .iter()
        .filter(|s| s.verdict == Verdict::Leaked)
        .flat_map(|s| &s.waiters)
        .filter(|w| w.pid == target.pid);
    for waiter in leaked {
        let is_it = |own: u32| waiter.id == target.tid(own).to_string();
        if !target.truth.waits.iter().any(|w| is_it(w.tid)) {
            wrong.push(format!("thread {} is not leaked", waiter.id));
        }
    }
}
