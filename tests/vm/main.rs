//! leakprobe on stock kernels, in guests: what it says on this machine's kernel, it must say there.
//!
//! Needs no root here: it is root in the guest. `cargo xtask setup` fetches kernels, `cargo xtask
//! dist` makes the static binary.

use std::{path::PathBuf, process::ExitCode};

use leakprobe_guest::Kernel;
use leakprobe_tests::{Trials, workloads::repository};

mod boot;
mod spine;

fn main() -> ExitCode {
    let mut trials = Trials::default();
    boot::add(&mut trials);
    spine::add(&mut trials);
    trials.run()
}

/// What a guest with this kernel lacks here.
fn missing(kernel: &str) -> Option<&'static str> {
    match Kernel::named(kernel).and_then(Kernel::image) {
        Ok(_) => None,
        Err(_) => Some("its kernel is not here: run `cargo xtask setup`"),
    }
}

/// The static leakprobe: `LEAKPROBE_STATIC`, else where `cargo xtask dist` leaves it.
fn static_leakprobe() -> PathBuf {
    if let Some(path) = std::env::var_os("LEAKPROBE_STATIC") {
        return path.into();
    }
    std::env::var_os("CARGO_TARGET_DIR")
        .map_or_else(|| repository().join("target"), PathBuf::from)
        .join("dist/leakprobe")
}
