//! For people.

use crate::report::Report;

/// The report.
pub fn body(report: &Report, _colour: bool) -> String {
    format!("{} sites\n", report.sites.len())
}

/// What the second snapshot said of the first.
pub fn confirmation(_first: &Report, _second: &Report) -> String {
    "confirmed\n".to_owned()
}

/// What could not be seen.
pub fn last_line(report: &Report) -> String {
    format!("{} snapshots\n", report.health.snapshots)
}
