//! The watched processes, one line each.

use std::collections::BTreeSet;

use super::{
    super::printable::printable,
    layout::{Page, Piece, Style},
};
use crate::report::{ProcessEntry, Report, humane};

/// How many processes are shown.
const SHOWN: usize = 12;

/// One line for each process that has a waiter, those with the worst sites first; where only few
/// are watched, for each.
pub(super) fn heads(page: &mut Page, report: &Report) {
    let mut seen = BTreeSet::new();
    let mut order: Vec<u32> = (report.sites.iter().flat_map(|site| &site.pids))
        .copied()
        .filter(|pid| seen.insert(*pid))
        .collect();
    if report.processes.len() <= SHOWN {
        let quiet = report.processes.iter().map(|process| process.pid);
        order.extend(quiet.filter(|pid| seen.insert(*pid)));
    }
    let by_pid = |pid: &u32| report.processes.iter().find(|process| process.pid == *pid);
    let shown: Vec<&ProcessEntry> = order.iter().take(SHOWN).filter_map(by_pid).collect();
    if !shown.is_empty() {
        page.blank();
    }
    for process in shown {
        head(page, report, process);
    }
    let rest = order.len().saturating_sub(SHOWN);
    if rest > 0 {
        page.line(&format!("and {rest} more processes with waiters"), Style::Dim);
    }
}

fn head(page: &mut Page, report: &Report, process: &ProcessEntry) {
    let mut pieces = vec![Piece::new(
        "",
        printable(&format!("{} ({})", process.name, process.pid)),
        Style::Bold,
    )];
    let mut add = |text: &str| pieces.push(Piece::new("  ", printable(text), Style::Plain));
    if process.ns_pid != process.pid {
        add(&format!("pid {} in its namespace", process.ns_pid));
    }
    if let Some(exe) = &process.exe {
        add(exe);
    }
    for runtime in &process.runtimes {
        match &runtime.version {
            Some(version) => add(&format!("{} {version}", runtime.name)),
            None => add(&runtime.name),
        }
    }
    add(&format!("{} thread{}", process.threads, if process.threads == 1 { "" } else { "s" }));
    if let Some(goroutines) = &process.goroutines {
        add(&format!("{} goroutines", goroutines.values().sum::<u64>()));
    }
    if let Some(up) = seconds_between(&process.started, &report.at) {
        add(&format!("up {}", humane(up)));
    }
    if let Some(cgroup) = process.cgroup.as_deref().filter(|path| *path != "/") {
        add(cgroup);
    }
    page.fill(&pieces, 4);
}

/// Seconds between two RFC 3339 times.
fn seconds_between(from: &str, to: &str) -> Option<f64> {
    let from: jiff::Timestamp = from.parse().ok()?;
    let to: jiff::Timestamp = to.parse().ok()?;
    Some((to.as_millisecond() - from.as_millisecond()) as f64 / 1e3)
}
