//! Stock kernels other than the running one, booted in QEMU.
//!
//! A guest is a Debian kernel, unpacked but not installed, and an initramfs made on the spot: a
//! static busybox, the files that the test names, and an `/init` that mounts what leakprobe reads,
//! runs one script and powers off. What the script leaves in `/out` comes back over the second
//! serial port, byte for byte; the first one is the console.
//!
//! Emulation is in software: hardware virtualisation is often absent where tests run, and slow but
//! the same everywhere beats fast here and hanging there. A guest is up in about 2 seconds, off a
//! second later, runs 5 to 20 times slower than the host and sends 0.5 MB/s: give deadlines in tens
//! of seconds.
//!
//! This crate knows nothing of leakprobe, so that `cargo xtask` can use it before there is one.

mod boot;
mod initramfs;
mod kernel;
mod parcel;

pub use boot::{GuestFile, Outcome, boot};
pub use kernel::{KERNELS, Kernel, cache_dir, newest};
