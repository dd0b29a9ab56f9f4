//! The mapped files of a session, each opened once.

use std::{fs::Metadata, os::linux::fs::MetadataExt, path::Path, sync::Arc};

use rustc_hash::FxHashMap;

use super::{Access, ModuleFile, Unusable, elf::Image};
use crate::process::{Backing, Mapping};

/// Files kept open at most. Each holds a descriptor, with its debug file two, and the usual soft limit
/// is 1024.
const MAX_FILES: usize = 384;
/// Largest vdso (it is two pages on 6.18), bytes.
const MAX_VDSO: usize = 64 << 10;

/// A version of a file under one name. While it is kept it is open, so that its inode can't be
/// another file's.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Key {
    device: u64,
    inode: u64,
    size: u64,
    modified: (i64, i64),
    path: Arc<Path>,
    deleted: bool,
}

impl Key {
    fn new(metadata: &Metadata, path: &Arc<Path>, deleted: bool) -> Self {
        Key {
            device: metadata.st_dev(),
            inode: metadata.st_ino(),
            size: metadata.st_size(),
            modified: (metadata.st_mtime(), metadata.st_mtime_nsec()),
            path: Arc::clone(path),
            deleted,
        }
    }
}

/// The mapped files of a session, each opened once however many processes map it.
#[derive(Debug, Default)]
pub struct ModuleFiles {
    files: FxHashMap<Key, Arc<ModuleFile>>,
    vdso: Option<Arc<ModuleFile>>,
    evicted: u64,
}

impl ModuleFiles {
    /// None yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Files that were closed to make room.
    pub fn evicted(&self) -> u64 {
        self.evicted
    }

    /// The file behind a mapping; one that can't be used says why.
    pub(in crate::process) fn get(
        &mut self,
        access: &Access,
        mapping: &Mapping,
    ) -> Arc<ModuleFile> {
        let (path, deleted) = match &mapping.backing {
            Backing::File { path, deleted } => (path, *deleted),
            Backing::Vdso => return self.vdso(),
            _ => return Arc::new(unavailable(Path::new(""))),
        };
        let (file, metadata) = match access.open(mapping) {
            Ok(opened) => opened,
            Err(why) => return Arc::new(ModuleFile::unusable(path, deleted, why)),
        };
        let key = Key::new(&metadata, path, deleted);
        if let Some(known) = self.files.get(&key) {
            return Arc::clone(known);
        }
        let image = Image::File(Arc::new(file));
        let file = Arc::new(ModuleFile::new(path, deleted, image, Some(access.root())));
        self.make_room();
        if self.files.len() < MAX_FILES {
            self.files.insert(key, Arc::clone(&file));
        }
        file
    }

    /// Closes what nobody uses any more.
    fn make_room(&mut self) {
        if self.files.len() >= MAX_FILES {
            let before = self.files.len();
            self.files.retain(|_, file| Arc::strong_count(file) > 1);
            self.evicted += (before - self.files.len()) as u64;
        }
    }

    /// The vdso. The kernel maps one image into all 64-bit processes (`arch/x86/entry/vdso/vma.c`),
    /// so that our own can be read instead of the target's.
    fn vdso(&mut self) -> Arc<ModuleFile> {
        let make = || {
            let name = Path::new("[vdso]");
            Arc::new(match own_vdso() {
                Some(bytes) => ModuleFile::new(name, false, Image::Memory(bytes), None),
                None => unavailable(name),
            })
        };
        Arc::clone(self.vdso.get_or_insert_with(make))
    }
}

fn unavailable(path: &Path) -> ModuleFile {
    ModuleFile::unusable(path, false, Unusable::Unavailable)
}

fn own_vdso() -> Option<Arc<[u8]>> {
    let maps = crate::process::Maps::read(std::fs::File::open("/proc/self/maps").ok()?).ok()?;
    let vdso = maps.iter().find(|m| m.backing == Backing::Vdso)?;
    let len = usize::try_from(vdso.end - vdso.start).ok()?;
    if len > MAX_VDSO {
        return None;
    }
    // SAFETY: the kernel has just said that [vdso] is mapped here, readable, for `len` bytes; it is
    // never unmapped or written to while we run.
    let bytes = unsafe { std::slice::from_raw_parts(vdso.start as *const u8, len) };
    Some(bytes.into())
}
