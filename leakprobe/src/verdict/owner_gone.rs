//! `leaked`: the lock's recorded owner no longer exists, and nothing releases it in its place.

use std::collections::BTreeMap;

use serde_json::json;

use super::{Case, Opinion};
use crate::report::{Evidence, Grade, Verdict};

/// Judges one wait.
pub fn judge(case: &Case) -> Opinion {
    let Some(link) = case.graph.link(case.row).filter(|link| link.is_gone()) else {
        return Opinion::Nothing;
    };
    let owner = link.holder.id;
    Opinion::Says {
        verdict: Verdict::Leaked,
        grade: Some(Grade::Contract),
        evidence: Evidence {
            rule: "owner_gone".into(),
            text: format!(
                "its owner, thread {owner} (as the lock records it), has exited without releasing it"
            ),
            values: BTreeMap::from([("owner".into(), json!(owner))]),
        },
    }
}
