use std::{
    process::{Command, Stdio},
    time::{Duration, Instant},
};

use proptest::prelude::*;
use tempfile::TempDir;

use super::*;
use crate::process::Target;

const TEXT: &str = "
#include <stdio.h>
__attribute__((noinline)) int callee(int a) { printf(\"%d\", a); return a + 1; }
int main(int argc, char **argv) { getchar(); return callee(argc) * 2; }
";

/// Builds a program and then runs further commands on it.
fn built(flags: &[&str], then: &[&[&str]]) -> TempDir {
    let folder = TempDir::new().unwrap();
    std::fs::write(folder.path().join("p.c"), TEXT).unwrap();
    let mut build = vec!["cc", "p.c", "-o", "p"];
    build.extend(flags);
    for command in std::iter::once(&build[..]).chain(then.iter().copied()) {
        let status =
            Command::new(command[0]).args(&command[1..]).current_dir(folder.path()).status();
        assert!(status.unwrap().success(), "{command:?}");
    }
    folder
}

fn opened(folder: &TempDir) -> ModuleFile {
    let path = folder.path().join("p");
    let file = File::open(&path).unwrap();
    ModuleFile::new(&path, false, Image::File(Arc::new(file)), None)
}

fn has_callee(file: &ModuleFile) -> bool {
    file.symbols().iter().any(|(name, svma, size)| {
        name == "callee" && svma > 0 && size > 0 && file.read(svma, &mut [0; 4]) == 4
    })
}

#[test]
fn headers_and_symbols() {
    // Check that build id, symbols and unwind sections of a plain program are found.
    let folder = built(&["-g", "-Wl,--build-id=0x0123456789abcdef"], &[]);
    let file = opened(&folder);
    assert_eq!(file.usable(), Ok(()));
    assert_eq!(file.module().build_id.as_deref(), Some("0123456789abcdef"));
    assert!(has_callee(&file));
    let frames = file.call_frames().unwrap();
    assert!(frames.eh_frame.is_some() && frames.eh_frame_hdr.is_some());
    assert!(file.debug_file().is_none());
    let entry = file.entry().unwrap();
    assert!(frames.text.as_ref().unwrap().contains(&entry));
}

#[test]
fn unwind_sections_without_section_headers() {
    // Check that a file whose section headers are cut off still has its unwind information.
    let folder = built(&[], &[]);
    let path = folder.path().join("p");
    let mut bytes = std::fs::read(&path).unwrap();
    let whole = opened(&folder).call_frames().unwrap().clone();
    bytes[40..48].fill(0); // e_shoff
    bytes[58..64].fill(0); // e_shentsize, e_shnum, e_shstrndx
    let file = ModuleFile::new(&path, false, Image::Memory(bytes.into()), None);
    let frames = file.call_frames().unwrap();
    assert_eq!(frames.eh_frame_hdr, whole.eh_frame_hdr);
    let (bytes, range) = frames.eh_frame.as_ref().unwrap();
    let (expected, at) = whole.eh_frame.as_ref().unwrap();
    assert_eq!(range.start, at.start);
    assert!(bytes.starts_with(expected));
    assert!(file.module().build_id.is_some());
}

#[test]
fn debug_file_by_link() {
    // Check that a separate debug file is found beside the program, by its link.
    let split: &[&[&str]] = &[
        &["objcopy", "--only-keep-debug", "p", "p.debug"],
        &["strip", "p"],
        &["objcopy", "--add-gnu-debuglink=p.debug", "p"],
    ];
    for flags in [&["-g"][..], &["-g", "-Wl,--build-id=none"]] {
        let folder = built(flags, split);
        let file = opened(&folder);
        assert_eq!(file.debug_file().unwrap().path(), folder.path().join("p.debug"));
        assert!(has_callee(&file));
    }
}

#[test]
fn debug_file_of_another_build() {
    // Check that a debug file is not taken if its build id, or else its checksum, is another's.
    for flags in [&["-g"][..], &["-g", "-Wl,--build-id=none"]] {
        let folder = built(
            flags,
            &[
                &["objcopy", "--only-keep-debug", "p", "p.debug"],
                &["strip", "p"],
                &["objcopy", "--add-gnu-debuglink=p.debug", "p"],
                &["sh", "-c", "echo 'int main(void) { return 7; }' > p.c"],
                &[
                    "sh",
                    "-c",
                    "cc -g \"$@\" p.c -o q && mv q p.debug",
                    "cc",
                    flags[flags.len() - 1],
                ],
            ],
        );
        let file = opened(&folder);
        assert!(file.debug_file().is_none());
        assert!(!has_callee(&file));
    }
}

#[test]
fn debug_frame_in_the_debug_file() {
    // Check that .debug_frame is found in the separate debug file, compressed or not.
    for compression in ["none", "zlib", "zlib-gnu"] {
        let folder = built(
            &["-g", "-fno-asynchronous-unwind-tables", &format!("-gz={compression}")],
            &[
                &["objcopy", "--only-keep-debug", "p", "p.debug"],
                &["strip", "p"],
                &["objcopy", "--add-gnu-debuglink=p.debug", "p"],
            ],
        );
        let file = opened(&folder);
        let bytes = file.debug_frame().expect(compression);
        // The first entry is a CIE: its id is all ones.
        assert_eq!(bytes[4..8], [0xff; 4], "{compression}");
    }
}

#[test]
fn file_that_took_its_place() {
    // Check that a file reached by its path is taken if it is the mapped one, and is refused if
    // another has taken its name, with and without a build id.
    for flags in [&[][..], &["-Wl,--build-id=none"]] {
        let folder = built(flags, &[]);
        let path = folder.path().join("p");
        let mut child = Command::new(&path).stdin(Stdio::piped()).spawn().unwrap();
        let deadline = Instant::now() + Duration::from_secs(10);
        let target = loop {
            let target = Target::open_now(child.id()).unwrap();
            // Loaded and waiting.
            let code = target.maps().iter().find(|m| m.executable && m.path() == Some(&path));
            let loaded =
                target.maps().iter().any(|m| m.path().is_some_and(|p| p.ends_with("libc.so.6")));
            if code.is_some() && loaded {
                break target;
            }
            assert!(Instant::now() < deadline);
        };
        let mapping =
            target.maps().iter().find(|m| m.executable && m.path() == Some(&path)).unwrap();
        assert!(target.access().open_by_path(mapping).is_ok());
        std::fs::remove_file(&path).unwrap();
        let gone = target.access().open_by_path(mapping).map(drop);
        assert_eq!(gone, Err(Unusable::Unavailable));
        std::fs::copy("/bin/true", &path).unwrap();
        let other = target.access().open_by_path(mapping).map(drop);
        assert_eq!(other, Err(Unusable::Replaced));
        assert!(target.access().open(mapping).is_ok());
        child.kill().unwrap();
        child.wait().unwrap();
    }
}

#[test]
fn links_out_of_the_root() {
    // Check that a link in a container leads to the container's file, and that what is not a
    // regular file is not opened.
    let folder = TempDir::new().unwrap();
    std::fs::create_dir(folder.path().join("etc")).unwrap();
    std::fs::write(folder.path().join("etc/passwd"), "mine").unwrap();
    std::os::unix::fs::symlink("/etc/passwd", folder.path().join("absolute")).unwrap();
    std::os::unix::fs::symlink("../../../../etc/passwd", folder.path().join("upward")).unwrap();
    let fifo = std::ffi::CString::new(folder.path().join("fifo").to_str().unwrap()).unwrap();
    // SAFETY: the path is a C string.
    assert_eq!(unsafe { libc::mkfifo(fifo.as_ptr(), 0o600) }, 0);
    let root = File::open(folder.path()).unwrap();
    for link in ["/absolute", "/upward"] {
        let file = root::open_below(&root, Path::new(link)).unwrap();
        assert_eq!(std::io::read_to_string(file).unwrap(), "mine");
    }
    assert!(root::open_below(&root, Path::new("/fifo")).is_err());
    assert!(root::open(&folder.path().join("fifo")).is_err());
    assert!(root::open_below(&root, Path::new("/etc")).is_err());
}

#[test]
fn other_files() {
    // Check that files that are no x86-64 ELF say so.
    let new =
        |bytes: &[u8]| ModuleFile::new(Path::new("x"), false, Image::Memory(bytes.into()), None);
    assert_eq!(new(b"").usable(), Err(Unusable::NotElf));
    assert_eq!(new(&[7; 4096]).usable(), Err(Unusable::NotElf));
    let mut bytes = vec![0; 64];
    bytes[..5].copy_from_slice(b"\x7fELF\x01");
    assert_eq!(new(&bytes).usable(), Err(Unusable::NotX86_64));
}

/// A program of ours, built once.
fn program() -> &'static [u8] {
    static BYTES: OnceLock<Vec<u8>> = OnceLock::new();
    BYTES.get_or_init(|| {
        let folder = built(&["-g", "-gz=zlib", "-fno-asynchronous-unwind-tables"], &[]);
        std::fs::read(folder.path().join("p")).unwrap()
    })
}

proptest! {
    #[test]
    fn mutated(
        places in proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..20),
        headers in proptest::collection::vec((0..1024usize, any::<u8>()), 0..8),
        cut in proptest::option::of(any::<prop::sample::Index>()),
        svma in any::<u64>(),
    ) {
        // Check that a damaged file never makes a reader panic or take more than it has.
        let mut bytes = program().to_vec();
        // The section headers lie at the end.
        let tables = bytes.len() - 2500;
        for (place, byte) in places {
            let at = place.index(bytes.len());
            bytes[at] = byte;
            let at = tables + place.index(2500);
            bytes[at] = byte;
        }
        for (at, byte) in headers {
            bytes[at] = byte;
        }
        if let Some(cut) = cut {
            bytes.truncate(cut.index(bytes.len()));
        }
        let file = ModuleFile::new(Path::new("p"), false, Image::Memory(bytes.into()), None);
        for (name, svma, _) in file.symbols().iter() {
            prop_assert!(!name.is_empty());
            file.read(svma, &mut [0; 16]);
        }
        file.call_frames();
        file.debug_frame();
        file.debug_file();
        file.svma(svma);
        file.read(svma, &mut [0; 16]);
    }

    #[test]
    fn any_notes(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
        // Check that no bytes at all make the reader of notes panic.
        let id = elf::build_id(&bytes);
        prop_assert!(id.is_none_or(|id| id.len() <= 128));
    }
}
