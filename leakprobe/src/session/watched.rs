//! Which tasks are watched, and which of their waits are worth a look.

use std::time::Duration;

use rustc_hash::FxHashSet;

use super::{Plan, SessionError, Targets};
use crate::{
    probe::{Task, TaskSince, TaskState, Watch},
    snapshot::{Cause, Health},
};

/// Waits shorter than the minimum that are looked at in one snapshot, to see threads that come back
/// to the same place again and again. More would cost a busy server too much.
const MAX_SHORT_WAITS: usize = 1_000;

/// Checks that every process named is there and resolves thread ids to their process.
pub fn resolve(targets: &Targets, notes: &mut Vec<String>) -> Result<Targets, SessionError> {
    let Targets::Pids(pids) = targets else { return Ok(Targets::Machine) };
    let mut resolved = Vec::with_capacity(pids.len());
    for &pid in pids {
        let status = std::fs::read(format!("/proc/{pid}/status"))
            .map_err(|_| SessionError::NoSuchTarget { pid })?;
        let status = String::from_utf8_lossy(&status);
        let field = |name: &str| status.lines().find_map(|line| line.strip_prefix(name));
        let tgid = field("Tgid:").and_then(|value| value.trim().parse().ok()).unwrap_or(pid);
        if tgid != pid {
            notes.push(format!("{pid} is a thread of process {tgid}, which is watched whole"));
        }
        let what = match field("State:").map(str::trim_start) {
            // Its main thread alone can have ended: then others of its threads are still listed.
            Some(state) if state.starts_with('Z') && !has_others(field("Threads:")) => {
                let parent = field("PPid:").unwrap_or_default().trim();
                Some(format!("has ended, and its parent {parent} has not reaped it"))
            }
            _ if field("Kthread:").is_some_and(|value| value.trim() == "1") => {
                Some("is a kernel thread".into())
            }
            _ => None,
        };
        match what {
            Some(what) => return Err(SessionError::NotAProgram { pid, what }),
            None if !resolved.contains(&tgid) => resolved.push(tgid),
            None => {}
        }
    }
    Ok(Targets::Pids(resolved))
}

/// Whether a process has threads beside the main one, by the `Threads:` of proc_pid_status(5).
fn has_others(threads: Option<&str>) -> bool {
    threads.and_then(|count| count.trim().parse::<u32>().ok()).is_some_and(|count| count > 1)
}

/// What of a pass is watched.
pub struct Filter<'a> {
    plan: &'a Plan,
    targets: &'a Targets,
    own_pid: u32,
}

impl<'a> Filter<'a> {
    /// By the plan, with its targets resolved. leakprobe doesn't watch itself.
    pub fn new(plan: &'a Plan, targets: &'a Targets) -> Filter<'a> {
        Filter { plan, targets, own_pid: std::process::id() }
    }

    /// Which tasks a pass has to read for this.
    pub fn watch(&self) -> Watch {
        Watch {
            pids: match self.targets {
                Targets::Machine => None,
                Targets::Pids(pids) => Some(pids.clone()),
            },
            kernel_stacks: self.plan.kernel_stacks,
        }
    }

    /// Whether a task belongs to a watched process.
    pub fn watches(&self, task: &Task) -> bool {
        let dead = matches!(task.state, TaskState::Zombie | TaskState::Dead);
        if dead || task.kernel_thread || task.pid == self.own_pid {
            return false;
        }
        match self.targets {
            Targets::Machine => true,
            Targets::Pids(pids) => pids.contains(&task.pid),
        }
    }

    /// The waits of a pass that are looked at, as indices: those that have lasted, and some short ones.
    pub fn waits(&self, tasks: &[Task], health: &mut Health) -> Vec<usize> {
        let mut waits = Vec::new();
        let mut short = Vec::new();
        let named = self.named_processes(tasks);
        for (index, task) in tasks.iter().enumerate() {
            if !(task.is_waiting() && self.watches(task) && self.is_named(task, &named)) {
                continue;
            }
            if task.compat {
                health.count(Cause::Compat32);
            } else if waited_at_most(task) >= self.plan.min_wait {
                waits.push(index);
            } else {
                short.push(index);
            }
        }
        if self.plan.duration != Some(Duration::ZERO) {
            health.add(Cause::LimitReached, short.len().saturating_sub(MAX_SHORT_WAITS) as u64);
            short.truncate(MAX_SHORT_WAITS);
            waits.append(&mut short);
        }
        waits
    }

    /// The processes whose own name is asked for, with all their threads.
    fn named_processes(&self, tasks: &[Task]) -> FxHashSet<u32> {
        let Some(name) = &self.plan.name else { return FxHashSet::default() };
        let leaders = tasks.iter().filter(|task| task.tid == task.pid);
        leaders.filter(|task| task.name.contains(name.as_str())).map(|task| task.pid).collect()
    }

    fn is_named(&self, task: &Task, processes: &FxHashSet<u32>) -> bool {
        match &self.plan.name {
            Some(name) => task.name.contains(name.as_str()) || processes.contains(&task.pid),
            None => true,
        }
    }
}

/// The longest that the present wait can have lasted.
fn waited_at_most(task: &Task) -> Duration {
    let began = match task.since {
        TaskSince::Accounting { earliest, .. } => earliest,
        TaskSince::Unknown { born } => born,
    };
    Duration::from_nanos(task.seen.0.saturating_sub(began.0))
}
