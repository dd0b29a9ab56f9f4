//! Gives frames their names, each address and each stack once.

use std::rc::Rc;

use rustc_hash::FxHashMap;

use super::{FrameEntry, identity::stable_name, place};
use crate::{
    snapshot::{Frame, ModuleIx, Snapshot, StackIx, Unnamed},
    stack::{Named, Names},
};

/// A stack with names.
pub(super) struct NamedStack {
    /// Innermost first.
    pub(super) frames: Vec<FrameEntry>,
    /// What goes into a site's id: functions' names, for unnamed frames the file's.
    pub(super) identity: Vec<String>,
    /// Equal for stacks that are one site: as `identity`, but unnamed frames with their offset.
    pub(super) alike: u32,
    /// Index of the innermost frame of the program's own code.
    pub(super) place: Option<usize>,
}

/// Names the frames of one snapshot.
pub(super) struct Naming<'a> {
    snapshot: &'a Snapshot,
    names: &'a mut dyn Names,
    in_modules: FxHashMap<(ModuleIx, u64), Rc<[Named]>>,
    in_kernel: FxHashMap<u64, Option<Named>>,
    stacks: FxHashMap<StackIx, Rc<NamedStack>>,
    alike: FxHashMap<Vec<String>, u32>,
}

impl<'a> Naming<'a> {
    pub(super) fn new(snapshot: &'a Snapshot, names: &'a mut dyn Names) -> Self {
        Naming {
            snapshot,
            names,
            in_modules: FxHashMap::default(),
            in_kernel: FxHashMap::default(),
            stacks: FxHashMap::default(),
            alike: FxHashMap::default(),
        }
    }

    /// A stack of the snapshot with names; empty if there is no such stack.
    pub(super) fn stack(&mut self, index: StackIx) -> Rc<NamedStack> {
        if let Some(known) = self.stacks.get(&index) {
            return known.clone();
        }
        let snapshot = self.snapshot;
        let raw = snapshot.stacks.get(index.0 as usize).map_or(&[][..], |stack| &stack.frames);
        let mut frames = Vec::with_capacity(raw.len());
        let mut identity = Vec::new();
        let mut key = Vec::new();
        for frame in raw {
            let entries = self.frame(frame);
            for entry in &entries {
                match (frame, entry.module.as_deref()) {
                    // Whether kernel frames were asked for must not make another site.
                    (Frame::Kernel(_), _) => {}
                    (Frame::At { .. }, Some(module)) if place::is_unnamed(entry) => {
                        identity.push(place::base_name(module).to_owned());
                        key.push(entry.function.clone());
                    }
                    (Frame::Unknown { .. }, _) => {
                        identity.push("?".to_owned());
                        key.push(entry.function.clone());
                    }
                    _ => {
                        identity.push(stable_name(&entry.function).to_owned());
                        key.push(stable_name(&entry.function).to_owned());
                    }
                }
            }
            frames.extend(entries);
        }
        let next = self.alike.len() as u32;
        let alike = *self.alike.entry(key).or_insert(next);
        let named =
            Rc::new(NamedStack { place: place::innermost(&frames), frames, identity, alike });
        self.stacks.insert(index, named.clone());
        named
    }

    /// One frame with its names: several where functions were inlined, never none.
    pub(super) fn frame(&mut self, frame: &Frame) -> Vec<FrameEntry> {
        match frame {
            Frame::At { module, offset } => self.in_module(*module, *offset),
            Frame::Kernel(address) => vec![self.in_kernel(*address)],
            Frame::Named { function, file, line } => vec![FrameEntry {
                function: function.clone(),
                module: None,
                file: file.clone(),
                line: *line,
                inlined: false,
            }],
            Frame::Unknown { why, .. } => {
                vec![FrameEntry { function: why_unnamed(*why).to_owned(), ..FrameEntry::default() }]
            }
        }
    }

    fn in_module(&mut self, index: ModuleIx, offset: u64) -> Vec<FrameEntry> {
        let Some(module) = self.snapshot.modules.get(index.0 as usize) else {
            return vec![FrameEntry {
                function: format!("<no such file>+{offset:#x}"),
                ..FrameEntry::default()
            }];
        };
        let named = self
            .in_modules
            .entry((index, offset))
            .or_insert_with(|| self.names.in_module(module, offset).into());
        if named.is_empty() {
            return vec![FrameEntry {
                function: format!("{}+{offset:#x}", module.file_name()),
                module: Some(module.path.clone()),
                ..FrameEntry::default()
            }];
        }
        named.iter().map(|named| entry(named, &module.path)).collect()
    }

    fn in_kernel(&mut self, address: u64) -> FrameEntry {
        let named = self.in_kernel.entry(address).or_insert_with(|| self.names.in_kernel(address));
        match named {
            Some(named) => entry(named, "[kernel]"),
            None => FrameEntry {
                function: format!("[kernel]+{address:#x}"),
                module: Some("[kernel]".to_owned()),
                ..FrameEntry::default()
            },
        }
    }
}

fn entry(named: &Named, module: &str) -> FrameEntry {
    FrameEntry {
        function: named.function.clone(),
        module: Some(module.to_owned()),
        file: named.file.clone(),
        line: named.line,
        inlined: named.inlined,
    }
}

/// What stands in a stack where there is no frame.
fn why_unnamed(why: Unnamed) -> &'static str {
    match why {
        Unnamed::Anonymous => "<code without a file>",
        Unnamed::Unmapped => "<address in no mapping>",
        Unnamed::StackUnreadable => "<stack unreadable>",
        Unnamed::NoUnwindInfo => "<no unwind information>",
        Unnamed::NoRegisters => "<registers not available>",
        Unnamed::NoBasePointer => "<base pointer not available>",
        Unnamed::Moved => "<thread ran while it was read>",
        Unnamed::TooDeep => "<stack deeper than the limit>",
        Unnamed::FileUnavailable => "<mapped file not available>",
        Unnamed::OutOfTime => "<out of time>",
    }
}
