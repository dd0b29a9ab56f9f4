//! The finished report: names resolved, sites merged by function and ranked.
//!
//! The types are the contract of `--json` (docs/output-schema.md): fields and kinds are only ever
//! added. Times are seconds, frames innermost first.

mod age;
mod answer;
mod build;
mod evidence;
mod holders;
mod identity;
mod naming;
mod objects;
pub mod place;
#[cfg(test)]
pub(crate) mod sample;
#[cfg(test)]
mod tests;
mod who;

pub use age::humane;
pub use build::{ReportOptions, build};
pub use who::who;

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Value of [`Report::schema`].
pub const SCHEMA: &str = "leakprobe.report/1";

/// A finished report.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
pub struct Report {
    /// Always `leakprobe.report/1`.
    pub schema: String,
    /// `leakprobe` and its version.
    pub tool: String,
    /// Node name of the machine that was looked at.
    pub host: String,
    /// Its kernel release.
    pub kernel: String,
    /// For people: what is to be known first, in one line.
    pub answer: String,
    /// When the newest snapshot was read, RFC 3339.
    pub at: String,
    /// Time between the first and the last snapshot, in seconds.
    pub watched_seconds: f64,
    /// Waits of earlier snapshots that ended before the newest one.
    pub finished_waits: u64,
    /// The watched processes.
    pub processes: Vec<ProcessEntry>,
    /// The sites, worst first.
    pub sites: Vec<Site>,
    /// What could not be seen.
    pub health: HealthEntry,
}

/// A watched process.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
pub struct ProcessEntry {
    /// Process id in leakprobe's PID namespace.
    pub pid: u32,
    /// Process id in its own PID namespace.
    pub ns_pid: u32,
    /// When it was started, RFC 3339.
    pub started: String,
    /// Its name.
    pub name: String,
    /// Its executable.
    pub exe: Option<String>,
    /// Build id of the executable.
    pub build_id: Option<String>,
    /// Its cgroup's path.
    pub cgroup: Option<String>,
    /// Language runtimes found in it.
    pub runtimes: Vec<RuntimeEntry>,
    /// Live threads, blocked or not.
    pub threads: u32,
    /// Goroutines by state; null where it is not a Go program.
    pub goroutines: Option<BTreeMap<String, u64>>,
}

/// A language runtime.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
pub struct RuntimeEntry {
    /// `glibc`, `musl`, `go` …
    pub name: String,
    /// Version, where known.
    pub version: Option<String>,
}

/// What is to be thought of a site, worst last, so that `max` is the worst.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema,
)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// None of the others.
    Waiting,
    /// A pool or a service loop doing its job.
    Idle,
    /// Far older than this site's waits usually get, or than `--older`.
    Stuck,
    /// Its number grows and does not come back.
    Leaking,
    /// Proved: nothing that can still run can wake it.
    Leaked,
}

impl Verdict {
    /// As printed and as in JSON.
    pub fn as_str(self) -> &'static str {
        match self {
            Verdict::Waiting => "waiting",
            Verdict::Idle => "idle",
            Verdict::Stuck => "stuck",
            Verdict::Leaking => "leaking",
            Verdict::Leaked => "leaked",
        }
    }
}

/// What a proof of `leaked` rests on.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema,
)]
#[serde(rename_all = "snake_case")]
pub enum Grade {
    /// The target did not move while it was read.
    Exact,
    /// Many independent readings that never wavered.
    Repeated,
    /// Only code that breaks the lock's own contract could still wake it.
    Contract,
}

impl Grade {
    /// As printed and as in JSON.
    pub fn as_str(self) -> &'static str {
        match self {
            Grade::Exact => "exact",
            Grade::Repeated => "repeated",
            Grade::Contract => "contract",
        }
    }
}

/// How certain [`Waiter::age_seconds`] is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum SinceEntry {
    /// The wait was seen to begin.
    Exact,
    /// Between `age_seconds` and `age_max_seconds`.
    Range,
}

