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

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn reading(calibration: Option<Calibration>) -> Reading {
        Reading { calibration, fair: true, key: RandomState::new() }
    }

    /// A thread blocked at 5 s, seen at 9 s, which ran for 1 s before it blocked.
    fn blocked() -> TaskRecord {
        let mut record = decode(&[0; SIZE]).unwrap();
        record.seen_ns = 9_000_000_000;
        record.start_boottime_ns = 1_000_000_000;
        record.last_arrival_ns = 4_000_000_000;
        record.sum_exec_ns = 3_000_000_000;
        record.prev_sum_exec_ns = 2_000_000_000;
        record.mm = 0xffff_8880_1234_5678;
        record.state = 0x2001;
        record.has = HAS_SCHED | HAS_FAIR | HAS_REGS;
        record
    }

    fn same_clock() -> Option<Calibration> {
        Some(Calibration::exact(9_000_000_000))
    }

    #[test]
    fn since_is_the_end_of_the_last_run() {
        // Check that a wait begins when the last run on a CPU ended, or a little later.
        let task = reading(same_clock()).task(&blocked(), 0);
        let slack = UNCOUNTED_NS + 1_000_000_000 / UNCOUNTED_SHARE;
        assert_eq!(
            task.since,
            TaskSince::Accounting {
                earliest: Ns(5_000_000_000),
                latest: Ns(5_000_000_000 + slack),
            }
        );
    }

    #[test]
    fn other_schedulers_give_a_range() {
        // Check that where the last run is not accounted for the wait may have begun at any time
        // from the last arrival, by as much as the task ever ran.
        let mut record = blocked();
        record.has &= !HAS_FAIR;
        let task = reading(same_clock()).task(&record, 0);
        let TaskSince::Accounting { earliest, latest } = task.since else {
            panic!("{:?}", task.since);
        };
        assert_eq!(earliest, Ns(4_000_000_000));
        assert!(latest >= Ns(7_000_000_000) && latest <= Ns(7_200_000_000));
    }

    #[test]
    fn nothing_known_is_said_so() {
        // Check that without calibration, accounting or a wait only the birth is known.
        let unknown = TaskSince::Unknown { born: Ns(600_000_000) };
        let suspended = 400_000_000;
        assert_eq!(reading(None).task(&blocked(), suspended).since, unknown);
        let mut record = blocked();
        record.has &= !HAS_SCHED;
        assert_eq!(reading(same_clock()).task(&record, suspended).since, unknown);
        record = blocked();
        record.state = 0;
        assert_eq!(reading(same_clock()).task(&record, suspended).since, unknown);
    }

    #[test]
    fn addresses_of_the_kernel_stay_inside() {
        // Check that memory is told apart by a token that is not its kernel address.
        let reading = reading(None);
        let mut record = blocked();
        let one = reading.task(&record, 0).mm.unwrap();
        assert_eq!(reading.task(&record, 0).mm, Some(one));
        assert_ne!(one, record.mm);
        record.mm += 8;
        assert_ne!(reading.task(&record, 0).mm, Some(one));
        record.mm = 0;
        assert_eq!(reading.task(&record, 0).mm, None);
        record.flags = 0x0020_0000;
        assert_eq!(reading.task(&record, 0).mm, Some(0));
    }

    #[test]
    fn registers_are_in_order() {
        // Check that each register comes from its place in struct pt_regs.
        let mut regs = [0; 21];
        for (index, value) in regs.iter_mut().enumerate() {
            *value = index as u64;
        }
        let registers = registers(&regs);
        assert_eq!((registers.ip, registers.sp, registers.bp), (16, 19, Some(4)));
        assert_eq!(registers.args, [14, 13, 12, 7, 9, 8]);
        assert_eq!(registers.syscall, Some(15));
        regs[15] = u64::MAX;
        assert_eq!(super::registers(&regs).syscall, None);
    }

    #[test]
    fn the_token_moves_with_each_run() {
        // Check that leaving a CPU and getting one both move the token.
        let token = stay_token(&blocked());
        for change in [
            |r: &mut TaskRecord| r.nvcsw += 1,
            |r: &mut TaskRecord| r.nivcsw += 1,
            |r: &mut TaskRecord| r.last_arrival_ns += 1,
        ] {
            let mut record = blocked();
            change(&mut record);
            assert_ne!(stay_token(&record), token);
        }
        assert_eq!(stay_token(&blocked()), token);
    }

    proptest! {
        #[test]
        fn any_record_is_survived(
            bytes in proptest::collection::vec(any::<u8>(), SIZE),
            suspended: u64,
        ) {
            // Check that no content makes the decoder panic, and that what it says is in order.
            let record = decode(&bytes).unwrap();
            let task = reading(same_clock()).task(&record, suspended);
            if let TaskSince::Accounting { earliest, latest } = task.since {
                prop_assert!(earliest <= latest && latest <= task.seen);
            }
            prop_assert!(task.kernel_stack.len() <= KERNEL_FRAMES);
        }

        #[test]
        fn other_lengths_are_no_record(bytes in proptest::collection::vec(any::<u8>(), 0..2 * SIZE)) {
            // Check that only exactly the bytes of a record are taken for one.
            prop_assert_eq!(decode(&bytes).is_some(), bytes.len() == SIZE);
        }
    }
}
