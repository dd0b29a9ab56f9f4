//! Section headers of an ELF file, read without mapping it: a mapped file that shrinks kills its
//! reader.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;

use object::LittleEndian as Le;
use object::elf::{self, FileHeader64, SectionHeader64};

/// Most sections that are looked at (linkers make a few hundred; `-ffunction-sections` counts only in
/// object files).
const MAX_SECTIONS: usize = 65_536;

/// Bytes that can be read at an offset: a file, or an image in memory.
pub(super) trait ReadAt {
    /// Fills `buffer` from `offset`, or fails.
    fn fill(&self, buffer: &mut [u8], offset: u64) -> io::Result<()>;
    /// Fills as much of `buffer` as there is.
    fn fill_some(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize>;
}

impl ReadAt for File {
    fn fill(&self, buffer: &mut [u8], offset: u64) -> io::Result<()> {
        self.read_exact_at(buffer, offset)
    }

    fn fill_some(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        self.read_at(buffer, offset)
    }
}

impl ReadAt for Vec<u8> {
    fn fill(&self, buffer: &mut [u8], offset: u64) -> io::Result<()> {
        match self.fill_some(buffer, offset)? {
            n if n == buffer.len() => Ok(()),
            _ => Err(io::ErrorKind::UnexpectedEof.into()),
        }
    }

    fn fill_some(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        let rest = usize::try_from(offset).ok().and_then(|at| self.get(at..));
        let rest = rest.unwrap_or(&[]);
        let n = rest.len().min(buffer.len());
        if let (Some(to), Some(from)) = (buffer.get_mut(..n), rest.get(..n)) {
            to.copy_from_slice(from);
        }
        Ok(n)
    }
}

/// One section header.
#[derive(Clone, Debug, Default)]
pub(super) struct Section {
    pub name: Vec<u8>,
    pub kind: u32,
    pub flags: u64,
    pub address: u64,
    pub offset: u64,
    pub size: u64,
    pub link: usize,
}

impl Section {
    /// Whether it holds code.
    pub fn is_code(&self) -> bool {
        self.flags & u64::from(elf::SHF_EXECINSTR) != 0
    }
}

/// The section headers of a file, by index.
#[derive(Debug, Default)]
pub(super) struct Sections(pub Vec<Section>);

impl Sections {
    /// Reads them. An error for anything but a 64-bit little-endian ELF file.
    pub fn read(file: &impl ReadAt) -> io::Result<Self> {
        let mut bytes = [0; size_of::<FileHeader64<Le>>()];
        file.fill(&mut bytes, 0)?;
        let (header, _) =
            object::pod::from_bytes::<FileHeader64<Le>>(&bytes).map_err(|()| bad())?;
        let ident = &header.e_ident;
        if ident.magic != elf::ELFMAG
            || ident.class != elf::ELFCLASS64
            || ident.data != elf::ELFDATA2LSB
        {
            return Err(bad());
        }
        let first = header.e_shoff.get(Le);
        let mut count = usize::from(header.e_shnum.get(Le));
        let mut names = usize::from(header.e_shstrndx.get(Le));
        if first == 0 {
            return Ok(Self::default());
        }
        if count == 0 || names == usize::from(elf::SHN_XINDEX) {
            // Too many for the header's fields: section 0 holds the numbers (gABI, "Sections").
            let zero = read_headers(file, first, 1)?;
            let zero = zero.first().ok_or_else(bad)?;
            if count == 0 {
                count = usize::try_from(zero.sh_size.get(Le)).unwrap_or(usize::MAX);
            }
            names = zero.sh_link.get(Le) as usize;
        }
        let headers = read_headers(file, first, count.min(MAX_SECTIONS))?;
        let names_at = (headers.get(names)).map_or(0, |names| names.sh_offset.get(Le));
        let sections = headers.iter().map(|header| Section {
            name: read_name(file, names_at, header.sh_name.get(Le), 64),
            kind: header.sh_type.get(Le),
            flags: header.sh_flags.get(Le),
            address: header.sh_addr.get(Le),
            offset: header.sh_offset.get(Le),
            size: header.sh_size.get(Le),
            link: header.sh_link.get(Le) as usize,
        });
        Ok(Self(sections.collect()))
    }

    /// The section of that name that has bytes in the file.
    pub fn named(&self, name: &str) -> Option<&Section> {
        (self.0.iter()).find(|s| s.name == name.as_bytes() && s.kind != elf::SHT_NOBITS)
    }

    /// The GNU build id, lower-case hex.
    pub fn build_id(&self, file: &impl ReadAt) -> Option<String> {
        let note = self.named(".note.gnu.build-id")?;
        let mut bytes = vec![0; usize::try_from(note.size.min(256)).ok()?];
        file.fill(&mut bytes, note.offset).ok()?;
        // namesz, descsz, type, "GNU\0", then the id.
        let length = u32::from_le_bytes(bytes.get(4..8)?.try_into().ok()?) as usize;
        if bytes.get(12..16)? != b"GNU\0" {
            return None;
        }
        let id = bytes.get(16..16usize.checked_add(length)?)?;
        Some(id.iter().map(|byte| format!("{byte:02x}")).collect())
    }
}

fn read_headers(file: &impl ReadAt, at: u64, count: usize) -> io::Result<Vec<SectionHeader64<Le>>> {
    let mut bytes = vec![0; count * size_of::<SectionHeader64<Le>>()];
    file.fill(&mut bytes, at)?;
    let (headers, _) =
        object::pod::slice_from_bytes::<SectionHeader64<Le>>(&bytes, count).map_err(|()| bad())?;
    Ok(headers.to_vec())
}

/// The NUL-terminated string at `index` of the string table at `table`, cut at `limit` bytes; empty
/// where it can't be read.
pub(super) fn read_name(file: &impl ReadAt, table: u64, index: u32, limit: usize) -> Vec<u8> {
    let Some(at) = table.checked_add(index.into()) else {
        return Vec::new();
    };
    let mut name = Vec::new();
    let mut chunk = [0; 128];
    while name.len() < limit {
        let n = file.fill_some(&mut chunk, at.saturating_add(name.len() as u64));
        let read = chunk.get(..n.unwrap_or(0)).unwrap_or(&[]);
        if let Some(end) = read.iter().position(|&b| b == 0) {
            name.extend(read.iter().take(end));
            break;
        }
        if read.is_empty() {
            break;
        }
        name.extend(read);
    }
    name.truncate(limit);
    name
}

fn bad() -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, "not a 64-bit little-endian ELF file")
}
