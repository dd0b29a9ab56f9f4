//! No verdict: what is known of a wait that proves nothing, and why no rule could say more.

use std::collections::BTreeMap;

use super::{Case, Opinion};
use crate::{
    report::Evidence,
    snapshot::{Owner, Terms},
};

/// Collects the notes of one wait.
pub fn judge(case: &Case) -> Opinion {
    let Some(row) = case.snapshot.rows.get(case.row) else {
        return Opinion::Nothing;
    };
    let of_objects = row.objects.iter().filter_map(|object| {
        match &case.snapshot.objects.get(object.0 as usize)?.owner {
            Owner::NotRecorded { why } => Some(("owner_not_recorded", why)),
            Owner::Unreadable { why } => Some(("owner_unreadable", why)),
            Owner::Held { terms: Terms::Hint { why } | Terms::DeathReleases { why }, .. } => {
                Some(("owner_is_no_proof", why))
            }
            Owner::Held { terms: Terms::OwnerMustRelease, .. } | Owner::None => None,
        }
    });
    let of_row = row.notes.iter().map(|note| ("note", note));
    let notes: Vec<Evidence> = (of_objects.chain(of_row))
        .map(|(rule, text)| Evidence {
            rule: rule.into(),
            text: text.clone(),
            values: BTreeMap::new(),
        })
        .collect();
    if notes.is_empty() { Opinion::Nothing } else { Opinion::Notes(notes) }
}
