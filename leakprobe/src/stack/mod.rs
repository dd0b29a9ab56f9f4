//! Unwinds (.eh_frame, .debug_frame, frame pointers) and symbolizes.
//!
//! Registers come from the task iterator, memory from `process`. A frame that could not be unwound
//! or named carries its reason; it is not an error.

mod call_site;
mod debug_file;
mod debug_info;
mod elf_sections;
mod elf_symbols;
mod frame_state;
mod function_name;
mod kallsyms;
mod names;
mod perf_map;
mod prologue;
#[cfg(test)]
mod prologue_agreement;
mod symbolize;
mod unwind;

pub use call_site::{Call, preceded_by_call};
pub use kallsyms::{Kallsyms, KallsymsError};
pub use names::{Named, Names};
pub use perf_map::PerfMap;
pub use prologue::{Base, CallerFp, FrameLayout, frame_layout, frame_layout_ahead, stack_depth};
pub use symbolize::{SymbolizeOptions, Symbolizer};
pub use unwind::{RawFrame, RawStack, ThreadStart, Unwinder};
