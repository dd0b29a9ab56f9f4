//! `leaked`: the lock's owner is alive, but is itself proved never to wake.

use std::collections::BTreeMap;

use serde_json::json;

use super::{
    Case, Opinion,
    owner_cycle::{letter, waiter_name},
};
use crate::report::{Evidence, Grade, Verdict};

/// Judges one wait.
pub fn judge(case: &Case) -> Opinion {
    if case.graph.cycle_of(case.row).is_some() || !case.graph.is_leaked(case.row) {
        return Opinion::Nothing;
    }
    let Some(link) = case.graph.link(case.row).filter(|link| !link.is_gone()) else {
        return Opinion::Nothing;
    };
    let me = waiter_name(case.snapshot, case.row);
    let holder = format!("{}{}", letter(link.holder.kind), link.holder.id);
    Opinion::Says {
        verdict: Verdict::Leaked,
        grade: Some(Grade::Contract),
        evidence: Evidence {
            rule: "owner_leaked".into(),
            text: format!("{me} waits for a lock held by {holder}, which can never wake itself"),
            values: BTreeMap::from([("owner".into(), json!(link.holder.id))]),
        },
    }
}
