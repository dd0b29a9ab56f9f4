//! The mappings of a process, as `/proc/PID/maps` tells them (`fs/proc/task_mmu.c`, show_map_vma).

use std::{
    ffi::OsStr,
    io::{self, Read},
    ops::Range,
    os::unix::ffi::OsStrExt,
    path::Path,
    sync::Arc,
};

/// Mappings kept of one process. The kernel's own default limit (vm.max_map_count) is 65,530;
/// 10,000 threads make about 20,000.
const MAX_MAPPINGS: usize = 1 << 18;
/// Bytes of a maps file that are read.
const MAX_BYTES: u64 = 64 << 20;
/// What the kernel appends to the path of an unlinked file (`fs/d_path.c`).
const DELETED: &[u8] = b" (deleted)";

/// What stands behind a mapping.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Backing {
    /// No file.
    Anonymous,
    /// A file, a memfd (`/memfd:name`) or shared memory.
    File {
        /// Path as the target sees it, without ` (deleted)`.
        path: Arc<Path>,
        /// The kernel says that it was unlinked.
        deleted: bool,
    },
    /// `[vdso]`.
    Vdso,
    /// `[stack]`, the main thread's.
    Stack,
    /// Another of the kernel's names: `[heap]`, `[vvar]`, `[anon:name]` …
    Named(Arc<Path>),
}

/// One mapping.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mapping {
    /// First address.
    pub start: u64,
    /// First address after it.
    pub end: u64,
    /// May be read.
    pub readable: bool,
    /// May be written.
    pub writable: bool,
    /// May be executed.
    pub executable: bool,
    /// MAP_SHARED.
    pub shared: bool,
    /// Offset of `start` in the file, bytes.
    pub offset: u64,
    /// Device of the file, major and minor.
    pub device: (u32, u32),
    /// Inode of the file, 0 without one.
    pub inode: u64,
    /// What stands behind it.
    pub backing: Backing,
}

impl Mapping {
    /// Its addresses.
    pub fn range(&self) -> Range<u64> {
        self.start..self.end
    }

    /// Whether an address lies in it.
    pub fn contains(&self, address: u64) -> bool {
        self.range().contains(&address)
    }

    /// Path of the file behind it.
    pub fn path(&self) -> Option<&Path> {
        match &self.backing {
            Backing::File { path, .. } => Some(path),
            _ => None,
        }
    }
}

/// The mappings of a process, by address.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Maps {
    mappings: Vec<Mapping>,
    unread: u64,
    truncated: bool,
}

impl Maps {
    /// Reads a maps file to its end or to the limit.
    pub fn read(file: impl Read) -> io::Result<Maps> {
        let mut bytes = Vec::new();
        file.take(MAX_BYTES).read_to_end(&mut bytes)?;
        let mut maps = Maps::parse(&bytes);
        maps.truncated |= bytes.len() as u64 == MAX_BYTES;
        Ok(maps)
    }

    /// Parses the text of a maps file.
    pub fn parse(text: &[u8]) -> Maps {
        let mut maps = Maps::default();
        for line in text.split(|b| *b == b'\n').filter(|line| !line.is_empty()) {
            if maps.mappings.len() == MAX_MAPPINGS {
                maps.truncated = true;
                break;
            }
            match mapping(line, maps.mappings.last()) {
                Some(mapping) => maps.mappings.push(mapping),
                None => maps.unread += 1,
            }
        }
        if !maps.mappings.is_sorted_by_key(|m| m.start) {
            maps.mappings.sort_by_key(|m| m.start);
        }
        maps
    }

    /// The mapping that an address lies in.
    pub fn find(&self, address: u64) -> Option<&Mapping> {
        let after = self.mappings.partition_point(|m| m.start <= address);
        let mapping = self.mappings.get(after.checked_sub(1)?)?;
        mapping.contains(address).then_some(mapping)
    }

    /// All of them, by address.
    pub fn iter(&self) -> std::slice::Iter<'_, Mapping> {
        self.mappings.iter()
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.mappings.len()
    }

    /// Whether there is none: the process is ending, or a kernel thread.
    pub fn is_empty(&self) -> bool {
        self.mappings.is_empty()
    }

    /// Lines that could not be understood.
    pub fn unread(&self) -> u64 {
        self.unread
    }

    /// Whether there were more than are kept.
    pub fn truncated(&self) -> bool {
        self.truncated
    }
}

/// One line: `start-end perms offset major:minor inode   name`. Paths repeat over the mappings of
/// one file, so that they are shared with the line before.
fn mapping(line: &[u8], before: Option<&Mapping>) -> Option<Mapping> {
    let (range, rest) = word(line)?;
    let (perms, rest) = word(rest)?;
    let (offset, rest) = word(rest)?;
    let (device, rest) = word(rest)?;
    let (inode, name) = word(rest)?;

    let dash = range.iter().position(|b| *b == b'-')?;
    let (start, end) = (hex(&range[..dash])?, hex(&range[dash + 1..])?);
    let colon = device.iter().position(|b| *b == b':')?;
    let inode = decimal(inode)?;
    let &[r, w, x, p] = perms else { return None };
    Some(Mapping {
        start,
        end: (start < end).then_some(end)?,
        readable: r == b'r',
        writable: w == b'w',
        executable: x == b'x',
        shared: p == b's',
        offset: hex(offset)?,
        device: (
            u32::try_from(hex(&device[..colon])?).ok()?,
            u32::try_from(hex(&device[colon + 1..])?).ok()?,
        ),
        inode,
        backing: backing(name, inode, before),
    })
}

