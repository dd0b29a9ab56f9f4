//! Reads of kernel structs, at offsets that come from the running kernel's BTF.

use aya_ebpf::{Global, bindings::task_struct, helpers::generated::bpf_probe_read_kernel};
use leakprobe_common::{ABSENT, Offsets};

/// Set by the loader. Read-only to the verifier, which therefore knows each offset as a constant
/// and drops the code for fields that this kernel lacks.
#[unsafe(no_mangle)]
static OFFSETS: Global<Offsets> = Global::new(UNSET);

/// An object that was loaded without offsets reads nothing.
const UNSET: Offsets = Offsets {
    task_state: ABSENT,
    task_exit_state: ABSENT,
    task_flags: ABSENT,
    task_mm: ABSENT,
    task_start_boottime: ABSENT,
    task_group_leader: ABSENT,
    task_real_parent: ABSENT,
    task_tgid: ABSENT,
    task_thread_pid: ABSENT,
    task_nvcsw: ABSENT,
    task_nivcsw: ABSENT,
    task_self_exec_id: ABSENT,
    task_comm: ABSENT,
    task_cgroups: ABSENT,
    task_last_arrival: ABSENT,
    task_sum_exec: ABSENT,
    task_prev_sum_exec: ABSENT,
    task_stack: ABSENT,
    css_set_dfl_cgrp: ABSENT,
    cgroup_kn: ABSENT,
    kernfs_node_id: ABSENT,
    pid_level: ABSENT,
    pid_numbers: ABSENT,
    upid_size: ABSENT,
    upid_nr: ABSENT,
    upid_ns: ABSENT,
    pid_namespace_inum: ABSENT,
    task_on_cpu: ABSENT,
    task_prio: ABSENT,
    task_jobctl: ABSENT,
};

/// The offset of one field, [`ABSENT`] where this kernel lacks it.
macro_rules! offset {
    ($field:ident) => {{
        let offsets = $crate::kernel::offsets();
        // SAFETY: `offsets` points to a static; volatile, because the loader overwrites it.
        unsafe { (&raw const (*offsets).$field).read_volatile() }
    }};
}
pub(crate) use offset;

#[inline(always)]
pub fn offsets() -> *const Offsets {
    (&raw const OFFSETS).cast()
}

/// A task that the verifier knows to be one.
///
/// Numbers in it are loaded directly, at a twentieth of what a helper call costs: the verifier
/// compares each load with the kernel's BTF and has it yield zero if it faults.
#[derive(Clone, Copy)]
pub struct Task(pub *const task_struct);

impl Task {
    /// Loads a number, not larger than the field; zero if the field is absent.
    #[inline(always)]
    pub fn load<T: Number>(self, offset: u32) -> T {
        if offset == ABSENT {
            return T::ZERO;
        }
        let field = self.0.cast::<u8>().wrapping_add(offset as usize).cast::<T>();
        // SAFETY: the verifier lets the program load only if the field is a readable `T`.
        // Volatile, because other CPUs write it.
        unsafe { field.read_volatile() }
    }

    /// The same task to the helpers, which take any address.
    #[inline(always)]
    pub fn at(self) -> At {
        At(self.0.cast())
    }
}

/// What [`Task::load`] loads.
pub trait Number: Copy {
    /// Stands for a field that is absent.
    const ZERO: Self;
}

impl Number for u8 {
    const ZERO: Self = 0;
}

impl Number for u32 {
    const ZERO: Self = 0;
}

impl Number for u64 {
    const ZERO: Self = 0;
}

/// Address of a kernel struct; may be stale or null, reads then yield zeroes.
#[derive(Clone, Copy)]
pub struct At(pub *const u8);

impl At {
    /// Reads a plain value at `offset`; zeroes if the field is absent or the read faults.
    ///
    /// `T` must be valid for all bit patterns: integers and arrays of them.
    #[inline(always)]
    pub fn read<T: Copy>(self, offset: u32) -> T {
        let mut value = core::mem::MaybeUninit::<T>::zeroed();
        self.read_to(offset, value.as_mut_ptr());
        // SAFETY: zeroed above, and every bit pattern is valid for `T`.
        unsafe { value.assume_init() }
    }

    /// The same into memory of the caller, which must be valid for writes of a `T`. Whether it
    /// could be read.
    #[inline(always)]
    pub fn read_to<T: Copy>(self, offset: u32, to: *mut T) -> bool {
        if offset == ABSENT {
            return false;
        }
        // SAFETY: `to` is valid for writes of size_of::<T>() bytes; the helper checks the source
        // and clears the destination if it faults.
        unsafe {
            bpf_probe_read_kernel(
                to.cast(),
                size_of::<T>() as u32,
                self.0.wrapping_add(offset as usize).cast(),
            ) == 0
        }
    }

    /// Follows a pointer field; `None` if it is absent, unreadable or null.
    #[inline(always)]
    pub fn follow(self, offset: u32) -> Option<At> {
        let next: u64 = self.read(offset);
        (next != 0).then_some(At(next as *const u8))
    }
}

/// A task's ids: `struct pid`, one number for each PID namespace level.
#[derive(Clone, Copy)]
pub struct Pid {
    at: At,
    /// Level of the innermost namespace; 0 is the initial one.
    pub level: u32,
}

/// Deepest nesting of PID namespaces (`MAX_PID_NS_LEVEL`, include/linux/pid_namespace.h).
const MAX_LEVEL: u32 = 32;

impl Pid {
    /// The ids of a task; `None` if it has been released.
    #[inline(always)]
    pub fn of(task: At) -> Option<Pid> {
        let at = task.follow(offset!(task_thread_pid))?;
        let level: u32 = at.read(offset!(pid_level));
        (level <= MAX_LEVEL).then_some(Pid { at, level })
    }

    /// The id at a level, 0 below the task's innermost namespace.
    #[inline(always)]
    pub fn number(self, level: u32) -> u32 {
        if level > self.level {
            return 0;
        }
        self.at.read_number(level, offset!(upid_nr))
    }

    /// The namespace at a level.
    #[inline(always)]
    pub fn namespace(self, level: u32) -> u64 {
        if level > self.level {
            return 0;
        }
        self.at.read_number(level, offset!(upid_ns))
    }
}

impl At {
    /// Reads a field of `pid.numbers[level]`.
    #[inline(always)]
    fn read_number<T: Copy>(self, level: u32, field: u32) -> T {
        let entry = offset!(pid_numbers) as u64 + level as u64 * offset!(upid_size) as u64;
        At((self.0 as u64 + entry) as *const u8).read(field)
    }
}
