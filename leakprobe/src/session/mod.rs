//! Owns clocks and threads: takes snapshots until the plan is fulfilled.

mod plan;
mod stand_in;

pub use plan::{Plan, Targets};
pub use stand_in::{Event, SessionError, StopFlag, replay, run};
