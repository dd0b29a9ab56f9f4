//! What there is to test, from the workspace itself, so that nothing new is forgotten.

use anyhow::{Context, Result};
use serde::Deserialize;

use crate::command::{cargo, output};

/// The package with the integration tests.
pub const TESTS: &str = "leakprobe-tests";
/// The package that can't be built for this machine.
const FOR_BPF: &str = "leakprobe-ebpf";

/// What there is to test.
pub struct Members {
    /// Packages with tests of their own code only.
    pub units: Vec<String>,
    /// The integration tests, in their manifest's order.
    pub targets: Vec<String>,
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
    let mut members = Members { units: Vec::new(), targets: Vec::new() };
    for package in metadata.packages {
        match package.name.as_str() {
            FOR_BPF => {}
            TESTS => members.targets.extend(
                package
                    .targets
                    .into_iter()
                    .filter(|target| target.kind.iter().any(|kind| kind == "test"))
                    .map(|target| target.name),
            ),
            _ => members.units.push(package.name),
        }
    }
    Ok(members)
}
