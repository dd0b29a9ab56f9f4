//! Why a thread waits, from the system call it is in.

use super::{descriptor, detect::Native, futex, syscall_names};
use crate::{
    probe::{Registers, Task},
    runtime::{Found, Look, Wait, Why},
    snapshot::{ObjectKind, Timeout},
};

/// Explains any blocked thread: by its system call, else by the kernel function it sleeps in.
pub fn explain(native: &Native, look: &Look, wait: &Wait) -> Why {
    let Some(registers) = &wait.task.registers else { return unknown(look, wait.task) };
    let Some(number) = registers.syscall else { return outside(look, wait.task) };
    let Some(name) = syscall_names::name(number) else {
        let mut why = unknown(look, wait.task);
        why.notes.push(format!("system call {number}, which this version does not know"));
        return why;
    };
    match name {
        "futex" => futex::explain(native, look, wait, registers.args),
        "restart_syscall" => match restarted(look, wait.task, registers) {
            Some("futex") => futex::explain(native, look, wait, registers.args),
            Some(name) => by_name(look, name, registers),
            None => {
                let mut why = unknown(look, wait.task);
                why.notes.push("a system call that a signal interrupted and that goes on".into());
                why
            }
        },
        _ => by_name(look, name, registers),
    }
}

/// The system call that `restart_syscall(2)` goes on with: a stop by a signal or a debugger turned a
/// wait with a timeout into that. The arguments are still in their registers; the number was
/// replaced, but the program's code still says it, else the kernel's function.
fn restarted(look: &Look, task: &Task, registers: &Registers) -> Option<&'static str> {
    let code = registers.ip.checked_sub(7).and_then(|at| look.pages.bytes::<7>(at));
    code.and_then(restartable_in_code).or_else(|| {
        let function = task.wchan.clone().or_else(|| look.target.wchan(task.tid))?;
        restartable_in_kernel(&function)
    })
}

/// Those that can be restarted so (`set_restart_fn` in Linux 6.18: kernel/futex/waitwake.c,
/// kernel/time/{hrtimer,posix-timers,alarmtimer}.c, fs/select.c), from `mov $number,%eax; syscall`.
fn restartable_in_code(code: [u8; 7]) -> Option<&'static str> {
    let [0xb8, a, b, c, d, 0x0f, 0x05] = code else { return None };
    let name = syscall_names::name(u32::from_le_bytes([a, b, c, d]).into())?;
    matches!(name, "futex" | "poll" | "nanosleep" | "clock_nanosleep").then_some(name)
}

/// The same from the kernel function that the thread sleeps in. A restarted sleep is all in `__sched`
/// functions, which the kernel passes over (`hrtimer_nanosleep_restart`, `do_nanosleep`), down to the
/// one that calls system calls.
fn restartable_in_kernel(function: &str) -> Option<&'static str> {
    match function.split('.').next().unwrap_or(function) {
        "futex_do_wait" | "futex_wait_queue" | "futex_wait_queue_me" => Some("futex"),
        "do_nanosleep"
        | "hrtimer_nanosleep"
        | "common_nsleep"
        | "do_syscall_64"
        | "__x64_sys_restart_syscall"
        | "__do_sys_restart_syscall" => Some("clock_nanosleep"),
        "do_sys_poll" | "do_poll" | "poll_schedule_timeout" => Some("poll"),
        _ => None,
    }
}

fn by_name(look: &Look, name: &'static str, registers: &Registers) -> Why {
    let args = registers.args;
    let why = Why::new(reason(name), timeout(name, args));
    match name {
        "poll" | "ppoll" => descriptor::polled(look, why, args),
        "epoll_wait" | "epoll_pwait" | "epoll_pwait2" => descriptor::epoll(look, why, args[0]),
        "wait4" | "waitid" => why.on(child(name, args)),
        _ if descriptor::in_first_argument(name) => why.on(descriptor::one(look, args[0])),
        _ => why,
    }
}

