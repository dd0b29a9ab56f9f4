//! Whether a file's debug information may be handed to blazesym.

use std::fs::File;
use std::io::{self, BufReader, Read};
use std::os::unix::fs::{FileExt, MetadataExt};

use flate2::read::ZlibDecoder;
use object::elf;

use super::elf_sections::{ReadAt, Section, Sections};

/// Most bytes of debug information, uncompressed, that are read of one file.
const MAX_DEBUG_BYTES: u64 = 2 << 30;

/// Most bytes of compressed debug information, uncompressed: they are held in memory.
const MAX_INFLATED: u64 = 512 << 20;

/// Most bytes of line programs: one byte can become a row of 24.
const MAX_LINE_BYTES: u64 = 512 << 20;

/// Whether there is any.
pub(super) fn present(sections: &Sections) -> bool {
    sections.named(".debug_info").is_some()
}

/// An error says in words why it can't be used.
pub(super) fn check(file: &File, sections: &Sections) -> Result<(), &'static str> {
    // blazesym follows these by itself, to paths that the file names: it could be led to open
    // something that blocks. Debug files of distributions share parts in this way.
    let links = [".gnu_debuglink", ".gnu_debugaltlink", ".debug_sup"];
    let linked = links.iter().any(|link| sections.named(link).is_some());
    if linked && !from_the_system(file) {
        return Err("it refers to further files");
    }
    let mut total = 0u64;
    let mut inflated = 0u64;
    let debug = |s: &&Section| s.name.starts_with(b".debug_") && s.kind != elf::SHT_NOBITS;
    for section in sections.0.iter().filter(debug) {
        let size = match section.flags & u64::from(elf::SHF_COMPRESSED) {
            0 => section.size,
            _ => {
                let size = inflated_size(file, section)?;
                inflated = inflated.saturating_add(size);
                size
            }
        };
        total = total.saturating_add(size);
        if section.name == b".debug_line" && size > MAX_LINE_BYTES {
            return Err("its line numbers are too large");
        }
    }
    if total > MAX_DEBUG_BYTES || inflated > MAX_INFLATED {
        return Err("it is too large");
    }
    Ok(())
}

/// Whether only root can have written the file.
fn from_the_system(file: &File) -> bool {
    file.metadata().is_ok_and(|meta| meta.uid() == 0 && meta.mode() & 0o022 == 0)
}

/// The size of a compressed section's contents. It is inflated once to be sure that it says the
/// truth: blazesym allocates what the header claims, and goes on for as long as the data does.
fn inflated_size(file: &File, section: &Section) -> Result<u64, &'static str> {
    const UNREADABLE: &str = "its compressed sections can't be read";
    // Elf64_Chdr: type, reserved, size, alignment.
    let mut header = [0; 24];
    file.fill(&mut header, section.offset).map_err(|_| UNREADABLE)?;
    let [k0, k1, k2, k3, _, _, _, _, size @ ..] = header;
    if u32::from_le_bytes([k0, k1, k2, k3]) != elf::ELFCOMPRESS_ZLIB {
        return Err("it is compressed otherwise than with zlib");
    }
    let size = (size.first_chunk()).map_or(u64::MAX, |bytes| u64::from_le_bytes(*bytes));
    if size > MAX_INFLATED {
        return Err("it is too large");
    }
    let data = Range {
        file,
        at: section.offset.saturating_add(24),
        left: section.size.saturating_sub(24),
    };
    let mut plain = ZlibDecoder::new(BufReader::with_capacity(64 << 10, data)).take(size + 1);
    match io::copy(&mut plain, &mut io::sink()) {
        Ok(real) if real == size => Ok(size),
        _ => Err(UNREADABLE),
    }
}

/// A part of a file.
struct Range<'a> {
    file: &'a File,
    at: u64,
    left: u64,
}

impl Read for Range<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let most = usize::try_from(self.left).map_or(buffer.len(), |left| left.min(buffer.len()));
        let n = (self.file).read_at(buffer.get_mut(..most).unwrap_or(&mut []), self.at)?;
        self.at = self.at.saturating_add(n as u64);
        self.left = self.left.saturating_sub(n as u64);
        Ok(n)
    }
}
