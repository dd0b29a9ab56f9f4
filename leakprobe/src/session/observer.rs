//! Takes snapshots: passes over the tasks, looks at processes, confirmation.
//!
//! A pass before and a pass after a look decide together: a stack is valid only if its thread was
//! blocked in both, with the same last arrival and the same switch counts. The second pass also
//! says who is alive; owners are read once more after it.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use rustc_hash::{FxHashMap, FxHashSet};

use super::{
    Plan, SessionError, Targets,
    assemble::Assembly,
    confirm,
    keys::{self, ProcessKey, ThreadKey},
    limits::{self, Spare},
    look::{self, Looked, Wanted, Watched},
    processes,
    reader::Reader,
    seen::Seen,
    threads::ThreadTable,
    watched::Filter,
};
use crate::{
    probe::{self, Source, Task, TaskPass},
    process::{ModuleFile, ProcessError},
    runtime::Why,
    snapshot::{
        Cause, Health, Module, Object, ObjectIx, Owner, Process, ProcessIx, Proof, Runtime,
        Snapshot,
    },
    stack::{PerfMap, RawStack},
};

/// Reading all processes for one snapshot ends then, whatever they do.
const SNAPSHOT_BUDGET: Duration = Duration::from_millis(1200);
/// What of it one process can have, if there are several.
const ONE_OF_MANY: Duration = Duration::from_millis(500);
/// What a look may overrun its soft deadline by before it is abandoned.
const GRACE: Duration = Duration::from_millis(250);
/// How often a thread that moved while its stack was read is tried again.
const ROUNDS: usize = 3;

/// Named processes whose files are opened ahead.
const MAX_PREPARED: usize = 4;

/// Takes snapshots of the watched processes.
pub struct Observer {
    source: Source,
    source_notes: Vec<String>,
    reader: Reader,
    watched: FxHashMap<ProcessKey, Watched>,
    /// Processes that did not answer in time: not asked again.
    abandoned: FxHashSet<ProcessKey>,
    /// How many processes stay open between snapshots.
    max_watched: usize,
    spare: Spare,
    /// Stacks of waits that still last, by thread and stay.
    stacks: FxHashMap<ThreadKey, (u64, Arc<RawStack>)>,
    /// Opened files of the newest snapshot's modules, for naming.
    pub files: FxHashMap<Module, Arc<ModuleFile>>,
}

/// Whether owners are to be read again, for which the process must still be open.
fn needed_again(looked: &Looked) -> bool {
    let objects = looked.waits.iter().flat_map(|(_, _, why)| &why.objects);
    objects.into_iter().any(|object| matches!(object.owner, Owner::Held { .. }))
}

/// What one snapshot found of one process.
struct Found {
    waits: Vec<(Seen, Arc<RawStack>, Why)>,
    runtimes: Vec<Runtime>,
    perf_map: Option<PerfMap>,
}

impl Observer {
    /// Opens the best source of tasks that this machine allows.
    pub fn open(plan: &Plan, targets: &Targets) -> std::io::Result<Observer> {
        let reader = Reader::start()?;
        // Loading BPF and opening a program's files take about as long; the first answer is not to
        // wait for both.
        if let Targets::Pids(pids) = targets {
            for pid in pids.iter().copied().take(MAX_PREPARED) {
                reader.ahead(move |files| look::prepare(files, pid));
            }
        }
        let (source, mut source_notes) = Source::open(plan.verbose);
        // SAFETY: geteuid has no preconditions.
        if unsafe { libc::geteuid() } != 0 {
            source_notes.push(
                "not run as root: only this user's own processes can be read; root adds all \
                 others, exact ages and kernel stacks"
                    .into(),
            );
        }
        Ok(Observer {
            source,
            source_notes,
            reader,
            watched: FxHashMap::default(),
            abandoned: FxHashSet::default(),
            max_watched: limits::kept_processes(),
            spare: Spare::hold(),
            stacks: FxHashMap::default(),
            files: FxHashMap::default(),
        })
    }

    /// Reads the tasks once, with the descriptors that were held back for it.
    fn pass(&mut self, watch: &probe::Watch) -> Result<TaskPass, probe::ProbeError> {
        self.spare.release();
        let pass = self.source.read(watch);
        self.spare = Spare::hold();
        pass
    }

