//! What is said of a site besides its verdict.

use std::collections::{BTreeMap, BTreeSet};

use rustc_hash::FxHashMap;

use super::{Evidence, build::Member, place};

/// How many pieces of evidence a site lists.
const LISTED: usize = 12;

/// The members' evidence and the notes of their rows, each text once, what is said of most first.
pub(super) fn collect(members: &[Member]) -> Vec<Evidence> {
    let mut found: Vec<(Evidence, u64)> = Vec::new();
    let mut index: FxHashMap<String, usize> = FxHashMap::default();
    let notes = |m: &Member| {
        let note = |text: &String| Evidence {
            rule: "note".to_owned(),
            text: text.clone(),
            values: BTreeMap::new(),
        };
        m.row.notes.iter().map(note).collect::<Vec<_>>()
    };
    for member in members {
        let mut said = BTreeSet::new();
        for piece in member.judged.evidence.iter().cloned().chain(notes(member)) {
            if !said.insert(piece.text.clone()) {
                continue;
            }
            match index.get(&piece.text).and_then(|&at| found.get_mut(at)) {
                Some((_, count)) => *count += 1,
                None => {
                    index.insert(piece.text.clone(), found.len());
                    found.push((piece, 1));
                }
            }
        }
    }
    // Stable: of equals, what the oldest says stays first; notes never go before rules.
    found.sort_by_key(|(piece, count)| (piece.rule == "note", std::cmp::Reverse(*count)));
    let left = found.len().saturating_sub(LISTED);
    let mut evidence: Vec<Evidence> = found.into_iter().take(LISTED).map(|(e, _)| e).collect();
    evidence.extend(lines(members));
    if left > 0 {
        evidence.push(Evidence {
            rule: "more".to_owned(),
            text: format!("and {left} more like these"),
            values: BTreeMap::from([("more".to_owned(), left.into())]),
        });
    }
    evidence
}

/// Sites are told apart by function; where its waiters are on several lines of it, which ones.
fn lines(members: &[Member]) -> Option<Evidence> {
    let mut counts: BTreeMap<(String, u32), u64> = BTreeMap::new();
    for member in members {
        let frame = member.stack.frames.get(member.stack.place?)?;
        let file = frame.file.as_deref().map(place::base_name)?.to_owned();
        *counts.entry((file, frame.line?)).or_default() += 1;
    }
    if counts.len() < 2 {
        return None;
    }
    let mut most: Vec<_> = counts.into_iter().collect();
    most.sort_by_key(|(_, count)| std::cmp::Reverse(*count));
    let shown: Vec<String> = most
        .iter()
        .take(LISTED)
        .map(|((file, line), count)| format!("{file}:{line} ({count})"))
        .collect();
    let values = most
        .iter()
        .take(LISTED)
        .map(|((file, line), count)| (format!("{file}:{line}"), (*count).into()))
        .collect();
    Some(Evidence { rule: "lines".to_owned(), text: format!("at {}", shown.join(", ")), values })
}
