//! All that touches BPF, and the rungs below it.
//!
//! Loads the embedded object, finds out what this kernel allows, resolves struct offsets from the
//! running kernel's BTF and passes them in as globals, and reads tasks. Where the kernel refuses,
//! the same comes from /proc, with what is lost said in [`Health`](crate::snapshot::Health).

mod task;

pub use task::{Registers, Task, TaskSince, TaskState};

mod features;
pub use features::{Ability, Features, features};
