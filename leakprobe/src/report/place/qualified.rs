//! Names with a path in front: Rust, C++ and Go.

/// Whether a function belongs to a language's library or runtime, by its name.
pub(super) fn is_language_name(function: &str) -> bool {
    const EXACT: &[&str] = &[
        "__rust_begin_short_backtrace",
        "__rust_end_short_backtrace",
        "__rust_try",
        "rust_begin_unwind",
        "rust_panic",
        "rust_eh_personality",
        "execute_native_thread_routine",
        "lang_start",
    ];
    let name = super::super::identity::stable_name(function);
    EXACT.contains(&name)
        || if name.contains("::") { is_rust_or_cpp_library(name) } else { is_go_library(name) }
}

/// Crates and namespaces that are library: Rust's own, the ones whose business is waiting, and
/// C++'s `std`.
fn is_library_root(root: &str) -> bool {
    const ROOTS: &[&str] = &[
        "std",
        "core",
        "alloc",
        "panic_unwind",
        "std_detect",
        "backtrace",
        "parking_lot",
        "parking_lot_core",
        "lock_api",
        "crossbeam",
        "crossbeam_channel",
        "crossbeam_deque",
        "crossbeam_epoch",
        "crossbeam_queue",
        "crossbeam_utils",
        "tokio",
        "mio",
        "polling",
        "futures",
        "futures_core",
        "futures_util",
        "futures_executor",
        "futures_channel",
        "rayon",
        "rayon_core",
        "async_std",
        "smol",
        "flume",
        "__gnu_cxx",
    ];
    ROOTS.contains(&root)
}

/// Looks at the path's first part. In `<Type as Trait>::method` that is the type's, or the trait's
/// where the type is but a parameter's name.
fn is_rust_or_cpp_library(name: &str) -> bool {
    if name.contains("__rust_begin_short_backtrace") || name.contains("__rust_end_short_backtrace")
    {
        return true;
    }
    if let Some(inner) = name.strip_prefix('<') {
        let (of, as_trait) = split_at_as(inner);
        let of = without_sigils(of);
        return match (root_of(of), as_trait) {
            (Some(root), _) => is_library_root(root),
            (None, Some(of_trait)) => root_of(of_trait).is_some_and(is_library_root),
            (None, None) => false,
        };
    }
    root_of(without_return_type(name)).is_some_and(is_library_root)
}

/// The first part of a path, `None` for a name without one.
fn root_of(path: &str) -> Option<&str> {
    let root = path.split("::").next().filter(|root| root.len() < path.len())?;
    // Rust's v0 mangling may add a crate's disambiguator: `std[4d9ac7bc]::rt`.
    let root = root.split_once('[').map_or(root, |(name, _)| name);
    // `Foo<a::b>` has no path of its own: the `::` is inside its parameters.
    root.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_').then_some(root)
}

/// `&mut dyn a::B` → `a::B`.
fn without_sigils(mut of: &str) -> &str {
    loop {
        let shorter = of
            .trim_start_matches(['&', '*', '(', '[', ' '])
            .trim_start_matches("mut ")
            .trim_start_matches("const ")
            .trim_start_matches("dyn ");
        if shorter.len() == of.len() {
            return of;
        }
        of = shorter;
    }
}

/// Splits `Type as Trait>::method` at its outermost ` as `.
fn split_at_as(inner: &str) -> (&str, Option<&str>) {
    let mut depth = 0usize;
    for (at, byte) in inner.bytes().enumerate() {
        match byte {
            b'<' | b'(' | b'[' => depth += 1,
            // The arrow of a function type closes nothing.
            b'>' if at > 0 && inner.as_bytes().get(at - 1) == Some(&b'-') => {}
            b'>' if depth == 0 => return (inner.get(..at).unwrap_or(inner), None),
            b'>' | b')' | b']' => depth = depth.saturating_sub(1),
            b' ' if depth == 0 && inner.get(at..).is_some_and(|rest| rest.starts_with(" as ")) => {
                return (inner.get(..at).unwrap_or(inner), inner.get(at + 4..));
            }
            _ => {}
        }
    }
    (inner, None)
}

/// A C++ template's demangled name opens with its return type: `void std::__invoke<…>(…)`.
fn without_return_type(name: &str) -> &str {
    let mut depth = 0usize;
    let mut start = 0;
    for (at, byte) in name.bytes().enumerate() {
        match byte {
            b'<' => depth += 1,
            b'>' => depth = depth.saturating_sub(1),
            b'(' if depth == 0 => break,
            b' ' if depth == 0 => start = at + 1,
            _ => {}
        }
    }
    name.get(start..).unwrap_or(name)
}

/// Go's standard library: `runtime.gopark`, `internal/poll.(*FD).Read`.
fn is_go_library(name: &str) -> bool {
    const PACKAGES: &[&str] = &[
        "runtime", "sync", "internal", "syscall", "time", "net", "os", "io", "bufio", "context",
        "database", "crypto", "reflect", "log", "fmt", "encoding", "compress", "archive", "text",
        "html", "testing", "errors", "bytes", "strings", "strconv", "sort", "slices", "maps",
        "iter", "unique", "weak", "vendor", "math", "mime", "path", "hash", "regexp", "unicode",
        "go", "plugin", "expvar", "embed",
    ];
    let Some(end) = name.find(['/', '.']) else {
        return false;
    };
    // A path ends at its last slash; a package's name is followed by a dot.
    name.get(..end).is_some_and(|root| PACKAGES.contains(&root))
        && name.get(end + 1..).is_some_and(|rest| !rest.is_empty())
}
