//! The contract between who can name a frame and who prints it.

use crate::snapshot::Module;

/// A name for an address. Several of them where functions were inlined.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
pub struct Named {
    /// Demangled function name.
    pub function: String,
    /// Source file.
    pub file: Option<String>,
    /// Line.
    pub line: Option<u32>,
    /// Inlined into the next one.
    pub inlined: bool,
}

/// Names addresses: the symbolizer on a live machine, the recorded table in a replay.
pub trait Names {
    /// Names of an address in a file (svma, see `Frame::At`), innermost first: the inlined ones, then
    /// the function itself. Empty where none is known.
    fn in_module(&mut self, module: &Module, offset: u64) -> Vec<Named>;

    /// Name of a kernel address.
    fn in_kernel(&mut self, address: u64) -> Option<Named>;
}
