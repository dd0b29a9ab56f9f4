//! Frames that the kernel put on a stack to run a signal handler.

use super::{
    Window,
    walk::{Regs, Step},
    without_cfi::code,
};
use crate::process::Target;

/// `mov $15,%rax; syscall`: rt_sigreturn, what a handler returns to. glibc and musl have the same
/// code (`sysdeps/unix/sysv/linux/x86_64/libc_sigaction.c`, `src/signal/x86_64/restore.s`), and
/// debuggers rely on it.
const TRAMPOLINE: [u8; 9] = [0x48, 0xc7, 0xc0, 0x0f, 0, 0, 0, 0x0f, 0x05];

/// Offsets in `struct ucontext`, to which the stack pointer points at the trampoline
/// (`arch/x86/include/uapi/asm/sigcontext.h`: uc_flags 8, uc_link 8, uc_stack 24, then r8 to r15,
/// rdi, rsi, rbp, rbx, rdx, rax, rcx, rsp, rip).
const BP: u64 = 40 + 10 * 8;
const SP: u64 = 40 + 15 * 8;
const IP: u64 = 40 + 16 * 8;

/// Whether an address is where a signal handler returns to.
pub(super) fn is_return_trampoline(target: &Target, ip: u64) -> bool {
    let mut bytes = [0; TRAMPOLINE.len()];
    code(target, ip, &mut bytes) == bytes.len() && bytes == TRAMPOLINE
}

/// What was interrupted. It may lie on another stack.
pub(super) fn step(regs: &Regs, window: &Window) -> Step {
    let word = |offset| {
        let address = regs.sp.wrapping_add(offset);
        window.word(address).ok_or(Step::Needs(address))
    };
    let interrupted = || Ok(Regs { ip: word(IP)?, sp: word(SP)?, bp: Some(word(BP)?), di: None });
    interrupted().map_or_else(|step| step, Step::Interrupted)
}
