//! Owns clocks and threads: takes snapshots until the plan is fulfilled.

mod plan;

pub use plan::{Plan, Targets};
