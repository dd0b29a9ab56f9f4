//! Futex waits: the word, and what it belongs to.
//!
//! Operations and argument order: Linux include/uapi/linux/futex.h and kernel/futex/syscalls.c (6.18).

use super::{
    detect::{Libc, Native},
    glibc, musl,
    places::Place,
    rust_std::Primitive,
};
use crate::{
    probe::Task,
    runtime::{Found, Look, Wait, Why},
    snapshot::{Object, ObjectKind, Owner, Timeout},
};

const FUTEX_WAIT: u64 = 0;
const FUTEX_LOCK_PI: u64 = 6;
const FUTEX_WAIT_BITSET: u64 = 9;
const FUTEX_WAIT_REQUEUE_PI: u64 = 11;
const FUTEX_LOCK_PI2: u64 = 13;
/// Without `FUTEX_PRIVATE_FLAG` (128) and `FUTEX_CLOCK_REALTIME` (256).
const FUTEX_CMD_MASK: u64 = 0x7f;
/// The word is private to one memory.
const FUTEX_PRIVATE_FLAG: u64 = 128;
/// Tid in the words of PI and robust futexes.
pub const FUTEX_TID_MASK: u32 = 0x3fff_ffff;

/// A decoded futex wait.
#[derive(Clone, Copy, Debug)]
pub struct FutexWait {
    /// Address of the word.
    pub word: u64,
    /// The command without flags.
    pub command: u64,
    /// The value that the word had to have for the wait to begin.
    pub expected: u32,
    /// Whether the wait ends by itself.
    pub until: Timeout,
    /// The word is private to one memory.
    pub private: bool,
}

impl FutexWait {
    /// Decodes the arguments of `futex(2)`. `None` if it isn't an operation that waits.
    pub fn of_futex(args: [u64; 6]) -> Option<FutexWait> {
        let [word, op, expected, timeout, ..] = args;
        let command = op & FUTEX_CMD_MASK;
        let waits =
            [FUTEX_WAIT, FUTEX_WAIT_BITSET, FUTEX_LOCK_PI, FUTEX_LOCK_PI2, FUTEX_WAIT_REQUEUE_PI];
        waits.contains(&command).then_some(FutexWait {
            word,
            command,
            expected: expected as u32,
            until: if timeout == 0 { Timeout::Never } else { Timeout::Set },
            private: op & FUTEX_PRIVATE_FLAG != 0,
        })
    }

    /// Whether it takes a priority-inheriting lock, which holds its owner's tid.
    pub fn is_pi(&self) -> bool {
        matches!(self.command, FUTEX_LOCK_PI | FUTEX_LOCK_PI2)
    }

    /// The plain operation, which glibc's low-level lock uses.
    pub fn is_plain(&self) -> bool {
        self.command == FUTEX_WAIT
    }

    fn timed(&self) -> bool {
        self.until == Timeout::Set
    }
}

/// Explains a thread in `futex(2)`.
pub fn explain(native: &Native, look: &Look, wait: &Wait, args: [u64; 6]) -> Why {
    let Some(futex) = FutexWait::of_futex(args) else {
        return Why::new("futex", Timeout::Unknown);
    };
    // The structures of joins are recognisable without any symbol.
    let joined = (glibc::joined(look, &futex)).or_else(|| musl::joined(look, &futex));
    if let Some(thread) = joined {
        let reason = if futex.timed() { "pthread_timedjoin_np" } else { "pthread_join" };
        return Why::new(reason, futex.until).on(thread);
    }
    match place(native, wait) {
        Some(place) => at_place(native, look, &futex, place, wait.task),
        None => unknown(look, &futex),
    }
}

/// Receiving and sending park; the primitive that the user called says more than the park.
fn place(native: &Native, wait: &Wait) -> Option<Place> {
    let mut places = native.places.all(wait.stack);
    let innermost = places.next()?;
    if innermost != Place::Rust(Primitive::Park) {
        return Some(innermost);
    }
    let is_channel = |p: &Place| matches!(p, Place::Rust(Primitive::Receive | Primitive::Send));
    Some(places.find(is_channel).unwrap_or(innermost))
}

