//! glibc's thread structures on x86-64.
//!
//! Sources: sysdeps/nptl/bits/thread-shared-types.h, sysdeps/x86/nptl/bits/struct_mutex.h,
//! nptl/descr.h, nptl/pthread_mutex_lock.c, nptl/pthread_join_common.c; glibc 2.25 to 2.42.

use super::{
    detect::Libc,
    futex::{FUTEX_TID_MASK, FutexWait, word},
    places::Place,
};
use crate::{
    runtime::{Found, Look},
    snapshot::{ObjectKind, Owner, Terms},
};

/// `detail["lock"]` of a mutex read here.
pub const LOCK: &str = "pthread_mutex_t (glibc)";
/// `detail["lock"]` of a priority-inheriting lock of which only the word is known.
pub const PI_LOCK: &str = "PI futex";

/// `__owner` in `pthread_mutex_t`, whose first member `__lock` is the futex word.
const MUTEX_OWNER: u64 = 8;
/// `__kind` in `pthread_mutex_t`.
const MUTEX_KIND: u64 = 16;
/// Bits of `__kind` (nptl/pthreadP.h).
const KIND_TYPE_MASK: u32 = 3;
const KIND_ROBUST: u32 = 16;
const KIND_PRIO_INHERIT: u32 = 32;
const KIND_PRIO_PROTECT: u32 = 64;
const KIND_PSHARED: u32 = 128;
/// Lock elision, also part of `__kind`.
const KIND_ELISION: u32 = 256 | 512;
/// Ceiling of a priority-protected mutex, in `__lock` (`PTHREAD_MUTEX_PRIO_CEILING_MASK`).
const CEILING_MASK: u32 = 0xfff8_0000;
/// `__lock` of a plain mutex that is held: without waiters, and with some (sysdeps/nptl/lowlevellock.h).
const LOCKED: [u32; 2] = [1, 2];
/// What a waiter for a plain mutex sets `__lock` to, and waits on.
const CONTENDED: u32 = 2;
/// No thread has an id beyond this (`PID_MAX_LIMIT`, Linux include/linux/threads.h).
const MAX_TID: u32 = 1 << 22;
/// Owner of a robust mutex that was made unusable (`PTHREAD_MUTEX_NOTRECOVERABLE`).
const NOT_RECOVERABLE: u32 = 0x7fff_ffff;

/// `struct pthread.tid`: 0x2d0 in every glibc since 2.10 (nptl/descr.h), which the self pointer
/// confirms each time.
const PTHREAD_TID: u64 = 0x2d0;
/// `struct pthread.header.self`.
const PTHREAD_SELF: u64 = 0x10;

/// The place that a symbol of glibc is.
pub fn place(symbol: &str) -> Option<Place> {
    // Aliases differ in leading underscores and versions: `___pthread_mutex_lock`,
    // `__pthread_mutex_lock@GLIBC_2.2.5`, `__new_sem_wait`.
    let name = symbol.split('@').next().unwrap_or(symbol).trim_start_matches('_');
    let name = name.strip_prefix("GI___").unwrap_or(name);
    Some(match name {
        "pthread_mutex_lock"
        | "pthread_mutex_lock_full"
        | "pthread_mutex_timedlock"
        | "pthread_mutex_clocklock"
        | "pthread_mutex_clocklock_common"
        | "mtx_lock"
        | "mtx_timedlock" => Place::MutexLock,
        "pthread_mutex_cond_lock" | "pthread_mutex_cond_lock_full" => Place::MutexRelock,
        "pthread_cond_wait"
        | "pthread_cond_timedwait"
        | "pthread_cond_clockwait"
        | "cnd_wait"
        | "cnd_timedwait"
        | "pthread_cond_wait_common" => Place::CondWait,
        "pthread_rwlock_rdlock"
        | "pthread_rwlock_timedrdlock"
        | "pthread_rwlock_clockrdlock"
        | "pthread_rwlock_rdlock_full64" => Place::RwlockRead,
        "pthread_rwlock_wrlock"
        | "pthread_rwlock_timedwrlock"
        | "pthread_rwlock_clockwrlock"
        | "pthread_rwlock_wrlock_full64" => Place::RwlockWrite,
        "sem_wait"
        | "sem_timedwait"
        | "sem_clockwait"
        | "new_sem_wait"
        | "new_sem_wait_slow64"
        | "new_sem_wait_slow" => Place::SemWait,
        "pthread_barrier_wait" => Place::BarrierWait,
        "pthread_once" | "pthread_once_slow" | "call_once" => Place::Once,
        "pthread_join"
        | "pthread_timedjoin_np"
        | "pthread_clockjoin_np"
        | "pthread_clockjoin_ex"
        | "pthread_timedjoin_ex"
        | "thrd_join" => Place::Join,
        "lll_lock_wait_private" => Place::LibcInternalLock,
        _ => return None,
    })
}

