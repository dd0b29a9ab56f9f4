//! Abilities that depend on who runs leakprobe, and where.

use std::{fs, io};

use super::Ability;

/// Inode of the initial PID namespace (`PROC_PID_INIT_INO`, include/linux/proc_ns.h; part of the
/// user ABI from 6.18 on).
const INITIAL_PID_NS: &str = "pid:[4026531836]";

/// Capabilities by number (include/uapi/linux/capability.h).
const NEEDED: [(u32, &str); 4] =
    [(19, "CAP_SYS_PTRACE"), (21, "CAP_SYS_ADMIN"), (38, "CAP_PERFMON"), (39, "CAP_BPF")];

pub(super) fn kernel_release() -> String {
    read("/proc/sys/kernel/osrelease").unwrap_or_else(|_| "unknown".to_owned())
}

pub(super) fn lockdown() -> Ability {
    let content = read("/sys/kernel/security/lockdown");
    // The one in force stands in brackets.
    let mode = (content.as_deref().ok())
        .and_then(|text| text.split_once('[')?.1.split_once(']'))
        .map(|(mode, _)| mode.to_owned());
    Ability {
        name: "lockdown",
        works: mode.as_deref().map(|mode| mode != "confidentiality"),
        found: match (mode, content) {
            (Some(mode), _) => format!("mode {mode}"),
            (None, Ok(_)) => "in a format that is not known".to_owned(),
            (None, Err(error)) => format!("cannot be read: {error}"),
        },
        lost: "in the mode confidentiality BPF may not read kernel memory: tasks are read from /proc",
        remedy: "boot without lockdown=confidentiality; if it cannot be read, mount securityfs",
    }
}

pub(super) fn capabilities() -> Ability {
    let effective = read("/proc/self/status").ok().and_then(|status| {
        let line = status.lines().find_map(|line| line.strip_prefix("CapEff:"))?;
        u64::from_str_radix(line.trim(), 16).ok()
    });
    let missing: Option<Vec<&str>> = effective.map(|held| {
        let lacks = |(bit, name)| (held >> bit & 1 == 0).then_some(name);
        NEEDED.into_iter().filter_map(lacks).collect()
    });
    Ability {
        name: "capabilities",
        works: missing.as_ref().map(|missing| missing.is_empty()),
        found: match missing {
            None => "cannot be read from /proc/self/status".to_owned(),
            Some(missing) if missing.is_empty() => "all that are used are held".to_owned(),
            Some(missing) => format!("missing: {}", missing.join(", ")),
        },
        lost: "processes of other users, and everything that BPF gives",
        remedy: "run with sudo",
    }
}

pub(super) fn pid_namespace() -> Ability {
    let link = fs::read_link("/proc/self/ns/pid");
    let name = link.as_ref().ok().and_then(|link| link.to_str());
    Ability {
        name: "initial PID namespace",
        works: name.map(|name| name == INITIAL_PID_NS),
        found: match (name, &link) {
            (Some(name), _) => name.to_owned(),
            (None, Ok(_)) => "in a format that is not known".to_owned(),
            (None, Err(error)) => error.to_string(),
        },
        lost: "processes outside leakprobe's own PID namespace",
        remedy: "run it on the host (in Kubernetes: hostPID: true) to see the whole machine",
    }
}

pub(super) fn proc_mount() -> Ability {
    let link = fs::read_link("/proc/self");
    let shown = link.as_ref().ok().and_then(|link| link.to_str());
    let own = std::process::id().to_string();
    Ability {
        name: "own /proc",
        works: Some(shown == Some(own.as_str())),
        found: match (shown, &link) {
            (Some(shown), _) => format!("/proc shows leakprobe as {shown}, it is {own}"),
            (None, Ok(_)) => "in a format that is not known".to_owned(),
            (None, Err(error)) => format!("/proc/self: {error}"),
        },
        lost: "nearly everything: process ids are looked up in the /proc of another PID namespace",
        remedy: "mount /proc in this PID namespace (unshare --mount-proc)",
    }
}

pub(super) fn map_files() -> Ability {
    let tried = first_map_file();
    Ability {
        name: "map_files",
        works: Some(tried.is_ok()),
        found: match tried {
            Ok(()) => "a mapped file was opened by its mapping".to_owned(),
            Err(error) => format!("/proc/self/map_files: {error}"),
        },
        lost: "names and stacks in programs and libraries that were deleted or replaced since they \
               were started",
        remedy: "run as root (it takes CAP_SYS_ADMIN or CAP_CHECKPOINT_RESTORE)",
    }
}

fn first_map_file() -> io::Result<()> {
    let entry = fs::read_dir("/proc/self/map_files")?.next().ok_or(io::ErrorKind::NotFound)??;
    fs::File::open(entry.path()).map(drop)
}

pub(super) fn ptrace_scope() -> Ability {
    let content = read("/proc/sys/kernel/yama/ptrace_scope");
    Ability {
        name: "ptrace scope",
        works: match content.as_deref() {
            Ok(scope) => Some(scope == "0"),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Some(true),
            Err(_) => None,
        },
        found: match content {
            Ok(scope) => format!("kernel.yama.ptrace_scope = {scope}"),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                "the Yama security module is not there".to_owned()
            }
            Err(error) => error.to_string(),
        },
        lost: "without CAP_SYS_PTRACE: the memory, and so the stacks, of one's own processes",
        remedy: "run with sudo, or set kernel.yama.ptrace_scope to 0",
    }
}

pub(super) fn hidepid() -> Ability {
    let option = read("/proc/self/mounts").ok().map(|mounts| {
        let line = mounts.lines().find(|line| line.split(' ').nth(1) == Some("/proc"));
        let options = line.and_then(|line| line.split(' ').nth(3)).unwrap_or("");
        let hide = options.split(',').find_map(|option| option.strip_prefix("hidepid="));
        hide.unwrap_or("0").to_owned()
    });
    Ability {
        name: "hidepid",
        works: option.as_deref().map(|mode| mode == "0" || mode == "off"),
        found: match option {
            Some(mode) => format!("/proc is mounted with hidepid={mode}"),
            None => "/proc/self/mounts cannot be read".to_owned(),
        },
        lost: "without root: processes of other users are not even listed",
        remedy: "run with sudo, or mount /proc with hidepid=0",
    }
}

fn read(path: &str) -> io::Result<String> {
    fs::read_to_string(path).map(|text| text.trim_end().to_owned())
}
