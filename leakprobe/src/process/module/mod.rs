//! The files that are mapped into processes as code.

mod cache;
mod debug_file;
mod elf;
mod open;
mod root;
mod section;
mod symbols;

use std::{
    fs::File,
    ops::Range,
    path::{Path, PathBuf},
    sync::{Arc, OnceLock},
};

pub use cache::ModuleFiles;
pub use debug_file::DebugFile;
pub(super) use open::Access;
pub use symbols::Symbols;

use elf::{Elf, Image, NotUsable};

use crate::snapshot::Module;

/// Why a mapped file is of no use.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unusable {
    /// It could not be opened.
    #[error("the file could not be opened; run as root to reach deleted files and containers")]
    Unavailable,
    /// Another file has taken its place: its build id, or its inode, is not the mapped one.
    #[error("another file has taken its place; restart the program, or run as root")]
    Replaced,
    /// No ELF file.
    #[error("not an ELF file")]
    NotElf,
    /// Not for x86-64.
    #[error("not a file for x86-64; other machines and 32-bit programs are not supported")]
    NotX86_64,
    /// Its headers make no sense.
    #[error("its ELF headers are damaged; reinstall the file")]
    Damaged,
}

impl From<NotUsable> for Unusable {
    fn from(why: NotUsable) -> Self {
        match why {
            NotUsable::NotElf => Unusable::NotElf,
            NotUsable::NotX86_64 => Unusable::NotX86_64,
            NotUsable::Damaged => Unusable::Damaged,
        }
    }
}

/// Call frame information of a file, and what its pointers may be relative to.
#[derive(Clone, Debug, Default)]
pub(crate) struct CallFrames {
    /// `.eh_frame` and where it lies (svma).
    pub eh_frame: Option<(Arc<[u8]>, Range<u64>)>,
    /// `.eh_frame_hdr`, the index of `.eh_frame`.
    pub eh_frame_hdr: Option<(Arc<[u8]>, Range<u64>)>,
    /// Where `.text` lies.
    pub text: Option<Range<u64>>,
    /// Where `.got` lies.
    pub got: Option<Range<u64>>,
}

/// What `.eh_frame_hdr` begins with: version 1, then how the pointer to `.eh_frame`, the count and
/// the table are encoded. All linkers write it so; those who read it don't guard against other
/// counts. A section that differs is done without.
const EH_FRAME_HDR: [u8; 4] = [1, 0x1b, 0x03, 0x3b];

/// A mapped file: what it is, and its contents if it is really the file that is mapped.
#[derive(Debug)]
pub struct ModuleFile {
    module: Module,
    contents: Result<Contents, Unusable>,
}

#[derive(Debug)]
struct Contents {
    image: Image,
    elf: Elf,
    /// Root folder of a process that maps it, to look for its debug file.
    root: Option<PathBuf>,
    call_frames: OnceLock<CallFrames>,
    debug_frame: OnceLock<Option<Arc<[u8]>>>,
    debug_file: OnceLock<Option<DebugFile>>,
}

impl ModuleFile {
    fn unusable(path: &Path, deleted: bool, why: Unusable) -> ModuleFile {
        ModuleFile {
            module: Module { path: path.to_string_lossy().into_owned(), build_id: None, deleted },
            contents: Err(why),
        }
    }

    /// The same file where it is mapped in a way that its headers don't explain.
    pub(super) fn without_contents(&self, why: Unusable) -> ModuleFile {
        ModuleFile { module: self.module.clone(), contents: Err(why) }
    }

    fn new(path: &Path, deleted: bool, image: Image, root: Option<PathBuf>) -> ModuleFile {
        let elf = match Elf::parse(&image) {
            Ok(elf) => elf,
            Err(why) => return ModuleFile::unusable(path, deleted, why.into()),
        };
        ModuleFile {
            module: Module {
                path: path.to_string_lossy().into_owned(),
                build_id: elf.build_id.clone(),
                deleted,
            },
            contents: Ok(Contents {
                image,
                elf,
                root,
                call_frames: OnceLock::new(),
                debug_frame: OnceLock::new(),
                debug_file: OnceLock::new(),
            }),
        }
    }

    /// A file that is only in memory.
    #[cfg(test)]
    pub(crate) fn from_bytes(path: &str, bytes: Vec<u8>) -> ModuleFile {
        ModuleFile::new(Path::new(path), false, Image::Memory(bytes.into()), None)
    }

    /// What it is, as snapshots say it.
    pub fn module(&self) -> &Module {
        &self.module
    }

    /// Whether its contents can be used.
    pub fn usable(&self) -> Result<(), Unusable> {
        self.contents.as_ref().map(drop).map_err(|why| *why)
    }