/// Whether a wait in `pthread_cond_wait` is for its mutex: glibc's low-level lock waits with the
/// plain operation, its condition variable with a bit set.
pub fn is_relock(libc: Libc, futex: &FutexWait) -> bool {
    matches!(libc, Libc::Glibc(_)) && (futex.is_plain() || futex.is_pi())
}

/// The mutex whose `__lock` is the futex word.
pub fn mutex(look: &Look, futex: &FutexWait) -> Found {
    let found = word(look, futex, ObjectKind::Mutex).with("lock", LOCK);
    let found = match look.u32(futex.word.wrapping_add(MUTEX_KIND)) {
        Some(kind) => found.with("type", describe_kind(kind)),
        None => found,
    };
    let owner = owner(look, futex.word);
    let by_contract = matches!(owner, Owner::Held { terms: Terms::OwnerMustRelease, .. });
    if by_contract && futex.expected & !CEILING_MASK != CONTENDED {
        let why = format!("its waiter expects {:#x}, which no glibc mutex holds", futex.expected);
        return found.owned(Owner::Unreadable { why });
    }
    found.owned(owner)
}

/// The owner of the `pthread_mutex_t` at an address.
pub fn owner(look: &Look, mutex: u64) -> Owner {
    let read = |offset| look.u32(mutex.wrapping_add(offset));
    let (Some(lock), Some(owner), Some(kind)) = (read(0), read(MUTEX_OWNER), read(MUTEX_KIND))
    else {
        return Owner::Unreadable { why: "the mutex's memory could not be read".into() };
    };
    let known = KIND_TYPE_MASK | KIND_ROBUST | KIND_PRIO_INHERIT | KIND_PRIO_PROTECT
        | KIND_PSHARED | KIND_ELISION | (0xff << 19) /* priority ceiling */;
    if kind & !known != 0 {
        let why = format!("its type field holds {kind:#x}, which no glibc mutex has");
        return Owner::Unreadable { why };
    }
    // PI and robust mutexes keep the tid in the word itself, where the kernel looks for it.
    let in_word = kind & (KIND_ROBUST | KIND_PRIO_INHERIT) != 0;
    let tid = if in_word { lock & FUTEX_TID_MASK } else { owner };
    match tid {
        0 => Owner::NotRecorded { why: "no owner is recorded: it is changing hands".into() },
        NOT_RECOVERABLE => Owner::Unreadable { why: "a robust mutex that is lost".into() },
        tid if in_word && lock & FUTEX_TID_MASK == 0 => {
            Owner::Unreadable { why: format!("inconsistent owner {tid}") }
        }
        _ if !in_word && !LOCKED.contains(&(lock & !CEILING_MASK)) => {
            Owner::Unreadable { why: format!("inconsistent lock word {lock:#x}") }
        }
        tid if tid > MAX_TID => {
            Owner::Unreadable { why: format!("its owner {tid} can be no thread's id") }
        }
        tid if kind & KIND_PSHARED != 0 => {
            Owner::Held { by: look.holder_anywhere(tid), terms: terms(kind) }
        }
        tid => Owner::Held { by: look.threads.holder(tid), terms: terms(kind) },
    }
}

fn terms(kind: u32) -> Terms {
    if kind & KIND_PSHARED != 0 {
        let why = "shared between processes: its owner may be a thread of another one";
        return Terms::Hint { why: why.into() };
    }
    if kind & KIND_ROBUST != 0 {
        return Terms::DeathReleases { why: "robust: its owner's death wakes a waiter".into() };
    }
    if kind & KIND_PRIO_INHERIT != 0 {
        let why = "priority-inheriting: the kernel hands it on when its owner dies";
        return Terms::DeathReleases { why: why.into() };
    }
    Terms::OwnerMustRelease
}

