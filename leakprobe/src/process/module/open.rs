//! Opening the file behind a mapping: the very file that is mapped, or none.

use std::{
    fs::{File, Metadata},
    os::linux::fs::MetadataExt,
    path::{Path, PathBuf},
    sync::Arc,
};

use super::{
    Unusable,
    elf::{Elf, Image},
    root,
};
use crate::process::{Mapping, Maps, Memory, memory::PAGE};

/// Ways into a process for opening what it maps.
#[derive(Clone, Copy, Debug)]
pub(in crate::process) struct Access<'a> {
    pub pid: u32,
    /// Its folder in /proc.
    pub folder: &'a Path,
    pub maps: &'a Maps,
    pub memory: &'a Memory,
}

impl Access<'_> {
    /// Opens the file behind a mapping.
    pub(super) fn open(&self, mapping: &Mapping) -> Result<(File, Metadata), Unusable> {
        // This link leads to the mapped inode whatever became of its name (deleted, overlayfs, a
        // memfd). It needs CAP_CHECKPOINT_RESTORE or CAP_SYS_ADMIN.
        let link = format!("map_files/{:x}-{:x}", mapping.start, mapping.end);
        match root::open(&self.folder.join(link)) {
            Ok(file) => with_metadata(file),
            Err(_) => self.open_program(mapping).map_or_else(|| self.open_by_path(mapping), Ok),
        }
    }

    /// Opens the program itself if that is what is mapped: also without privilege, and when it was
    /// deleted or upgraded.
    fn open_program(&self, mapping: &Mapping) -> Option<(File, Metadata)> {
        let (file, metadata) = with_metadata(root::open(&self.folder.join("exe")).ok()?).ok()?;
        is_inode_of(&metadata, mapping).then_some((file, metadata))
    }

    /// Opens what has the path of the mapped file now, if that is the mapped file: it has the mapped
    /// build id or, where that can't be known, the mapped inode.
    pub(super) fn open_by_path(&self, mapping: &Mapping) -> Result<(File, Metadata), Unusable> {
        let path = mapping.path().ok_or(Unusable::Unavailable)?;
        let root = File::open(self.folder.join("root")).map_err(|_| Unusable::Unavailable)?;
        let file = root::open_below(&root, path).map_err(|_| Unusable::Unavailable)?;
        let (file, metadata) = with_metadata(file)?;
        let file = Arc::new(file);
        let same = match self.mapped_build_id(mapping) {
            Some(mapped) => {
                let elf = Elf::parse(&Image::File(Arc::clone(&file)))?;
                elf.build_id.is_some_and(|id| id == mapped)
            }
            None => is_inode_of(&metadata, mapping),
        };
        match Arc::into_inner(file) {
            Some(file) if same => Ok((file, metadata)),
            _ => Err(Unusable::Replaced),
        }
    }

    /// The build id in the target's own memory: the first page of the file is mapped and nearly
    /// always present, since the loader reads it.
    fn mapped_build_id(&self, mapping: &Mapping) -> Option<String> {
        let first = self.maps.iter().rfind(|m| {
            m.start <= mapping.start
                && m.offset == 0
                && m.inode == mapping.inode
                && m.device == mapping.device
        })?;
        let mut page = vec![0; PAGE as usize];
        if !self.memory.read(first.start, &mut page) {
            return None;
        }
        Elf::parse(&Image::Memory(page.into())).ok()?.build_id
    }

    /// Root folder of the process, by a path that outlives this access.
    pub(super) fn root(&self) -> PathBuf {
        format!("/proc/{}/root", self.pid).into()
    }
}

fn is_inode_of(metadata: &Metadata, mapping: &Mapping) -> bool {
    let device = metadata.st_dev();
    mapping.inode == metadata.st_ino()
        && mapping.device == (libc::major(device), libc::minor(device))
}

fn with_metadata(file: File) -> Result<(File, Metadata), Unusable> {
    let metadata = file.metadata().map_err(|_| Unusable::Unavailable)?;
    Ok((file, metadata))
}
