//! The formats of the files below /proc. Names in them are chosen by the target: a name may hold
//! parentheses, spaces, newlines and bytes that are no text.

/// `/proc/PID/stat` (do_task_stat, fs/proc/array.c).
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Stat {
    pub(super) comm: String,
    pub(super) state: u8,
    pub(super) ppid: u32,
    pub(super) flags: u32,
    /// Since the boot.
    pub(super) start_ticks: u64,
    pub(super) start_code: u64,
    pub(super) start_stack: u64,
    /// 0 before 3.5.
    pub(super) arg_start: u64,
}

impl Stat {
    pub(super) fn parse(bytes: &[u8]) -> Option<Stat> {
        // The name ends at the last parenthesis: only numbers follow.
        let open = bytes.iter().position(|&byte| byte == b'(')?;
        let close = bytes.iter().rposition(|&byte| byte == b')')?;
        let comm = bytes.get(open + 1..close)?;
        let rest = std::str::from_utf8(bytes.get(close + 1..)?).ok()?;
        let fields: Vec<&str> = rest.split_ascii_whitespace().collect();
        // Numbered from 1 as in proc(5), where the state is the third.
        let field = |number: usize| fields.get(number.checked_sub(3)?).copied();
        let number = |field_number| field(field_number)?.parse::<u64>().ok();
        Some(Stat {
            comm: String::from_utf8_lossy(comm).into_owned(),
            state: *field(3)?.as_bytes().first()?,
            ppid: number(4)?.try_into().ok()?,
            flags: number(9)?.try_into().ok()?,
            start_ticks: number(22)?,
            start_code: number(26)?,
            start_stack: number(28)?,
            arg_start: number(48).unwrap_or(0),
        })
    }
}

/// `/proc/PID/status` (proc_pid_status, fs/proc/array.c).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Status {
    pub(super) tgid: u32,
    /// Ids in the innermost PID namespace; `None` without CONFIG_PID_NS.
    pub(super) ns_tgid: Option<u32>,
    pub(super) ns_tid: Option<u32>,
    /// Voluntary and involuntary context switches.
    pub(super) switches: (u64, u64),
}

impl Status {
    pub(super) fn parse(bytes: &[u8]) -> Option<Status> {
        let mut status = Status::default();
        let mut is_complete = false;
        // The kernel writes a newline in the name as `\n`, so that each line is its own.
        for line in bytes.split(|&byte| byte == b'\n') {
            let Some(colon) = line.iter().position(|&byte| byte == b':') else {
                continue;
            };
            let (key, value) = (&line[..colon], std::str::from_utf8(&line[colon + 1..]));
            let Ok(value) = value else { continue };
            let innermost = || value.split_ascii_whitespace().next_back()?.parse().ok();
            match key {
                b"Tgid" => status.tgid = value.trim().parse().ok()?,
                b"NStgid" => status.ns_tgid = innermost(),
                b"NSpid" => status.ns_tid = innermost(),
                b"voluntary_ctxt_switches" => status.switches.0 = value.trim().parse().ok()?,
                b"nonvoluntary_ctxt_switches" => {
                    status.switches.1 = value.trim().parse().ok()?;
                    is_complete = true;
                }
                _ => {}
            }
        }
        is_complete.then_some(status)
    }
}

/// `/proc/PID/schedstat` (proc_pid_schedstat, fs/proc/base.c).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct Schedstat {
    /// Time on a CPU, nanoseconds.
    pub(super) ran_ns: u64,
    /// How often it got a CPU.
    pub(super) arrivals: u64,
}

impl Schedstat {
    pub(super) fn parse(bytes: &[u8]) -> Option<Schedstat> {
        let mut fields = std::str::from_utf8(bytes).ok()?.split_ascii_whitespace();
        let ran_ns = fields.next()?.parse().ok()?;
        let _waited_ns = fields.next()?;
        let arrivals = fields.next()?.parse().ok()?;
        Some(Schedstat { ran_ns, arrivals })
    }
}

/// `/proc/PID/syscall` (proc_pid_syscall, fs/proc/base.c).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Syscall {
    /// It runs.
    Running,
    /// Blocked, but not in a system call.
    Outside { sp: u64, ip: u64 },
    /// Blocked in a system call.
    Inside { number: u64, args: [u64; 6], sp: u64, ip: u64 },
}

impl Syscall {
    pub(super) fn parse(bytes: &[u8]) -> Option<Syscall> {
        let text = std::str::from_utf8(bytes).ok()?.trim_end();
        if text == "running" {
            return Some(Syscall::Running);
        }
        let mut fields = text.split(' ');
        let number = fields.next()?;
        let values: Vec<u64> = fields.map(hexadecimal).collect::<Option<_>>()?;
        match (number, &values[..]) {
            ("-1", &[sp, ip]) => Some(Syscall::Outside { sp, ip }),
            (number, &[a, b, c, d, e, f, sp, ip]) => Some(Syscall::Inside {
                number: number.parse().ok()?,
                args: [a, b, c, d, e, f],
                sp,
                ip,
            }),
            _ => None,
        }
    }
}

fn hexadecimal(field: &str) -> Option<u64> {
    u64::from_str_radix(field.strip_prefix("0x")?, 16).ok()
}

/// `/proc/PID/wchan`: the kernel function that it sleeps in; `0` where it does not or may not be
/// known.
pub(super) fn wchan(bytes: &[u8]) -> Option<String> {
    let name = std::str::from_utf8(bytes).ok()?.trim_end();
    (!name.is_empty() && name != "0").then(|| name.to_owned())
}