    /// Takes one snapshot.
    ///
    /// Fails if tasks can't be read at all, or if every process that was named is closed to this
    /// user; anything less is counted in the snapshot's health.
    pub fn snapshot(&mut self, plan: &Plan, targets: &Targets) -> Result<Snapshot, SessionError> {
        let end = Instant::now() + SNAPSHOT_BUDGET;
        let filter = Filter::new(plan, targets);
        let watch = filter.watch();
        let mut health = Health { task_source: self.source.name().into(), ..Health::default() };
        self.source_notes.iter().for_each(|note| health.note(note.clone()));

        let mut pass = self.pass(&watch)?;
        let (began, clock) = (pass.began, pass.clock);
        let mut denied = Vec::new();
        let mut found: FxHashMap<ProcessKey, Found> = FxHashMap::default();
        let mut tasks = Arc::new(std::mem::take(&mut pass.tasks));
        let mut todo = Seen::of(&tasks, filter.waits(&tasks, &mut health));
        for round in 0..ROUNDS {
            let looked = self.look_at_all(&tasks, todo, end, &mut health, &mut denied);
            pass = self.pass(&watch)?;
            tasks = Arc::new(std::mem::take(&mut pass.tasks));
            let still = Seen::of(&tasks, filter.waits(&tasks, &mut Health::default()));
            let still: FxHashMap<u32, Seen> = still.into_iter().map(|t| (t.tid, t)).collect();
            todo = Vec::new();
            for (key, looked) in looked {
                self.accept(key, looked, &still, &mut found, &mut todo);
            }
            if todo.is_empty() || Instant::now() >= end {
                break;
            }
            if round + 1 == ROUNDS {
                health.add(Cause::ThreadMoved, todo.len() as u64);
            }
        }
        if let (Targets::Pids(pids), Some(error)) = (targets, denied.pop())
            && found.is_empty()
            && denied.len() + 1 >= pids.len()
        {
            return Err(SessionError::Denied(error));
        }
        Ok(self.assemble(&filter, (pass, tasks), found, health, (began, clock), end))
    }

    /// Looks at every process that has waits to look at.
    fn look_at_all(
        &mut self,
        tasks: &[Task],
        waits: Vec<Seen>,
        end: Instant,
        health: &mut Health,
        denied: &mut Vec<ProcessError>,
    ) -> Vec<(ProcessKey, Looked)> {
        let table = ThreadTable::of(tasks);
        let by_process = keys::by_process(waits);
        let mut all = Vec::with_capacity(by_process.len());
        let alone = by_process.len() == 1;
        let mut kept = self.watched.len();
        for (key, tasks) in by_process {
            if self.abandoned.contains(&key) || Instant::now() >= end {
                health.count(Cause::ProcessTimedOut);
                continue;
            }
            let Some(first) = tasks.first() else { continue };
            // One that hangs must not take the time of all the others.
            let soft = end.min(Instant::now() + if alone { SNAPSHOT_BUDGET } else { ONE_OF_MANY });
            let wanted = Wanted {
                pid: key.0,
                ns_pid: first.ns_pid,
                start_boottime_ns: key.1,
                threads: table.sharing_memory_with(first),
                waits: tasks.into_iter().map(|task| self.with_known_stack(task)).collect(),
                deadline: soft,
            };
            let known = self.watched.remove(&key);
            kept -= usize::from(known.is_some());
            match self.reader.run(soft + GRACE, move |files| look::look(files, known, wanted)) {
                Some(Ok(mut looked)) => {
                    if kept >= self.max_watched && !needed_again(&looked) {
                        looked.watched = None;
                    }
                    kept += usize::from(looked.watched.is_some());
                    health.add(Cause::ModuleUnavailable, looked.unusable_files.len() as u64);
                    for file in looked.unusable_files.iter().take(3) {
                        health.note(format!("not used for names: {file}"));
                    }
                    all.push((key, looked));
                }
                Some(Err(error @ ProcessError::Denied { .. })) => {
                    health.count(Cause::ProcessesDenied);
                    denied.push(error);
                }
                Some(Err(ProcessError::Gone { .. } | ProcessError::NoMemory { .. })) => {
                    health.count(Cause::ProcessGone)
                }
                Some(Err(error)) => {
                    health.count(Cause::LimitReached);
                    health.note(error.to_string());
                }
                None => {
                    self.abandoned.insert(key);
                    health.count(Cause::ProcessTimedOut);
                }
            }
        }
        all
    }

    fn with_known_stack(&self, task: Seen) -> (Seen, Option<Arc<RawStack>>) {
        let known = self.stacks.get(&(task.tid, task.start_boottime_ns));
        let known = known.filter(|(stay, _)| *stay == task.stay_token);
        let stack = known.map(|(_, stack)| stack.clone());
        (task, stack)
    }

    /// Keeps the waits that the next pass confirms; those that moved and wait again are tried again.
    fn accept(
        &mut self,
        key: ProcessKey,
        looked: Looked,
        still: &FxHashMap<u32, Seen>,
        found: &mut FxHashMap<ProcessKey, Found>,
        again: &mut Vec<Seen>,
    ) {
        let process = found.entry(key).or_insert_with(|| Found {
            waits: Vec::new(),
            runtimes: Vec::new(),
            perf_map: None,
        });
        process.runtimes = looked.runtimes;
        process.perf_map = looked.perf_map.or(process.perf_map.take());
        for (task, stack, why) in looked.waits {
            match still.get(&task.tid) {
                // The same wait, seen once more: what the later pass says of it is as good, and its
                // clock may be better known.
                Some(later) if task.same_wait(later) => {
                    process.waits.push((later.clone(), stack, why));
                }
                Some(later) => again.push(later.clone()),
                None => {}
            }
        }
        if let Some(watched) = looked.watched {
            self.watched.insert(key, watched);
        }
    }

