//! The bytes between leakprobe's BPF programs and its collector, and nothing else.
//!
//! Everything here is `#[repr(C)]`, made of `u32` and `u64` only, without implicit padding: kernel
//! side and user side are compiled for different targets and must agree byte for byte. Change
//! anything here and [`ABI_VERSION`] moves with it; the loader refuses an object that was built
//! for another one.
#![no_std]

/// Version of everything in this crate. The BPF object carries it in the global `ABI`.
pub const ABI_VERSION: u32 = 1;

/// Longest kernel stack carried in a [`TaskRecord`], in frames.
pub const KERNEL_FRAMES: usize = 16;

/// [`Offsets`] value that stands for "this kernel has no such field".
pub const ABSENT: u32 = u32::MAX;

/// [`TaskRecord::has`]: `regs` holds the task's saved user registers.
pub const HAS_REGS: u32 = 1;
/// [`TaskRecord::has`]: `kernel_stack[..kernel_frames]` is valid.
pub const HAS_KERNEL_STACK: u32 = 2;
/// [`TaskRecord::has`]: `last_arrival_ns`, `sum_exec_ns` and `prev_sum_exec_ns` are valid
/// (`CONFIG_SCHED_INFO`).
pub const HAS_SCHED: u32 = 4;
/// [`TaskRecord::has`]: `prev_sum_exec_ns` is of the task's last arrival. Only the fair scheduler
/// keeps it so (`set_next_entity`, kernel/sched/fair.c).
pub const HAS_FAIR: u32 = 8;

/// [`Filter::mode`]: every task of the machine.
pub const FILTER_NONE: u32 = 0;
/// [`Filter::mode`]: tasks whose tgid is in the map `WATCHED`, and tasks whose `mm` is in the map
/// `WATCHED_MM` (they share memory with a watched process without being its thread).
pub const FILTER_WATCHED: u32 = 1;
/// [`Filter::mode`]: no pass, but one record about the task that reads the file, with its switch
/// counters, its last arrival and nothing else.
pub const FILTER_READER: u32 = 2;

/// One task, as the `iter/task` program writes it into the iterator's file.
///
/// Ids without a prefix are those of the PID namespace of the reader (what its /proc shows);
/// `ns_` ids are those of the task's own, innermost PID namespace (what the task's memory holds).
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TaskRecord {
    /// `CLOCK_MONOTONIC` when the record was made, in nanoseconds (`bpf_ktime_get_ns`).
    pub seen_ns: u64,
    /// `task_struct.start_boottime`: `CLOCK_BOOTTIME` of the task's creation, in nanoseconds.
    pub start_boottime_ns: u64,
    /// `group_leader->start_boottime`, in nanoseconds.
    pub leader_start_boottime_ns: u64,
    /// `task_struct.mm`: equal for tasks that share memory; 0 for a kernel thread.
    pub mm: u64,
    /// Id of the task's cgroup in the default (v2) hierarchy: the inode of its directory.
    pub cgroup_id: u64,
    /// Voluntary and involuntary context switches, `nvcsw` and `nivcsw`.
    pub nvcsw: u64,
    /// See `nvcsw`.
    pub nivcsw: u64,
    /// `sched_info.last_arrival`, in the scheduler's clock: when it last got a CPU.
    pub last_arrival_ns: u64,
    /// `se.sum_exec_runtime`.
    pub sum_exec_ns: u64,
    /// `se.prev_sum_exec_runtime`: `sum_exec_runtime` when it last got a CPU.
    pub prev_sum_exec_ns: u64,
    /// `task_struct.self_exec_id`: moves at each execve.
    pub exec_id: u64,
    /// `struct pt_regs` of the last entry into the kernel from user space, x86-64 order: r15, r14,
    /// r13, r12, bp, bx, r11, r10, r9, r8, ax, cx, dx, si, di, orig_ax, ip, cs, flags, sp, ss.
    pub regs: [u64; 21],
    /// Kernel stack, innermost first.
    pub kernel_stack: [u64; KERNEL_FRAMES],
    /// Thread group id.
    pub pid: u32,
    /// Thread id.
    pub tid: u32,
    /// Thread group id of the parent (`real_parent`).
    pub ppid: u32,
    /// Thread group id in the task's own PID namespace.
    pub ns_pid: u32,
    /// Thread id in the task's own PID namespace.
    pub ns_tid: u32,
    /// Inode of the task's own PID namespace.
    pub pid_ns: u32,
    /// `task_struct.__state` (`state` before 5.14); with `TASK_FROZEN` (0x8000) also where the
    /// cgroup freezer holds the task, which the kernel itself says in another place.
    pub state: u32,
    /// `task_struct.exit_state`.
    pub exit_state: u32,
    /// `task_struct.flags` (`PF_*`).
    pub flags: u32,
    /// Valid entries of `kernel_stack`.
    pub kernel_frames: u32,
    /// `HAS_*` bits.
    pub has: u32,
    /// 1 where the task entered the kernel from 32-bit code or through the x32 ABI, else 0.
    pub compat: u32,
    /// `task_struct.comm`, NUL-padded, as four little-endian words.
    pub comm: [u32; 4],
}

