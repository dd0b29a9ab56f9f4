//! What there is to test, from the workspace itself, so that nothing new is forgotten.

use anyhow::{Context, Result};
use serde::Deserialize;

use crate::command::{cargo, output};

/// The package whose tests need a real kernel and real programs.
const TESTS: &str = "leakprobe-tests";
/// The package that can't be built for this machine.
const FOR_BPF: &str = "leakprobe-ebpf";

/// What there is to test.
pub struct Members {
    /// All packages. Every stage names them all: cargo builds a dependency anew where other
    /// packages ask for other features of it.
    pub packages: Vec<String>,
    /// Integration tests that need no more than unit tests do.
    pub light: Vec<String>,
    /// The others, in their manifest's order.
    pub real: Vec<String>,
}

#[derive(Deserialize)]
struct Metadata {
    packages: Vec<Package>,
}

#[derive(Deserialize)]
struct Package {
    name: String,
    targets: Vec<Target>,
}

#[derive(Deserialize)]
struct Target {
    name: String,
    kind: Vec<String>,
}

/// Asks cargo.
pub fn read() -> Result<Members> {
    let metadata = output(&mut cargo(&["metadata", "--no-deps", "--format-version=1"]))?;
    let metadata: Metadata =
        serde_json::from_str(&metadata).context("`cargo metadata` wrote something unknown")?;
    let mut members = Members { packages: Vec::new(), light: Vec::new(), real: Vec::new() };
    for package in metadata.packages.into_iter().filter(|package| package.name != FOR_BPF) {
        let targets = package.targets.into_iter();
        let tests = targets
            .filter(|target| target.kind.iter().any(|kind| kind == "test"))
            .map(|target| target.name);
        match package.name.as_str() {
            TESTS => members.real.extend(tests),
            _ => members.light.extend(tests),
        }
        members.packages.push(package.name);
    }
    Ok(members)
}
