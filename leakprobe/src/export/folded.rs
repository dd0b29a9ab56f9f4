//! Folded stacks, one line each: `program;outermost;…;innermost;reason N`, as inferno,
//! flamegraph.pl, speedscope and others read them.

use std::{
    collections::BTreeMap,
    io::{self, Write},
};

use super::printable::printable;
use crate::report::{Report, Site, Verdict};

/// What the number behind a stack, and the width of a flame graph, is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Weight {
    /// How many wait there.
    #[default]
    Waiters,
    /// How long they have waited together, in milliseconds.
    Time,
}

/// Writes the report.
pub fn write(report: &Report, _weight: Weight, mut w: impl Write) -> io::Result<()> {
    writeln!(w, "{}", report.sites.len())
}
