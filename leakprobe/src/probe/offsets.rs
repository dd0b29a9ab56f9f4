//! Where the fields of kernel structs are, from the running kernel's BTF.

use leakprobe_common::{ABSENT, Offsets};

use super::{ProbeError, btf::Btf};

/// Where the kernel publishes its BTF.
pub(super) const VMLINUX: &str = "/sys/kernel/btf/vmlinux";

/// Reads the running kernel's BTF file.
pub(super) fn read_vmlinux() -> Result<Vec<u8>, ProbeError> {
    std::fs::read(VMLINUX).map_err(|source| ProbeError::NoBtf { path: VMLINUX, source })
}

/// Resolves every field that the BPF programs read; fields that this kernel may lack become
/// [`ABSENT`].
pub(super) fn resolve(btf: &Btf<'_>) -> Result<Offsets, ProbeError> {
    let task = |member| find(btf, "task_struct", member);
    let optional = |member| btf.offset("task_struct", member).unwrap_or(ABSENT);
    Ok(Offsets {
        // renamed in 5.14
        task_state: task("__state").or_else(|_| task("state"))?,
        task_exit_state: task("exit_state")?,
        task_flags: task("flags")?,
        task_mm: task("mm")?,
        task_start_boottime: task("start_boottime")?,
        task_group_leader: task("group_leader")?,
        task_real_parent: task("real_parent")?,
        task_tgid: task("tgid")?,
        task_thread_pid: task("thread_pid")?,
        task_nvcsw: task("nvcsw")?,
        task_nivcsw: task("nivcsw")?,
        task_self_exec_id: task("self_exec_id")?,
        task_comm: task("comm")?,
        task_cgroups: optional("cgroups"), // CONFIG_CGROUPS
        task_last_arrival: optional("sched_info.last_arrival"), // CONFIG_SCHED_INFO
        task_sum_exec: task("se.sum_exec_runtime")?,
        task_prev_sum_exec: task("se.prev_sum_exec_runtime")?,
        task_stack: task("stack")?,
        css_set_dfl_cgrp: btf.offset("css_set", "dfl_cgrp").unwrap_or(ABSENT),
        cgroup_kn: btf.offset("cgroup", "kn").unwrap_or(ABSENT),
        kernfs_node_id: btf.offset("kernfs_node", "id").unwrap_or(ABSENT),
        pid_level: find(btf, "pid", "level")?,
        pid_numbers: find(btf, "pid", "numbers")?,
        upid_size: btf
            .size("upid")
            .ok_or(ProbeError::NoMember { structure: "upid", member: "nr" })?,
        upid_nr: find(btf, "upid", "nr")?,
        upid_ns: find(btf, "upid", "ns")?,
        pid_namespace_inum: find(btf, "pid_namespace", "ns.inum")?,
        task_on_cpu: optional("on_cpu"), // CONFIG_SMP
        task_prio: task("prio")?,
        task_jobctl: task("jobctl")?,
    })
}

fn find(btf: &Btf<'_>, structure: &'static str, member: &'static str) -> Result<u32, ProbeError> {
    btf.offset(structure, member).ok_or(ProbeError::NoMember { structure, member })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_running_kernel_resolves() {
        // Check that every field is found in the running kernel's BTF, inside task_struct.
        let Ok(bytes) = read_vmlinux() else {
            eprintln!("skipped: this kernel publishes no BTF");
            return;
        };
        let btf = Btf::parse(&bytes).unwrap();
        let offsets = resolve(&btf).unwrap();
        let size = btf.size("task_struct").unwrap();
        for offset in [
            offsets.task_state,
            offsets.task_thread_pid,
            offsets.task_comm,
            offsets.task_last_arrival,
            offsets.task_sum_exec,
            offsets.task_prev_sum_exec,
        ] {
            assert!(offset < size, "{offset} is not inside a task_struct of {size} bytes");
        }
        assert_eq!(offsets.upid_nr, 0);
        assert!(offsets.upid_size >= 16);
        assert_ne!(offsets.kernfs_node_id, ABSENT);
    }
}
