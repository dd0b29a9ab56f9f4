//! One task, whichever way it was read.

use crate::snapshot::Ns;

/// Saved user registers of a task that is in the kernel, x86-64.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Registers {
    /// Instruction pointer.
    pub ip: u64,
    /// Stack pointer.
    pub sp: u64,
    /// Base pointer; `None` on the /proc rung.
    pub bp: Option<u64>,
    /// System call number, `None` if it is not in one (a page fault, an interrupt).
    pub syscall: Option<u64>,
    /// System call arguments: di, si, dx, r10, r8, r9.
    pub args: [u64; 6],
    /// All of `struct pt_regs` in its own order (see `leakprobe_common::TaskRecord::regs`);
    /// `None` on the /proc rung.
    pub all: Option<[u64; 21]>,
}

/// The scheduler's state of a task.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TaskState {
    /// Running or runnable.
    Running,
    /// Interruptible sleep.
    Sleeping,
    /// Uninterruptible sleep.
    Uninterruptible,
    /// Idle kernel thread (`TASK_IDLE`).
    Idle,
    /// Stopped by a signal.
    Stopped,
    /// Stopped by a tracer.
    Traced,
    /// Frozen.
    Frozen,
    /// Dead but not yet reaped.
    Zombie,
    /// On its way out.
    Dead,
    /// A state that this version does not know.
    Unknown(u32),
}

/// When the present wait of a blocked task began.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TaskSince {
    /// By the scheduler's accounting, in `CLOCK_MONOTONIC`: between the two.
    Accounting {
        /// Not before.
        earliest: Ns,
        /// Not after.
        latest: Ns,
    },
    /// Only that the task was created at `born` and was blocked when it was read.
    Unknown {
        /// Creation of the task in `CLOCK_MONOTONIC`.
        born: Ns,
    },
}

/// One task. Ids without a prefix are those of leakprobe's own PID namespace, `ns_` ids those of
/// the task's innermost one.
#[derive(Clone, Debug)]
pub struct Task {
    /// Thread group id.
    pub pid: u32,
    /// Thread id.
    pub tid: u32,
    /// Thread group id of the parent.
    pub ppid: u32,
    /// Thread group id in the task's own PID namespace.
    pub ns_pid: u32,
    /// Thread id in the task's own PID namespace.
    pub ns_tid: u32,
    /// Inode of the task's own PID namespace, where known.
    pub pid_ns: Option<u32>,
    /// Equal for tasks that share memory; opaque. `None`: not known (the /proc rung). `Some(0)`: a
    /// kernel thread.
    pub mm: Option<u64>,
    /// comm.
    pub name: String,
    /// State.
    pub state: TaskState,
    /// `PF_*` flags, 0 where not known.
    pub flags: u32,
    /// A kernel thread.
    pub kernel_thread: bool,
    /// A 32-bit task, which must not be decoded as a 64-bit one.
    pub compat: bool,
    /// Creation of the task, `CLOCK_BOOTTIME` ns (the /proc rung: to 10 ms).
    pub start_boottime_ns: u64,
    /// Creation of its thread group leader, `CLOCK_BOOTTIME` ns.
    pub leader_start_boottime_ns: u64,
    /// Moves at each execve; opaque, comparable only within one task source.
    pub exec: u64,
    /// cgroup v2 id, where known.
    pub cgroup_id: Option<u64>,
    /// Saved user registers, where they were to be had.
    pub registers: Option<Registers>,
    /// Kernel stack, innermost first, if asked for and to be had.
    pub kernel_stack: Vec<u64>,
    /// Kernel function it sleeps in, by name, where only that is known (/proc's wchan).
    pub wchan: Option<String>,
    /// When this record was made.
    pub seen: Ns,
    /// When its present wait began, if it is blocked.
    pub since: TaskSince,
    /// Moves when the task leaves or gets a CPU: equal in two passes, with a blocked state in both,
    /// proves that it did not run in between.
    pub stay_token: u64,
}

impl Task {
    /// Whether it is blocked in a wait (not stopped, traced, frozen, dying, runnable).
    pub fn is_waiting(&self) -> bool {
        matches!(self.state, TaskState::Sleeping | TaskState::Uninterruptible)
    }

    /// Whether `later` is the same task in the same wait, without having run in between.
    pub fn same_wait(&self, later: &Task) -> bool {
        self.tid == later.tid
            && self.start_boottime_ns == later.start_boottime_ns
            && self.exec == later.exec
            && self.is_waiting()
            && later.is_waiting()
            && self.stay_token == later.stay_token
    }
}
