//! What the kernel's bits for a task mean.

use super::TaskState;

/// A kernel thread (`PF_KTHREAD`, include/linux/sched.h, 5.10 to 7.3).
const PF_KTHREAD: u32 = 0x0020_0000;

// include/linux/sched.h. Bits up to NEW are the same from 5.10 on; RTLOCK_WAIT came in 5.15,
// FREEZABLE (which only decorates another bit) and FROZEN in 6.1.
const INTERRUPTIBLE: u32 = 0x0001;
const UNINTERRUPTIBLE: u32 = 0x0002;
const STOPPED: u32 = 0x0004;
const TRACED: u32 = 0x0008;
const EXIT_DEAD: u32 = 0x0010;
const EXIT_ZOMBIE: u32 = 0x0020;
const PARKED: u32 = 0x0040;
const DEAD: u32 = 0x0080;
const WAKING: u32 = 0x0200;
const NOLOAD: u32 = 0x0400;
const NEW: u32 = 0x0800;
const RTLOCK_WAIT: u32 = 0x1000;
const FROZEN: u32 = 0x8000;

/// The state that `task_struct.__state` and `.exit_state` stand for.
pub(super) fn from_kernel(state: u32, exit_state: u32) -> TaskState {
    let any = |bits: u32| state & bits != 0;
    if exit_state & EXIT_ZOMBIE != 0 {
        TaskState::Zombie
    } else if exit_state & EXIT_DEAD != 0 || any(DEAD) {
        TaskState::Dead
    } else if state == 0 || any(WAKING | NEW) {
        TaskState::Running
    } else if any(FROZEN) {
        TaskState::Frozen
    } else if any(TRACED) {
        TaskState::Traced
    } else if any(STOPPED) {
        TaskState::Stopped
    } else if any(PARKED) || any(UNINTERRUPTIBLE) && any(NOLOAD) {
        TaskState::Idle
    } else if any(UNINTERRUPTIBLE | RTLOCK_WAIT) {
        TaskState::Uninterruptible
    } else if any(INTERRUPTIBLE) {
        TaskState::Sleeping
    } else {
        TaskState::Unknown(state)
    }
}

/// The state that /proc's letter stands for (`task_state_array`, fs/proc/array.c).
pub(super) fn from_letter(letter: u8) -> TaskState {
    match letter {
        b'R' => TaskState::Running,
        b'S' => TaskState::Sleeping,
        b'D' => TaskState::Uninterruptible,
        b'T' => TaskState::Stopped,
        b't' => TaskState::Traced,
        b'Z' => TaskState::Zombie,
        b'X' | b'x' => TaskState::Dead,
        b'I' | b'P' => TaskState::Idle,
        other => TaskState::Unknown(other.into()),
    }
}

/// Whether the flags of a task are a kernel thread's.
pub(super) fn is_kernel_thread(flags: u32) -> bool {
    flags & PF_KTHREAD != 0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kernel_bits() {
        // Check the states of real tasks, as kernels 5.10 to 7.3 show them.
        for (bits, exit, state) in [
            (0x0000, 0x00, TaskState::Running),
            (0x0001, 0x00, TaskState::Sleeping),
            (0x2001, 0x00, TaskState::Sleeping), // a futex sleeper from 6.1 on
            (0x0002, 0x00, TaskState::Uninterruptible),
            (0x0102, 0x00, TaskState::Uninterruptible), // TASK_KILLABLE
            (0x1000, 0x00, TaskState::Uninterruptible),
            (0x0402, 0x00, TaskState::Idle),
            (0x0104, 0x00, TaskState::Stopped),
            (0x0108, 0x00, TaskState::Traced),
            (0x8000, 0x00, TaskState::Frozen),
            (0x0080, 0x20, TaskState::Zombie),
            (0x0080, 0x10, TaskState::Dead),
            (0x0040, 0x00, TaskState::Idle),
            (0x0200, 0x00, TaskState::Running),
            (0x10000, 0x00, TaskState::Unknown(0x10000)),
        ] {
            assert_eq!(from_kernel(bits, exit), state, "{bits:#x} {exit:#x}");
        }
    }

    #[test]
    fn letters() {
        // Check that every letter of /proc is known and another one is not mistaken.
        for letter in b"RSDTtZXIP" {
            assert!(!matches!(from_letter(*letter), TaskState::Unknown(_)));
        }
        assert_eq!(from_letter(b'?'), TaskState::Unknown(b'?'.into()));
    }
}
