//! What tells processes and threads apart for as long as a session lasts: never a bare number.

use super::seen::Seen;
use crate::{probe::Task, snapshot::Process};

/// A process's identity: pid, creation, execution.
pub type ProcessKey = (u32, u64, u64);

/// A thread's identity: tid, creation.
pub type ThreadKey = (u32, u64);

/// The process that a task belongs to.
pub fn of_task(task: &Task) -> ProcessKey {
    (task.pid, task.leader_start_boottime_ns, task.exec)
}

/// The key of a process in a snapshot.
pub fn of_process(process: &Process) -> ProcessKey {
    (process.pid, process.start_boottime_ns, process.exec)
}

/// Waits by process, in the order of pids.
pub fn by_process(mut waits: Vec<Seen>) -> Vec<(ProcessKey, Vec<Seen>)> {
    // Stable: within a process they stay in the kernel's order.
    waits.sort_by_key(|task| of_task(task));
    let groups = waits.chunk_by(|a, b| of_task(a) == of_task(b));
    groups.filter_map(|group| Some((of_task(group.first()?), group.to_vec()))).collect()
}
