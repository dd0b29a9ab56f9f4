//! Separate debug files, as distributions ship them.

use std::{
    fs::File,
    path::{Path, PathBuf},
    sync::Arc,
};

use super::{
    elf::{Elf, Image},
    root, section,
    symbols::Symbols,
};

/// Where debug files live.
const DEBUG_ROOT: &str = "/usr/lib/debug";
/// Largest debug file whose checksum is computed, bytes.
const MAX_CHECKSUMMED: u64 = 1 << 30;
/// Bytes of a `.gnu_debuglink` section: a file name and a checksum.
const MAX_LINK: u64 = 4096;

/// A separate debug file that is certain to belong to its module.
#[derive(Debug)]
pub struct DebugFile {
    path: PathBuf,
    file: Arc<File>,
    elf: Elf,
}

impl DebugFile {
    /// Where it was found; below the target's root if it was found there.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The open file.
    pub fn file(&self) -> &File {
        &self.file
    }

    pub(super) fn add_symbols(&self, symbols: &mut Symbols) {
        symbols.add(&Image::File(Arc::clone(&self.file)), &self.elf);
    }

    pub(super) fn debug_frame(&self) -> Option<Arc<[u8]>> {
        debug_frame(&Image::File(Arc::clone(&self.file)), &self.elf)
    }
}

/// `.debug_frame` of a file, also by its older compressed name.
pub(super) fn debug_frame(image: &Image, elf: &Elf) -> Option<Arc<[u8]>> {
    let section = elf
        .section(b".debug_frame")
        .or_else(|| elf.section(b".zdebug_frame"))?;
    section::load(image, section)
}

/// Looks for the debug file of a module.
pub(super) fn find(
    image: &Image,
    elf: &Elf,
    path: &Path,
    root: Option<&Path>,
) -> Option<DebugFile> {
    let Image::File(_) = image else {
        return None;
    };
    let link = link(image, elf);
    let below = root.and_then(|path| Some((path, File::open(path).ok()?)));
    for candidate in candidates(elf.build_id.as_deref(), link.as_ref(), path) {
        if let Some((root, folder)) = &below
            && let Ok(file) = root::open_below(folder, &candidate)
            && let relative = candidate.strip_prefix("/").unwrap_or(&candidate)
            && let Some(found) = checked(root.join(relative), file, elf, link.as_ref())
        {
            return Some(found);
        }
        if let Ok(file) = root::open(&candidate)
            && let Some(found) = checked(candidate, file, elf, link.as_ref())
        {
            return Some(found);
        }
    }
    None
}

/// File name and CRC-32 in `.gnu_debuglink`.
fn link(image: &Image, elf: &Elf) -> Option<(String, u32)> {
    let section = elf.section(b".gnu_debuglink")?;
    let bytes = image.bytes(section.offset, section.size, MAX_LINK)?;
    let end = bytes.iter().position(|b| *b == 0)?;
    let name = std::str::from_utf8(bytes.get(..end)?).ok()?;
    // A bare file name, or it would lead anywhere.
    if name.is_empty() || name.contains('/') || name == ".." {
        return None;
    }
    let at = (end + 1).next_multiple_of(4);
    let crc = bytes.get(at..at.checked_add(4)?)?;
    Some((name.to_owned(), u32::from_le_bytes(crc.try_into().ok()?)))
}

fn candidates(build_id: Option<&str>, link: Option<&(String, u32)>, path: &Path) -> Vec<PathBuf> {
    let mut candidates = Vec::new();
    if let Some((first, rest)) = build_id.and_then(|id| id.split_at_checked(2)) {
        candidates.push(format!("{DEBUG_ROOT}/.build-id/{first}/{rest}.debug").into());
    }
    if let (Some((name, _)), Some(folder)) = (link, path.parent()) {
        candidates.push(folder.join(name));
        candidates.push(folder.join(".debug").join(name));
        let relative = folder.strip_prefix("/").unwrap_or(folder);
        candidates.push(Path::new(DEBUG_ROOT).join(relative).join(name));
    }
    candidates
}

/// Only a file with the same build id, or else with the checksum that the link names, is taken.
fn checked(path: PathBuf, file: File, of: &Elf, link: Option<&(String, u32)>) -> Option<DebugFile> {
    let image = Image::File(Arc::new(file));
    let elf = Elf::parse(&image).ok()?;
    let belongs = match (&of.build_id, &elf.build_id) {
        (Some(module), Some(debug)) => module == debug,
        _ => link.is_some_and(|(_, crc)| checksum(&image) == Some(*crc)),
    };
    let Image::File(file) = image else {
        return None;
    };
    belongs.then_some(DebugFile { path, file, elf })
}

fn checksum(image: &Image) -> Option<u32> {
    let Image::File(file) = image else {
        return None;
    };
    let size = file.metadata().ok()?.len();
    if size > MAX_CHECKSUMMED {
        return None;
    }
    let mut crc = flate2::Crc::new();
    let mut at = 0;
    while at < size {
        let len = (size - at).min(1 << 18);
        crc.update(&image.bytes(at, len, len)?);
        at += len;
    }
    Some(crc.sum())
}
