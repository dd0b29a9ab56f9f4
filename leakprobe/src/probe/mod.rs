//! All that touches BPF, and the rungs below it.
//!
//! Loads the embedded object, finds out what this kernel allows, resolves struct offsets from the
//! running kernel's BTF and passes them in as globals, and reads tasks. Where the kernel refuses,
//! the same comes from /proc, with what is lost said in [`Health`](crate::snapshot::Health).

mod btf;
mod clock;
mod error;
mod features;
mod iter;
#[cfg(test)]
mod live_tests;
mod log;
mod object;
mod offsets;
mod procfs;
mod record;
mod state;
mod task;
mod tasks;

pub use clock::{clock_now, monotonic_now};
pub use error::ProbeError;
pub use features::{Ability, Features, features};
pub use iter::IterTasks;
pub use procfs::ProcTasks;
pub use task::{Registers, Task, TaskSince, TaskState};
pub use tasks::{Source, TaskPass, Watch};
