//! What could not be seen, counted by cause.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// Causes of not seeing something. Each is printed with its count and what to do about it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Cause {
    /// The task iterator could not be used; /proc was read instead.
    NoTaskIterator,
    /// Not root: processes of other users were left out.
    ProcessesDenied,
    /// A process ended or executed another program while it was read.
    ProcessGone,
    /// A process could not be read within its time.
    ProcessTimedOut,
    /// 32-bit tasks are not supported.
    Compat32,
    /// A thread ran each time its stack was read.
    ThreadMoved,
    /// A stack that could not be unwound to its end.
    StackTruncated,
    /// Memory of the target that could not be read.
    MemoryUnreadable,
    /// A mapped file that could not be opened, or whose build id is not the mapped one.
    ModuleUnavailable,
    /// Something held too much to be kept: a limit was reached and the rest left out.
    LimitReached,
    /// The clock could not be calibrated: ages are ranges.
    ClockUncalibrated,
    /// Records that this version does not know.
    UnknownRecord,
}

/// Everything that could not be seen.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Health {
    /// How often each cause struck.
    pub counts: BTreeMap<Cause, u64>,
    /// For people: one sentence per thing lost that a count can't say, each once.
    pub notes: Vec<String>,
    /// Which way tasks were read: `iter/task` or `/proc`.
    pub task_source: String,
}

impl Health {
    /// Counts one more.
    pub fn count(&mut self, cause: Cause) {
        self.add(cause, 1);
    }

    /// Counts `n` more.
    pub fn add(&mut self, cause: Cause, n: u64) {
        if n > 0 {
            *self.counts.entry(cause).or_default() += n;
        }
    }

    /// Notes a sentence, once.
    pub fn note(&mut self, sentence: impl Into<String>) {
        let sentence = sentence.into();
        if !self.notes.contains(&sentence) {
            self.notes.push(sentence);
        }
    }
}
