//! leakprobe's own share of the CPU.

/// leakprobe's time slice in nanoseconds; the default is 2.8 ms, the longest 100 ms
/// (kernel/sched/fair.c and syscalls.c, Linux 6.12).
const SLICE_NS: u64 = 20_000_000;

/// `struct sched_attr` in its first version (include/uapi/linux/sched/types.h).
#[repr(C)]
struct Attributes {
    size: u32,
    policy: u32,
    flags: u64,
    nice: i32,
    priority: u32,
    runtime: u64,
    deadline: u64,
    period: u64,
}

/// Asks the scheduler to let whoever wakes up run in place of the calling thread, at once: the
/// target's threads must not wait for leakprobe's slice, or the next tick. A thread with a longer
/// slice is preempted by any that has a shorter one (`PREEMPT_SHORT`), and its share of the CPU stays
/// the same. Kernels before 6.12 don't know of slices; there a thread that wakes runs soon anyway.
pub fn yield_readily() {
    let mut attributes = Attributes {
        size: size_of::<Attributes>() as u32,
        policy: 0,
        flags: 0,
        nice: 0,
        priority: 0,
        runtime: 0,
        deadline: 0,
        period: 0,
    };
    // SAFETY: `attributes` is valid for reads and writes of the size that is passed; both calls
    // change nothing but the calling thread's scheduling. If either fails, all stays as it was.
    unsafe {
        let size = attributes.size;
        if libc::syscall(libc::SYS_sched_getattr, 0, &mut attributes, size, 0) == 0
            && attributes.policy == libc::SCHED_OTHER as u32
        {
            attributes.runtime = SLICE_NS;
            libc::syscall(libc::SYS_sched_setattr, 0, &attributes, 0);
        }
    }
}
