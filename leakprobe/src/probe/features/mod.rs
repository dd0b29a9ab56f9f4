//! What this kernel, this user and this PID namespace allow, found out by trying.

mod access;
mod bpf;

use serde::Serialize;

/// One thing that may or may not be possible here.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Ability {
    /// What it is.
    pub name: &'static str,
    /// Whether it is there; `None`: this could not be found out.
    pub works: Option<bool>,
    /// What was tried or read, and what came of it.
    pub found: String,
    /// What leakprobe does without, where this is not there.
    pub lost: &'static str,
    /// What to do about it.
    pub remedy: &'static str,
}

/// Everything that decides how much leakprobe can see.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Features {
    /// Release of the running kernel.
    pub kernel: String,
    /// The kernel publishes its type information.
    pub btf: Ability,
    /// The task iterator loads: the first rung of reading tasks.
    pub iter_task: Ability,
    /// Kernel functions can be traced at their entry.
    pub fentry: Ability,
    /// Kernel tracepoints can be traced with types.
    pub tp_btf: Ability,
    /// Functions of programs can be traced.
    pub uprobes: Ability,
    /// The kernel is not locked down against its own administrator.
    pub lockdown: Ability,
    /// The capabilities that reading other users' processes needs.
    pub capabilities: Ability,
    /// leakprobe runs in the initial PID namespace and sees the whole machine.
    pub pid_namespace: Ability,
    /// /proc is that of leakprobe's own PID namespace.
    pub proc_mount: Ability,
    /// Mapped files can be opened although they were deleted or replaced.
    pub map_files: Ability,
    /// Processes of the same user may be read (the Yama security module).
    pub ptrace_scope: Ability,
    /// /proc shows processes of other users.
    pub hidepid: Ability,
}

impl Features {
    /// All of them, in the order in which they should be shown.
    pub fn all(&self) -> [&Ability; 12] {
        [
            &self.btf,
            &self.iter_task,
            &self.fentry,
            &self.tp_btf,
            &self.uprobes,
            &self.lockdown,
            &self.capabilities,
            &self.pid_namespace,
            &self.proc_mount,
            &self.map_files,
            &self.ptrace_scope,
            &self.hidepid,
        ]
    }
}

/// Finds out what is possible here. Loads, and unloads, BPF programs that do nothing.
pub fn features() -> Features {
    Features {
        kernel: access::kernel_release(),
        btf: bpf::btf(),
        iter_task: bpf::iter_task(),
        fentry: bpf::fentry(),
        tp_btf: bpf::tp_btf(),
        uprobes: bpf::uprobes(),
        lockdown: access::lockdown(),
        capabilities: access::capabilities(),
        pid_namespace: access::pid_namespace(),
        proc_mount: access::proc_mount(),
        map_files: access::map_files(),
        ptrace_scope: access::ptrace_scope(),
        hidepid: access::hidepid(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_ability_explains_itself() {
        // Check that each ability says what was found, what is lost without it and what to do.
        let features = features();
        assert!(!features.kernel.is_empty());
        let all = features.all();
        for ability in all {
            assert!(!ability.found.is_empty(), "{}", ability.name);
            assert!(!ability.lost.is_empty(), "{}", ability.name);
            assert!(!ability.remedy.is_empty(), "{}", ability.name);
        }
        let names: std::collections::BTreeSet<_> = all.iter().map(|ability| ability.name).collect();
        assert_eq!(names.len(), all.len());
    }

    #[test]
    fn the_iterator_is_what_tasks_are_read_with() {
        // Check that what is said of the task iterator agrees with the rung that is used.
        let (source, _) = super::super::tasks::Source::best(false);
        let works = features().iter_task.works == Some(true);
        assert_eq!(works, source.name() == "iter/task");
    }
}
