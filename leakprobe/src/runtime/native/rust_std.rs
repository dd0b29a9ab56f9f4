//! Blocking primitives of Rust's std on Linux (library/std/src/sys/sync/*/futex.rs and
//! library/std/src/sync/mpmc, Rust 1.62 to 1.95), recognised by symbol.

/// A primitive of Rust's std.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Primitive {
    /// `Mutex::lock`.
    Mutex,
    /// `Condvar::wait`.
    Condvar,
    /// `RwLock::read`.
    RwLockRead,
    /// `RwLock::write`.
    RwLockWrite,
    /// `Once::call_once`, `OnceLock::get_or_init`, `LazyLock`.
    Once,
    /// `thread::park`.
    Park,
    /// `mpsc::Receiver::recv`.
    Receive,
    /// `mpsc::SyncSender::send`.
    Send,
    /// `JoinHandle::join`, `scope`.
    Join,
}

/// What identifies each in a demangled name without angle brackets; the first that matches wins.
const NAMES: [(&[&str], Primitive); 12] = [
    (&["futex::Mutex::lock_contended"], Primitive::Mutex),
    (&["futex_mutex::Mutex::lock_contended"], Primitive::Mutex),
    (&["futex::Condvar::wait"], Primitive::Condvar),
    (&["futex_condvar::Condvar::wait"], Primitive::Condvar),
    (&["::RwLock::read_contended"], Primitive::RwLockRead),
    (&["::RwLock::write_contended"], Primitive::RwLockWrite),
    (&["once::futex::Once::"], Primitive::Once),
    (&["sync::mpmc::", "::recv"], Primitive::Receive),
    (&["sync::mpmc::", "::send"], Primitive::Send),
    (&["sync::mpsc::", "::recv"], Primitive::Receive),
    (&["::Thread::join"], Primitive::Join),
    (&["std::thread::", "::park"], Primitive::Park),
];

/// The primitive that a raw (mangled) symbol implements.
pub fn place(symbol: &str) -> Option<super::places::Place> {
    if !(symbol.starts_with("_ZN") || symbol.starts_with("_R")) || !may_be(symbol) {
        return None;
    }
    primitive(&format!("{:#}", rustc_demangle::try_demangle(symbol).ok()?))
        .map(super::places::Place::Rust)
}

/// Cheap, since programs have a hundred thousand symbols and few of these.
fn may_be(symbol: &str) -> bool {
    ["contended", "ondvar", "mpmc", "mpsc", "Once", "park", "Thread4join"]
        .iter()
        .any(|part| symbol.contains(part))
}

fn primitive(name: &str) -> Option<Primitive> {
    // The v0 mangling shows inherent methods as `<std::…::Mutex>::lock_contended`.
    let name = name.replace(['<', '>'], "");
    if !name.starts_with("std::") {
        return None;
    }
    let matches = |parts: &[&str]| {
        let mut rest = name.as_str();
        parts.iter().all(|part| match rest.split_once(part) {
            // Parts may share the `::` between them.
            Some((_, after)) => {
                rest = if part.ends_with("::") {
                    &rest[rest.len() - after.len() - 2..]
                } else {
                    after
                };
                true
            }
            None => false,
        })
    };
    NAMES.iter().find(|(parts, _)| matches(parts)).map(|(_, primitive)| *primitive)
}

impl Primitive {
    /// The reason of a wait here, in Rust's own words.
    pub fn reason(self, timed: bool) -> &'static str {
        match (self, timed) {
            (Primitive::Mutex, _) => "std::sync::Mutex::lock",
            (Primitive::Condvar, false) => "std::sync::Condvar::wait",
            (Primitive::Condvar, true) => "std::sync::Condvar::wait_timeout",
            (Primitive::RwLockRead, _) => "std::sync::RwLock::read",
            (Primitive::RwLockWrite, _) => "std::sync::RwLock::write",
            (Primitive::Once, _) => "std::sync::Once::call_once",
            (Primitive::Park, false) => "std::thread::park",
            (Primitive::Park, true) => "std::thread::park_timeout",
            (Primitive::Receive, false) => "std::sync::mpsc::Receiver::recv",
            (Primitive::Receive, true) => "std::sync::mpsc::Receiver::recv_timeout",
            (Primitive::Send, _) => "std::sync::mpsc::SyncSender::send",
            (Primitive::Join, _) => "pthread_join",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn demangled_names_of_several_versions_are_recognised() {
        // Check names as Rust 1.62 to 1.95 have them, and look-alikes.
        let cases = [
            ("<std::sys::sync::mutex::futex::Mutex>::lock_contended", Some(Primitive::Mutex)),
            ("std::sys::unix::locks::futex_mutex::Mutex::lock_contended", Some(Primitive::Mutex)),
            ("<std::sys::sync::condvar::futex::Condvar>::wait", Some(Primitive::Condvar)),
            (
                "<std::sys::sync::rwlock::futex::RwLock>::write_contended",
                Some(Primitive::RwLockWrite),
            ),
            ("<std::sys::sync::once::futex::Once>::call", Some(Primitive::Once)),
            ("std::sync::mpmc::list::Channel<T>::recv", Some(Primitive::Receive)),
            ("std::sync::mpmc::zero::Channel<T>::send::{{closure}}", Some(Primitive::Send)),
            ("std::thread::park", Some(Primitive::Park)),
            ("<std::thread::thread::Thread>::park_timeout", Some(Primitive::Park)),
            ("std::thread::functions::park", Some(Primitive::Park)),
            ("<std::sys::thread::unix::Thread>::join", Some(Primitive::Join)),
            ("app::std::thread::park", None),
            ("std::thread::spawn", None),
        ];
        for (name, expected) in cases {
            assert_eq!(primitive(name), expected, "{name}");
        }
    }
}