fn at_place(native: &Native, look: &Look, futex: &FutexWait, place: Place, task: &Task) -> Why {
    let timed = futex.timed();
    let pick = |plain: &'static str, with_timeout: &'static str| {
        Why::new(if timed { with_timeout } else { plain }, futex.until)
    };
    let plain = |kind| word(look, futex, kind);
    match place {
        Place::MutexLock | Place::MutexRelock => mutex(native, look, futex),
        // Woken, it takes the mutex again.
        Place::CondWait if glibc::is_relock(native.libc, futex) => mutex(native, look, futex),
        Place::CondWait => {
            pick("pthread_cond_wait", "pthread_cond_timedwait").on(match native.libc {
                Libc::Glibc(minor) => glibc::condvar(look, futex, minor),
                Libc::Musl => musl::condvar(look, futex, task),
                Libc::Unknown => plain(ObjectKind::Condvar),
            })
        }
        Place::RwlockRead => pick("pthread_rwlock_rdlock", "pthread_rwlock_timedrdlock")
            .on(plain(ObjectKind::Rwlock)),
        Place::RwlockWrite => pick("pthread_rwlock_wrlock", "pthread_rwlock_timedwrlock")
            .on(plain(ObjectKind::Rwlock)),
        Place::SemWait => pick("sem_wait", "sem_timedwait").on(plain(ObjectKind::Semaphore)),
        Place::BarrierWait => {
            Why::new("pthread_barrier_wait", futex.until).on(plain(ObjectKind::Barrier))
        }
        Place::Once => Why::new("pthread_once", futex.until).on(plain(ObjectKind::Once)),
        Place::Join => pick("pthread_join", "pthread_timedjoin_np").on(plain(ObjectKind::Thread)),
        Place::LibcInternalLock => Why::new("libc internal lock", futex.until)
            .on(plain(ObjectKind::Mutex).owned(Owner::NotRecorded {
                why: "a lock internal to libc records no owner".into(),
            })),
        Place::SignalReturn => unknown(look, futex),
        Place::Rust(primitive) => {
            Why::new(primitive.reason(timed), futex.until).on(rust(look, futex, primitive))
        }
    }
}

fn mutex(native: &Native, look: &Look, futex: &FutexWait) -> Why {
    let reason = if futex.timed() { "pthread_mutex_timedlock" } else { "pthread_mutex_lock" };
    Why::new(reason, futex.until).on(match native.libc {
        Libc::Glibc(_) => glibc::mutex(look, futex),
        Libc::Musl => musl::mutex(look, futex),
        Libc::Unknown => word(look, futex, ObjectKind::Mutex).owned(Owner::Unreadable {
            why: "the C library, and so the mutex's structure, isn't known".into(),
        }),
    })
}

fn rust(look: &Look, futex: &FutexWait, primitive: Primitive) -> Found {
    let (kind, what) = match primitive {
        Primitive::Mutex => (ObjectKind::Mutex, "Mutex"),
        Primitive::RwLockRead | Primitive::RwLockWrite => (ObjectKind::Rwlock, "RwLock"),
        Primitive::Once => (ObjectKind::Once, "Once"),
        Primitive::Condvar => return word(look, futex, ObjectKind::Condvar),
        Primitive::Park | Primitive::Receive | Primitive::Send => {
            return word(look, futex, ObjectKind::Futex);
        }
        Primitive::Join => return word(look, futex, ObjectKind::Thread),
    };
    word(look, futex, kind)
        .owned(Owner::NotRecorded { why: format!("Rust's {what} records no owner") })
}

/// A futex of which only the word is known.
fn unknown(look: &Look, futex: &FutexWait) -> Why {
    if futex.is_pi() {
        let reason = if futex.timed() { "pthread_mutex_timedlock" } else { "pthread_mutex_lock" };
        return Why::new(reason, futex.until).on(glibc::pi_lock(look, futex));
    }
    Why::new("futex", futex.until).on(word(look, futex, ObjectKind::Futex))
}

/// The futex word as an object of this kind.
pub fn word(look: &Look, futex: &FutexWait, kind: ObjectKind) -> Found {
    let found = Found::new(kind, futex.word)
        .with("expected", format!("{:#x}", futex.expected))
        .with("shared", if futex.private { "no" } else { "maybe" });
    match look.u32(futex.word) {
        Some(value) => found.with("word", format!("{value:#x}")),
        None => found.with("word", "unreadable"),
    }
}

/// Reads the owner of a lock that `mutex` found once more.
pub fn reread_owner(look: &Look, object: &Object) -> Option<Owner> {
    if object.kind != ObjectKind::Mutex || !matches!(object.owner, Owner::Held { .. }) {
        return None;
    }
    match object.detail.get("lock").map(String::as_str) {
        Some(musl::LOCK) => Some(musl::owner(look, object.address)),
        Some(glibc::LOCK) => Some(glibc::owner(look, object.address)),
        Some(glibc::PI_LOCK) => Some(glibc::pi_owner(look, object.address)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_operations_that_wait_are_waits() {
        // Check the decoding of flags, timeouts and commands.
        let wait = FutexWait::of_futex([0x10, 128, 2, 0, 0, 0]).expect("FUTEX_WAIT_PRIVATE");
        assert!(wait.is_plain() && wait.private && wait.until == Timeout::Never);
        let timed = FutexWait::of_futex([0x10, 9 | 256, 2, 0x7000, 0, 0]).expect("WAIT_BITSET");
        assert!(timed.timed() && !timed.private);
        assert!(FutexWait::of_futex([0x10, 1, 1, 0, 0, 0]).is_none());
    }
}
