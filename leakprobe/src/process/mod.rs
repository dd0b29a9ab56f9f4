//! All that reads another process. It never stops the target.
//!
//! Everything here reads foreign bytes: lengths and counts are bounded, and what could not be read
//! is said, not guessed.

mod error;
mod maps;
mod memory;
mod module;
mod target;

pub use error::ProcessError;
pub use maps::{Backing, Mapping, Maps};
pub use memory::{Batch, Memory, Missed};
pub(crate) use module::CallFrames;
pub use module::{DebugFile, ModuleFile, ModuleFiles, Symbols, Unusable};
pub use target::{LoadedModule, Target};
