//! Frames of wait stacks, before anything has a name.

use serde::{Deserialize, Serialize};

/// Index into [`Snapshot::stacks`](super::Snapshot).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct StackIx(pub u32);

/// Index into [`Snapshot::modules`](super::Snapshot).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct ModuleIx(pub u32);

/// A wait stack, innermost frame first.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Stack {
    /// Innermost first. A stack that ends early closes with [`Frame::Unknown`].
    pub frames: Vec<Frame>,
}

/// One frame.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Frame {
    /// In a file: `offset` is the address that the file's own program headers give to the
    /// instruction (svma), for callers the last byte of the call instruction, so that a symbol
    /// look-up needs no adjustment.
    At {
        /// The file.
        module: ModuleIx,
        /// Address within it.
        offset: u64,
    },
    /// In the kernel.
    Kernel(u64),
    /// Known only from the target's memory (a JIT, an interpreter).
    Named {
        /// Function.
        function: String,
        /// Source file, where known.
        file: Option<String>,
        /// Line, where known.
        line: Option<u32>,
    },
    /// An address without a file, or the place where unwinding had to stop.
    Unknown {
        /// The address, 0 where there is none.
        address: u64,
        /// Why no more is known.
        why: Unnamed,
    },
}

/// Why a frame has no module or a stack no further frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Unnamed {
    /// Anonymous executable memory, and no perf map names it.
    Anonymous,
    /// The address is in no mapping.
    Unmapped,
    /// The stack memory could not be read.
    StackUnreadable,
    /// No unwind information, no frame pointer, no decodable prologue.
    NoUnwindInfo,
    /// The registers of the thread were not to be had.
    NoRegisters,
    /// The base pointer is needed here and was not to be had (the /proc rung).
    NoBasePointer,
    /// The thread moved each time its stack was read.
    Moved,
    /// Longer than the limit.
    TooDeep,
    /// The mapped file could not be opened, or it is not the one that is mapped.
    FileUnavailable,
    /// The time for this process was over.
    OutOfTime,
}

/// A mapped file.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Module {
    /// Path as the target sees it, without ` (deleted)`; `[vdso]` for the vdso.
    pub path: String,
    /// GNU build id, lower-case hex.
    pub build_id: Option<String>,
    /// The file was deleted or replaced after it was mapped.
    pub deleted: bool,
}

impl Module {
    /// Last component of the path.
    pub fn file_name(&self) -> &str {
        self.path.rsplit('/').next().unwrap_or(&self.path)
    }
}
