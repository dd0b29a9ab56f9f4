//! The threads that share a process's memory: who is alive.

use rustc_hash::FxHashMap;

use crate::{
    probe::{Task, TaskState},
    snapshot::{Holder, WaiterKind},
};

/// Every thread that shares one memory, by the id that this memory knows it by.
#[derive(Clone, Debug, Default)]
pub struct Threads {
    /// From the id in the process's own PID namespace to the one in leakprobe's.
    by_ns_tid: FxHashMap<u32, u32>,
    /// Whether a thread that is not here cannot exist.
    complete: bool,
}

impl Threads {
    /// Collects the living threads among `tasks`, which all share one memory. `complete`: these are
    /// all that do, so that one who is not here is gone.
    pub fn new<'a>(tasks: impl IntoIterator<Item = &'a Task>, complete: bool) -> Threads {
        let alive = tasks
            .into_iter()
            .filter(|task| !matches!(task.state, TaskState::Dead | TaskState::Zombie));
        Threads { by_ns_tid: alive.map(|task| (task.ns_tid, task.tid)).collect(), complete }
    }

    /// A thread that the memory calls `ns_tid`, as the holder of something.
    pub fn holder(&self, ns_tid: u32) -> Holder {
        let (id, alive) = match self.by_ns_tid.get(&ns_tid) {
            Some(tid) => (*tid, Some(true)),
            None => (ns_tid, self.complete.then_some(false)),
        };
        Holder { kind: WaiterKind::Thread, id: id.into(), recorded: ns_tid.into(), alive }
    }

    /// Whether a living thread has this id.
    pub fn contains(&self, ns_tid: u32) -> bool {
        self.by_ns_tid.contains_key(&ns_tid)
    }
}
