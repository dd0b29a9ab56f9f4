//! The last word on proofs: a pass after the owners were read again.
//!
//! An owner that was read between two passes in both of which the waits are the same was read while
//! all of these threads slept. Without the second pass a lock could change hands, and back, between
//! the first and the reading.

use rustc_hash::{FxHashMap, FxHashSet};

use super::threads::ThreadTable;
use crate::{
    probe::Task,
    snapshot::{Object, ObjectIx, Owner, Process, Proof, Row},
};

/// Whether anything can follow from these proofs: an owner is gone, or waits for a lock itself.
pub fn matters(proofs: &[Proof], rows: &[Row], objects: &[Object]) -> bool {
    let proved = proved(proofs);
    let waiting: FxHashSet<u64> =
        rows.iter().filter(|row| is_about(row, &proved)).map(|row| row.waiter.id).collect();
    proved.iter().any(|ix| match objects.get(ix.0 as usize).map(|object| &object.owner) {
        Some(Owner::Held { by, .. }) => by.alive == Some(false) || waiting.contains(&by.id),
        _ => false,
    })
}

/// Keeps the waits for proved locks that are still the same in a later pass, and the proofs whose
/// owner is still as gone as it was. How many waits it did not keep.
pub fn keep(
    tasks: &[Task],
    processes: &[Process],
    rows: &mut Vec<Row>,
    objects: &[Object],
    proofs: &mut Vec<Proof>,
) -> u64 {
    let by_tid: FxHashMap<u64, &Task> = tasks.iter().map(|t| (u64::from(t.tid), t)).collect();
    let proved = proved(proofs);
    let before = rows.len();
    rows.retain(|row| {
        let same = |task: &&Task| {
            task.is_waiting()
                && task.start_boottime_ns == row.waiter.birth
                && task.stay_token == row.stay.token
        };
        !is_about(row, &proved) || by_tid.get(&row.waiter.id).is_some_and(same)
    });
    let table = ThreadTable::of(tasks);
    let mut threads = FxHashMap::default();
    proofs.retain(|Proof::HeldThroughout { object }| {
        let Some(object) = objects.get(object.0 as usize) else { return false };
        let Owner::Held { by, .. } = &object.owner else { return false };
        if by.alive != Some(false) {
            return true;
        }
        let known = threads.entry(object.process).or_insert_with(|| {
            let pid = processes.get(object.process.0 as usize)?.pid;
            let any = tasks.iter().find(|task| task.pid == pid && task.is_waiting())?;
            Some(table.sharing_memory_with(any))
        });
        let recorded = u32::try_from(by.recorded).ok();
        let later = known.as_ref().zip(recorded).map(|(known, tid)| known.holder(tid).alive);
        later == Some(Some(false))
    });
    (before - rows.len()) as u64
}

fn proved(proofs: &[Proof]) -> FxHashSet<ObjectIx> {
    proofs.iter().map(|Proof::HeldThroughout { object }| *object).collect()
}

fn is_about(row: &Row, proved: &FxHashSet<ObjectIx>) -> bool {
    row.objects.iter().any(|object| proved.contains(object))
}