/// The names that people use: variants of one call are one reason.
fn reason(name: &'static str) -> &'static str {
    match name {
        "accept4" => "accept",
        "recvfrom" => "recv",
        "sendto" => "send",
        "ppoll" => "poll",
        "pselect6" => "select",
        "epoll_pwait" | "epoll_pwait2" => "epoll_wait",
        "clock_nanosleep" => "nanosleep",
        "rt_sigtimedwait" => "sigtimedwait",
        "rt_sigsuspend" => "sigsuspend",
        "preadv2" => "preadv",
        "pwritev2" => "pwritev",
        other => other,
    }
}

/// Whether the call ends by itself. Sockets can have a timeout of their own, which can't be seen
/// from outside.
fn timeout(name: &str, args: [u64; 6]) -> Timeout {
    let pointer = |p: u64| if p == 0 { Timeout::Never } else { Timeout::Set };
    let milliseconds = |ms: u64| if (ms as i32) < 0 { Timeout::Never } else { Timeout::Set };
    match name {
        "nanosleep" | "clock_nanosleep" => Timeout::Set,
        "poll" => milliseconds(args[2]),
        "ppoll" | "rt_sigtimedwait" => pointer(args[2]),
        "epoll_wait" | "epoll_pwait" => milliseconds(args[3]),
        "epoll_pwait2" | "semtimedop" => pointer(args[3]),
        "select" | "pselect6" | "io_getevents" | "io_pgetevents" | "mq_timedreceive"
        | "mq_timedsend" => pointer(args[4]),
        "pause" | "rt_sigsuspend" | "wait4" | "waitid" | "flock" | "msgrcv" | "msgsnd"
        | "semop" => Timeout::Never,
        _ => Timeout::Unknown,
    }
}

/// `wait4(pid, …)` and `waitid(idtype, id, …)`: ids are of the waiter's own PID namespace.
fn child(name: &str, args: [u64; 6]) -> Found {
    let (which, pid) = match (name, args) {
        ("wait4", [pid, ..]) if pid as i32 > 0 => ("pid", pid as u32),
        ("wait4", [pid, ..]) if (pid as i32) < -1 => ("process group", (pid as i32).unsigned_abs()),
        ("waitid", [1, pid, ..]) => ("pid", pid as u32),
        ("waitid", [2, group, ..]) => ("process group", group as u32),
        _ => ("any child", 0),
    };
    let found = Found::new(ObjectKind::Child, pid.into());
    match pid {
        0 => found.with("which", which),
        _ => found.with("which", format!("{which} {pid}")),
    }
}

/// Blocked without being in a system call: a page fault or an interrupt.
fn outside(look: &Look, task: &Task) -> Why {
    let mut why = unknown(look, task);
    why.notes.push("not in a system call: a page fault, or the way back to user space".into());
    why
}

fn unknown(look: &Look, task: &Task) -> Why {
    match task.wchan.clone().or_else(|| look.target.wchan(task.tid)) {
        Some(function) => Why::new(function, Timeout::Unknown),
        None => Why::new("unknown", Timeout::Unknown),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn timeouts_are_told_from_arguments() {
        // Check each place where a timeout can be: milliseconds, a pointer, none.
        assert_eq!(timeout("poll", [0, 1, u64::from(u32::MAX), 0, 0, 0]), Timeout::Never);
        assert_eq!(timeout("poll", [0, 1, 1000, 0, 0, 0]), Timeout::Set);
        assert_eq!(timeout("epoll_pwait2", [3, 0, 1, 0, 0, 0]), Timeout::Never);
        assert_eq!(timeout("select", [1, 0, 0, 0, 0x7ff0, 0]), Timeout::Set);
        assert_eq!(timeout("recvfrom", [0; 6]), Timeout::Unknown);
    }

    #[test]
    fn restarted_calls_are_known_again() {
        // Check the code of glibc's waits, code that says nothing, and kernel functions.
        let code = |number: u8| [0xb8, number, 0, 0, 0, 0x0f, 0x05];
        assert_eq!(restartable_in_code(code(202)), Some("futex"));
        assert_eq!(restartable_in_code(code(230)), Some("clock_nanosleep"));
        assert_eq!(restartable_in_code(code(7)), Some("poll"));
        assert_eq!(restartable_in_code(code(0)), None);
        assert_eq!(restartable_in_code([0x48, 0x89, 0xf8, 0x90, 0x90, 0x0f, 0x05]), None);
        assert_eq!(restartable_in_kernel("futex_do_wait"), Some("futex"));
        assert_eq!(restartable_in_kernel("do_sys_poll.constprop.0"), Some("poll"));
        assert_eq!(restartable_in_kernel("do_syscall_64"), Some("clock_nanosleep"));
        assert_eq!(restartable_in_kernel("pipe_read"), None);
    }

    #[test]
    fn children_are_named() {
        // Check one child, a group and any.
        let which = |name, args| child(name, args).detail["which"].clone();
        assert_eq!(which("wait4", [42, 0, 0, 0, 0, 0]), "pid 42");
        assert_eq!(which("wait4", [u64::MAX, 0, 0, 0, 0, 0]), "any child");
        assert_eq!(which("waitid", [1, 7, 0, 0, 0, 0]), "pid 7");
    }
}
