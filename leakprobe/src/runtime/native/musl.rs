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
    probe::Task,
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
/// `_c_seq`, `_c_head` and `_c_tail` in `pthread_cond_t`, whose first word is `_c_shared`.
const COND_SEQ: u64 = 8;
const COND_HEAD: u64 = 8;
const COND_TAIL: u64 = 40;
/// `next` and `state` in a waiter's node, whose first word is `prev`.
const NODE_NEXT: u64 = 8;
const NODE_STATE: u64 = 16;
/// The last state of a node.
const NODE_LEAVING: u32 = 2;
/// Words of the innermost stack that are looked through for a condition variable.
const SEARCHED_WORDS: u64 = 64;
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

/// The condition variable behind a wait.
///
/// A private one is no futex: each waiter waits on the `barrier` of a node on its own stack, and the
/// nodes hang in a list from the condition variable (src/thread/pthread_cond_timedwait.c). Its
/// address is still in a register or on the stack of `pthread_cond_timedwait`; what is found there
/// is believed only if it is the head of such a list.
pub fn condvar(look: &Look, futex: &FutexWait, task: &Task) -> Found {
    let mut found = word(look, futex, ObjectKind::Condvar);
    // A shared one waits on its own sequence number, without the private flag.
    let address = if futex.private {
        candidates(look, task).into_iter().find(|address| is_condvar(look, *address))
    } else {
        Some(futex.word.wrapping_sub(COND_SEQ))
    };
    if let Some(address) = address {
        found.address = address;
    }
    found
}

/// What callee-saved registers and the innermost stack hold.
fn candidates(look: &Look, task: &Task) -> Vec<u64> {
    let Some(registers) = task.registers else { return Vec::new() };
    // r15, r14, r13, r12, bp and bx come first in `struct pt_regs`.
    let saved = registers.all.iter().flat_map(|all| all.iter().take(6).copied());
    let stack = (0..SEARCHED_WORDS).filter_map(|i| look.u64(registers.sp.wrapping_add(i * 8)));
    let mut words: Vec<u64> = saved.chain(stack).collect();
    words.retain(|word| word % 8 == 0 && look.target.maps().find(*word).is_some());
    words
}

/// Whether this is a private condition variable with waiters: `_c_shared` is 0, no node comes
/// before its head nor after its tail, and both wait.
fn is_condvar(look: &Look, address: u64) -> bool {
    let read = |at: u64, offset: u64| look.u64(at.wrapping_add(offset));
    let (Some(0), Some(head), Some(tail)) =
        (read(address, 0), read(address, COND_HEAD), read(address, COND_TAIL))
    else {
        return false;
    };
    let waits = |node: u64| {
        let state = look.u32(node.wrapping_add(NODE_STATE));
        node != 0 && node.is_multiple_of(8) && state.is_some_and(|state| state <= NODE_LEAVING)
    };
    waits(head) && waits(tail) && read(head, 0) == Some(0) && read(tail, NODE_NEXT) == Some(0)
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
