//! Function names as people write them, from the names that symbol tables and debug information hold.

use std::fmt::{self, Write};

/// Longest name shown, bytes. C++ templates reach tens of kilobytes; nobody reads them.
const MAX_NAME: usize = 1024;

/// Longest mangled name that is looked at, bytes.
pub(super) const MAX_RAW_NAME: usize = 16 * 1024;

/// Segments that compilers append to the names of copies and parts of a function (GCC's IPA passes,
/// LLVM's promotion of local symbols and its `-funique-internal-linkage-names`).
const CLONE_SUFFIXES: [&str; 10] = [
    "cold",
    "constprop",
    "hot",
    "isra",
    "llvm",
    "localalias",
    "lto_priv",
    "part",
    "unlikely",
    "__uniq",
];

/// Cleans a raw name: without symbol version (`@@GLIBC_2.34`), demangled (Rust without hash, C++
/// without parameters and return type, as perf and pprof print them), without the suffixes of
/// compiler-made copies (`.constprop.0`, `.cold`), without control characters, at most 1 KiB.
///
/// `None` where nothing is left.
pub fn clean(raw: &[u8]) -> Option<String> {
    let raw = String::from_utf8_lossy(raw.get(..MAX_RAW_NAME).unwrap_or(raw));
    let name = without_clone_suffixes(without_version(&raw));
    if name.is_empty() {
        return None;
    }
    Some(demangle(name).unwrap_or_else(|| printable(name)))
}

/// A foreign string with its control characters replaced (they could drive the terminal that the
/// report is printed on), at most 1 KiB.
pub fn printable(text: &str) -> String {
    let mut short = Bounded::default();
    // Bounded fails only to say that it is full.
    let _ = short.write_str(text);
    short.finish()
}

/// The name before its GNU symbol version.
pub(super) fn without_version(name: &str) -> &str {
    match name.find('@') {
        Some(at) if at > 0 => name.get(..at).unwrap_or(name),
        _ => name,
    }
}

fn without_clone_suffixes(mut name: &str) -> &str {
    while let Some((head, segment)) = name.rsplit_once('.') {
        let number = !segment.is_empty() && segment.bytes().all(|b| b.is_ascii_digit());
        if head.is_empty() || !(number || CLONE_SUFFIXES.contains(&segment)) {
            break;
        }
        name = head;
    }
    name
}

fn demangle(name: &str) -> Option<String> {
    let mut out = Bounded::default();
    if let Ok(rust) = rustc_demangle::try_demangle(name) {
        let _ = write!(out, "{rust:#}");
        return Some(out.finish());
    }
    if !name.starts_with("_Z") && !name.starts_with("__Z") {
        return None;
    }
    let symbol = cpp_demangle::Symbol::new(name).ok()?;
    let options = cpp_demangle::DemangleOptions::new().no_params().no_return_type();
    // A full buffer also ends in an error: what was written until then is still a name.
    let written = symbol.structured_demangle(&mut out, &options);
    if written.is_err() && !out.full {
        return None;
    }
    (!out.text.is_empty()).then(|| out.finish())
}

/// Which of two names of one function is shown: smaller is better. Public names stand before local
/// ones, then plain ones before those with leading underscores (`read` before `__read` and
/// `__libc_read`, `pthread_cond_wait` before `___pthread_cond_wait`), strong before weak, short before
/// long; the last field only makes the choice the same in every run.
pub(super) fn preference(name: &str, local: bool, weak: bool) -> impl Ord + use<> {
    let name = without_version(name);
    // The underscores of the mangling schemes are no sign of an internal name.
    let mangled = name.starts_with("_Z") || name.starts_with("_R");
    let underscores = match mangled {
        true => 0,
        false => name.bytes().take_while(|&b| b == b'_').count(),
    };
    // glibc's names for its own calls (include/libc-symbols.h).
    let internal = name.starts_with("__GI_");
    (local, internal, underscores, weak, name.len(), name.to_owned())
}

/// Text of bounded length without control characters. Writing more than fits is an error, which stops
/// the demanglers (some mangled names expand without end).
#[derive(Default)]
struct Bounded {
    text: String,
    full: bool,
}

