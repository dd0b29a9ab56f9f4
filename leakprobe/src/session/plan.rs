//! What a run is to do: the command line's arguments as a plain struct.

use std::{path::PathBuf, time::Duration};

use crate::report::Verdict;

/// Which processes are watched.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Targets {
    /// All of the machine.
    Machine,
    /// These thread group ids (of leakprobe's PID namespace).
    Pids(Vec<u32>),
}

/// What a run is to do.
#[derive(Clone, Debug, PartialEq)]
pub struct Plan {
    /// Which processes.
    pub targets: Targets,
    /// Only threads whose name, or whose process's name, contains this.
    pub name: Option<String>,
    /// How long after the first snapshot the run ends; `None`: until Ctrl-C (`--watch`).
    /// Zero: one snapshot.
    pub duration: Option<Duration>,
    /// Time between snapshots.
    pub interval: Duration,
    /// Waits older than this are `stuck`.
    pub older: Option<Duration>,
    /// Shorter waits are not reported.
    pub min_wait: Duration,
    /// Collect and show kernel frames.
    pub kernel_stacks: bool,
    /// List all waiters of a site instead of the 20 oldest.
    pub all_waiters: bool,
    /// Where to record the run.
    pub record: Option<PathBuf>,
    /// Let the BPF side log (`-v`).
    pub verbose: bool,
    /// Exit code 1 from this verdict on.
    pub fail_on: Option<Verdict>,
}
