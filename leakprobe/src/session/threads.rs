//! Which threads share which memory.

use rustc_hash::FxHashMap;

use crate::{
    probe::{Task, TaskState},
    process::shares_memory,
    runtime::{Others, Threads},
};

/// Forked, and has executed nothing since (Linux include/linux/sched.h). Threads have it always.
const PF_FORKNOEXEC: u32 = 0x40;

/// Tasks by the memory they share.
pub struct ThreadTable<'a> {
    by_mm: FxHashMap<u64, Vec<&'a Task>>,
    by_pid: FxHashMap<u32, Vec<&'a Task>>,
}

impl<'a> ThreadTable<'a> {
    /// Sorts the tasks of a pass.
    pub fn of(tasks: &'a [Task]) -> ThreadTable<'a> {
        let mut table = ThreadTable { by_mm: FxHashMap::default(), by_pid: FxHashMap::default() };
        for task in tasks {
            if let Some(mm) = task.mm.filter(|mm| *mm != 0) {
                table.by_mm.entry(mm).or_default().push(task);
            }
            table.by_pid.entry(task.pid).or_default().push(task);
        }
        table
    }

    /// The threads that share `task`'s memory: by the kernel's own pointer, which also finds
    /// processes that were cloned with `CLONE_VM`; else its thread group, and what can be known of
    /// others.
    pub fn sharing_memory_with(&self, task: &Task) -> Threads {
        let none = Vec::new();
        match task.mm.filter(|mm| *mm != 0) {
            Some(mm) => {
                let sharing = self.by_mm.get(&mm).unwrap_or(&none);
                Threads::new(sharing.iter().copied(), self.but(Others::Nobody, task))
            }
            None => {
                let group = self.by_pid.get(&task.pid).unwrap_or(&none);
                let others = match task.pid == task.ns_pid {
                    // Equal ids in both namespaces: the two are one.
                    true => Others::AskAbout { pid: task.pid },
                    false if is_alone(task.pid) => Others::Nobody,
                    false => Others::Unknown,
                };
                Threads::new(group.iter().copied(), self.but(others, task))
            }
        }
    }

    /// These, unless the process is a copy of its parent whose main thread still lives.
    fn but(&self, others: Others, task: &Task) -> Others {
        let group = self.by_pid.get(&task.pid);
        let leader = group.into_iter().flatten().find(|other| other.tid == other.pid);
        let dead = |leader: &Task| matches!(leader.state, TaskState::Zombie | TaskState::Dead);
        match leader {
            Some(leader) if leader.flags & PF_FORKNOEXEC != 0 && !dead(leader) => {
                Others::CopiedFromParent
            }
            _ => others,
        }
    }
}

/// Whether no other process shares this one's memory, as far as kcmp(2) answers.
fn is_alone(pid: u32) -> bool {
    let Ok(folder) = std::fs::read_dir("/proc") else { return false };
    let pids = folder.flatten().filter_map(|entry| entry.file_name().to_str()?.parse().ok());
    pids.filter(|other| *other != pid).all(|other| match shares_memory(pid, other) {
        Some(shares) => !shares,
        // It ended meanwhile: it shares nothing any more.
        None => !std::path::Path::new(&format!("/proc/{other}")).exists(),
    })
}
