//! The last rung: the same tasks from the files below /proc. Slower, without the scheduler's times
//! and the base pointer, and only as far as ptrace access reaches; no privilege needed for one's
//! own processes.

mod parse;
mod read;

use std::hash::{DefaultHasher, Hash as _, Hasher as _};

use super::{ProbeError, Registers, Task, TaskSince, TaskState, Watch, clock, state};
use crate::snapshot::{Clock, Ns};
use parse::{Schedstat, Stat, Status, Syscall};
use read::{Cgroups, Reader};

/// Tasks read in one pass, at most: as many as a kernel can have (`PID_MAX_LIMIT`).
const MAX_TASKS: usize = 4 << 20;

/// Tasks through /proc.
pub struct ProcTasks {
    reader: Reader,
    cgroups: Cgroups,
    /// Length of a clock tick, what start times are in.
    tick_ns: u64,
}

/// What the threads of a process have in common.
struct Process {
    pid: u32,
    leader_start_boottime_ns: u64,
    exec: u64,
    pid_ns: Option<u32>,
    cgroup_id: Option<u64>,
    compat: bool,
}

impl ProcTasks {
    pub(super) fn new() -> Self {
        // SAFETY: sysconf has no preconditions.
        let ticks = unsafe { libc::sysconf(libc::_SC_CLK_TCK) };
        ProcTasks {
            reader: Reader::new(),
            cgroups: Cgroups::find(),
            tick_ns: 1_000_000_000 / u64::try_from(ticks).unwrap_or(100).max(1),
        }
    }

    pub(super) fn read(&mut self, watch: &Watch, clock: &Clock) -> Result<Vec<Task>, ProbeError> {
        let pids = match &watch.pids {
            Some(pids) => pids.clone(),
            None => self
                .reader
                .numbers("/proc")
                .map_err(|source| ProbeError::Read { from: "/proc", source })?,
        };
        self.cgroups.forget();
        let mut tasks = Vec::new();
        for pid in pids {
            self.process(pid, clock, &mut tasks);
        }
        Ok(tasks)
    }

    /// Adds the threads of a process; none if it is gone, or the id is that of another thread.
    fn process(&mut self, pid: u32, clock: &Clock, tasks: &mut Vec<Task>) {
        let Some(process) = self.shared(pid) else {
            return;
        };
        // A process that goes away while it is read has no more threads.
        let tids = self.reader.numbers(&format!("/proc/{pid}/task"));
        for tid in tids.unwrap_or_default() {
            if tasks.len() >= MAX_TASKS {
                return;
            }
            tasks.extend(self.thread(&process, tid, clock));
        }
    }

    fn shared(&mut self, pid: u32) -> Option<Process> {
        let status = Status::parse(self.reader.bytes(format_args!("/proc/{pid}/status"))?)?;
        if status.tgid != pid {
            return None;
        }
        let stat = Stat::parse(self.reader.bytes(format_args!("/proc/{pid}/stat"))?)?;
        let start = stat.start_ticks.saturating_mul(self.tick_ns);
        let mut exec = DefaultHasher::new();
        // The kernel shows 0 for each of these to who may not trace the process.
        (stat.start_code, stat.start_stack, stat.arg_start).hash(&mut exec);
        self.reader.link(format_args!("/proc/{pid}/exe")).hash(&mut exec);
        let namespace = self.reader.link(format_args!("/proc/{pid}/ns/pid"));
        let cgroup = self.reader.bytes(format_args!("/proc/{pid}/cgroup"));
        Some(Process {
            pid,
            leader_start_boottime_ns: start,
            exec: exec.finish(),
            pid_ns: namespace.as_deref().and_then(parse::namespace),
            cgroup_id: cgroup.and_then(parse::cgroup).and_then(|path| self.cgroups.id(&path)),
            // A 64-bit program's stack is never below 4 GiB.
            compat: stat.start_stack != 0 && stat.start_stack < 1 << 32,
        })
    }

    fn thread(&mut self, process: &Process, tid: u32, clock: &Clock) -> Option<Task> {
        let pid = process.pid;
        let reader = &mut self.reader;
        // In this order: the counters are read before what they are to vouch for.
        let stat = Stat::parse(reader.thread(pid, tid, "stat")?)?;
        let status = Status::parse(reader.thread(pid, tid, "status")?)?;
        let schedstat = reader.thread(pid, tid, "schedstat").and_then(Schedstat::parse);
        let kernel_thread = state::is_kernel_thread(stat.flags);
        let syscall = match kernel_thread {
            true => None,
            false => reader.thread(pid, tid, "syscall").and_then(Syscall::parse),
        };
        let wchan = reader.thread(pid, tid, "wchan").and_then(parse::wchan);

        let state = match syscall {
            Some(Syscall::Running) => TaskState::Running,
            _ if stat.state == b'S' && wchan.as_deref().is_some_and(is_freezer) => {
                TaskState::Frozen
            }
            _ => state::from_letter(stat.state),
        };
        let start = stat.start_ticks.saturating_mul(self.tick_ns);
        let mut token = DefaultHasher::new();
        (status.switches, schedstat, start).hash(&mut token);
        Some(Task {
            pid,
            tid,
            ppid: stat.ppid,
            ns_pid: status.ns_tgid.unwrap_or(pid),
            ns_tid: status.ns_tid.unwrap_or(tid),
            pid_ns: process.pid_ns,
            mm: kernel_thread.then_some(0),
            name: stat.comm,
            state,
            flags: stat.flags,
            kernel_thread,
            compat: process.compat,
            start_boottime_ns: start,
            leader_start_boottime_ns: process.leader_start_boottime_ns,
            exec: process.exec,
            cgroup_id: process.cgroup_id,
            registers: syscall.and_then(registers),
            kernel_stack: Vec::new(),
            wchan,
            seen: clock::monotonic_now(),
            since: TaskSince::Unknown { born: Ns(start.saturating_sub(clock.suspended_ns)) },
            stay_token: token.finish(),
        })
    }
}

/// Whether a kernel function is where the cgroup freezer holds tasks, asleep as /proc has it:
/// do_freezer_trap, which compilers put into get_signal (kernel/signal.c).
fn is_freezer(function: &str) -> bool {
    matches!(function, "do_freezer_trap" | "get_signal")
}

fn registers(syscall: Syscall) -> Option<Registers> {
    let (number, args, sp, ip) = match syscall {
        Syscall::Running => return None,
        Syscall::Outside { sp, ip } => (None, [0; 6], sp, ip),
        Syscall::Inside { number, args, sp, ip } => (Some(number), args, sp, ip),
    };
    Some(Registers { ip, sp, bp: None, syscall: number, args, all: None })
}
