//! From a finished report to bytes.

pub mod flamegraph;
pub mod folded;
pub mod json;
pub mod text;
