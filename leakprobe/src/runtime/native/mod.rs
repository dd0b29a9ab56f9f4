//! OS threads: glibc, musl and Rust's std, and whatever else makes system calls.

mod descriptor;
mod detect;
mod futex;
mod glibc;
mod musl;
mod places;
mod rust_std;
mod syscall;
mod syscall_names;

pub use detect::{Libc, Native};
pub use places::PlaceCache;
