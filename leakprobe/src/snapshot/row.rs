//! One waiter in one wait.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::{Frame, Ns, ObjectIx, ProcessIx, StackIx};

/// Who waits. `id` is only an identity together with `birth`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Waiter {
    /// Its process in this snapshot.
    pub process: ProcessIx,
    /// Thread, goroutine …
    pub kind: WaiterKind,
    /// Thread id in leakprobe's PID namespace, goid …
    pub id: u64,
    /// The id that the target's own memory uses (tid of its own PID namespace); `id` otherwise.
    pub ns_id: u64,
    /// When it was created, in the runtime's own clock (threads: `CLOCK_BOOTTIME` ns); tells two
    /// users of one id apart.
    pub birth: u64,
}

/// Kinds of waiter. Closed on purpose: a new kind is a new runtime folder.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum WaiterKind {
    /// An OS thread.
    Thread,
    /// A goroutine.
    Goroutine,
}

impl WaiterKind {
    /// As printed and as in JSON.
    pub fn as_str(self) -> &'static str {
        match self {
            WaiterKind::Thread => "thread",
            WaiterKind::Goroutine => "goroutine",
        }
    }
}

/// Scheduler state of a waiter.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum State {
    /// Interruptible sleep.
    Sleeping,
    /// Uninterruptible sleep (D).
    Uninterruptible,
    /// Stopped by a signal.
    Stopped,
    /// Stopped by a tracer.
    Traced,
    /// Frozen by the cgroup freezer.
    Frozen,
}

/// The token of one stay in one blocked state: it moves when the waiter runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Stay {
    /// Opaque; equal in two snapshots means that the waiter did not run in between.
    pub token: u64,
    /// Whether an equal token says so certainly, or only likely.
    pub certain: bool,
}

/// When the wait began. `earliest == latest` where an event was seen.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Since {
    /// Not before this.
    pub earliest: Ns,
    /// Not after this.
    pub latest: Ns,
    /// Where this comes from.
    pub source: SinceSource,
}

/// Sources of [`Since`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SinceSource {
    /// A probe saw it begin.
    Event,
    /// The scheduler's accounting.
    Accounting,
    /// Only that it was there at `latest`, and its thread not before `earliest`.
    FirstSeen,
}

/// Whether the wait ends by itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Timeout {
    /// It was started without a timeout.
    Never,
    /// It was started with one.
    Set,
    /// Not known.
    Unknown,
}

/// A well-known place, recognised by the runtime that owns it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Landmark {
    /// Where idle members of a pool park.
    PoolPark,
    /// Where an event loop waits.
    EventLoop,
}

/// Where a waiter comes from.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Origin {
    /// Its start routine.
    pub entry: Option<Frame>,
    /// The stack that created it.
    pub creation: Option<StackIx>,
    /// Id of the waiter that created it.
    pub parent: Option<u64>,
}

/// One waiter in one wait.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Row {
    /// Who.
    pub waiter: Waiter,
    /// Its name (a thread's comm).
    pub name: String,
    /// When this row was read.
    pub seen: Ns,
    /// State at `seen`.
    pub state: State,
    /// Identity of this wait.
    pub stay: Stay,
    /// When the wait began.
    pub since: Since,
    /// Whether it ends by itself.
    pub until: Timeout,
    /// Why, in the runtime's own words: `pthread_mutex_lock`, `epoll_wait`, `chan receive`.
    pub reason: String,
    /// On what.
    pub objects: Vec<ObjectIx>,
    /// The stack it waits in.
    pub stack: StackIx,
    /// Kernel stack, where collected.
    pub kernel_stack: Option<StackIx>,
    /// Where it comes from.
    pub origin: Origin,
    /// A well-known place.
    pub landmark: Option<Landmark>,
    /// Labels (pool names, pprof labels).
    pub labels: BTreeMap<String, String>,
    /// What should be said of this wait although it proves nothing ("this lock records no owner").
    pub notes: Vec<String>,
}
