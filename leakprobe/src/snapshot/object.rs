//! What is waited on.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::{ProcessIx, WaiterKind};

/// Index into [`Snapshot::objects`](super::Snapshot).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct ObjectIx(pub u32);

/// Kinds of wait object; `as_str` is what is printed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ObjectKind {
    /// A futex word of which no more is known.
    Futex,
    /// A mutex.
    Mutex,
    /// A reader-writer lock.
    Rwlock,
    /// A condition variable.
    Condvar,
    /// A semaphore.
    Semaphore,
    /// A barrier.
    Barrier,
    /// A once-initialiser.
    Once,
    /// A thread that is being joined.
    Thread,
    /// A child process.
    Child,
    /// A pipe or FIFO.
    Pipe,
    /// A socket.
    Socket,
    /// An epoll instance.
    Epoll,
    /// Any other open file.
    File,
}

impl ObjectKind {
    /// As printed and as in JSON.
    pub fn as_str(self) -> &'static str {
        match self {
            ObjectKind::Futex => "futex",
            ObjectKind::Mutex => "mutex",
            ObjectKind::Rwlock => "rwlock",
            ObjectKind::Condvar => "condvar",
            ObjectKind::Semaphore => "semaphore",
            ObjectKind::Barrier => "barrier",
            ObjectKind::Once => "once",
            ObjectKind::Thread => "thread",
            ObjectKind::Child => "child",
            ObjectKind::Pipe => "pipe",
            ObjectKind::Socket => "socket",
            ObjectKind::Epoll => "epoll",
            ObjectKind::File => "file",
        }
    }
}

/// Something that is waited on.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Object {
    /// Process whose address or descriptor it is.
    pub process: ProcessIx,
    /// What it is.
    pub kind: ObjectKind,
    /// Address in the process; for a descriptor its number.
    pub address: u64,
    /// Facts for people: `{"fd": "5", "target": "pipe:[123]"}`, `{"word": "0x2"}`.
    pub detail: BTreeMap<String, String>,
    /// Who could release it.
    pub owner: Owner,
}

/// Who could release an object.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Owner {
    /// It is not a thing that is owned.
    None,
    /// It is, but does not record by whom.
    NotRecorded {
        /// For people: which lock and what it holds instead.
        why: String,
    },
    /// It could not be read.
    Unreadable {
        /// For people.
        why: String,
    },
    /// It records who holds it.
    Held {
        /// Who.
        by: Holder,
        /// What the record is worth.
        terms: Terms,
    },
}

/// Who holds an object.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Holder {
    /// Thread, goroutine …
    pub kind: WaiterKind,
    /// Its id in leakprobe's PID namespace where it is alive, else the id that the object records.
    pub id: u64,
    /// The id as the object itself records it (of the process's own PID namespace).
    pub recorded: u64,
    /// Whether it still lives, judged over every thread that shares the memory.
    pub alive: Option<bool>,
}

/// What a recorded owner is worth.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Terms {
    /// By the object's contract only its owner can release it, and nothing does so for a dead one.
    OwnerMustRelease,
    /// The owner's end is noticed by the kernel (robust and priority-inheriting locks), but
    /// while it lives only it can release the object.
    DeathReleases {
        /// For people.
        why: String,
    },
    /// Others can release it too (a lock that another process may hold, a thread to be joined).
    Hint {
        /// For people.
        why: String,
    },
}

/// What was established of an object after the rows were confirmed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Proof {
    /// The object was read once more after its waiters and its holder's life or death had been
    /// confirmed, and still named the same holder.
    HeldThroughout {
        /// The object.
        object: ObjectIx,
    },
}
