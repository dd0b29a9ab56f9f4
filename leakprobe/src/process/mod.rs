//! All that reads another process: maps, files, memory, descriptors, identity. It never stops the
//! target, and treats everything that it reads as hostile.

mod cgroup;
mod descriptors;
mod sharing;
mod sockets;

pub use cgroup::cgroup_path;
pub use descriptors::{Descriptor, DescriptorKind, Descriptors};
pub use sharing::shares_memory;