/// Inode of the namespace that a link below `/proc/PID/ns` names: `pid:[4026531836]`.
pub(super) fn namespace(link: &[u8]) -> Option<u32> {
    let inode = link.strip_prefix(b"pid:[")?.strip_suffix(b"]")?;
    std::str::from_utf8(inode).ok()?.parse().ok()
}

/// Path of the process in the default cgroup hierarchy, from `/proc/PID/cgroup`; `None` if it is
/// not one that can be looked up from here.
pub(super) fn cgroup(bytes: &[u8]) -> Option<String> {
    let path = bytes.split(|&byte| byte == b'\n').find_map(|line| line.strip_prefix(b"0::"))?;
    let path = std::str::from_utf8(path).ok()?;
    // A cgroup outside the reader's cgroup namespace.
    (!path.split('/').any(|part| part == "..")).then(|| path.to_owned())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const TAIL: &[u8] = b" S 7 42 42 0 -1 4194560 1 2 3 4 5 6 7 8 20 0 3 0 9000 0 0 \
        18446744073709551615 4096 8192 140737 0 0 0 0 0 0 0 0 0 17 1 0 0 0 0 0 1 2 3 70000 4 5 6 0\n";

    fn stat(comm: &[u8]) -> Vec<u8> {
        [b"42 (", comm, b")", TAIL].concat()
    }

    #[test]
    fn stat_of_a_plain_task() {
        // Check that each field is taken from its place.
        let stat = Stat::parse(&stat(b"server")).unwrap();
        assert_eq!(
            stat,
            Stat {
                comm: "server".into(),
                state: b'S',
                ppid: 7,
                flags: 0x40_0100,
                start_ticks: 9000,
                start_code: 4096,
                start_stack: 140737,
                arg_start: 70000,
            }
        );
    }

    #[test]
    fn stat_of_hostile_names() {
        // Check that a name with parentheses, spaces or newlines does not shift the fields.
        for name in ["a) R 1 (b", ") Z 0 0", "((", "))", "a\nb", ""] {
            let stat = Stat::parse(&stat(name.as_bytes())).unwrap();
            assert_eq!((stat.comm.as_str(), stat.state, stat.ppid), (name, b'S', 7));
        }
    }

    #[test]
    fn status() {
        // Check that ids of the innermost namespace and both counters are found.
        let text = b"Name:\tTgid: 9\\nTgid:\t9\nState:\tS (sleeping)\nTgid:\t42\nNStgid:\t42\t1\n\
            NSpid:\t43\t2\nvoluntary_ctxt_switches:\t5\nnonvoluntary_ctxt_switches:\t6\n";
        assert_eq!(
            Status::parse(text).unwrap(),
            Status { tgid: 42, ns_tgid: Some(1), ns_tid: Some(2), switches: (5, 6) }
        );
        assert_eq!(Status::parse(&text[..60]), None);
    }

    #[test]
    fn syscall() {
        // Check the three forms and that others are refused.
        assert_eq!(Syscall::parse(b"running\n"), Some(Syscall::Running));
        assert_eq!(
            Syscall::parse(b"-1 0x7ffc 0x40\n"),
            Some(Syscall::Outside { sp: 0x7ffc, ip: 0x40 })
        );
        assert_eq!(
            Syscall::parse(b"202 0x1 0x80 0x2 0x0 0x0 0xffffffff 0x7f10 0x55\n"),
            Some(Syscall::Inside {
                number: 202,
                args: [1, 0x80, 2, 0, 0, 0xffff_ffff],
                sp: 0x7f10,
                ip: 0x55
            })
        );
        for text in ["", "202", "-1", "x 0x1 0x2", "-1 1 2", "202 0x1 0x2"] {
            assert_eq!(Syscall::parse(text.as_bytes()), None, "{text:?}");
        }
    }

    #[test]
    fn small_files() {
        // Check wchan, the namespace link, schedstat and the cgroup.
        assert_eq!(wchan(b"futex_wait_queue"), Some("futex_wait_queue".into()));
        assert_eq!(wchan(b"0"), None);
        assert_eq!(namespace(b"pid:[4026531836]"), Some(4026531836));
        assert_eq!(namespace(b"mnt:[1]"), None);
        assert_eq!(Schedstat::parse(b"10 20 30\n"), Some(Schedstat { ran_ns: 10, arrivals: 30 }));
        assert_eq!(cgroup(b"1:cpu:/x\n0::/a/b\n"), Some("/a/b".into()));
        assert_eq!(cgroup(b"0::/../b\n"), None);
        assert_eq!(cgroup(b""), None);
    }

    proptest! {
        #[test]
        fn any_name_is_survived(name in proptest::collection::vec(any::<u8>(), 0..64)) {
            // Check that no name, whatever its bytes, shifts the fields after it.
            let stat = Stat::parse(&stat(&name)).unwrap();
            prop_assert_eq!((stat.state, stat.ppid, stat.start_ticks), (b'S', 7, 9000));
        }

        #[test]
        fn any_bytes_are_survived(bytes in proptest::collection::vec(any::<u8>(), 0..512)) {
            // Check that no content of any of the files makes a parser panic.
            let _ = Stat::parse(&bytes);
            let _ = Status::parse(&bytes);
            let _ = Schedstat::parse(&bytes);
            let _ = Syscall::parse(&bytes);
            let _ = (wchan(&bytes), namespace(&bytes), cgroup(&bytes));
        }
    }
}
