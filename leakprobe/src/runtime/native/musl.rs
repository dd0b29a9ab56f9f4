//! musl's thread structures on x86-64.
//!
//! Sources: src/internal/pthread_impl.h, src/thread/pthread_mutex_timedlock.c,
//! src/thread/pthread_join.c; musl 1.2.0 to 1.2.5.

use super::{
    futex::{FutexWait, word},
    glibc::joined_thread,
    places::Place,
};
use crate::{
    runtime::{Found, Look},
    snapshot::{ObjectKind, Owner, Terms},
};

/// `detail["lock"]` of a mutex read here.
pub const LOCK: &str = "pthread_mutex_t (musl)";

/// `_m_lock`, the futex word, in `pthread_mutex_t`; `_m_type` is its first member.
const MUTEX_LOCK: u64 = 4;
/// A normal mutex holds EBUSY instead of a tid.
const NORMAL_HELD: u32 = 16;
/// Tid in `_m_lock` of the other types.
const TID_MASK: u32 = 0x3fff_ffff;
/// `detach_state` in `struct pthread`, on which a join waits.
const PTHREAD_DETACH_STATE: u64 = 56;
/// `tid` in `struct pthread`, whose first member points to itself.
const PTHREAD_TID: u64 = 48;

/// The place that a symbol of musl is, where it differs from glibc's.
pub fn place(symbol: &str) -> Option<Place> {
    match symbol {
        "__pthread_mutex_timedlock" => Some(Place::MutexLock),
        "__pthread_cond_timedwait" => Some(Place::CondWait),
        "__pthread_timedjoin_np" => Some(Place::Join),
        _ => None,
    }
}

/// Whether a symbol is one that only musl has (src/thread/pthread_cancel.c, __timedwait.c).
pub fn is_internal(symbol: &str) -> bool {
    matches!(symbol, "__syscall_cp_asm" | "__syscall_cp_c" | "__timedwait_cp")
}

/// The mutex whose `_m_lock` is the futex word.
pub fn mutex(look: &Look, futex: &FutexWait) -> Found {
    let mut found = word(look, futex, ObjectKind::Mutex).with("lock", LOCK);
    found.address = futex.word.wrapping_sub(MUTEX_LOCK);
    let owner = owner(look, found.address);
    found.owned(owner)
}

/// The owner of the `pthread_mutex_t` at an address.
pub fn owner(look: &Look, mutex: u64) -> Owner {
    let Some(lock) = look.u32(mutex.wrapping_add(MUTEX_LOCK)) else {
        return Owner::Unreadable { why: "the mutex's memory could not be read".into() };
    };
    match lock & TID_MASK {
        0 => Owner::NotRecorded { why: "no owner is recorded: it is changing hands".into() },
        NORMAL_HELD => Owner::NotRecorded { why: "musl's normal mutex records no owner".into() },
        tid => Owner::Held {
            by: look.threads.holder(tid),
            terms: Terms::Hint { why: "musl: other threads can unlock it in practice".into() },
        },
    }
}

/// The thread that is being joined: the futex word is its `detach_state`.
pub fn joined(look: &Look, futex: &FutexWait) -> Option<Found> {
    let thread = futex.word.checked_sub(PTHREAD_DETACH_STATE)?;
    if thread % 8 != 0 || look.u64(thread)? != thread {
        return None;
    }
    let tid = look.u32(thread.checked_add(PTHREAD_TID)?)?;
    (look.threads.contains(tid)).then(|| joined_thread(look, thread, tid))
}
