//! Reading tasks: the ladder from the kernel's task iterator down to /proc.

use super::{ProbeError, Task, clock, iter::IterTasks, procfs::ProcTasks};
use crate::snapshot::{Clock, Ns};

/// Environment variable that forces a rung, for tests: `proc`.
const FORCE: &str = "LEAKPROBE_TASK_SOURCE";

/// Which tasks a pass is to read.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Watch {
    /// Thread group ids in leakprobe's PID namespace; `None`: the whole machine.
    pub pids: Option<Vec<u32>>,
    /// Collect kernel stacks.
    pub kernel_stacks: bool,
}

impl Watch {
    /// Whether a process is watched by its id.
    pub fn names(&self, pid: u32) -> bool {
        self.pids.as_ref().is_none_or(|pids| pids.contains(&pid))
    }
}

/// What one pass over the tasks found.
#[derive(Clone, Debug)]
pub struct TaskPass {
    /// The tasks of the watched processes, and those that share memory with one (which have a
    /// `pid` that is not watched).
    pub tasks: Vec<Task>,
    /// When the pass began, `CLOCK_MONOTONIC`.
    pub began: Ns,
    /// When it ended.
    pub ended: Ns,
    /// Ties `CLOCK_MONOTONIC` to the wall clock, read when the pass began.
    pub clock: Clock,
    /// Whether the scheduler's clock could be related to `CLOCK_MONOTONIC`; if not, no task has a
    /// [`TaskSince::Accounting`](super::TaskSince).
    pub calibrated: bool,
}

/// Where tasks are read from.
pub enum Source {
    /// The kernel's task iterator.
    Iter(Box<IterTasks>),
    /// The files below /proc.
    Proc(ProcTasks),
}

impl Source {
    /// Opens the best source that this kernel and this user allow; /proc is always there.
    ///
    /// Returns with it, for people, why a better one could not be used and what is lost.
    /// `verbose` lets the BPF programs log.
    pub fn open(verbose: bool) -> (Source, Vec<String>) {
        if std::env::var_os(FORCE).is_some_and(|value| value == "proc") {
            let note = format!("tasks are read from /proc because {FORCE}=proc; {LOST}");
            return (Source::Proc(ProcTasks::new()), vec![note]);
        }
        Source::best(verbose)
    }

    /// The ladder itself.
    pub(super) fn best(verbose: bool) -> (Source, Vec<String>) {
        match IterTasks::open(verbose) {
            Ok((tasks, notes)) => (Source::Iter(Box::new(tasks)), notes),
            Err(error) => {
                let note = format!("tasks are read from /proc: {error}; {LOST}");
                (Source::Proc(ProcTasks::new()), vec![note])
            }
        }
    }

    /// `iter/task` or `/proc`.
    pub fn name(&self) -> &'static str {
        match self {
            Source::Iter(_) => "iter/task",
            Source::Proc(_) => "/proc",
        }
    }

    /// Makes one pass over the watched tasks.
    ///
    /// A watched process that does not exist is no error: it has no tasks in the result.
    pub fn read(&mut self, watch: &Watch) -> Result<TaskPass, ProbeError> {
        let clock = clock::clock_now();
        let began = clock.monotonic;
        let (tasks, calibrated) = match self {
            Source::Iter(source) => (source.read(watch, &clock)?, source.is_calibrated()),
            Source::Proc(source) => (source.read(watch, &clock)?, false),
        };
        Ok(TaskPass { tasks, began, ended: clock::monotonic_now(), clock, calibrated })
    }
}

/// What the /proc rung does without.
const LOST: &str = "waits that began earlier have an age that is only a range, stacks that need \
                    the base pointer end early, and memory shared between processes is not seen";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sources_can_change_threads() {
        // Check that a source can be handed to the thread that reads (this fails to compile).
        fn is_send<T: Send>() {}
        is_send::<Source>();
        is_send::<TaskPass>();
    }
}
