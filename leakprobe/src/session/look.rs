//! One look at one process: stacks of its waits, and why each waits. Runs on the reading thread.

use std::{sync::Arc, time::Instant};

use super::{reader::Files, seen::Seen};
use crate::{
    process::{Descriptors, Namespaces, ProcessError, Target},
    runtime::{Look, Runtime, Threads, Wait, Why},
    snapshot::{Object, Owner, Runtime as RuntimeInfo, Unnamed},
    stack::{PerfMap, RawFrame, RawStack, ThreadStart, Unwinder},
};

/// A process that is being watched. It travels to the reading thread and back with each look.
pub struct Watched {
    target: Target,
    unwinder: Unwinder,
    runtimes: Vec<Box<dyn Runtime>>,
}

/// What is asked of a look.
pub struct Wanted {
    /// Thread group id.
    pub pid: u32,
    /// The same in the process's own PID namespace.
    pub ns_pid: u32,
    /// Creation of the process, `CLOCK_BOOTTIME` ns.
    pub start_boottime_ns: u64,
    /// The waits, each with its stack if that is known from an earlier snapshot.
    pub waits: Vec<(Seen, Option<Arc<RawStack>>)>,
    /// Every thread that shares the memory.
    pub threads: Threads,
    /// Unwinding stops then and says so.
    pub deadline: Instant,
}

/// What a look found.
pub struct Looked {
    /// The process, for the next look; `None` if it isn't to be kept open.
    pub watched: Option<Watched>,
    /// Runtimes found in it.
    pub runtimes: Vec<RuntimeInfo>,
    /// In the order of the waits asked for.
    pub waits: Vec<(Seen, Arc<RawStack>, Why)>,
    /// Frames in memory that only a perf map names.
    pub perf_map: Option<PerfMap>,
    /// Mapped files that could not be opened or were not the ones mapped.
    pub unusable_files: Vec<String>,
}

/// Looks at one process. A process that ended meanwhile, or now runs another program, is an error,
/// and nothing of what was read of it is used.
pub fn look(
    files: &mut Files,
    watched: Option<Watched>,
    wanted: Wanted,
) -> Result<Looked, ProcessError> {
    let mut watched = match watched {
        Some(mut known) => {
            known.target.refresh()?;
            known
        }
        None => open(files, &wanted)?,
    };
    watched.target.modules(&mut files.modules);
    if watched.runtimes.is_empty() {
        watched.runtimes = files.runtimes.detect(&watched.target);
    }
    let stacks = stacks(&mut watched, &wanted);
    let descriptors = Descriptors::new(wanted.pid, files.namespaces.clone());
    let look = Look::new(&watched.target, &wanted.threads, &descriptors);
    let mut waits = Vec::with_capacity(wanted.waits.len());
    for ((task, _), stack) in wanted.waits.into_iter().zip(stacks) {
        let wait = Wait { task: &task, stack: &stack };
        let why = watched.runtimes.iter_mut().find_map(|runtime| runtime.explain(&look, &wait));
        let why = why.unwrap_or_else(|| Why::new("unknown", crate::snapshot::Timeout::Unknown));
        waits.push((task, stack, why));
    }
    if !watched.target.still_there()? {
        return Err(ProcessError::Gone { pid: wanted.pid });
    }
    let anonymous = |stack: &Arc<RawStack>| {
        stack.iter().any(|f| matches!(f, RawFrame::Unknown { why: Unnamed::Anonymous, .. }))
    };
    let perf_map = (waits.iter().any(|(_, stack, _)| anonymous(stack)))
        .then(|| PerfMap::load(wanted.pid, wanted.ns_pid))
        .flatten();
    let unusable_files = (watched.target.loaded().iter())
        .filter_map(|loaded| {
            let why = loaded.file.usable().err()?;
            Some(format!("{}: {why}", loaded.file.module().path))
        })
        .collect();
    let runtimes = watched.runtimes.iter().map(|runtime| runtime.describe()).collect();
    Ok(Looked { watched: Some(watched), runtimes, waits, perf_map, unusable_files })
}

/// Opens the files of a process ahead of its first look, while others are busy.
pub fn prepare(files: &mut Files, pid: u32) {
    if let Ok(mut target) = Target::open_present(pid) {
        target.modules(&mut files.modules);
        let runtimes = files.runtimes.detect(&target);
        files.prepared.insert(pid, Watched { target, unwinder: Unwinder::new(), runtimes });
    }
}

/// What was prepared is milliseconds old: whatever has waited for long was mapped by then.
fn open(files: &mut Files, wanted: &Wanted) -> Result<Watched, ProcessError> {
    let prepared = files.prepared.remove(&wanted.pid);
    match prepared.filter(|watched| watched.target.started_at(wanted.start_boottime_ns)) {
        Some(prepared) => Ok(prepared),
        None => {
            let target = Target::open(wanted.pid, wanted.start_boottime_ns)?;
            Ok(Watched { target, unwinder: Unwinder::new(), runtimes: Vec::new() })
        }
    }
}

/// The stack of each wait: the known ones as they are, the others unwound together.
fn stacks(watched: &mut Watched, wanted: &Wanted) -> Vec<Arc<RawStack>> {
    let new = wanted.waits.iter().filter(|(_, known)| known.is_none());
    let starts: Vec<ThreadStart> =
        new.filter_map(|(task, _)| Some(ThreadStart { registers: task.registers? })).collect();
    let unwound = watched.unwinder.unwind(&watched.target, &starts, wanted.deadline);
    let mut unwound = unwound.into_iter().map(Arc::new);
    let ended = |why| Arc::new(vec![RawFrame::Unknown { address: 0, why }]);
    let mut stack = |(task, known): &(Seen, Option<Arc<RawStack>>)| match (known, task.registers) {
        (Some(known), _) => known.clone(),
        (None, Some(_)) => unwound.next().unwrap_or_else(|| ended(Unnamed::OutOfTime)),
        (None, None) => ended(Unnamed::NoRegisters),
    };
    wanted.waits.iter().map(&mut stack).collect()
}

impl Watched {
    /// Reads the owners of objects once more, after the waits and all threads' lives were confirmed.
    pub fn reread_owners(&mut self, objects: &[Object], threads: &Threads) -> Vec<Option<Owner>> {
        let descriptors = Descriptors::new(self.target.pid(), Namespaces::default());
        let look = Look::new(&self.target, threads, &descriptors);
        let runtimes = &mut self.runtimes;
        let mut reread =
            |object| runtimes.iter_mut().find_map(|runtime| runtime.reread_owner(&look, object));
        objects.iter().map(&mut reread).collect()
    }

    /// Build id of the file at this path, if it is mapped.
    pub fn build_id(&self, path: &str) -> Option<String> {
        let modules = self.target.loaded().iter().map(|loaded| loaded.file.module());
        modules.filter(|module| module.path == path).find_map(|module| module.build_id.clone())
    }
}
