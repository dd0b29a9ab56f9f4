//! From the kernel's bytes to a [`Task`].

use std::hash::{BuildHasher as _, DefaultHasher, Hash as _, Hasher as _, RandomState};

use leakprobe_common::{
    HAS_FAIR, HAS_KERNEL_STACK, HAS_REGS, HAS_SCHED, KERNEL_FRAMES, TaskRecord,
};

use super::{Registers, Task, TaskSince, TaskState, clock::Calibration, state};
use crate::snapshot::Ns;

/// Bytes of one record.
pub(super) const SIZE: usize = size_of::<TaskRecord>();

/// Time of a task on a CPU that the scheduler does not count as its own (steal, interrupts), at
/// most: this much, and a 32nd of the time that it ran. Measured below 1 ms.
const UNCOUNTED_NS: u64 = 1_000_000;
const UNCOUNTED_SHARE: u64 = 32;

/// Decodes one record; `None` if the bytes are not exactly one.
pub(super) fn decode(bytes: &[u8]) -> Option<TaskRecord> {
    if bytes.len() != SIZE {
        return None;
    }
    // SAFETY: as many bytes as a record has; it is made of integers only, so that every bit pattern
    // is valid.
    Some(unsafe { bytes.as_ptr().cast::<TaskRecord>().read_unaligned() })
}

/// What turns records into tasks, the same for a whole run.
pub(super) struct Reading {
    /// The scheduler's clock; `None` if it could not be calibrated.
    pub(super) calibration: Option<Calibration>,
    /// Whether the scheduler keeps `prev_sum_exec_runtime`: not where a sched_ext one runs.
    pub(super) fair: bool,
    /// Hides kernel addresses.
    pub(super) key: RandomState,
}

impl Reading {
    /// The task of a record. `suspended_ns`: `CLOCK_BOOTTIME` minus `CLOCK_MONOTONIC`.
    pub(super) fn task(&self, record: &TaskRecord, suspended_ns: u64) -> Task {
        let state = state::from_kernel(record.state, record.exit_state);
        let kernel_thread = state::is_kernel_thread(record.flags);
        Task {
            pid: record.pid,
            tid: record.tid,
            ppid: record.ppid,
            ns_pid: record.ns_pid,
            ns_tid: record.ns_tid,
            pid_ns: (record.pid_ns != 0).then_some(record.pid_ns),
            mm: self.memory(record.mm, kernel_thread),
            name: name(&record.comm),
            state,
            flags: record.flags,
            kernel_thread,
            compat: record.compat != 0,
            start_boottime_ns: record.start_boottime_ns,
            leader_start_boottime_ns: record.leader_start_boottime_ns,
            exec: record.exec_id,
            cgroup_id: (record.cgroup_id != 0).then_some(record.cgroup_id),
            registers: (record.has & HAS_REGS != 0).then(|| registers(&record.regs)),
            kernel_stack: kernel_stack(record),
            wchan: None,
            seen: Ns(record.seen_ns),
            since: self.since(record, state, suspended_ns),
            stay_token: stay_token(record),
        }
    }

    /// Equal for tasks that share memory, without telling its kernel address.
    fn memory(&self, mm: u64, kernel_thread: bool) -> Option<u64> {
        match mm {
            0 if kernel_thread => Some(0),
            0 => None, // it has given its memory back: it is exiting
            mm => Some(self.key.hash_one(mm).max(1)),
        }
    }

    fn since(&self, record: &TaskRecord, state: TaskState, suspended_ns: u64) -> TaskSince {
        let born = record.start_boottime_ns.saturating_sub(suspended_ns);
        let unknown = TaskSince::Unknown { born: Ns(born) };
        let (Some(calibration), true) = (&self.calibration, record.has & HAS_SCHED != 0) else {
            return unknown;
        };
        if state == TaskState::Running {
            return unknown;
        }
        // It got a CPU at last_arrival and ran for at least `ran`, then blocked.
        let known = self.fair && record.has & HAS_FAIR != 0;
        let total = record.sum_exec_ns;
        let ran = total.saturating_sub(record.prev_sum_exec_ns);
        let (least, most) = if known { (ran, ran) } else { (0, total) };
        let (earliest, _) = calibration.monotonic(record.last_arrival_ns.saturating_add(least));
        let (_, latest) = calibration.monotonic(record.last_arrival_ns.saturating_add(most));
        let slack = UNCOUNTED_NS.saturating_add(most / UNCOUNTED_SHARE);
        let seen = record.seen_ns;
        let earliest = earliest.0.clamp(born.min(seen), seen);
        TaskSince::Accounting {
            earliest: Ns(earliest),
            latest: Ns(latest.0.saturating_add(slack).clamp(earliest, seen)),
        }
    }
}

fn name(comm: &[u32; 4]) -> String {
    let bytes: Vec<u8> =
        (comm.iter()).flat_map(|word| word.to_le_bytes()).take_while(|&byte| byte != 0).collect();
    String::from_utf8_lossy(&bytes).into_owned()
}

fn registers(regs: &[u64; 21]) -> Registers {
    let &[
        _r15,
        _r14,
        _r13,
        _r12,
        bp,
        _bx,
        _r11,
        r10,
        r9,
        r8,
        _ax,
        _cx,
        dx,
        si,
        di,
        orig_ax,
        ip,
        _cs,
        _flags,
        sp,
        _ss,
    ] = regs;
    Registers {
        ip,
        sp,
        bp: Some(bp),
        // −1 where it entered by a fault or an interrupt
        syscall: ((orig_ax as i64) >= 0).then_some(orig_ax),
        args: [di, si, dx, r10, r8, r9],
        all: Some(*regs),
    }
}

fn kernel_stack(record: &TaskRecord) -> Vec<u64> {
    if record.has & HAS_KERNEL_STACK == 0 {
        return Vec::new();
    }
    let frames = (record.kernel_frames as usize).min(KERNEL_FRAMES);
    record.kernel_stack[..frames].to_vec()
}

/// Moves when the task leaves a CPU (the switch counters) or gets one (the last arrival).
fn stay_token(record: &TaskRecord) -> u64 {
    let mut hasher = DefaultHasher::new();
    record.nvcsw.hash(&mut hasher);
    record.nivcsw.hash(&mut hasher);
    record.last_arrival_ns.hash(&mut hasher);
    record.start_boottime_ns.hash(&mut hasher);
    hasher.finish()
}