fn describe_kind(kind: u32) -> String {
    let base = ["normal", "recursive", "errorcheck", "adaptive"][(kind & KIND_TYPE_MASK) as usize];
    let flags = [
        (KIND_ROBUST, ", robust"),
        (KIND_PRIO_INHERIT, ", priority-inheriting"),
        (KIND_PRIO_PROTECT, ", priority-protected"),
        (KIND_PSHARED, ", shared between processes"),
    ];
    let set = flags.iter().filter(|(bit, _)| kind & bit != 0).map(|(_, text)| *text);
    std::iter::once(base).chain(set).collect()
}

/// A priority-inheriting lock of which no more is known than its word.
pub fn pi_lock(look: &Look, futex: &FutexWait) -> Found {
    word(look, futex, ObjectKind::Mutex).with("lock", PI_LOCK).owned(pi_owner(look, futex.word))
}

/// The owner in a PI futex's word.
pub fn pi_owner(look: &Look, word: u64) -> Owner {
    match look.u32(word).map(|value| value & FUTEX_TID_MASK) {
        None => Owner::Unreadable { why: "the futex word could not be read".into() },
        Some(0) => Owner::NotRecorded { why: "no owner is recorded: it is changing hands".into() },
        Some(tid) => Owner::Held {
            by: look.holder_anywhere(tid),
            terms: Terms::Hint { why: "a PI futex that may be shared between processes".into() },
        },
    }
}

/// The condition variable that the futex word is part of.
///
/// `__g_signals[2]` ends the structure at 40 up to glibc 2.40, and is at 32 since `__g_refs` went
/// (2.41). The structure is aligned to 8, so that the parity of the word tells the group.
pub fn condvar(look: &Look, futex: &FutexWait, minor: Option<u32>) -> Found {
    let group = futex.word & 4;
    let signals = match minor {
        Some(25..=40) => 40,
        Some(41..) => 32,
        _ => return word(look, futex, ObjectKind::Condvar),
    };
    let mut found = word(look, futex, ObjectKind::Condvar);
    found.address = futex.word.wrapping_sub(signals + group);
    found
}

/// The thread that is being joined: the futex word is its `tid`, which the kernel clears at its end.
pub fn joined(look: &Look, futex: &FutexWait) -> Option<Found> {
    let thread = futex.word.checked_sub(PTHREAD_TID)?;
    let tid = look.u32(futex.word)?;
    let is_tid = tid == futex.expected && tid != 0 && futex.word.is_multiple_of(8);
    if !is_tid || look.u64(thread.checked_add(PTHREAD_SELF)?)? != thread {
        return None;
    }
    Some(joined_thread(look, thread, tid))
}

/// A thread as a wait object: whoever joins it waits for its end.
pub fn joined_thread(look: &Look, thread: u64, tid: u32) -> Found {
    let why = "it is woken by that thread's end, not by a release";
    Found::new(ObjectKind::Thread, thread)
        .with("tid", tid.to_string())
        .owned(Owner::Held { by: look.threads.holder(tid), terms: Terms::Hint { why: why.into() } })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn aliases_are_one_place() {
        // Check internal, versioned and public names of one function.
        let names = ["pthread_mutex_lock", "___pthread_mutex_lock", "__GI___pthread_mutex_lock"];
        for name in names {
            assert_eq!(place(name), Some(Place::MutexLock), "{name}");
        }
        assert_eq!(place("pthread_cond_wait@@GLIBC_2.3.2"), Some(Place::CondWait));
        assert_eq!(place("pthread_mutex_unlock"), None);
    }

    #[test]
    fn only_plain_private_locks_bind_their_owner() {
        // Check what each type's owner is worth.
        assert_eq!(terms(0), Terms::OwnerMustRelease);
        assert_eq!(terms(1), Terms::OwnerMustRelease);
        assert!(matches!(terms(KIND_ROBUST), Terms::DeathReleases { .. }));
        assert!(matches!(terms(KIND_PSHARED | KIND_ROBUST), Terms::Hint { .. }));
        assert_eq!(describe_kind(1 | KIND_ROBUST), "recursive, robust");
    }
}
