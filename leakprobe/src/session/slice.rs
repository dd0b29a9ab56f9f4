//! leakprobe's own share of the CPU.

/// The shortest time slice that Linux grants, in nanoseconds (kernel/sched/syscalls.c, 6.12).
const SLICE_NS: u64 = 100_000;

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

/// Asks the scheduler to let whoever wakes up run in place of the calling thread, soon: the target's
/// threads must not wait for a slice of leakprobe's to end (2.8 ms by default). It costs leakprobe
/// nothing where a CPU is free. Kernels before 6.12 don't know of it; there a thread that wakes runs
/// soon anyway.
pub fn keep_short() {
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
