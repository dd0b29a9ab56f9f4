//! What a report must say of each kind of wait.

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
    row("cond", &["pthread_cond_wait", "pthread_cond_timedwait"], &["condvar"]),
    row("join", &["pthread_join", "pthread_timedjoin_np"], &["thread"]),
    row("epoll", &["epoll_wait", "epoll_pwait"], &["epoll"]),
];

/// The expectation of a role.
pub fn expectation(role: &str, musl: bool) -> Option<&'static Expectation> {
    let find = |table: &'static [Expectation]| table.iter().find(|row| row.role == role);
    musl.then(|| find(MUSL)).flatten().or_else(|| find(TABLE))
}

#[cfg(test)]
mod tests {
    use super::*;

    // Check that musl's rows go before the others, and only on musl.
    #[test]
    fn musl_has_rows_of_its_own() {
        let reasons = |role, musl| expectation(role, musl).map(|e| e.reasons.len());
        assert_eq!(reasons("mutex", false), Some(1));
        assert_eq!(reasons("mutex", true), Some(2));
        assert_eq!(reasons("pipe", true), Some(1));
        assert_eq!(reasons("no such role", true), None);
    }
}
