//! Puts looks together into one snapshot, each stack, file and object once.

use std::{hash::Hash, sync::Arc};

use rustc_hash::FxHashMap;

use crate::{
    probe::{Task, TaskSince, TaskState},
    process::ModuleFile,
    runtime::Why,
    snapshot::{
        Cause, Frame, Health, Module, ModuleIx, Object, ObjectIx, Origin, ProcessIx, Row, Since,
        SinceSource, Stack, StackIx, State, Stay, Unnamed, Waiter, WaiterKind,
    },
    stack::{PerfMap, RawFrame, RawStack},
};

/// Rows and what they point to, growing row by row.
#[derive(Default)]
pub struct Assembly {
    /// The rows so far.
    pub rows: Vec<Row>,
    objects: Interned<(ProcessIx, String, u64), Object>,
    stacks: Interned<Stack, Stack>,
    modules: Interned<Module, Module>,
    /// The same by the file, which is far quicker to compare than paths.
    known_files: FxHashMap<*const ModuleFile, ModuleIx>,
    /// Rows' stacks by what they were made of: most waits of a process share a few.
    known_stacks: FxHashMap<Vec<(*const ModuleFile, u64)>, StackIx>,
    /// The opened file behind each module, for naming.
    pub files: FxHashMap<Module, Arc<ModuleFile>>,
}

impl Assembly {
    /// Adds a wait. `perf_map` names frames in memory that no file does.
    pub fn add(
        &mut self,
        process: ProcessIx,
        task: &Task,
        stack: &RawStack,
        why: Why,
        perf_map: Option<&PerfMap>,
        health: &mut Health,
    ) {
        let key = in_files(stack);
        let known = key.as_ref().and_then(|key| self.known_stacks.get(key)).copied();
        let stack = known.unwrap_or_else(|| {
            let frames = stack.iter().map(|raw| self.frame(raw, perf_map, health)).collect();
            let ix = self.stack(frames);
            self.known_stacks.extend(key.map(|key| (key, ix)));
            ix
        });
        let kernel = task.kernel_stack.iter().map(|address| Frame::Kernel(*address)).collect();
        let kernel: Vec<Frame> = kernel;
        let kernel_stack = (!kernel.is_empty()).then(|| self.stack(kernel));
        let objects = why.objects.into_iter().map(|found| {
            let key = (process, found.kind.as_str().to_owned(), found.address);
            self.objects.add(key, || Object {
                process,
                kind: found.kind,
                address: found.address,
                detail: found.detail,
                owner: found.owner,
            })
        });
        let objects = objects.map(ObjectIx).collect();
        self.rows.push(Row {
            waiter: Waiter {
                process,
                kind: WaiterKind::Thread,
                id: task.tid.into(),
                ns_id: task.ns_tid.into(),
                birth: task.start_boottime_ns,
            },
            name: task.name.clone(),
            seen: task.seen,
            state: match task.state {
                TaskState::Uninterruptible => State::Uninterruptible,
                _ => State::Sleeping,
            },
            stay: Stay { token: task.stay_token, certain: true },
            since: since(task),
            until: why.until,
            reason: why.reason,
            objects,
            stack,
            kernel_stack,
            origin: Origin::default(),
            landmark: why.landmark,
            labels: Default::default(),
            notes: why.notes,
        });
    }

    /// Everything but the rows' files: objects, stacks, modules.
    pub fn finish(self) -> (Vec<Row>, Vec<Object>, Vec<Stack>, Vec<Module>) {
        (self.rows, self.objects.values, self.stacks.values, self.modules.values)
    }

    fn stack(&mut self, frames: Vec<Frame>) -> StackIx {
        let stack = Stack { frames };
        StackIx(self.stacks.add(stack.clone(), || stack))
    }

    fn frame(&mut self, raw: &RawFrame, perf_map: Option<&PerfMap>, health: &mut Health) -> Frame {
        match raw {
            RawFrame::At { module: file, svma } => {
                let known = self.known_files.get(&Arc::as_ptr(file)).copied();
                let module = known.unwrap_or_else(|| {
                    let module = file.module();
                    self.files.entry(module.clone()).or_insert_with(|| file.clone());
                    let index = ModuleIx(self.modules.add(module.clone(), || module.clone()));
                    self.known_files.insert(Arc::as_ptr(file), index);
                    index
                });
                Frame::At { module, offset: *svma }
            }
            RawFrame::Unknown { address, why } => {
                let named = perf_map.filter(|_| *why == Unnamed::Anonymous);
                if let Some(function) = named.and_then(|map| map.lookup(*address)) {
                    return Frame::Named { function: function.into(), file: None, line: None };
                }
                if *why != Unnamed::Anonymous {
                    health.count(Cause::StackTruncated);
                }
                Frame::Unknown { address: *address, why: *why }
            }
        }
    }
}

/// A stack of which every frame lies in a file, for quick comparison.
fn in_files(stack: &RawStack) -> Option<Vec<(*const ModuleFile, u64)>> {
    let place = |frame: &RawFrame| match frame {
        RawFrame::At { module, svma } => Some((Arc::as_ptr(module), *svma)),
        RawFrame::Unknown { .. } => None,
    };
    stack.iter().map(place).collect()
}

/// Values in the order of their first appearance, each once.
struct Interned<K, V> {
    index: FxHashMap<K, u32>,
    values: Vec<V>,
}

impl<K, V> Default for Interned<K, V> {
    fn default() -> Self {
        Interned { index: FxHashMap::default(), values: Vec::new() }
    }
}

impl<K: Eq + Hash, V> Interned<K, V> {
    fn add(&mut self, key: K, value: impl FnOnce() -> V) -> u32 {
        let next = self.values.len() as u32;
        *self.index.entry(key).or_insert_with(|| {
            self.values.push(value());
            next
        })
    }
}

fn since(task: &Task) -> Since {
    match task.since {
        TaskSince::Accounting { earliest, latest } => {
            Since { earliest, latest, source: SinceSource::Accounting }
        }
        TaskSince::Unknown { born } => {
            Since { earliest: born, latest: task.seen, source: SinceSource::FirstSeen }
        }
    }
}
