//! What a second look says of the first.

use super::super::printable::printable;
use crate::report::{Report, Verdict, humane};

/// One line: how many of the first report's waits go on, and what is thought of them now. `second`
/// must be the next report of the same run.
pub fn confirmation(first: &Report, second: &Report) -> String {
    let after = humane(second.watched_seconds - first.watched_seconds);
    let before = waiters(first, |_| true);
    let now = waiters(second, |_| true);
    let ended = second.finished_waits.saturating_sub(first.finished_waits).min(before);
    let still = before - ended;
    let new = now.saturating_sub(still);
    let mut line = match (before, ended) {
        (0, _) => format!("{after} later: nothing waited at first"),
        (1, 0) => format!("confirmed {after} later: it still waits"),
        (_, 0) => format!("confirmed {after} later: all {before} still wait"),
        _ => format!("{after} later: {still} of {before} still wait, {ended} ended"),
    };
    if new > 0 {
        line.push_str(&format!(", {new} new"));
    }
    let leaked = |report: &Report| waiters(report, |verdict| verdict == Verdict::Leaked);
    match (leaked(first), leaked(second)) {
        (0, 0) => {}
        (was, is) if was == is => line.push_str(&format!("; the {is} leaked are confirmed")),
        (was, is) => line.push_str(&format!("; leaked: {is} (at first {was})")),
    }
    if first.answer != second.answer && leaked(first) != leaked(second) {
        line.push_str(&format!(". Now: {}", second.answer));
    }
    printable(&line).into_owned()
}

fn waiters(report: &Report, verdict: impl Fn(Verdict) -> bool) -> u64 {
    let sites = report.sites.iter().filter(|site| verdict(site.verdict));
    sites.map(|site| site.count).sum()
}
