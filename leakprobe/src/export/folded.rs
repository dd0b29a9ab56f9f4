//! Folded stacks.

use std::io::{self, Write};

use crate::report::Report;

/// Writes the report.
pub fn write(report: &Report, mut w: impl Write) -> io::Result<()> {
    writeln!(w, "{}", report.sites.len())
}
