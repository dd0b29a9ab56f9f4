//! The watched processes of a snapshot, and the machine.

use std::{fs, os::unix::fs::MetadataExt};

use crate::{
    probe::Task,
    process::cgroup_path,
    snapshot::{Host, Process},
};

/// The processes of these tasks, by pid.
pub fn of(tasks: &[&Task]) -> Vec<Process> {
    let mut sorted: Vec<&Task> = tasks.to_vec();
    sorted.sort_by_key(|task| (task.pid, task.tid != task.pid, task.tid));
    sorted.chunk_by(|a, b| a.pid == b.pid).filter_map(process).collect()
}

/// The first task is the thread group's leader, unless that has ended before its threads.
fn process(tasks: &[&Task]) -> Option<Process> {
    let leader = tasks.first()?;
    let pid = leader.pid;
    Some(Process {
        pid,
        ns_pid: leader.ns_pid,
        start_boottime_ns: leader.leader_start_boottime_ns,
        exec: leader.exec,
        name: leader.name.clone(),
        exe: exe(pid, leader.tid),
        build_id: None,
        cgroup: cgroup_path(pid),
        uid: fs::metadata(format!("/proc/{pid}")).ok().map(|m| m.uid()),
        runtimes: Vec::new(),
        threads: tasks.len() as u32,
        goroutines: None,
    })
}

/// Path of the executable, as the process sees it.
fn exe(pid: u32, living: u32) -> Option<String> {
    // Not of the process: where the main thread has ended, that has no executable any more.
    let link = fs::read_link(format!("/proc/{pid}/task/{living}/exe")).ok()?;
    let path = link.to_string_lossy();
    Some(path.strip_suffix(" (deleted)").unwrap_or(&path).to_owned())
}

/// This machine.
pub fn host() -> Host {
    let read = |name: &str| {
        let text = fs::read_to_string(format!("/proc/sys/kernel/{name}")).unwrap_or_default();
        text.trim_end().to_owned()
    };
    Host { name: read("hostname"), kernel: read("osrelease") }
}
