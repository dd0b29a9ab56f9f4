//! `iter/task`: one [`TaskRecord`] for each task that the filter lets through.

use aya_ebpf::{
    EbpfContext,
    bindings::{seq_file, task_struct},
    cty::c_void,
    helpers::generated::{
        bpf_get_current_task, bpf_get_task_stack, bpf_ktime_get_ns, bpf_seq_write, bpf_task_pt_regs,
    },
};
use aya_log_ebpf::{debug, trace};
use leakprobe_common::{
    FILTER_NONE, FILTER_READER, Filter, HAS_FAIR, HAS_KERNEL_STACK, HAS_REGS, HAS_SCHED, TaskRecord,
};

use crate::{
    kernel::{At, Pid, Task, offset},
    maps::{FILTER, READER, SCRATCH, WATCHED, WATCHED_MM},
};

/// A kernel thread (include/linux/sched.h, 5.10 to 7.3).
const PF_KTHREAD: u32 = 0x0020_0000;
/// An io_uring worker: a thread of the process that never runs user code.
const PF_IO_WORKER: u32 = 0x0000_0010;
/// The cgroup freezer wants the task stopped; it then sleeps interruptibly in do_freezer_trap
/// (include/linux/sched/jobctl.h and kernel/signal.c, 5.2 to 7.3).
const JOBCTL_TRAP_FREEZE: u64 = 1 << 23;
const TASK_INTERRUPTIBLE: u32 = 0x1;
const TASK_FROZEN: u32 = 0x8000;

/// First priority of the fair scheduler (include/linux/sched/prio.h).
const MAX_RT_PRIO: u32 = 100;

/// What a program returns to have the kernel hand out what was written so far, and come back with
/// the same task at the next read (bpf_seq_read, kernel/bpf/bpf_iter.c).
const END_READ: i32 = 1;

/// `struct bpf_iter_meta` (include/linux/bpf.h).
#[repr(C)]
struct Meta {
    seq: *mut seq_file,
    session_id: u64,
    seq_num: u64,
}

/// `struct bpf_iter__task` (kernel/bpf/task_iter.c): what an `iter/task` program is called with.
#[repr(C)]
struct Context {
    meta: *mut Meta,
    /// Null at the end of the pass.
    task: *mut task_struct,
}

impl EbpfContext for &Context {
    fn as_ptr(&self) -> *mut c_void {
        core::ptr::from_ref(*self).cast_mut().cast()
    }
}

/// Fills a record from each task and writes it into the iterator's file.
///
/// A record is made only of what held for as long as it was read: a task that ran in between is
/// written as running.
#[unsafe(no_mangle)]
#[unsafe(link_section = "iter/task")]
extern "C" fn tasks(context: &Context) -> i32 {
    show(context, || {
        // SAFETY: the task is the iterator's own pointer, as the helper demands.
        Some(At(unsafe { bpf_task_pt_regs(context.task) } as *const u8))
    })
}

/// The same for kernels before 5.15, which lack the helper for the registers: they are found at the
/// top of the task's kernel stack.
#[unsafe(no_mangle)]
#[unsafe(link_section = "iter/task")]
extern "C" fn tasks_before_5_15(context: &Context) -> i32 {
    /// `THREAD_SIZE` without KASAN (arch/x86/include/asm/page_64_types.h). Nothing is left free
    /// above the registers in these kernels (`TOP_OF_KERNEL_STACK_PADDING`).
    const STACK_SIZE: usize = 16 << 10;
    show(context, || {
        let stack = Task(context.task).at().follow(offset!(task_stack))?;
        Some(At(stack.0.wrapping_add(STACK_SIZE - size_of::<Registers>())))
    })
}

/// `struct pt_regs` of x86-64.
type Registers = [u64; 21];

/// What both programs do. `find_registers` says where the task's saved registers are.
#[inline(always)]
fn show(context: &Context, find_registers: impl FnOnce() -> Option<At>) -> i32 {
    // SAFETY: the kernel passes a valid meta for as long as the program runs.
    let meta = unsafe { &*context.meta };
    if context.task.is_null() {
        debug!(context, "pass over {} tasks", meta.seq_num);
        return 0;
    }
    let (Some(record), Some(filter)) = (SCRATCH.get_ptr_mut(0), FILTER.get(0)) else {
        return 0;
    };
    // SAFETY: this CPU's scratch record; nothing else uses it while the program runs.
    let record = unsafe { &mut *record };
    if filter.mode == FILTER_READER {
        if meta.seq_num > 0 {
            return END_READ;
        }
        reader(record);
    } else if fill(context, filter, meta.seq_num, record, find_registers).is_none() {
        return 0;
    }
    // SAFETY: `seq` is the file that is being read, the record is valid for its size. If the file's
    // buffer is full the kernel calls again with the same task, so the result is of no interest.
    unsafe {
        bpf_seq_write(meta.seq, core::ptr::from_mut(record).cast(), size_of::<TaskRecord>() as u32);
    }
    0
}