    fn assemble(
        &mut self,
        filter: &Filter,
        (pass, all_tasks): (TaskPass, Arc<Vec<Task>>),
        found: FxHashMap<ProcessKey, Found>,
        mut health: Health,
        (began, clock): (crate::snapshot::Ns, crate::snapshot::Clock),
        end: Instant,
    ) -> Snapshot {
        if !pass.calibrated && self.source.name() != "/proc" {
            health.count(Cause::ClockUncalibrated);
        }
        let held_up = |task: &&Task| {
            use crate::probe::TaskState::{Frozen, Stopped, Traced};
            filter.watches(task) && matches!(task.state, Stopped | Traced | Frozen)
        };
        let held_up = all_tasks.iter().filter(held_up).count();
        if held_up > 0 {
            health.note(format!(
                "threads that are stopped, traced or frozen, whose waits are not looked at: {held_up}"
            ));
        }
        let tasks: Vec<&Task> = all_tasks.iter().filter(|task| filter.watches(task)).collect();
        let mut processes = processes::of(&tasks);
        let index: FxHashMap<ProcessKey, ProcessIx> =
            (processes.iter().zip(0..)).map(|(p, i)| (keys::of_process(p), ProcessIx(i))).collect();
        let mut found: Vec<(ProcessKey, Found)> = found.into_iter().collect();
        found.sort_by_key(|(key, _)| *key);
        let mut assembly = Assembly::default();
        let mut stacks = FxHashMap::default();
        for (key, process) in found {
            // It ended, or executed something else, after it was looked at.
            let Some(&ix) = index.get(&key) else {
                health.count(Cause::ProcessGone);
                continue;
            };
            if let Some(entry) = processes.get_mut(ix.0 as usize) {
                entry.runtimes = process.runtimes;
                let build_id = |watched: &Watched| watched.build_id(entry.exe.as_deref()?);
                entry.build_id = self.watched.get(&key).and_then(build_id);
            }
            for (task, stack, why) in process.waits {
                let perf_map = process.perf_map.as_ref();
                assembly.add(ix, &task, &stack, why, perf_map, &mut health);
                stacks.insert((task.tid, task.start_boottime_ns), (task.stay_token, stack));
            }
        }
        self.stacks = stacks;
        self.watched.retain(|key, _| index.contains_key(key));
        self.files = std::mem::take(&mut assembly.files);
        let (mut rows, mut objects, stacks, modules) = assembly.finish();
        let mut proofs = self.prove(&all_tasks, &processes, &mut objects, end);
        if confirm::matters(&proofs, &rows, &objects) {
            match self.pass(&filter.watch()) {
                Ok(last) => {
                    let moved =
                        confirm::keep(&last.tasks, &processes, &mut rows, &objects, &mut proofs);
                    health.add(Cause::ThreadMoved, moved);
                }
                Err(error) => {
                    health
                        .note(format!("nothing is proved: tasks could not be read again: {error}"));
                    proofs.clear();
                }
            }
        }
        Snapshot {
            began,
            ended: pass.began,
            clock,
            host: processes::host(),
            processes,
            rows,
            objects,
            proofs,
            stacks,
            modules,
            health,
        }
    }

    /// Reads every recorded owner once more. What still names the same thread was held then, between a
    /// pass that has confirmed the waits and one that does so again.
    fn prove(
        &mut self,
        tasks: &[Task],
        processes: &[Process],
        objects: &mut [Object],
        end: Instant,
    ) -> Vec<Proof> {
        let table = ThreadTable::of(tasks);
        let mut proofs = Vec::new();
        let mut held: FxHashMap<ProcessIx, Vec<usize>> = FxHashMap::default();
        for (index, object) in objects.iter().enumerate() {
            if matches!(object.owner, Owner::Held { .. }) {
                held.entry(object.process).or_default().push(index);
            }
        }
        for (process, indices) in held {
            let Some(p) = processes.get(process.0 as usize) else { continue };
            let key = keys::of_process(p);
            let Some(any) = tasks.iter().find(|task| task.pid == p.pid) else { continue };
            let Some(mut watched) = self.watched.remove(&key) else { continue };
            let threads = table.sharing_memory_with(any);
            let asked: Vec<Object> = indices.iter().map(|i| objects[*i].clone()).collect();
            let answer = self.reader.run(end + GRACE, move |_| {
                let owners = watched.reread_owners(&asked, &threads);
                (watched, owners)
            });
            let Some((watched, owners)) = answer else {
                self.abandoned.insert(key);
                continue;
            };
            self.watched.insert(key, watched);
            for (index, owner) in indices.into_iter().zip(owners) {
                let (Some(Owner::Held { by: second, terms }), Owner::Held { by: first, .. }) =
                    (owner, &objects[index].owner)
                else {
                    continue;
                };
                if second.recorded == first.recorded {
                    objects[index].owner = Owner::Held { by: second, terms };
                    proofs.push(Proof::HeldThroughout { object: ObjectIx(index as u32) });
                }
            }
        }
        proofs
    }
}