    /// The open file. `None` for the vdso and where the file is of no use.
    pub fn file(&self) -> Option<&File> {
        match &self.contents.as_ref().ok()?.image {
            Image::File(file) => Some(file),
            Image::Memory(_) => None,
        }
    }

    /// Function symbols of the file and of its separate debug file.
    pub fn symbols(&self) -> Symbols {
        let mut symbols = Symbols::default();
        if let Ok(contents) = &self.contents {
            symbols.add(&contents.image, &contents.elf);
            if let Some(debug) = self.debug_file() {
                debug.add_symbols(&mut symbols);
            }
        }
        symbols
    }

    /// The separate debug file, looked for once: by build id, then by `.gnu_debuglink`, below the
    /// root of the process that maps it, then on the host.
    pub fn debug_file(&self) -> Option<&DebugFile> {
        let contents = self.contents.as_ref().ok()?;
        let find = || {
            let path = Path::new(&self.module.path);
            debug_file::find(&contents.image, &contents.elf, path, contents.root.as_deref())
        };
        contents.debug_file.get_or_init(find).as_ref()
    }

    /// Address of the entry point (svma); for an executable its `_start`.
    pub fn entry(&self) -> Option<u64> {
        Some(self.contents.as_ref().ok()?.elf.entry)
    }

    /// The address that the file's program headers give to a file offset.
    pub fn svma(&self, offset: u64) -> Option<u64> {
        self.contents.as_ref().ok()?.elf.svma(offset)
    }

    /// Reads what the file holds at an address (svma), at most to the end of the segment; returns
    /// how many bytes.
    pub fn read(&self, svma: u64, buffer: &mut [u8]) -> usize {
        let mut read = || {
            let contents = self.contents.as_ref().ok()?;
            let (offset, left) = contents.elf.offset(svma)?;
            let len = buffer.len().min(usize::try_from(left).ok()?);
            contents.image.read(offset, buffer.get_mut(..len)?)?;
            Some(len)
        };
        read().unwrap_or(0)
    }

    /// Its `.eh_frame`.
    pub(crate) fn call_frames(&self) -> Option<&CallFrames> {
        let contents = self.contents.as_ref().ok()?;
        Some(contents.call_frames.get_or_init(|| contents.call_frames()))
    }

    /// Its `.debug_frame`, or that of its debug file.
    pub(crate) fn debug_frame(&self) -> Option<&Arc<[u8]>> {
        let contents = self.contents.as_ref().ok()?;
        let find = || {
            debug_file::debug_frame(&contents.image, &contents.elf)
                .or_else(|| self.debug_file()?.debug_frame())
        };
        contents.debug_frame.get_or_init(find).as_ref()
    }
}

impl Contents {
    fn call_frames(&self) -> CallFrames {
        let elf = &self.elf;
        let load = |name: &[u8]| {
            let section = elf.section(name)?;
            Some((section::load(&self.image, section)?, section.range()))
        };
        let range = |name: &[u8]| elf.section(name).map(elf::Section::range);
        let eh_frame_hdr = load(b".eh_frame_hdr").or_else(|| {
            let (offset, size, svma) = elf.eh_frame_hdr?;
            let bytes = self.image.bytes(offset, size, elf::MAX_SECTION)?;
            Some((bytes.into(), svma..svma.saturating_add(size)))
        });
        let eh_frame_hdr = eh_frame_hdr.filter(|(bytes, _)| bytes.starts_with(&EH_FRAME_HDR));
        CallFrames {
            eh_frame: load(b".eh_frame").or_else(|| self.eh_frame_by_header(&eh_frame_hdr)),
            eh_frame_hdr,
            text: range(b".text"),
            got: range(b".got"),
        }
    }

    /// `.eh_frame` of a file without section headers: from where `.eh_frame_hdr` points to the end
    /// of the segment.
    fn eh_frame_by_header(
        &self,
        header: &Option<(Arc<[u8]>, Range<u64>)>,
    ) -> Option<(Arc<[u8]>, Range<u64>)> {
        let (bytes, range) = header.as_ref()?;
        let bases = gimli::BaseAddresses::default().set_eh_frame_hdr(range.start);
        let header = gimli::EhFrameHdr::new(bytes, gimli::LittleEndian).parse(&bases, 8).ok()?;
        let svma = header.eh_frame_ptr().direct().ok()?;
        let (offset, left) = self.elf.offset(svma)?;
        let bytes = self.image.bytes(offset, left, elf::MAX_SECTION)?;
        Some((bytes.into(), svma..svma.saturating_add(left)))
    }
}

#[cfg(test)]
mod tests;
