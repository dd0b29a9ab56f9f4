//! What later stages rely on: sizes within bounds, indices that point at something, times in order.

use crate::snapshot::{Frame, ObjectIx, Proof, Row, Snapshot, StackIx};

/// Most entries in a snapshot's table.
const MAX_ENTRIES: usize = 4_000_000;
/// Most frames in a stack.
const MAX_FRAMES: usize = 10_000;

/// What is wrong with a snapshot.
pub(super) enum Problem {
    /// It contradicts itself.
    Wrong(String),
    /// It holds too much.
    TooMany(String),
}

/// Checks a snapshot that was read.
pub(super) fn snapshot(snapshot: &Snapshot) -> Result<(), Problem> {
    for (what, n, most) in [
        ("processes", snapshot.processes.len(), MAX_ENTRIES),
        ("waiters", snapshot.rows.len(), MAX_ENTRIES),
        ("objects", snapshot.objects.len(), MAX_ENTRIES),
        ("stacks", snapshot.stacks.len(), MAX_ENTRIES),
        ("files", snapshot.modules.len(), MAX_ENTRIES),
        ("proofs", snapshot.proofs.len(), MAX_ENTRIES),
    ] {
        within(what, n, most)?;
    }
    ordered("began, ended", snapshot.began <= snapshot.ended)?;
    for stack in &snapshot.stacks {
        within("frames in a stack", stack.frames.len(), MAX_FRAMES)?;
        stack.frames.iter().try_for_each(|frame| module(snapshot, frame))?;
    }
    for object in &snapshot.objects {
        points("process", object.process.0, snapshot.processes.len())?;
    }
    for proof in &snapshot.proofs {
        match proof {
            Proof::HeldThroughout { object } => object_index(snapshot, *object)?,
        }
    }
    snapshot.rows.iter().try_for_each(|each| row(snapshot, each))
}

fn row(snapshot: &Snapshot, row: &Row) -> Result<(), Problem> {
    points("process", row.waiter.process.0, snapshot.processes.len())?;
    stack(snapshot, row.stack)?;
    let more = [row.kernel_stack, row.origin.creation];
    more.into_iter().flatten().try_for_each(|ix| stack(snapshot, ix))?;
    row.origin.entry.iter().try_for_each(|frame| module(snapshot, frame))?;
    row.objects.iter().try_for_each(|ix| object_index(snapshot, *ix))?;
    ordered("earliest, latest", row.since.earliest <= row.since.latest)
}

fn module(snapshot: &Snapshot, frame: &Frame) -> Result<(), Problem> {
    match frame {
        Frame::At { module, .. } => points("file", module.0, snapshot.modules.len()),
        Frame::Kernel(_) | Frame::Named { .. } | Frame::Unknown { .. } => Ok(()),
    }
}

fn stack(snapshot: &Snapshot, index: StackIx) -> Result<(), Problem> {
    points("stack", index.0, snapshot.stacks.len())
}

fn object_index(snapshot: &Snapshot, index: ObjectIx) -> Result<(), Problem> {
    points("object", index.0, snapshot.objects.len())
}

fn points(what: &str, index: u32, entries: usize) -> Result<(), Problem> {
    if (index as usize) < entries {
        return Ok(());
    }
    Err(Problem::Wrong(format!("it names {what} {index} of {entries}")))
}

fn within(what: &str, n: usize, most: usize) -> Result<(), Problem> {
    if n <= most {
        return Ok(());
    }
    Err(Problem::TooMany(format!("{n} {what} in one snapshot, at most {most} are read")))
}

fn ordered(what: &str, is: bool) -> Result<(), Problem> {
    if is {
        return Ok(());
    }
    Err(Problem::Wrong(format!("its times are not in order ({what})")))
}
