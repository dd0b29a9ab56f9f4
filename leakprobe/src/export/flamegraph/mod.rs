//! The report as a flame graph (SVG): what waits where, at a glance.

use std::io::{self, Write};

use inferno::flamegraph::{Direction, Options, Palette, color::BasicPalette, from_lines};

pub use super::folded::Weight;
use super::{folded, printable::printable};
use crate::report::Report;

/// Writes the graph: programs at the bottom, what is waited for at the top.
pub fn write(report: &Report, weight: Weight, mut out: impl Write) -> io::Result<()> {
    let lines = folded::lines(report, weight);
    if lines.is_empty() {
        // inferno draws an error message here, but nothing that waits is no error.
        return out.write_all(EMPTY.as_bytes());
    }
    let mut options = Options::default();
    options.title = title(report);
    options.subtitle = Some(printable(&report.answer).into_owned());
    options.count_name = weight.unit().to_owned();
    options.name_type = "Frame:".to_owned();
    options.direction = Direction::Straight;
    // The same report gives the same picture.
    options.deterministic = true;
    // Blue is what off-CPU graphs are drawn in.
    options.colors = Palette::Basic(BasicPalette::Blue);
    from_lines(&mut options, lines.iter().map(String::as_str), out)
}

fn title(report: &Report) -> String {
    let what = match report.processes.as_slice() {
        [process] => format!("{} ({})", process.name, process.pid),
        processes => format!("{} processes", processes.len()),
    };
    let title = format!("Blocked in {what} on {} at {}", report.host, report.at);
    printable(&title).into_owned()
}

const EMPTY: &str = r#"<?xml version="1.0" standalone="no"?>
<svg version="1.1" width="600" height="60" xmlns="http://www.w3.org/2000/svg">
<text x="20" y="36" font-family="monospace" font-size="14">nothing is blocked</text>
</svg>
"#;

#[cfg(test)]
mod tests;
