//! Rules from tracked sites to verdicts with evidence, one file a rule. Pure.

/// One tracked waiter with what is thought of it.
#[derive(Clone, Debug)]
pub struct Judged {
    /// Index into the newest snapshot's rows.
    pub row: usize,
    /// What is thought of it.
    pub verdict: crate::report::Verdict,
    /// What the proof rests on, where it is proved.
    pub grade: Option<crate::report::Grade>,
    /// What the verdict rests on.
    pub evidence: Vec<crate::report::Evidence>,
    /// How long it has waited, in nanoseconds: lower bound, upper bound if not exact.
    pub age_ns: (u64, Option<u64>),
    /// How long it has been at this stack and object, in nanoseconds, short wake-ups that returned
    /// to it included.
    pub at_site_ns: u64,
}

/// What is thought of all waiters of the newest snapshot.
#[derive(Clone, Debug, Default)]
pub struct Judgement {
    /// The waiters.
    pub rows: Vec<Judged>,
    /// Proved cycles of owners: indices into the newest snapshot's rows, each waits for a thing that
    /// the next one holds, the last for one of the first.
    pub cycles: Vec<Vec<usize>>,
    /// Time between the first and the last snapshot, in nanoseconds.
    pub watched_ns: u64,
    /// How many snapshots this rests on.
    pub snapshots: u64,
    /// Waits of earlier snapshots that ended meanwhile.
    pub finished: u64,
}