/// Waiters of one program with the same kind, reason, stack (by function names), creation and
/// verdict.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
pub struct Site {
    /// Hash of kind, reason and function names only: survives a release, ASLR and the moment of the
    /// attach. Sites that differ only in the rest (verdict, program, creation) share it.
    pub id: String,
    /// Verdict.
    pub verdict: Verdict,
    /// What the proof rests on; null unless `leaked`.
    pub grade: Option<Grade>,
    /// `thread`, `goroutine` …
    pub kind: String,
    /// How many wait here.
    pub count: u64,
    /// In which processes.
    pub pids: Vec<u32>,
    /// Why, in the runtime's own words.
    pub reason: String,
    /// On what.
    pub objects: Objects,
    /// Age of the oldest wait, in seconds (a lower bound).
    pub oldest_seconds: f64,
    /// Age of the newest wait, in seconds (a lower bound).
    pub newest_seconds: f64,
    /// Sum of the ages of all waiters, in seconds (of lower bounds).
    pub total_seconds: f64,
    /// How certain the ages are: `exact` only if it is so for every waiter.
    pub since: SinceEntry,
    /// File name of the program whose waiters these are.
    pub program: String,
    /// Wait stack of the oldest, innermost first; kernel frames only where asked for.
    pub stack: Vec<FrameEntry>,
    /// Where in the program's own code they wait: the first frame of `stack` that is not libc,
    /// runtime or language library.
    pub place: Option<FrameEntry>,
    /// Where these waiters began: their start routine in the program's own code.
    pub started_at: Option<FrameEntry>,
    /// The stack that created them, innermost first, where it was seen.
    pub created_by: Option<Vec<FrameEntry>>,
    /// Labels that all waiters of the site share.
    pub labels: BTreeMap<String, String>,
    /// What the verdict rests on, and what is known besides.
    pub evidence: Vec<Evidence>,
    /// The oldest 20, all with `--all-waiters`.
    pub waiters: Vec<Waiter>,
}

/// The objects of a site.
#[derive(Clone, Debug, Default, Serialize, Deserialize, JsonSchema)]
pub struct Objects {
    /// How many different ones.
    pub distinct: u64,
    /// Those with the most waiters; `Waiter::objects` indexes into it.
    pub top: Vec<ObjectEntry>,
}

/// A wait object.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
pub struct ObjectEntry {
    /// `mutex`, `pipe` …
    pub kind: String,
    /// Address in the process, `0x…`; for a descriptor `fd N`.
    pub address: String,
    /// How many of the site's waiters wait on it.
    pub count: u64,
    /// What else is known of it.
    pub detail: BTreeMap<String, String>,
    /// Who holds it.
    pub holders: Vec<HolderEntry>,
}

/// A holder of an object.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct HolderEntry {
    /// `thread`, `goroutine` …
    pub kind: String,
    /// Its id, in leakprobe's PID namespace where it is alive, else as the object records it.
    pub id: String,
    /// Whether it still lives; null where that is not known.
    pub alive: Option<bool>,
}

/// A frame with its name.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
pub struct FrameEntry {
    /// Function; without one `module+0xoffset`, or why there is no frame (`<stack unreadable>`).
    pub function: String,
    /// File that it is in, as the process sees it; `[kernel]` for the kernel.
    pub module: Option<String>,
    /// Source file.
    pub file: Option<String>,
    /// Line.
    pub line: Option<u32>,
    /// It was inlined into the next frame.
    pub inlined: bool,
}

/// One fact that a verdict rests on or that is worth knowing.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Evidence {
    /// Rule that says so: `owner_gone`, `owner_cycle`, `older`, `note` …
    pub rule: String,
    /// For people.
    pub text: String,
    /// The numbers in it.
    pub values: BTreeMap<String, serde_json::Value>,
}

/// One waiter of a site.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Waiter {
    /// Thread id in leakprobe's PID namespace, goid …
    pub id: String,
    /// Its process.
    pub pid: u32,
    /// Its name.
    pub name: String,
    /// How long it has waited, in seconds: a lower bound.
    pub age_seconds: f64,
    /// The upper bound, where `age_seconds` is not exact.
    pub age_max_seconds: Option<f64>,
    /// How long it has been at this stack and object, short wake-ups that returned to it included.
    pub at_site_seconds: f64,
    /// What it waits on: indices into `Objects::top`.
    pub objects: Vec<u32>,
}

/// What could not be seen.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct HealthEntry {
    /// How tasks were read: `iter/task` or `/proc`.
    pub task_source: String,
    /// How many snapshots this report rests on.
    pub snapshots: u64,
    /// How often each cause of not seeing something struck.
    pub counts: BTreeMap<String, u64>,
    /// For people, one sentence each.
    pub notes: Vec<String>,
}
