//! From a finished report to bytes. Each is a function of the report alone.

pub mod flamegraph;
pub mod folded;
pub mod json;
pub mod text;

mod printable;
