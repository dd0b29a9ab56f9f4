//! The threads that share a process's memory: who is alive.

use rustc_hash::{FxHashMap, FxHashSet};

use crate::{
    probe::{Task, TaskState},
    process::lives_in_memory_of,
    snapshot::{Holder, WaiterKind},
};

/// Every thread that shares one memory, by the id that this memory knows it by.
#[derive(Clone, Debug, Default)]
pub struct Threads {
    /// From the id in the process's own PID namespace to the one in leakprobe's.
    by_ns_tid: FxHashMap<u32, u32>,
    /// Ids that several have: the memory is shared over PID namespaces.
    ambiguous: FxHashSet<u32>,
    others: Others,
}

/// Who else may share the memory.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Others {
    /// Nobody: who is not here is gone.
    Nobody,
    /// Not known in general, but the kernel can be asked about one thread: ids mean the same in this
    /// process's PID namespace and in leakprobe's.
    AskAbout {
        /// Any process of those that share the memory.
        pid: u32,
    },
    /// Nobody, but the process was forked and has executed nothing since: locks taken before hold the
    /// id of a thread of the parent. Its main thread is the copy of the one that forked, and may
    /// release them (fork(2), pthread_atfork(3)).
    CopiedFromParent,
    /// Not known.
    #[default]
    Unknown,
}

impl Threads {
    /// Collects the living threads among `tasks`, which all share one memory.
    pub fn new<'a>(tasks: impl IntoIterator<Item = &'a Task>, others: Others) -> Threads {
        let alive = tasks
            .into_iter()
            .filter(|task| !matches!(task.state, TaskState::Dead | TaskState::Zombie));
        let mut threads = Threads { by_ns_tid: FxHashMap::default(), ..Threads::default() };
        threads.others = others;
        for task in alive {
            let before = threads.by_ns_tid.insert(task.ns_tid, task.tid);
            if before.is_some_and(|tid| tid != task.tid) {
                threads.ambiguous.insert(task.ns_tid);
            }
        }
        threads
    }

    /// A thread that the memory calls `ns_tid`, as the holder of something.
    pub fn holder(&self, ns_tid: u32) -> Holder {
        let (id, alive) = match self.by_ns_tid.get(&ns_tid) {
            Some(_) if self.ambiguous.contains(&ns_tid) => (ns_tid, None),
            Some(tid) => (*tid, Some(true)),
            None => (ns_tid, self.lives_elsewhere(ns_tid)),
        };
        Holder { kind: WaiterKind::Thread, id: id.into(), recorded: ns_tid.into(), alive }
    }

    fn lives_elsewhere(&self, ns_tid: u32) -> Option<bool> {
        match self.others {
            Others::Nobody => Some(false),
            Others::AskAbout { pid } => lives_in_memory_of(pid, ns_tid),
            Others::CopiedFromParent | Others::Unknown => None,
        }
    }

    /// Whether a living thread has this id.
    pub fn contains(&self, ns_tid: u32) -> bool {
        self.by_ns_tid.contains_key(&ns_tid)
    }
}
