//! For programs.

use std::io::{self, Write};

use crate::report::Report;

/// Writes the report.
pub fn write(report: &Report, mut w: impl Write) -> io::Result<()> {
    serde_json::to_writer_pretty(&mut w, report)?;
    w.write_all(b"\n")
}
