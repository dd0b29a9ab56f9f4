//! Which C library a process uses.

use std::{fs::File, os::unix::fs::FileExt};

use super::{
    futex, musl,
    places::{PlaceCache, ProcessPlaces},
    syscall,
};
use crate::{
    process::{ModuleFile, Target},
    runtime::{Look, Runtime, Wait, Why},
    snapshot::{Object, Owner},
};

/// A C library, as far as its structures matter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Libc {
    /// glibc with its minor version (2.x), if that could be read.
    Glibc(Option<u32>),
    /// musl.
    Musl,
    /// None of these, or a file that says nothing about itself.
    Unknown,
}

/// Not more than this of a file is searched for a library's banner.
const SEARCHED_BYTES: usize = 32 << 20;

/// glibc's own description of itself (csu/version.c), in its .rodata, also in static programs.
const GLIBC_BANNER: &[u8] = b"GNU C Library (";
/// What follows in the banner before the version.
const GLIBC_VERSION: &[u8] = b"release version 2.";
/// What every glibc since 2.26 looks for in its environment (elf/dl-tunables.c), static ones too.
const GLIBC_TUNABLES: &[u8] = b"GLIBC_TUNABLES";
/// What musl's dynamic linker prints about itself (ldso/dynlink.c).
const MUSL_BANNER: &[u8] = b"musl libc (";

impl Libc {
    /// The C library in a file.
    pub fn of(file: &ModuleFile) -> Libc {
        let name = file.module().file_name();
        if name.starts_with("ld-musl-") || name.starts_with("libc.musl-") {
            return Libc::Musl;
        }
        let Some(bytes) = file.file().and_then(read) else { return Libc::Unknown };
        if let Some(at) = memchr::memmem::find(&bytes, GLIBC_BANNER) {
            return Libc::Glibc(glibc_minor(&bytes[at..]));
        }
        let has = |needle| memchr::memmem::find(&bytes, needle).is_some();
        if has(GLIBC_TUNABLES) {
            return Libc::Glibc(None);
        }
        // Static musl programs hold no banner: their symbols tell, unless they are stripped.
        let musl_symbol = || file.symbols().iter().any(|(name, ..)| musl::is_internal(name));
        if has(MUSL_BANNER) || musl_symbol() { Libc::Musl } else { Libc::Unknown }
    }
}

fn read(file: &File) -> Option<Vec<u8>> {
    let size = usize::try_from(file.metadata().ok()?.len()).ok()?.min(SEARCHED_BYTES);
    let mut bytes = vec![0; size];
    let read = file.read_at(&mut bytes, 0).ok()?;
    bytes.truncate(read);
    Some(bytes)
}

fn glibc_minor(banner: &[u8]) -> Option<u32> {
    let banner = banner.get(..200).unwrap_or(banner);
    let at = memchr::memmem::find(banner, GLIBC_VERSION)? + GLIBC_VERSION.len();
    let digits: Vec<u8> =
        banner[at..].iter().copied().take_while(u8::is_ascii_digit).take(4).collect();
    std::str::from_utf8(&digits).ok()?.parse().ok()
}

/// The native runtime of one process.
pub struct Native {
    /// Its C library.
    pub libc: Libc,
    /// Where well-known functions lie.
    pub places: ProcessPlaces,
}

impl Native {
    /// Looks at the mapped files that can be a C library: by name, else the program itself.
    pub fn detect(target: &Target, places: PlaceCache) -> Native {
        let files = || target.loaded().iter().map(|loaded| &*loaded.file);
        let is_libc = |file: &&ModuleFile| {
            let name = file.module().file_name();
            name.starts_with("libc.") || name.starts_with("libc-") || name.starts_with("ld-musl-")
        };
        // A static program is the only file that it has mapped; the vdso is no file.
        let program = files().filter(|file| file.file().is_some()).take(1);
        let candidates = files().filter(is_libc).chain(program);
        let mut known = candidates.map(|file| places.of(file).libc);
        let libc = known.find(|libc| *libc != Libc::Unknown).unwrap_or(Libc::Unknown);
        Native { libc, places: ProcessPlaces::new(places) }
    }
}

impl Runtime for Native {
    fn describe(&self) -> crate::snapshot::Runtime {
        let (name, version) = match self.libc {
            Libc::Glibc(minor) => ("glibc", minor.map(|minor| format!("2.{minor}"))),
            Libc::Musl => ("musl", None),
            Libc::Unknown => ("native", None),
        };
        crate::snapshot::Runtime { name: name.into(), version }
    }

    fn explain(&mut self, look: &Look, wait: &Wait) -> Option<Why> {
        Some(syscall::explain(self, look, wait))
    }

    fn reread_owner(&mut self, look: &Look, object: &Object) -> Option<Owner> {
        futex::reread_owner(look, object)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_version_is_read_from_the_banner() {
        // Check glibc's banner, a truncated one and one without a version.
        let banner = b"GNU C Library (Debian GLIBC 2.36-9+deb12u14) stable release version 2.36.\n";
        assert_eq!(glibc_minor(banner), Some(36));
        assert_eq!(glibc_minor(&banner[..banner.len() - 4]), None);
        assert_eq!(glibc_minor(b"GNU C Library ("), None);
    }
}
