//! All that reads another process: maps, files, memory, descriptors, identity. It never stops the
//! target.
//!
//! Everything here reads foreign bytes: lengths and counts are bounded, and what could not be read
//! is said, not guessed.

mod cgroup;
mod descriptors;
mod error;
mod maps;
mod memory;
mod module;
mod sharing;
mod sockets;
mod target;

pub use cgroup::cgroup_path;
pub use descriptors::{Descriptor, DescriptorKind, Descriptors};
pub use error::ProcessError;
pub use maps::{Backing, Mapping, Maps};
pub use memory::{Batch, Memory, Missed};
pub(crate) use module::CallFrames;
pub use module::{DebugFile, ModuleFile, ModuleFiles, Symbols, Unusable};
pub use sharing::{lives_in_memory_of, shares_memory};
pub use sockets::Namespaces;
pub use target::{LoadedModule, Target};
