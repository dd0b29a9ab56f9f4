//! Stacks of real programs, and of hostile ones.

mod hostile;
mod live;
mod many;
mod program;
