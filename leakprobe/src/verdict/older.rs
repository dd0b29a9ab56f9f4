//! `stuck`: older than the user's `--older`.

use std::collections::BTreeMap;

use serde_json::json;

use super::{Case, Opinion};
use crate::report::{Evidence, Verdict};

/// Judges one wait by the lower bound of its age: no more is claimed than is known.
pub fn judge(case: &Case) -> Opinion {
    let Some(older) = case.thresholds.older else {
        return Opinion::Nothing;
    };
    if u128::from(case.age_ns) <= older.as_nanos() {
        return Opinion::Nothing;
    }
    let seconds = older.as_secs_f64();
    Opinion::Says {
        verdict: Verdict::Stuck,
        grade: None,
        evidence: Evidence {
            rule: "older".into(),
            text: format!("has waited for longer than {seconds} s (--older)"),
            values: BTreeMap::from([("older_seconds".into(), json!(seconds))]),
        },
    }
}