/// `None`: not let through, or released meanwhile.
#[inline(always)]
fn fill(
    context: &Context,
    filter: &Filter,
    seq_num: u64,
    record: &mut TaskRecord,
    find_registers: impl FnOnce() -> Option<At>,
) -> Option<()> {
    let task = Task(context.task);
    let reader = reader_level(seq_num)?;

    record.pid = thread_group(task, reader)?;
    record.flags = task.load(offset!(task_flags));
    record.mm = if record.flags & PF_KTHREAD != 0 {
        0 // what it has is borrowed (kthread_use_mm)
    } else {
        task.at().read(offset!(task_mm))
    };
    let wanted = match filter.mode {
        FILTER_NONE => true,
        _ => is_watched(record.pid, record.mm),
    };
    if !wanted {
        return None;
    }

    let leader = task.at().follow(offset!(task_group_leader))?;
    let (Some(leader_pid), Some(pid)) = (Pid::of(leader), Pid::of(task.at())) else {
        trace!(context, "a task of {} was released meanwhile", record.pid);
        return None;
    };
    record.tid = pid.number(reader);
    record.ns_tid = pid.number(pid.level);
    record.ns_pid = leader_pid.number(leader_pid.level);
    let namespace = pid.namespace(pid.level);
    record.pid_ns = At(namespace as *const u8).read(offset!(pid_namespace_inum));
    record.ppid = parent(task.at(), reader, pid.namespace(reader));

    record.state = task.load(offset!(task_state));
    record.nvcsw = task.load(offset!(task_nvcsw));
    record.nivcsw = task.load(offset!(task_nivcsw));
    record.last_arrival_ns = task.load(offset!(task_last_arrival));
    record.has = 0;
    registers(record, find_registers);
    kernel_stack(context, filter, record);
    scheduler(task, record);

    record.exit_state = task.load(offset!(task_exit_state));
    record.start_boottime_ns = task.load(offset!(task_start_boottime));
    record.leader_start_boottime_ns = leader.read(offset!(task_start_boottime));
    record.exec_id = task.load(offset!(task_self_exec_id));
    record.comm = task.at().read(offset!(task_comm));
    record.cgroup_id = cgroup(task.at());
    // SAFETY: no arguments.
    record.seen_ns = unsafe { bpf_ktime_get_ns() };
    if moved(task, record) {
        record.state = 0;
    } else if task.load::<u64>(offset!(task_jobctl)) & JOBCTL_TRAP_FREEZE != 0
        && record.state & TASK_INTERRUPTIBLE != 0
    {
        record.state |= TASK_FROZEN;
    }
    Some(())
}

/// What the kernel accounts about the task that reads the file.
#[inline(always)]
fn reader(record: &mut TaskRecord) {
    // SAFETY: no arguments.
    let reader = At(unsafe { bpf_get_current_task() } as *const u8);
    record.nvcsw = reader.read(offset!(task_nvcsw));
    record.nivcsw = reader.read(offset!(task_nivcsw));
    record.last_arrival_ns = reader.read(offset!(task_last_arrival));
    record.has = match record.last_arrival_ns {
        0 => 0,
        _ => HAS_SCHED,
    };
}

/// Level of the PID namespace whose ids the reader knows. Looked up once in a pass.
#[inline(always)]
fn reader_level(seq_num: u64) -> Option<u32> {
    let known = READER.get_ptr_mut(0)?;
    if seq_num == 0 {
        // SAFETY: no arguments; the result is the task that reads the file.
        let reader = At(unsafe { bpf_get_current_task() } as *const u8);
        // SAFETY: an element of the map, which only this program writes.
        unsafe { known.write(Pid::of(reader)?.level) };
    }
    // SAFETY: as above.
    Some(unsafe { known.read() })
}

/// Thread group id at a level.
#[inline(always)]
fn thread_group(task: Task, level: u32) -> Option<u32> {
    if level == 0 {
        return Some(task.load(offset!(task_tgid)));
    }
    let leader = task.at().follow(offset!(task_group_leader))?;
    Some(Pid::of(leader)?.number(level))
}

