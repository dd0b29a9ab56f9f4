//! What one look at the watched processes found: the value that every later stage works on.
//!
//! A [`Snapshot`] holds raw addresses and times. It holds no verdict, no age, no symbol for a frame
//! that a file can name, and no bytes of the target.

mod frame;
mod health;
mod object;
mod process;
mod row;
mod time;

pub mod recording;

pub use frame::{Frame, Module, ModuleIx, Stack, StackIx, Unnamed};
pub use health::{Cause, Health};
pub use object::{Holder, Object, ObjectIx, ObjectKind, Owner, Proof, Terms};
pub use process::{Process, ProcessIx, Runtime};
pub use row::{
    Landmark, Origin, Row, Since, SinceSource, State, Stay, Timeout, Waiter, WaiterKind,
};
pub use time::{Clock, Host, Ns};

use serde::{Deserialize, Serialize};

/// The waiters of the watched processes, read within one short span. Not one instant: each row is
/// stamped (`Row::seen`).
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Snapshot {
    /// When reading began, `CLOCK_MONOTONIC`.
    pub began: Ns,
    /// The moment that the report is about, `CLOCK_MONOTONIC`: the begin of the pass that confirmed
    /// the rows. Each row was seen after it, in a wait that had begun before it or began at `seen`.
    pub ended: Ns,
    /// Ties `CLOCK_MONOTONIC` to the wall clock at `began`.
    pub clock: Clock,
    /// The machine.
    pub host: Host,
    /// The watched processes, also those without a long wait.
    pub processes: Vec<Process>,
    /// The waiters that were blocked for at least the minimum wait.
    pub rows: Vec<Row>,
    /// What rows wait on, each once.
    pub objects: Vec<Object>,
    /// What was established about objects after the rows were confirmed.
    pub proofs: Vec<Proof>,
    /// Interned stacks.
    pub stacks: Vec<Stack>,
    /// Interned modules that frames point into.
    pub modules: Vec<Module>,
    /// What could not be seen, counted by cause.
    pub health: Health,
}

impl Snapshot {
    /// The frames of a row's wait stack, innermost first.
    pub fn stack(&self, row: &Row) -> &[Frame] {
        self.stacks.get(row.stack.0 as usize).map_or(&[], |s| &s.frames)
    }
}
