//! `cargo xtask ci`: the checks that run no program of ours.

use anyhow::{Result, bail};

use crate::{command, command::cargo, ebpf};

/// A check: its name, and what runs it.
pub type Check = (&'static str, fn() -> Result<()>);

/// All checks, the quickest first.
pub const CHECKS: &[Check] = &[("format", format), ("lints", lints), ("BPF object", ebpf::check)];

/// Runs all of them, also after a failure.
pub fn run() -> Result<()> {
    let mut failed = Vec::new();
    for (name, check) in CHECKS {
        if let Err(error) = check() {
            eprintln!("{name}: {error:#}");
            failed.push(*name);
        }
    }
    if !failed.is_empty() {
        bail!("failed: {}", failed.join(", "));
    }
    Ok(())
}

fn format() -> Result<()> {
    command::run(&mut cargo(&["fmt", "--all", "--check"]))
}

/// Only of the default members: the others need the BPF toolchain.
fn lints() -> Result<()> {
    command::run(&mut cargo(&["clippy", "--all-targets", "--locked", "--", "-D", "warnings"]))
}