impl Bounded {
    fn finish(mut self) -> String {
        if self.full {
            self.text.push('…');
        }
        self.text
    }
}

impl Write for Bounded {
    fn write_str(&mut self, more: &str) -> fmt::Result {
        for c in more.chars() {
            if self.text.len() + c.len_utf8() > MAX_NAME {
                self.full = true;
                return Err(fmt::Error);
            }
            let hidden = c.is_control() || ('\u{202a}'..='\u{202e}').contains(&c);
            self.text.push(if hidden { '\u{fffd}' } else { c });
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn cleaned(raw: &str) -> String {
        clean(raw.as_bytes()).unwrap()
    }

    /// Check that versions, copies' suffixes and mangling go, and that closures stay.
    #[test]
    fn names_are_cleaned() {
        assert_eq!(cleaned("pthread_create@@GLIBC_2.34"), "pthread_create");
        assert_eq!(cleaned("memcpy@GLIBC_2.2.5"), "memcpy");
        assert_eq!(cleaned("worker.constprop.0"), "worker");
        assert_eq!(cleaned("worker.part.0.isra.0.cold"), "worker");
        assert_eq!(cleaned("a.b"), "a.b");
        assert_eq!(cleaned("_ZN3std9panicking3try17h0123456789abcdefE"), "std::panicking::try");
        assert_eq!(
            cleaned(
                "_ZN4core3ops8function6FnOnce9call_once28_$u7b$$u7b$closure$u7d$$u7d$17h0123456789abcdefE.llvm.123"
            ),
            "core::ops::function::FnOnce::call_once::{{closure}}"
        );
        assert_eq!(cleaned("_RNvCskwGfYPst2Cb_3foo16example_function"), "foo::example_function");
        assert_eq!(cleaned("_ZN4Pool4waitEiPKc"), "Pool::wait");
        assert_eq!(
            cleaned("_ZNKSt6vectorIiSaIiEE4sizeEv@@GLIBCXX_3.4"),
            "std::vector<int, std::allocator<int> >::size"
        );
        assert_eq!(clean(b""), None);
        assert_eq!(cleaned("_Znonsense"), "_Znonsense");
    }

    /// Check that what is shown can't drive a terminal and stays short.
    #[test]
    fn hostile_names_are_harmless() {
        assert_eq!(cleaned("a\x1b[2Jb"), "a\u{fffd}[2Jb");
        assert!(cleaned(&"x".repeat(1 << 20)).len() <= MAX_NAME + '…'.len_utf8());
        // Each substitution doubles the text.
        let doubling = format!("_Z1fI{}E", "1aS_".repeat(500));
        assert!(cleaned(&doubling).len() <= MAX_NAME + '…'.len_utf8());
    }

    /// Check the order in which the names of one function are preferred.
    #[test]
    fn public_names_come_first() {
        let best = |names: &[(&'static str, bool, bool)]| {
            (names.iter().min_by_key(|(n, l, w)| preference(n, *l, *w))).map(|n| n.0)
        };
        let read =
            [("__GI___libc_read", true, false), ("__read", false, false), ("read", false, true)];
        assert_eq!(best(&read), Some("read"));
        let local =
            [("____strtof_l_internal", true, false), ("__GI_____strtof_l_internal", true, false)];
        assert_eq!(best(&local), Some("____strtof_l_internal"));
        let wait = [
            ("___pthread_cond_wait", true, false),
            ("pthread_cond_wait@@GLIBC_2.3.2", false, false),
        ];
        assert_eq!(best(&wait), Some("pthread_cond_wait@@GLIBC_2.3.2"));
    }

    proptest! {
        /// Check that no bytes make cleaning fail or grow without bound.
        #[test]
        fn any_bytes(raw in proptest::collection::vec(any::<u8>(), 0..300), prefix in 0..4usize) {
            let mut name = [&b""[..], b"_ZN", b"_R", b"_Z"][prefix].to_vec();
            name.extend(raw);
            if let Some(clean) = clean(&name) {
                prop_assert!(clean.len() <= MAX_NAME + 3);
                prop_assert!(!clean.chars().any(char::is_control));
            }
        }
    }
}
