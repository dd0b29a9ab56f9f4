//! Which processes share one memory, where the kernel's own answer (`task->mm`) is not to be had.

/// `KCMP_VM` (Linux include/uapi/linux/kcmp.h).
const KCMP_VM: libc::c_long = 1;

/// Whether two processes share their memory. `None` where nothing says so: one of them is gone, or
/// ptrace access is refused.
pub fn shares_memory(a: u32, b: u32) -> Option<bool> {
    // SAFETY: kcmp takes integers only and changes nothing.
    let answer = unsafe { libc::syscall(libc::SYS_kcmp, a, b, KCMP_VM, 0, 0) };
    match answer {
        0 => Some(true),
        1..=3 => Some(false),
        // kcmp is an option of the kernel, and needs ptrace access.
        _ => by_layout(&read(a, "stat")?, &read(b, "stat")?)
            .or_else(|| by_text_size(&read(a, "statm")?, &read(b, "statm")?)),
    }
}

/// Whether a thread lives that shares the memory of process `pid`. `None` where nothing says so.
pub fn lives_in_memory_of(pid: u32, tid: u32) -> Option<bool> {
    // SAFETY: sched_getscheduler takes an integer; it needs no privilege and changes nothing.
    let exists = unsafe { libc::sched_getscheduler(tid.try_into().ok()?) } >= 0;
    if !exists {
        let gone = std::io::Error::last_os_error().raw_os_error() == Some(libc::ESRCH);
        return gone.then_some(false);
    }
    let status = read(tid, "status")?;
    let group = status.lines().find_map(|line| line.strip_prefix("Tgid:"))?.trim().parse().ok()?;
    shares_memory(pid, group)
}

fn read(pid: u32, file: &str) -> Option<String> {
    let text = std::fs::read(format!("/proc/{pid}/{file}")).ok()?;
    Some(String::from_utf8_lossy(&text).into_owned())
}

/// The size of a memory's code never changes and may be seen by everyone: the fourth field of
/// proc_pid_statm(5). Different ones tell two memories apart, equal ones say nothing.
fn by_text_size(a: &str, b: &str) -> Option<bool> {
    let text = |statm: &str| statm.split_ascii_whitespace().nth(3)?.parse::<u64>().ok();
    (text(a)? != text(b)?).then_some(false)
}

/// Processes that share their memory have one layout: `startcode` and `startstack`, fields 26 and 28
/// of proc_pid_stat(5). A process forked without exec has its parent's too, so that equal ones say
/// nothing. Both are 0 for a kernel thread, which shares nothing, and 1 and 0 without ptrace access.
fn by_layout(a: &str, b: &str) -> Option<bool> {
    match (layout(a)?, layout(b)?) {
        ((_, 0), _) => None,
        (_, (0, 0)) => Some(false),
        (_, (_, 0)) => None,
        (a, b) => (a != b).then_some(false),
    }
}

fn layout(stat: &str) -> Option<(u64, u64)> {
    // The command name may hold anything, parentheses too.
    let mut fields = stat.rsplit_once(')')?.1.split_ascii_whitespace();
    let start_code = fields.nth(23)?.parse().ok()?;
    let start_stack = fields.nth(1)?.parse().ok()?;
    Some((start_code, start_stack))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn layouts_tell_strangers_apart() {
        // Check own fields, an unrelated layout, a kernel thread and a process that may not be read.
        let stat = |code: u64, stack: u64| {
            format!("1 (a) b) S {} {code} 9 {stack} 0", vec!["0"; 22].join(" "))
        };
        let own = stat(0x1000, 0x7000);
        assert_eq!(layout(&own), Some((0x1000, 0x7000)));
        assert_eq!(by_layout(&own, &stat(0x2000, 0x7000)), Some(false));
        assert_eq!(by_layout(&own, &own), None);
        assert_eq!(by_layout(&own, &stat(0, 0)), Some(false));
        assert_eq!(by_layout(&own, &stat(1, 0)), None);
        assert_eq!(by_text_size("9 9 9 5 0", "9 9 9 6 0"), Some(false));
        assert_eq!(by_text_size("9 9 9 5 0", "8 8 8 5 0"), None);
        let me = std::process::id();
        assert_eq!(
            lives_in_memory_of(me, me),
            Some(true).filter(|_| shares_memory(me, me).is_some())
        );
        assert_eq!(lives_in_memory_of(me, i32::MAX as u32), Some(false));
        let (code, stack) = layout(&read(me, "stat").expect("own stat")).expect("its fields");
        assert!(code > 0x1000 && stack > code);
    }
}