/// Byte offsets of kernel struct fields, taken from the running kernel's BTF at start-up; Rust BPF
/// objects carry no CO-RE relocations. [`ABSENT`] where this kernel lacks the field.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Offsets {
    /// `task_struct.__state` or `.state`.
    pub task_state: u32,
    /// `task_struct.exit_state`.
    pub task_exit_state: u32,
    /// `task_struct.flags`.
    pub task_flags: u32,
    /// `task_struct.mm`.
    pub task_mm: u32,
    /// `task_struct.start_boottime`.
    pub task_start_boottime: u32,
    /// `task_struct.group_leader`.
    pub task_group_leader: u32,
    /// `task_struct.real_parent`.
    pub task_real_parent: u32,
    /// `task_struct.tgid`.
    pub task_tgid: u32,
    /// `task_struct.thread_pid`.
    pub task_thread_pid: u32,
    /// `task_struct.nvcsw`.
    pub task_nvcsw: u32,
    /// `task_struct.nivcsw`.
    pub task_nivcsw: u32,
    /// `task_struct.self_exec_id`.
    pub task_self_exec_id: u32,
    /// `task_struct.comm`.
    pub task_comm: u32,
    /// `task_struct.cgroups`.
    pub task_cgroups: u32,
    /// `task_struct.sched_info.last_arrival`.
    pub task_last_arrival: u32,
    /// `task_struct.se.sum_exec_runtime`.
    pub task_sum_exec: u32,
    /// `task_struct.se.prev_sum_exec_runtime`.
    pub task_prev_sum_exec: u32,
    /// `task_struct.stack`: the lowest address of the task's kernel stack.
    pub task_stack: u32,
    /// `css_set.dfl_cgrp`.
    pub css_set_dfl_cgrp: u32,
    /// `cgroup.kn`.
    pub cgroup_kn: u32,
    /// `kernfs_node.id`.
    pub kernfs_node_id: u32,
    /// `pid.level`.
    pub pid_level: u32,
    /// `pid.numbers`.
    pub pid_numbers: u32,
    /// `sizeof(struct upid)`.
    pub upid_size: u32,
    /// `upid.nr`.
    pub upid_nr: u32,
    /// `upid.ns`.
    pub upid_ns: u32,
    /// `pid_namespace.ns.inum`.
    pub pid_namespace_inum: u32,
    /// `task_struct.on_cpu`: a task whose state says blocked may not have left its CPU yet.
    pub task_on_cpu: u32,
    /// `task_struct.prio`: below 100 the fair scheduler does not account for the task.
    pub task_prio: u32,
    /// `task_struct.jobctl`.
    pub task_jobctl: u32,
}

/// What the `iter/task` program lets through and collects; set before each pass.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Filter {
    /// `FILTER_*`.
    pub mode: u32,
    /// 1: collect kernel stacks.
    pub kernel_stacks: u32,
}

const _: () = {
    use core::mem::{offset_of, size_of};
    assert!(size_of::<TaskRecord>() == 8 * 11 + 8 * 21 + 8 * KERNEL_FRAMES + 4 * 16);
    assert!(offset_of!(TaskRecord, regs) == 88);
    assert!(offset_of!(TaskRecord, kernel_stack) == 256);
    assert!(offset_of!(TaskRecord, pid) == 256 + 8 * KERNEL_FRAMES);
    assert!(offset_of!(TaskRecord, comm) == size_of::<TaskRecord>() - 16);
    assert!(size_of::<Offsets>() == 4 * 30);
    assert!(size_of::<Filter>() == 8);
};
