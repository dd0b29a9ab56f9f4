//! Where functions begin, by symbols. Read only for modules with code that has no unwind
//! information.

use std::ops::Range;

use rustc_hash::FxHashMap;

use crate::process::LoadedModule;

/// Functions of one module that are kept.
const MAX_FUNCTIONS: usize = 1 << 20;
/// Labels of assembly carry no size: as far as this they are believed to reach, bytes.
const UNSIZED_REACH: u64 = 256;

/// Function symbols of the modules that were asked about, by module start.
#[derive(Default)]
pub(super) struct Functions {
    known: FxHashMap<u64, Vec<Range<u64>>>,
}

impl Functions {
    /// The function (svma) that an address lies in.
    pub(super) fn containing(&mut self, module: &LoadedModule, svma: u64) -> Option<Range<u64>> {
        let functions = self.known.entry(module.start).or_insert_with(|| sorted(module));
        let after = functions.partition_point(|f| f.start <= svma);
        let function = functions.get(after.checked_sub(1)?)?;
        function.contains(&svma).then(|| function.clone())
    }
}

fn sorted(module: &LoadedModule) -> Vec<Range<u64>> {
    let symbols = module.file.symbols();
    let mut functions: Vec<Range<u64>> = symbols
        .iter()
        .take(MAX_FUNCTIONS)
        .map(|(_, start, size)| {
            let size = if size == 0 { UNSIZED_REACH } else { size };
            start..start.saturating_add(size)
        })
        .collect();
    // Of several names for one start the widest reach stays.
    functions.sort_unstable_by_key(|f| (f.start, std::cmp::Reverse(f.end)));
    functions.dedup_by_key(|f| f.start);
    functions
}
