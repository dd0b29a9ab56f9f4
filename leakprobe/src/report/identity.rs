//! What a site is recognised by.
//!
//! The id must survive a new release, ASLR, another machine and the moment of the attach, for
//! baselines and trends. So it is made of names only, and of names without what compilers, linkers
//! and symbol tables append to them.

use std::hash::Hasher;

/// FNV-1a, 64 bit: the same on every machine and in every version (std's hashers promise neither).
/// <http://www.isthe.com/chongo/tech/comp/fnv/>
struct Fnv1a(u64);

impl Hasher for Fnv1a {
    fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.0 = (self.0 ^ u64::from(*byte)).wrapping_mul(0x0000_0100_0000_01b3);
        }
    }

    fn finish(&self) -> u64 {
        self.0
    }
}

/// The id of a site: 16 hex digits over kind, reason and the `names` of its frames, innermost
/// first, each closed by a zero byte.
pub(super) fn site_id<'a>(
    kind: &'a str,
    reason: &'a str,
    names: impl Iterator<Item = &'a str>,
) -> String {
    let mut hash = Fnv1a(0xcbf2_9ce4_8422_2325);
    for part in [kind, reason].into_iter().chain(names) {
        hash.write(part.as_bytes());
        hash.write(&[0]);
    }
    format!("{:016x}", hash.finish())
}

/// A function's name without symbol version (`@@GLIBC_2.34`), without the suffixes of compilers
/// (`.part.0`, `.constprop.0`, `.isra.0`, `.cold`, `.llvm.123`) and without the hash of Rust's
/// legacy mangling (`::h0123456789abcdef`).
pub(super) fn stable_name(function: &str) -> &str {
    let mut name = function;
    if let Some(at) = name.find('@').filter(|&at| at > 0) {
        name = name.get(..at).unwrap_or(name);
    }
    while let Some(shorter) = without_clone_suffix(name) {
        name = shorter;
    }
    if let Some((head, hash)) = name.rsplit_once("::h")
        && hash.len() == 16
        && hash.bytes().all(|b| b.is_ascii_hexdigit())
    {
        name = head;
    }
    name
}

/// `name` without its last compiler's suffix, if it has one.
fn without_clone_suffix(name: &str) -> Option<&str> {
    const WORDS: [&str; 7] =
        ["part", "constprop", "isra", "cold", "llvm", "lto_priv", "localalias"];
    let (head, last) = name.rsplit_once('.')?;
    if head.is_empty() {
        return None;
    }
    if WORDS.contains(&last) {
        return Some(head);
    }
    let (head, word) = head.rsplit_once('.')?;
    (!head.is_empty() && !last.is_empty() && last.bytes().all(|b| b.is_ascii_digit()))
        .then_some(())
        .filter(|()| WORDS.contains(&word))
        .map(|()| head)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_id_never_changes() {
        // Check that the hash is FNV-1a over exactly what the documentation says: baselines that
        // users keep depend on this very value.
        assert_eq!(
            site_id("thread", "read", ["read", "consume", "main"].into_iter()),
            "f995817d67ccb670"
        );
        assert_ne!(
            site_id("thread", "read", ["ab", "c"].into_iter()),
            site_id("thread", "read", ["a", "bc"].into_iter())
        );
    }

    #[test]
    fn suffixes_do_not_make_another_function() {
        // Check that what compilers and symbol tables append is left out, and nothing else.
        for (raw, stable) in [
            ("pthread_cond_wait@@GLIBC_2.3.2", "pthread_cond_wait"),
            ("drain.part.0", "drain"),
            ("drain.constprop.0.isra.0", "drain"),
            ("drain.cold", "drain"),
            ("a::b::h0123456789abcdef", "a::b"),
            ("a::b::hello", "a::b::hello"),
            ("runtime.gopark", "runtime.gopark"),
            ("main.worker.func1", "main.worker.func1"),
            ("main.(*Pool).run.1", "main.(*Pool).run.1"),
            (".part.0", ".part.0"),
            ("@x", "@x"),
            ("", ""),
        ] {
            assert_eq!(stable_name(raw), stable, "{raw}");
        }
    }
}
