//! Which processes share one memory, where the kernel's own answer (`task->mm`) is not to be had.

/// `KCMP_VM` (Linux include/uapi/linux/kcmp.h).
const KCMP_VM: libc::c_long = 1;

/// Whether two processes share their memory. `None` where the kernel doesn't say: kcmp(2) is not
/// built in, ptrace access is refused, or one of them is gone.
pub fn shares_memory(a: u32, b: u32) -> Option<bool> {
    // SAFETY: kcmp takes integers only and changes nothing.
    let answer = unsafe { libc::syscall(libc::SYS_kcmp, a, b, KCMP_VM, 0, 0) };
    match answer {
        0 => Some(true),
        1..=3 => Some(false),
        _ => None,
    }
}
