//! The processes a snapshot looked at.

use serde::{Deserialize, Serialize};

/// Index into [`Snapshot::processes`](super::Snapshot).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct ProcessIx(pub u32);

/// A watched process. Its identity is (`pid`, `start_boottime_ns`, `exec`).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Process {
    /// Thread group id in leakprobe's PID namespace.
    pub pid: u32,
    /// Thread group id in the process's own PID namespace.
    pub ns_pid: u32,
    /// `CLOCK_BOOTTIME` of its creation, nanoseconds.
    pub start_boottime_ns: u64,
    /// Moves at each execve; opaque.
    pub exec: u64,
    /// Name of its main thread.
    pub name: String,
    /// Its executable, as the process sees it.
    pub exe: Option<String>,
    /// Build id of the executable.
    pub build_id: Option<String>,
    /// Path of its cgroup.
    pub cgroup: Option<String>,
    /// User id it runs as.
    pub uid: Option<u32>,
    /// Runtimes found in it.
    pub runtimes: Vec<Runtime>,
    /// Live threads, blocked or not.
    pub threads: u32,
    /// Goroutines by state, where it is a Go program.
    pub goroutines: Option<std::collections::BTreeMap<String, u64>>,
}

/// A language runtime found in a process.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Runtime {
    /// `glibc`, `musl`, `go` …
    pub name: String,
    /// Its version, where known.
    pub version: Option<String>,
}
