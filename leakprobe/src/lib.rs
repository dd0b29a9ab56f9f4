//! leakprobe: which threads and tasks are blocked, since when, on what, and can anything still wake
//! them.
//!
//! ```text
//! kernel ─▶ probe ─┐
//!                  ├─▶ snapshot ─▶ track ─▶ verdict ─▶ report ─▶ export
//! target ─▶ runtime┘      (raw addresses)             (names, once)   (bytes)
//!    memory   │
//!    ELF      └─ process, stack serve probe, runtime and report
//! ```
//!
//! Each stage hands on one type and knows nothing of the stages to its right. Only `session` owns
//! clocks and threads; only `cli` calls `session` and `export`. No target is ever stopped,
//! signalled, written to or injected into, and everything that could not be seen is counted by
//! cause in [`snapshot::Health`] and printed.

pub mod cli;
pub mod export;
pub mod probe;
pub mod process;
pub mod report;
pub mod runtime;
pub mod session;
pub mod snapshot;
pub mod stack;
pub mod track;
pub mod verdict;
