//! Unwinds (.eh_frame, .debug_frame, frame pointers) and symbolizes.
//!
//! Registers come from the task iterator, memory from `process`. A frame that could not be unwound
//! or named carries its reason; it is not an error.

mod names;
mod unwind;

pub use names::{Named, Names};
pub use unwind::{RawFrame, RawStack, ThreadStart, Unwinder};
