//! Programs that leak threads, their healthy twins, and the truth about what they wait for.
//!
//! A workload (`c/`, `rust/`) knows each of its waits: it stamps them just before the blocking
//! call, lets the kernel confirm that every one of them is blocked, and prints them as JSON lines
//! (`c/truth.h` is the protocol). [`build`] makes one in a [`Variant`], [`Running`] runs it.
//!
//! This crate knows nothing of leakprobe, so that `cargo xtask` can use it before there is one.

mod build;
mod running;
mod truth;

pub use build::{Program, Variant, build, debug_file, repository};
pub use running::Running;
pub use truth::{Truth, Wait};
