//! `leaked`: each member of a cycle waits, without timeout, for a lock that the next one holds.

use std::collections::BTreeMap;

use serde_json::json;

use super::{Case, Opinion};
use crate::{
    report::{Evidence, Grade, Verdict},
    snapshot::Snapshot,
};

/// Judges one wait.
pub fn judge(case: &Case) -> Opinion {
    let Some(cycle) = case.graph.cycle_of(case.row) else {
        return Opinion::Nothing;
    };
    let start = cycle.iter().position(|row| *row == case.row).unwrap_or(0);
    let mut path: Vec<String> = Vec::with_capacity(cycle.len() + 1);
    for step in 0..=cycle.len() {
        path.push(waiter_name(case.snapshot, cycle[(start + step) % cycle.len()]));
    }
    let text = match cycle {
        [_] => format!("{0} waits for a lock that {0} holds itself", path[0]),
        _ => path.join(" → waits for a lock held by "),
    };
    Opinion::Says {
        verdict: Verdict::Leaked,
        grade: Some(Grade::Contract),
        evidence: Evidence {
            rule: "owner_cycle".into(),
            text,
            values: BTreeMap::from([("length".into(), json!(cycle.len()))]),
        },
    }
}

/// `T123`, `G45`: how a waiter is called in evidence.
pub fn waiter_name(snapshot: &Snapshot, row: usize) -> String {
    match snapshot.rows.get(row) {
        Some(row) => format!("{}{}", letter(row.waiter.kind), row.waiter.id),
        None => "?".into(),
    }
}

/// The letter that stands before a waiter's id.
pub fn letter(kind: crate::snapshot::WaiterKind) -> char {
    match kind {
        crate::snapshot::WaiterKind::Thread => 'T',
        crate::snapshot::WaiterKind::Goroutine => 'G',
    }
}