fn backing(name: &[u8], inode: u64, before: Option<&Mapping>) -> Backing {
    let name = match name.iter().position(|b| *b != b' ') {
        Some(begin) => &name[begin..],
        None => return Backing::Anonymous,
    };
    match name {
        b"[vdso]" => Backing::Vdso,
        b"[stack]" => Backing::Stack,
        // Only a file has an inode: a mapping can be given a name that looks like a path.
        [b'/', ..] if inode != 0 => {
            let (path, deleted) = match name.strip_suffix(DELETED) {
                Some(path) => (path, true),
                None => (name, false),
            };
            let path = unescaped(path);
            let path = OsStr::from_bytes(&path);
            let path = match before.and_then(|m| match &m.backing {
                Backing::File { path, .. } => Some(path),
                _ => None,
            }) {
                Some(before) if before.as_os_str() == path => Arc::clone(before),
                _ => Arc::from(Path::new(path)),
            };
            Backing::File { path, deleted }
        }
        _ => Backing::Named(Arc::from(Path::new(OsStr::from_bytes(name)))),
    }
}

/// The kernel escapes nothing but the newline, as `\012`.
fn unescaped(path: &[u8]) -> Vec<u8> {
    const NEWLINE: &[u8] = b"\\012";
    let mut plain = Vec::with_capacity(path.len());
    let mut rest = path;
    while let Some((first, after)) = rest.split_first() {
        match rest.strip_prefix(NEWLINE) {
            Some(after) => {
                plain.push(b'\n');
                rest = after;
            }
            None => {
                plain.push(*first);
                rest = after;
            }
        }
    }
    plain
}

/// The next word, and what follows its one space.
fn word(text: &[u8]) -> Option<(&[u8], &[u8])> {
    let end = text.iter().position(|b| *b == b' ').unwrap_or(text.len());
    (end > 0).then(|| (&text[..end], text.get(end + 1..).unwrap_or(&[])))
}

fn hex(digits: &[u8]) -> Option<u64> {
    u64::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok()
}

fn decimal(digits: &[u8]) -> Option<u64> {
    std::str::from_utf8(digits).ok()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const TEXT: &[u8] = b"\
5581a0000000-5581a0001000 r--p 00000000 fe:01 131 /srv/a b\\012c
5581a0001000-5581a0002000 r-xp 00001000 fe:01 131 /srv/a b\\012c
7f0000000000-7f0000002000 rw-p 00000000 00:00 0 \n\
7f0000002000-7f0000003000 rw-s 00000000 00:01 99                         /memfd:x\xff (deleted)
7ffc00000000-7ffc00021000 rw-p 00000000 00:00 0                          [stack]
7ffc00022000-7ffc00024000 r-xp 00000000 00:00 0                          [vdso]
7ffc00030000-7ffc00031000 rw-p 00000000 00:00 0                          [anon:pool]
";

    #[test]
    fn lines_of_every_kind() {
        // Check that each kind of line is told apart, bytes that are not UTF-8 included.
        let maps = Maps::parse(TEXT);
        assert_eq!((maps.len(), maps.unread()), (7, 0));
        let text = maps.find(0x5581_a000_1fff).unwrap();
        assert!(text.executable && !text.writable && text.offset == 0x1000 && text.inode == 131);
        assert_eq!(text.path(), Some(Path::new("/srv/a b\nc")));
        assert_eq!(text.device, (0xfe, 1));
        let memfd = maps.find(0x7f00_0000_2000).unwrap();
        assert!(memfd.shared);
        let Backing::File { path, deleted } = &memfd.backing else {
            panic!("{memfd:?}")
        };
        assert_eq!(path.as_os_str().as_bytes(), b"/memfd:x\xff");
        assert!(deleted);
        assert_eq!(
            maps.find(0x7f00_0000_1000).unwrap().backing,
            Backing::Anonymous
        );
        assert_eq!(maps.find(0x7ffc_0000_0000).unwrap().backing, Backing::Stack);
        assert_eq!(maps.find(0x7ffc_0002_2000).unwrap().backing, Backing::Vdso);
        assert_eq!(maps.find(0x7ffc_0002_1000), None);
        assert_eq!(maps.find(0), None);
    }

    #[test]
    fn own_process() {
        // Check that the kernel's own text is understood in full.
        let maps = Maps::read(std::fs::File::open("/proc/self/maps").unwrap()).unwrap();
        assert_eq!(maps.unread(), 0);
        let here = maps.find(own_process as fn() as usize as u64).unwrap();
        assert!(here.executable && here.path().is_some());
    }

    proptest! {
        #[test]
        fn any_bytes(bytes in proptest::collection::vec(any::<u8>(), 0..400)) {
            // Check that no bytes at all make the parser panic.
            let maps = Maps::parse(&bytes);
            prop_assert!(maps.find(u64::MAX).is_none_or(|m| m.contains(u64::MAX)));
        }

        #[test]
        fn mutated(at in 0..TEXT.len(), byte in any::<u8>(), address in any::<u64>()) {
            // Check that a flipped byte never yields a mapping that doesn't hold its own addresses.
            let mut text = TEXT.to_vec();
            text[at] = byte;
            let maps = Maps::parse(&text);
            prop_assert!(maps.iter().all(|m| m.start < m.end));
            prop_assert!(maps.find(address).is_none_or(|m| m.contains(address)));
        }
    }
}
