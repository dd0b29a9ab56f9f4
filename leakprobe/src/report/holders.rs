//! What those do who hold what others wait for: the next question of whoever reads of a lock.

use std::collections::BTreeMap;

use rustc_hash::FxHashMap;

use super::{Evidence, HolderEntry, Objects, naming::Naming, place, who};
use crate::{
    snapshot::{Row, Snapshot, WaiterKind},
    verdict::Judgement,
};

/// How many holders of a site's objects are followed.
const FOLLOWED: usize = 3;

/// Finds waiters by who they are.
pub(super) struct Whereabouts<'a> {
    /// By kind, process (none for threads: their ids are the machine's) and id.
    rows: FxHashMap<(WaiterKind, Option<u32>, u64), &'a Row>,
}

impl<'a> Whereabouts<'a> {
    pub(super) fn new(snapshot: &'a Snapshot, judgement: &Judgement) -> Self {
        let judged = judgement.rows.iter();
        let rows = judged.filter_map(|judged| snapshot.rows.get(judged.row));
        Whereabouts { rows: rows.map(|row| (key(snapshot, row), row)).collect() }
    }

    /// For each living holder that waits itself: in what, from where. Of one that isn't found
    /// nothing is said: it may run, or not have been looked at.
    pub(super) fn evidence(
        &self,
        pids: &[u32],
        objects: &Objects,
        naming: &mut Naming,
    ) -> Vec<Evidence> {
        let mut followed: Vec<&HolderEntry> = Vec::new();
        let mut evidence = Vec::new();
        for object in &objects.top {
            for holder in object.holders.iter().filter(|holder| holder.alive == Some(true)) {
                if evidence.len() >= FOLLOWED || followed.contains(&holder) {
                    continue;
                }
                followed.push(holder);
                let Some(row) = self.find(pids, holder) else {
                    continue;
                };
                let stack = naming.stack(row.stack);
                let place = stack.place.and_then(|index| stack.frames.get(index));
                let from = place
                    .map_or_else(String::new, |frame| format!(" from {}", place::label(frame)));
                let holder_id = who(&holder.kind, &holder.id);
                let role = match object.kind.as_str() {
                    "thread" => format!("{holder_id}, which is joined"),
                    kind => format!("{holder_id}, which holds {kind} {}", object.address),
                };
                evidence.push(Evidence {
                    rule: "holder".to_owned(),
                    text: format!("{role}, waits itself in {}{from}", row.reason),
                    values: BTreeMap::from([("holder".to_owned(), holder.id.clone().into())]),
                });
            }
        }
        evidence
    }

    fn find(&self, pids: &[u32], holder: &HolderEntry) -> Option<&'a Row> {
        let id = holder.id.parse().ok()?;
        let kinds = [WaiterKind::Thread, WaiterKind::Goroutine];
        let kind = kinds.into_iter().find(|kind| kind.as_str() == holder.kind)?;
        let process = match (kind, pids) {
            (WaiterKind::Thread, _) => None,
            (WaiterKind::Goroutine, [pid]) => Some(*pid),
            (WaiterKind::Goroutine, _) => return None,
        };
        self.rows.get(&(kind, process, id)).copied()
    }
}

fn key(snapshot: &Snapshot, row: &Row) -> (WaiterKind, Option<u32>, u64) {
    let process = match row.waiter.kind {
        WaiterKind::Thread => None,
        WaiterKind::Goroutine => {
            (snapshot.processes).get(row.waiter.process.0 as usize).map(|process| process.pid)
        }
    };
    (row.waiter.kind, process, row.waiter.id)
}
