//! Stacks of real programs, and of hostile ones.

mod live;
mod program;
