//! Rules from tracked waits to verdicts with evidence, one file a rule. Pure.
//!
//! `leaked` is a proof and names its grade. At this stage all proofs are of grade `contract`: a wait
//! without timeout on a lock that only its recorded owner may release, whose owner is gone
//! (`owner_gone`), or is itself part of a cycle of owners (`owner_cycle`), or waits for one that is
//! proved (`owner_leaked`). The other verdicts are judgements and show their numbers.

mod graph;
mod notes;
mod older;
mod owner_cycle;
mod owner_gone;
mod owner_leaked;

use std::time::Duration;

use crate::{
    report::{Evidence, Grade, Verdict},
    snapshot::{SinceSource, Snapshot},
    track::{Track, Tracked},
};

use graph::Graph;

/// What the user asked to be told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Thresholds {
    /// Waiters that have been at their place for less are left out.
    pub min_wait: Duration,
    /// Waits older than this are `stuck`.
    pub older: Option<Duration>,
}

/// One tracked waiter with what is thought of it.
#[derive(Clone, Debug)]
pub struct Judged {
    /// Index into the newest snapshot's rows.
    pub row: usize,
    /// The worst that a rule said.
    pub verdict: Verdict,
    /// What the proof rests on, for `leaked`.
    pub grade: Option<Grade>,
    /// What every rule that had something to say goes by.
    pub evidence: Vec<Evidence>,
    /// Age of the wait in nanoseconds: lower bound, and upper bound unless it is exact.
    pub age_ns: (u64, Option<u64>),
    /// How long it has been at this stack and object, in nanoseconds.
    pub at_site_ns: u64,
}

/// What is thought of the newest snapshot's rows.
#[derive(Clone, Debug, Default)]
pub struct Judgement {
    /// The rows that lasted long enough.
    pub rows: Vec<Judged>,
    /// Proved cycles of owners, each as row indices: every one waits for a lock that the next holds,
    /// the last for one of the first.
    pub cycles: Vec<Vec<usize>>,
    /// Nanoseconds between the first and the newest snapshot.
    pub watched_ns: u64,
    /// How many snapshots this rests on.
    pub snapshots: u64,
    /// Waits that an earlier snapshot saw and that have ended since.
    pub finished: u64,
}

/// What a rule says of one wait.
enum Opinion {
    /// It has nothing to say.
    Nothing,
    /// A verdict.
    Says { verdict: Verdict, grade: Option<Grade>, evidence: Evidence },
    /// No verdict, but worth knowing: why the rule could not say more, or what else is known.
    Notes(Vec<Evidence>),
}

/// What a rule sees of one wait.
struct Case<'a> {
    snapshot: &'a Snapshot,
    graph: &'a Graph,
    thresholds: &'a Thresholds,
    row: usize,
    age_ns: u64,
}

type Rule = fn(&Case) -> Opinion;

/// Every rule, strongest first.
const RULES: [Rule; 5] =
    [owner_cycle::judge, owner_gone::judge, owner_leaked::judge, older::judge, notes::judge];

/// Judges the newest snapshot of a run.
pub fn judge(track: &Track, thresholds: &Thresholds) -> Judgement {
    let Some(snapshot) = track.newest() else {
        return Judgement::default();
    };
    let graph = Graph::of(snapshot);
    let rows = track.tracked().into_iter();
    let rows = rows.filter_map(|t| judge_row(snapshot, &graph, thresholds, &t));
    Judgement {
        rows: rows.collect(),
        cycles: graph.cycles().to_vec(),
        watched_ns: track.watched_ns(),
        snapshots: track.snapshots(),
        finished: track.ended_waits(),
    }
}

fn judge_row(
    snapshot: &Snapshot,
    graph: &Graph,
    thresholds: &Thresholds,
    tracked: &Tracked,
) -> Option<Judged> {
    let row = snapshot.rows.get(tracked.row)?;
    // Ages count up to the moment that the report names; later each row was still in this wait.
    let now = snapshot.ended.0.min(row.seen.0);
    let at_least = now.saturating_sub(tracked.since.latest.0);
    let at_most = now.saturating_sub(tracked.since.earliest.0);
    let at_site_ns = now.saturating_sub(tracked.at_place.0).max(at_least);
    if u128::from(at_site_ns.max(at_most_if_known(tracked, at_most)))
        < thresholds.min_wait.as_nanos()
    {
        return None;
    }
    let case = Case { snapshot, graph, thresholds, row: tracked.row, age_ns: at_least };
    let mut judged = Judged {
        row: tracked.row,
        verdict: Verdict::Waiting,
        grade: None,
        evidence: Vec::new(),
        age_ns: (at_least, (at_most > at_least).then_some(at_most)),
        at_site_ns,
    };
    for rule in RULES {
        match rule(&case) {
            Opinion::Nothing => {}
            Opinion::Says { verdict, grade, evidence } => {
                if verdict > judged.verdict {
                    judged.verdict = verdict;
                    judged.grade = grade;
                }
                judged.evidence.push(evidence);
            }
            Opinion::Notes(notes) => judged.evidence.extend(notes),
        }
    }
    Some(judged)
}

/// A wait whose begin is only known to lie after its thread's start counts as old enough: leaving it
/// out would hide what was blocked before the attach.
fn at_most_if_known(tracked: &Tracked, at_most: u64) -> u64 {
    match tracked.since.source {
        SinceSource::FirstSeen => at_most,
        SinceSource::Event | SinceSource::Accounting => 0,
    }
}

#[cfg(test)]
mod tests;
