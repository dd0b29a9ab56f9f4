//! Functions that are the outermost of a stack although their unwind information doesn't say so.

use std::sync::Arc;

use rustc_hash::FxHashMap;

use super::RawFrame;
use crate::process::ModuleFile;

/// Places that are remembered.
const MAX_KNOWN: usize = 1 << 12;

/// Where Go switches to a thread's own stack or begins one (Go 1.17, runtime/traceback.go,
/// `topofstack`): what lies beyond on that stack is no frame.
const GO: [&str; 6] = [
    "runtime.asmcgocall",
    "runtime.goexit",
    "runtime.mcall",
    "runtime.morestack",
    "runtime.mstart",
    "runtime.rt0_go",
];

/// Tells the outermost frames by their symbols; asked only where a stack can't be followed further.
#[derive(Default)]
pub(super) struct Outermost {
    /// The file is kept, so that nothing else gets its address.
    known: FxHashMap<(usize, u64), (Arc<ModuleFile>, bool)>,
}

impl Outermost {
    /// Whether nothing lies beyond this frame.
    pub(super) fn is(&mut self, frame: Option<&RawFrame>) -> bool {
        let Some(RawFrame::At { module, svma }) = frame else { return false };
        if self.known.len() >= MAX_KNOWN {
            self.known.clear();
        }
        let key = (Arc::as_ptr(module) as usize, *svma);
        let find = || {
            let symbols = module.symbols();
            let mut covering = symbols
                .iter()
                .filter(|(_, start, size)| (*start..start.saturating_add(*size)).contains(svma));
            (module.clone(), covering.any(|(name, ..)| is_outermost(name)))
        };
        self.known.entry(key).or_insert_with(find).1
    }
}

fn is_outermost(symbol: &str) -> bool {
    GO.contains(&symbol.trim_end_matches(".abi0"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_functions_themselves() {
        // Check both of Go's calling conventions, and that functions called alike are not meant.
        assert!(is_outermost("runtime.mcall"));
        assert!(is_outermost("runtime.mstart.abi0"));
        assert!(!is_outermost("runtime.mstart1"));
        assert!(!is_outermost("main.mcall"));
        assert!(!Outermost::default().is(None));
    }
}
