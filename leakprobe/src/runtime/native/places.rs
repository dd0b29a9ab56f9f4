//! Where well-known functions lie in a mapped file, found by symbol once for each file.

use std::{
    cell::RefCell,
    ops::Range,
    sync::{Arc, Mutex, PoisonError},
};

use rustc_hash::FxHashMap;

use super::{detect::Libc, glibc, musl, rust_std};
use crate::{process::ModuleFile, snapshot::Module, stack::RawFrame};

/// A function that says what a futex wait is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// `pthread_mutex_lock` and its variants.
    MutexLock,
    /// Taking the mutex again after a condition variable was signalled.
    MutexRelock,
    /// `pthread_cond_wait` and its variants.
    CondWait,
    /// `pthread_rwlock_rdlock` and its variants.
    RwlockRead,
    /// `pthread_rwlock_wrlock` and its variants.
    RwlockWrite,
    /// `sem_wait` and its variants.
    SemWait,
    /// `pthread_barrier_wait`.
    BarrierWait,
    /// `pthread_once`, `call_once`.
    Once,
    /// `pthread_join` and its variants.
    Join,
    /// A lock internal to the C library (malloc, stdio).
    LibcInternalLock,
    /// A primitive of Rust's std.
    Rust(rust_std::Primitive),
    /// Where a signal handler returns to: what lies outside of it is not what its thread waits for.
    SignalReturn,
}

impl Place {
    /// Whether its own code, and nobody else's, makes the system call.
    fn calls_nobody(self) -> bool {
        !matches!(self, Place::Rust(_))
    }
}

impl Place {
    /// How many frames can lie between the system call and this function while the wait is its own.
    /// What runs a function of the program's inside would else explain that function's waits: only
    /// its own few wrappers may lie between (glibc nptl/pthread_once.c: none; musl
    /// src/thread/pthread_once.c: `__wait`; Rust's std: `futex_wait` and libc's `syscall`).
    fn deepest(self) -> usize {
        match self {
            Place::Once => 1,
            Place::Rust(rust_std::Primitive::Once) => 2,
            _ => SEARCH_DEPTH,
        }
    }
}

/// The well-known functions of one file, sorted by address (svma).
#[derive(Debug)]
pub struct Places {
    functions: Vec<(Range<u64>, Place)>,
    /// The C library in this file.
    pub libc: Libc,
}

/// How far from the innermost frame a well-known function can be: the wait's own wrappers lie
/// between.
const SEARCH_DEPTH: usize = 16;

/// Files whose places are kept.
const MAX_FILES: usize = 4_096;

impl Places {
    fn find(file: &ModuleFile) -> Places {
        let libc = Libc::of(file);
        // Others may export a function of that name with a structure of their own. Up to glibc 2.33
        // the threads had a library for themselves.
        let of_libc = libc != Libc::Unknown || file.module().file_name().starts_with("libpthread");
        let mut functions: Vec<(Range<u64>, Place)> = Vec::new();
        for (name, svma, size) in file.symbols().iter() {
            if name.trim_start_matches('_') == "restore_rt" {
                // A return address counts as the byte before it.
                let range = svma.saturating_sub(1)..svma.saturating_add(size.max(1));
                functions.push((range, Place::SignalReturn));
                continue;
            }
            let place = (glibc::place(name)).or_else(|| musl::place(name)).filter(|_| of_libc);
            if let Some(place) = place.or_else(|| rust_std::place(name)) {
                functions.push((svma..svma.saturating_add(size.max(1)), place));
            }
        }
        functions.sort_by_key(|(range, _)| range.start);
        functions.dedup_by_key(|(range, _)| range.start);
        Places { functions, libc }
    }

    fn at(&self, svma: u64) -> Option<Place> {
        let after = self.functions.partition_point(|(range, _)| range.start <= svma);
        let (range, place) = self.functions.get(after.checked_sub(1)?)?;
        range.contains(&svma).then_some(*place)
    }
}

/// The places of every file seen so far. Cloning shares it.
#[derive(Clone, Default)]
pub struct PlaceCache(Arc<Mutex<FxHashMap<Module, Arc<Places>>>>);

impl PlaceCache {
    /// The places of a file, searched at its first use. The lock isn't held meanwhile, so that a
    /// reader that hangs on a file can't block the others.
    pub fn of(&self, file: &ModuleFile) -> Arc<Places> {
        let lock = || self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = lock().get(file.module()) {
            return known.clone();
        }
        let found = Arc::new(Places::find(file));
        let mut cache = lock();
        if cache.len() >= MAX_FILES {
            cache.clear();
        }
        cache.insert(file.module().clone(), found.clone());
        found
    }
}

/// A file and its places.
type Known = (Arc<ModuleFile>, Arc<Places>);

/// The places of one process's files, by the file itself: quicker to compare than paths, for tens
/// of thousands of frames.
pub struct ProcessPlaces {
    cache: PlaceCache,
    /// By the file's address in leakprobe; the file is kept, so that nothing else gets it.
    known: RefCell<FxHashMap<usize, Known>>,
}

impl ProcessPlaces {
    /// Asks `cache` for what isn't known yet.
    pub fn new(cache: PlaceCache) -> ProcessPlaces {
        ProcessPlaces { cache, known: RefCell::default() }
    }

    /// The well-known functions on a stack that say what it waits for, innermost first. A C library's
    /// function does so only if no frame of another file lies inside of it: that would be a signal
    /// handler, or something that was called back.
    pub fn all(&self, stack: &[RawFrame]) -> impl Iterator<Item = Place> {
        let mut one_file = true;
        let innermost = match stack.first() {
            Some(RawFrame::At { module, .. }) => Some(Arc::as_ptr(module)),
            _ => None,
        };
        let frames = stack.iter().take(SEARCH_DEPTH).enumerate();
        let places = frames.map(move |(depth, frame)| match frame {
            RawFrame::At { module, svma } => {
                one_file &= innermost == Some(Arc::as_ptr(module));
                let place = self.of(module).at(*svma);
                let says =
                    |place: &Place| depth <= place.deepest() && (one_file || !place.calls_nobody());
                (place == Some(Place::SignalReturn), place.filter(says))
            }
            RawFrame::Unknown { .. } => {
                one_file = false;
                (false, None)
            }
        });
        places.take_while(|(ends, _)| !ends).filter_map(|(_, place)| place)
    }

    fn of(&self, file: &Arc<ModuleFile>) -> Arc<Places> {
        let mut known = self.known.borrow_mut();
        let entry = known.entry(Arc::as_ptr(file) as usize);
        let (_, places) = entry.or_insert_with(|| (file.clone(), self.cache.of(file)));
        places.clone()
    }
}
