//! The names of a recording's addresses.

use std::collections::{BTreeMap, btree_map::Entry};

use serde::{Deserialize, Serialize};

use crate::{
    snapshot::{Frame, Module, Snapshot},
    stack::{Named, Names},
};

/// Names of addresses, by file and by kernel address. Also addresses for which no name is known
/// are there, so that nobody asks again.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(from = "OnDisk", into = "OnDisk")]
pub struct SymbolTable {
    /// By path, then build id (empty where there is none), then address within the file.
    modules: BTreeMap<String, BTreeMap<String, BTreeMap<u64, Vec<Named>>>>,
    /// By kernel address.
    kernel: BTreeMap<u64, Option<Named>>,
}

/// The same as it is written: JSON has no keys but strings.
#[derive(Serialize, Deserialize)]
struct OnDisk {
    modules: Vec<ModuleOnDisk>,
    kernel: Vec<(u64, Option<Named>)>,
}

#[derive(Serialize, Deserialize)]
struct ModuleOnDisk {
    path: String,
    build_id: String,
    symbols: Vec<(u64, Vec<Named>)>,
}

impl SymbolTable {
    /// Whether it holds nothing.
    pub fn is_empty(&self) -> bool {
        self.modules.is_empty() && self.kernel.is_empty()
    }

    /// Asks `names` for each address of the snapshot that is not here yet, and hands back what was
    /// learned by that, for [`Writer::symbols`](super::Writer::symbols).
    pub fn learn(&mut self, snapshot: &Snapshot, names: &mut dyn Names) -> SymbolTable {
        let mut learned = SymbolTable::default();
        let starts = snapshot.rows.iter().filter_map(|row| row.origin.entry.as_ref());
        let frames = snapshot.stacks.iter().flat_map(|stack| &stack.frames);
        for frame in frames.chain(starts) {
            match frame {
                Frame::At { module, offset } => {
                    let Some(module) = snapshot.modules.get(module.0 as usize) else {
                        continue;
                    };
                    if self.found(module, *offset).is_none() {
                        let found = names.in_module(module, *offset);
                        learned.insert(module, *offset, found.clone());
                        self.insert(module, *offset, found);
                    }
                }
                Frame::Kernel(address) => {
                    if let Entry::Vacant(vacant) = self.kernel.entry(*address) {
                        let found = names.in_kernel(*address);
                        learned.kernel.insert(*address, found.clone());
                        vacant.insert(found);
                    }
                }
                Frame::Named { .. } | Frame::Unknown { .. } => {}
            }
        }
        learned
    }

    /// Takes in all that `other` holds.
    pub(super) fn merge(&mut self, other: SymbolTable) {
        for (path, by_id) in other.modules {
            let mine = self.modules.entry(path).or_default();
            for (build_id, symbols) in by_id {
                mine.entry(build_id).or_default().extend(symbols);
            }
        }
        self.kernel.extend(other.kernel);
    }

    fn insert(&mut self, module: &Module, offset: u64, found: Vec<Named>) {
        self.modules
            .entry(module.path.clone())
            .or_default()
            .entry(build_id(module).to_owned())
            .or_default()
            .insert(offset, found);
    }

    fn found(&self, module: &Module, offset: u64) -> Option<&Vec<Named>> {
        self.modules.get(&module.path)?.get(build_id(module))?.get(&offset)
    }
}

impl Names for SymbolTable {
    fn in_module(&mut self, module: &Module, offset: u64) -> Vec<Named> {
        self.found(module, offset).cloned().unwrap_or_default()
    }

    fn in_kernel(&mut self, address: u64) -> Option<Named> {
        self.kernel.get(&address).cloned().flatten()
    }
}

fn build_id(module: &Module) -> &str {
    module.build_id.as_deref().unwrap_or("")
}

impl From<OnDisk> for SymbolTable {
    fn from(disk: OnDisk) -> Self {
        let mut table = SymbolTable::default();
        for ModuleOnDisk { path, build_id, symbols } in disk.modules {
            let by_id = table.modules.entry(path).or_default();
            by_id.entry(build_id).or_default().extend(symbols);
        }
        table.kernel.extend(disk.kernel);
        table
    }
}

impl From<SymbolTable> for OnDisk {
    fn from(table: SymbolTable) -> Self {
        OnDisk {
            modules: (table.modules.into_iter())
                .flat_map(|(path, by_id)| {
                    by_id.into_iter().map(move |(build_id, symbols)| ModuleOnDisk {
                        path: path.clone(),
                        build_id,
                        symbols: symbols.into_iter().collect(),
                    })
                })
                .collect(),
            kernel: table.kernel.into_iter().collect(),
        }
    }
}
