//! Names on the live machine: the symbolizer, given the files that were opened while reading.

use std::{sync::Arc, time::Instant};

use rustc_hash::FxHashMap;

use crate::{
    process::ModuleFile,
    snapshot::{Frame, Module, Snapshot},
    stack::{Named, Names, Symbolizer},
};

/// Files that are kept open for naming; beyond, all are let go and those in use opened anew.
const MAX_FILES: usize = 512;

/// Names addresses by the files behind the modules.
pub struct LiveNames {
    symbolizer: Symbolizer,
    files: usize,
}

impl LiveNames {
    /// Without files yet.
    pub fn new() -> LiveNames {
        LiveNames { symbolizer: Symbolizer::new(), files: 0 }
    }

    /// Resolves every frame of a snapshot in one go.
    pub fn prepare(
        &mut self,
        snapshot: &Snapshot,
        files: &FxHashMap<Module, Arc<ModuleFile>>,
        until: Instant,
    ) {
        let mut offsets: Vec<Vec<u64>> = vec![Vec::new(); snapshot.modules.len()];
        for frame in snapshot.stacks.iter().flat_map(|stack| &stack.frames) {
            if let Frame::At { module, offset } = frame
                && let Some(list) = offsets.get_mut(module.0 as usize)
            {
                list.push(*offset);
            }
        }
        if self.files > MAX_FILES {
            *self = LiveNames::new();
        }
        let mut wanted = Vec::new();
        for (module, mut offsets) in snapshot.modules.iter().zip(offsets) {
            self.add(module, files);
            offsets.sort_unstable();
            offsets.dedup();
            wanted.push((module.clone(), offsets));
        }
        self.symbolizer.resolve_until(&wanted, until);
    }

    fn add(&mut self, module: &Module, files: &FxHashMap<Module, Arc<ModuleFile>>) {
        if self.symbolizer.knows(module) {
            return;
        }
        let Some(file) = files.get(module) else { return };
        let Some(Ok(elf)) = file.file().map(std::fs::File::try_clone) else { return };
        let debug = file.debug_file().map(|debug| debug.path().to_owned());
        self.symbolizer.add(module.clone(), elf, debug);
        self.files += 1;
    }

    /// What could not be named and why, for people.
    pub fn notes(&self) -> &[String] {
        self.symbolizer.notes()
    }
}

impl Names for LiveNames {
    fn in_module(&mut self, module: &Module, offset: u64) -> Vec<Named> {
        self.symbolizer.in_module(module, offset)
    }

    fn in_kernel(&mut self, address: u64) -> Option<Named> {
        self.symbolizer.in_kernel(address)
    }
}
