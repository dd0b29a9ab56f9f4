//! What a report must say of each kind of wait.

use crate::Sight;

/// What a wait in one role looks like.
#[derive(Debug)]
pub struct Expectation {
    /// The role's name in a workload's truth.
    pub role: &'static str,
    /// The reasons that are right.
    pub reasons: &'static [&'static str],
    /// The kinds of object that are right; empty: not checked.
    pub objects: &'static [&'static str],
}

const fn row(
    role: &'static str,
    reasons: &'static [&'static str],
    objects: &'static [&'static str],
) -> Expectation {
    Expectation { role, reasons, objects }
}

/// glibc, and what both libcs have in common.
const TABLE: &[Expectation] = &[
    row("mutex", &["pthread_mutex_lock"], &["mutex"]),
    row("orphan", &["pthread_mutex_lock"], &["mutex"]),
    row("abba", &["pthread_mutex_lock"], &["mutex"]),
    row("lock", &["pthread_mutex_lock"], &["mutex"]),
    row("timedlock", &["pthread_mutex_timedlock", "pthread_mutex_clocklock"], &["mutex"]),
    row("cond", &["pthread_cond_wait"], &["condvar"]),
    row("join", &["pthread_join"], &["thread"]),
    row("pipe", &["read"], &["pipe"]),
    row("poll", &["poll"], &["pipe"]),
    row("epoll", &["epoll_wait"], &["epoll"]),
    row("accept", &["accept"], &["socket"]),
    row("sleep", &["nanosleep", "clock_nanosleep", "sleep"], &[]),
    row("connect", &["connect"], &["socket"]),
    row("write", &["write"], &["pipe"]),
    row("select", &["select", "pselect6"], &[]),
    row("wait4", &["wait4", "waitpid", "wait"], &["child"]),
    row("futex", &["futex"], &["futex"]),
    row("sem", &["sem_wait", "futex"], &["semaphore", "futex"]),
    row("rwlock", &["pthread_rwlock_rdlock", "futex"], &["rwlock", "futex"]),
    row("barrier", &["pthread_barrier_wait", "futex"], &["barrier", "futex"]),
    row("vfork", &["vfork"], &[]),
    // What the kernel does for a thread outside any syscall has no settled name.
    row("fault", &[], &[]),
    // Parts of these can't be read on purpose.
    row("unreadable", &[], &[]),
    row("rust_mutex", &["std::sync::Mutex::lock"], &[]),
    row("rust_condvar", &["std::sync::Condvar::wait"], &[]),
    row("rust_park", &["std::thread::park"], &[]),
    row("rust_channel", &["std::sync::mpsc::Receiver::recv", "std::thread::park"], &[]),
];

/// musl's functions without a timeout are tail calls of those with one (musl 1.2.3,
/// src/thread/pthread_mutex_lock.c, pthread_cond_wait.c, pthread_join.c), so that only the latter
/// need stand on the stack.
const MUSL: &[Expectation] = &[
    row("mutex", &["pthread_mutex_lock", "pthread_mutex_timedlock"], &["mutex"]),
    row("orphan", &["pthread_mutex_lock", "pthread_mutex_timedlock"], &["mutex"]),
    row("abba", &["pthread_mutex_lock", "pthread_mutex_timedlock"], &["mutex"]),
    // Each waiter waits on a word of its own stack (src/thread/pthread_cond_timedwait.c): nothing
    // leads from there to the condition variable.
    row("cond", &["pthread_cond_wait", "pthread_cond_timedwait"], &[]),
    row("join", &["pthread_join", "pthread_timedjoin_np"], &["thread"]),
    row("epoll", &["epoll_wait", "epoll_pwait"], &["epoll"]),
];

/// Rust's standard library is linked in: without symbols only the syscall is left.
const STRIPPED_RUST: &[Expectation] = &[
    row("rust_mutex", &["futex"], &[]),
    row("rust_condvar", &["futex"], &[]),
    row("rust_park", &["futex"], &[]),
    row("rust_channel", &["futex"], &[]),
];

/// The expectation of a role.
pub fn expectation(role: &str, sight: &Sight) -> Option<&'static Expectation> {
    let find = |table: &'static [Expectation]| table.iter().find(|row| row.role == role);
    let special = match (sight.musl, sight.names) {
        (true, _) => find(MUSL),
        (false, false) => find(STRIPPED_RUST),
        (false, true) => None,
    };
    special.or_else(|| find(TABLE))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::workloads::{Program, Variant};

    // Check that what is special goes before what is usual, and only where it applies.
    #[test]
    fn special_rows_go_first() {
        let reason = |role, program, variant| {
            expectation(role, &Sight::of(program, variant)).and_then(|e| e.reasons.last().copied())
        };
        let c = |role, variant| reason(role, Program::Waits, variant);
        let rust = |role, variant| reason(role, Program::RustWaits, variant);
        assert_eq!(c("mutex", Variant::Stripped), Some("pthread_mutex_lock"));
        assert_eq!(c("mutex", Variant::Musl), Some("pthread_mutex_timedlock"));
        assert_eq!(c("pipe", Variant::Musl), Some("read"));
        assert_eq!(c("no such role", Variant::Musl), None);
        assert_eq!(rust("rust_park", Variant::Plain), Some("std::thread::park"));
        assert_eq!(rust("rust_park", Variant::Stripped), Some("futex"));
        assert_eq!(rust("join", Variant::Stripped), Some("pthread_join"));
    }
}