#[inline(always)]
fn is_watched(pid: u32, mm: u64) -> bool {
    WATCHED.get_ptr(pid).is_some() || (mm != 0 && WATCHED_MM.get_ptr(mm).is_some())
}

/// Thread group id of the parent; 0 if that is outside the reader's namespace.
#[inline(always)]
fn parent(task: At, reader: u32, namespace: u64) -> u32 {
    let leader = task
        .follow(offset!(task_real_parent))
        .and_then(|parent| parent.follow(offset!(task_group_leader)));
    match leader.and_then(Pid::of) {
        Some(pid) if pid.namespace(reader) == namespace => pid.number(reader),
        _ => 0,
    }
}

/// The user registers that the last entry into the kernel saved.
#[inline(always)]
fn registers(record: &mut TaskRecord, find: impl FnOnce() -> Option<At>) {
    record.compat = 0;
    record.regs = [0; 21];
    if record.mm == 0 || record.flags & PF_IO_WORKER != 0 {
        return;
    }
    if !find().is_some_and(|at| at.read_to(0, &raw mut record.regs)) {
        return;
    }
    record.has |= HAS_REGS;
    record.compat = is_compat(&record.regs) as u32;
}

/// Whether the task entered the kernel from 32-bit code, or by a system call of the x32 ABI.
///
/// By the saved code segment, because the bit number of TIF_ADDR32 has moved: 29 to 6.11, then 28,
/// 27, 26 (arch/x86/include/asm/thread_info.h).
#[inline(always)]
fn is_compat(regs: &Registers) -> bool {
    /// `__USER32_CS` (arch/x86/include/asm/segment.h).
    const USER32_CS: u64 = 0x23;
    /// `__X32_SYSCALL_BIT` (arch/x86/include/uapi/asm/unistd.h).
    const X32_SYSCALL: u64 = 0x4000_0000;
    let (orig_ax, cs) = (regs[15], regs[17]);
    cs & 0xffff == USER32_CS || ((orig_ax as i64) >= 0 && orig_ax & X32_SYSCALL != 0)
}

#[inline(always)]
fn kernel_stack(context: &Context, filter: &Filter, record: &mut TaskRecord) {
    record.kernel_frames = 0;
    if filter.kernel_stacks == 0 {
        return;
    }
    let size = size_of_val(&record.kernel_stack);
    // SAFETY: the task is the iterator's own pointer; the buffer is valid for `size` bytes.
    let bytes = unsafe {
        bpf_get_task_stack(context.task, (&raw mut record.kernel_stack).cast(), size as u32, 0)
    };
    if bytes > 0 && bytes <= size as i64 {
        record.kernel_frames = bytes as u32 / 8;
        record.has |= HAS_KERNEL_STACK;
    }
}

#[inline(always)]
fn scheduler(task: Task, record: &mut TaskRecord) {
    record.sum_exec_ns = task.load(offset!(task_sum_exec));
    record.prev_sum_exec_ns = task.load(offset!(task_prev_sum_exec));
    // A task that has been created and not yet run has not arrived either.
    if record.last_arrival_ns != 0 {
        record.has |= HAS_SCHED;
        if task.load::<u32>(offset!(task_prio)) >= MAX_RT_PRIO {
            record.has |= HAS_FAIR;
        }
    }
}

/// Id of the cgroup in the default hierarchy.
#[inline(always)]
fn cgroup(task: At) -> u64 {
    task.follow(offset!(task_cgroups))
        .and_then(|set| set.follow(offset!(css_set_dfl_cgrp)))
        .and_then(|cgroup| cgroup.follow(offset!(cgroup_kn)))
        .map_or(0, |node| node.read(offset!(kernfs_node_id)))
}

/// Whether the task runs, or ran since `record` was begun.
#[inline(always)]
fn moved(task: Task, record: &TaskRecord) -> bool {
    // 0 or 1: an int to 7.2, a byte from 7.3 on
    task.load::<u8>(offset!(task_on_cpu)) != 0
        || task.load::<u32>(offset!(task_state)) != record.state
        || task.load::<u64>(offset!(task_nvcsw)) != record.nvcsw
        || task.load::<u64>(offset!(task_nivcsw)) != record.nivcsw
        || task.load::<u64>(offset!(task_last_arrival)) != record.last_arrival_ns
}
