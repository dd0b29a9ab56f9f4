//! Language runtimes: who owns waiters, and what they wait for.
//!
//! One folder a runtime, and one line in [`detect`]. The first `explain` that knows an answer wins;
//! `native`, which knows every OS thread, comes last.

pub mod native;

use std::collections::BTreeMap;

use crate::{
    probe::Task,
    process::{Descriptors, Target},
    snapshot::{Holder, Landmark, Object, ObjectKind, Owner, Timeout},
    stack::RawFrame,
};

mod pages;
mod threads;

pub use pages::Pages;
pub use threads::{Others, Threads};

/// What a runtime looks at: one process, read-only.
pub struct Look<'a> {
    /// The process and its memory.
    pub target: &'a Target,
    /// Every thread that shares that memory.
    pub threads: &'a Threads,
    /// Its open descriptors.
    pub descriptors: &'a Descriptors,
    /// Its memory, each page as it was when it was first asked for.
    pub pages: Pages<'a>,
}

impl<'a> Look<'a> {
    /// A new look: nothing of an earlier one is believed.
    pub fn new(target: &'a Target, threads: &'a Threads, descriptors: &'a Descriptors) -> Look<'a> {
        Look { target, threads, descriptors, pages: Pages::of(target.memory()) }
    }

    /// Four bytes of the target's memory.
    pub fn u32(&self, address: u64) -> Option<u32> {
        self.pages.bytes(address).map(u32::from_le_bytes)
    }

    /// Whoever the target's PID namespace knows by this id, as the holder of something that other
    /// processes can hold too. Only where that is leakprobe's own namespace can it be known whether
    /// a thread outside the process lives.
    pub fn holder_anywhere(&self, ns_tid: u32) -> Holder {
        let mut holder = self.threads.holder(ns_tid);
        if holder.alive != Some(true) {
            let exists = || std::path::Path::new(&format!("/proc/{ns_tid}")).exists();
            holder.alive = self.target.in_own_pid_namespace().then(exists);
        }
        holder
    }

    /// Eight bytes of the target's memory.
    pub fn u64(&self, address: u64) -> Option<u64> {
        self.pages.bytes(address).map(u64::from_le_bytes)
    }
}

/// One blocked OS thread with its stack.
pub struct Wait<'a> {
    /// The thread.
    pub task: &'a Task,
    /// Its wait stack, innermost first.
    pub stack: &'a [RawFrame],
}

/// Why a waiter waits.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Why {
    /// In the runtime's own words.
    pub reason: String,
    /// Whether the wait ends by itself.
    pub until: Timeout,
    /// On what.
    pub objects: Vec<Found>,
    /// A well-known place.
    pub landmark: Option<Landmark>,
    /// What else should be said.
    pub notes: Vec<String>,
}

impl Why {
    /// A wait of which only this much is known.
    pub fn new(reason: impl Into<String>, until: Timeout) -> Why {
        Why { reason: reason.into(), until, objects: vec![], landmark: None, notes: vec![] }
    }

    /// The same, on this object.
    pub fn on(mut self, object: Found) -> Why {
        self.objects.push(object);
        self
    }
}

/// A wait object as a runtime finds it; see [`Object`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Found {
    /// What it is.
    pub kind: ObjectKind,
    /// Address, or descriptor number.
    pub address: u64,
    /// Facts for people.
    pub detail: BTreeMap<String, String>,
    /// Who could release it.
    pub owner: Owner,
}

impl Found {
    /// An object that nobody owns.
    pub fn new(kind: ObjectKind, address: u64) -> Found {
        Found { kind, address, detail: BTreeMap::new(), owner: Owner::None }
    }

    /// The same, with one fact more.
    pub fn with(mut self, key: &str, value: impl Into<String>) -> Found {
        self.detail.insert(key.into(), value.into());
        self
    }

    /// The same, with its owner.
    pub fn owned(mut self, owner: Owner) -> Found {
        self.owner = owner;
        self
    }
}

/// A language runtime found in a process.
pub trait Runtime: Send {
    /// Its name and version, for the report's head.
    fn describe(&self) -> crate::snapshot::Runtime;

    /// Why a thread waits, if this runtime knows.
    fn explain(&mut self, look: &Look, wait: &Wait) -> Option<Why>;

    /// Reads an object's owner once more, after the waits and the lives of all threads were
    /// confirmed: what both readings agree on is proved. `None` if the object isn't this runtime's.
    fn reread_owner(&mut self, look: &Look, object: &Object) -> Option<Owner>;
}

/// What is kept between processes, so that one file is searched once.
#[derive(Default)]
pub struct Registry {
    places: native::PlaceCache,
}

impl Registry {
    /// The runtimes of a process, in the order in which they are asked.
    pub fn detect(&self, target: &Target) -> Vec<Box<dyn Runtime>> {
        vec![Box::new(native::Native::detect(target, self.places.clone()))]
    }
}
