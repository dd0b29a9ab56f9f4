//! Abilities of the kernel's BPF, each tried with a program that does nothing.

use aya_obj::generated::{bpf_attach_type, bpf_attr, bpf_cmd, bpf_prog_type};

use super::Ability;
use crate::probe::{ProbeError, btf::Btf, iter::IterTasks, offsets};

/// Where the kernel says that it can place uprobes.
const UPROBE_PMU: &str = "/sys/bus/event_source/devices/uprobe/type";

/// A function that every kernel has and that can be traced on its entry.
const TRACED: &str = "vfs_read";
/// A tracepoint that every kernel has; its type is a typedef of this name.
const TRACEPOINT: &str = "btf_trace_sched_switch";

pub(super) fn btf() -> Ability {
    let tried = offsets::read_vmlinux()
        .and_then(|bytes| Btf::parse(&bytes).and_then(|btf| offsets::resolve(&btf).map(drop)));
    Ability {
        name: "kernel BTF",
        works: Some(tried.is_ok()),
        found: match tried {
            Ok(()) => format!("{} has every field that is needed", offsets::VMLINUX),
            Err(error) => error.to_string(),
        },
        lost: "everything that BPF gives: tasks are read from /proc, ages are ranges",
        remedy: "boot a kernel built with CONFIG_DEBUG_INFO_BTF=y (all that Debian, Ubuntu and \
                 Fedora ship are)",
    }
}

pub(super) fn iter_task() -> Ability {
    let tried = IterTasks::open(false);
    Ability {
        name: "iter/task",
        works: Some(tried.is_ok()),
        found: match tried {
            Ok((_, notes)) if notes.is_empty() => "loaded, and its clock calibrated".to_owned(),
            Ok((_, notes)) => format!("loaded, but {}", notes.join("; ")),
            Err(error) => error.to_string(),
        },
        lost: "when waits began that are older than leakprobe's own run, all registers of blocked \
               threads, memory shared between processes; tasks are read from /proc",
        remedy: "run as root (or with CAP_BPF, CAP_PERFMON and CAP_SYS_PTRACE) on a kernel from \
                 5.10 on",
    }
}

pub(super) fn fentry() -> Ability {
    let tried = load(bpf_attach_type::BPF_TRACE_FENTRY, |btf| btf.function(TRACED));
    Ability {
        name: "fentry",
        works: Some(tried.is_ok()),
        found: said(tried, "a program on a kernel function's entry"),
        lost: "cheap events of futex waits; snapshots do not need them",
        remedy: "boot a kernel with function tracing (CONFIG_FUNCTION_TRACER, \
                 CONFIG_DYNAMIC_FTRACE_WITH_DIRECT_CALLS)",
    }
}

pub(super) fn tp_btf() -> Ability {
    let tried = load(bpf_attach_type::BPF_TRACE_RAW_TP, |btf| btf.typedef(TRACEPOINT));
    Ability {
        name: "tp_btf",
        works: Some(tried.is_ok()),
        found: said(tried, "a program on a tracepoint"),
        lost: "events of the scheduler; snapshots do not need them",
        remedy: "run as root (or with CAP_BPF and CAP_PERFMON) on a kernel from 5.5 on",
    }
}

pub(super) fn uprobes() -> Ability {
    let tried = std::fs::read_to_string(UPROBE_PMU);
    Ability {
        name: "uprobes",
        works: Some(tried.is_ok()),
        found: match tried {
            Ok(kind) => format!("the kernel places them (event source {})", kind.trim_end()),
            Err(error) => format!("{UPROBE_PMU}: {error}"),
        },
        lost: "events from inside programs; snapshots do not need them",
        remedy: "boot a kernel built with CONFIG_UPROBE_EVENTS=y",
    }
}

fn said(tried: Result<(), String>, what: &str) -> String {
    match tried {
        Ok(()) => format!("{what} was loaded"),
        Err(why) => format!("{what} was refused: {why}"),
    }
}

/// Loads a tracing program that returns at once, for the BTF type that `target` finds.
fn load(
    attach: bpf_attach_type,
    target: impl FnOnce(&Btf<'_>) -> Option<u32>,
) -> Result<(), String> {
    /// `r0 = 0; exit`.
    const PROGRAM: [u64; 2] = [0x0000_0000_0000_00b7, 0x0000_0000_0000_0095];
    let say = |error: ProbeError| error.to_string();
    let vmlinux = offsets::read_vmlinux().map_err(say)?;
    let btf = Btf::parse(&vmlinux).map_err(say)?;
    let target = target(&btf).ok_or("the kernel's BTF does not name it")?;

    // SAFETY: all zeroes is a valid value of every command's attributes.
    let mut attributes: bpf_attr = unsafe { std::mem::zeroed() };
    // SAFETY: these are the fields of the one variant that BPF_PROG_LOAD reads.
    let load = unsafe { &mut attributes.__bindgen_anon_3 };
    load.prog_type = bpf_prog_type::BPF_PROG_TYPE_TRACING as u32;
    load.expected_attach_type = attach as u32;
    load.insns = PROGRAM.as_ptr() as u64;
    load.insn_cnt = PROGRAM.len() as u32;
    load.license = c"GPL".as_ptr() as u64;
    load.attach_btf_id = target;
    // SAFETY: the attributes are valid for the size passed and point to memory that outlives the
    // call.
    let fd = unsafe {
        libc::syscall(
            libc::SYS_bpf,
            bpf_cmd::BPF_PROG_LOAD,
            &raw mut attributes,
            size_of::<bpf_attr>(),
        )
    };
    if fd < 0 {
        return Err(std::io::Error::last_os_error().to_string());
    }
    // SAFETY: the descriptor was just opened and is closed once.
    unsafe { libc::close(fd as i32) };
    Ok(())
}
