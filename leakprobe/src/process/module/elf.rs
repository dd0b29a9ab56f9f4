//! What unwinding and naming need to know of an ELF file, read piece by piece: nothing is mapped,
//! since a file that is truncated under a mapping kills its reader.

use std::{fs::File, ops::Range, os::unix::fs::FileExt, sync::Arc};

use object::{
    LittleEndian as LE,
    elf::{self, FileHeader64, ProgramHeader64, SectionHeader64},
    pod,
};

/// Program headers looked at.
const MAX_SEGMENTS: usize = 128;
/// Section headers looked at (`-ffunction-sections` objects have more, linked files don't).
const MAX_SECTIONS: usize = 4096;
/// Bytes of a note segment or of the table of section names.
const MAX_TABLE: u64 = 1 << 20;
/// Longest build id (`ld --build-id=0x…` takes any; 20 is usual).
const MAX_BUILD_ID: usize = 64;
/// Addresses in a file from here on are not user addresses.
const MAX_SVMA: u64 = 1 << 47;
/// Largest section of unwind information that is loaded, bytes (Chromium's has some 25 MB).
pub(super) const MAX_SECTION: u64 = 64 << 20;

/// Where the bytes of an ELF file come from.
#[derive(Clone, Debug)]
pub(super) enum Image {
    /// An open file.
    File(Arc<File>),
    /// A copy in memory (the vdso).
    Memory(Arc<[u8]>),
}

impl Image {
    /// Fills `buffer` from `offset` on, all or nothing.
    pub(super) fn read(&self, offset: u64, buffer: &mut [u8]) -> Option<()> {
        match self {
            Image::File(file) => file.read_exact_at(buffer, offset).ok(),
            Image::Memory(bytes) => {
                let begin = usize::try_from(offset).ok()?;
                let end = begin.checked_add(buffer.len())?;
                buffer.copy_from_slice(bytes.get(begin..end)?);
                Some(())
            }
        }
    }

    /// The bytes at `offset`, at most `limit` of them.
    pub(super) fn bytes(&self, offset: u64, size: u64, limit: u64) -> Option<Vec<u8>> {
        // The size is asked first, so that a lying header can't make us allocate.
        let end = offset.checked_add(size)?;
        if size > limit || end > self.len()? {
            return None;
        }
        let mut bytes = vec![0; usize::try_from(size).ok()?];
        self.read(offset, &mut bytes)?;
        Some(bytes)
    }

    fn len(&self) -> Option<u64> {
        match self {
            Image::File(file) => Some(file.metadata().ok()?.len()),
            Image::Memory(bytes) => Some(bytes.len() as u64),
        }
    }
}

/// A PT_LOAD segment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Load {
    /// File offsets.
    pub file: Range<u64>,
    /// Address of the first of them.
    pub svma: u64,
    pub executable: bool,
}

/// A section of use.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Section {
    pub name: Vec<u8>,
    pub kind: u32,
    pub compressed: bool,
    pub svma: u64,
    pub offset: u64,
    pub size: u64,
    pub link: u32,
}

impl Section {
    /// Its addresses.
    pub(super) fn range(&self) -> Range<u64> {
        self.svma..self.svma.saturating_add(self.size)
    }
}

/// Why a file is not one that can be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum NotUsable {
    /// Not an ELF file at all (a memfd of a JIT, a data file mapped executable).
    NotElf,
    /// An ELF file of another machine or class.
    NotX86_64,
    /// Its headers make no sense.
    Damaged,
}

/// The headers of an ELF file.
#[derive(Clone, Debug)]
pub(super) struct Elf {
    pub entry: u64,
    pub loads: Vec<Load>,
    /// Lower-case hex.
    pub build_id: Option<String>,
    /// PT_GNU_EH_FRAME: file offset, size, address.
    pub eh_frame_hdr: Option<(u64, u64, u64)>,
    pub sections: Vec<Section>,
}

impl Elf {
    pub(super) fn parse(image: &Image) -> Result<Elf, NotUsable> {
        let mut bytes = [0; size_of::<FileHeader64<LE>>()];
        image.read(0, &mut bytes).ok_or(NotUsable::NotElf)?;
        let (header, _) =
            pod::from_bytes::<FileHeader64<LE>>(&bytes).map_err(|()| NotUsable::Damaged)?;
        if header.e_ident.magic != elf::ELFMAG {
            return Err(NotUsable::NotElf);
        }
        if header.e_ident.class != elf::ELFCLASS64
            || header.e_ident.data != elf::ELFDATA2LSB
            || header.e_machine.get(LE) != elf::EM_X86_64
        {
            return Err(NotUsable::NotX86_64);
        }

        let mut elf = Elf {
            entry: header.e_entry.get(LE),
            loads: Vec::new(),
            build_id: None,
            eh_frame_hdr: None,
            sections: Vec::new(),
        };
        let count = usize::from(header.e_phnum.get(LE)).min(MAX_SEGMENTS);
        let segments: Vec<ProgramHeader64<LE>> =
            table(image, header.e_phoff.get(LE), count).ok_or(NotUsable::Damaged)?;
        for segment in &segments {
            elf.add_segment(image, segment);
        }
        // Sections may be cut off; segments are what a mapping needs.
        let count = usize::from(header.e_shnum.get(LE)).min(MAX_SECTIONS);
        if let Some(headers) = table(image, header.e_shoff.get(LE), count) {
            elf.add_sections(image, &headers, header.e_shstrndx.get(LE).into());
        }
        Ok(elf)
    }

    fn add_segment(&mut self, image: &Image, segment: &ProgramHeader64<LE>) {
        let (offset, size) = (segment.p_offset.get(LE), segment.p_filesz.get(LE));
        let svma = segment.p_vaddr.get(LE);
        let Some(end) = offset.checked_add(size) else {
            return;
        };
        if svma >= MAX_SVMA || size >= MAX_SVMA {
            return;
        }
        match segment.p_type.get(LE) {
            elf::PT_LOAD => self.loads.push(Load {
                file: offset..end,
                svma,
                executable: segment.p_flags.get(LE) & elf::PF_X != 0,
            }),
            elf::PT_GNU_EH_FRAME => self.eh_frame_hdr = Some((offset, size, svma)),
            elf::PT_NOTE if self.build_id.is_none() => {
                self.build_id =
                    image.bytes(offset, size, MAX_TABLE).and_then(|notes| build_id(&notes));
            }
            _ => {}
        }
    }

    fn add_sections(&mut self, image: &Image, headers: &[SectionHeader64<LE>], names: usize) {
        let names = headers
            .get(names)
            .and_then(|s| image.bytes(s.sh_offset.get(LE), s.sh_size.get(LE), MAX_TABLE))
            .unwrap_or_default();
        self.sections = headers
            .iter()
            .map(|s| Section {
                name: names
                    .get(s.sh_name.get(LE) as usize..)
                    .and_then(|rest| rest.split(|b| *b == 0).next())
                    .map_or_else(Vec::new, |name| name.iter().take(64).copied().collect()),
                kind: s.sh_type.get(LE),
                compressed: s.sh_flags.get(LE) & u64::from(elf::SHF_COMPRESSED) != 0,
                svma: s.sh_addr.get(LE),
                offset: s.sh_offset.get(LE),
                size: s.sh_size.get(LE),
                link: s.sh_link.get(LE),
            })
            .collect();
        // A separate debug file's own note (its segments may hold no bytes).
        if self.build_id.is_none() {
            self.build_id = self
                .sections
                .iter()
                .filter(|s| s.kind == elf::SHT_NOTE)
                .find_map(|s| build_id(&image.bytes(s.offset, s.size, MAX_TABLE)?));
        }
    }

    /// A section that has bytes in the file.
    pub(super) fn section(&self, name: &[u8]) -> Option<&Section> {
        self.sections.iter().find(|s| s.name == name && s.kind != elf::SHT_NOBITS && s.size > 0)
    }

    /// File offset to the address that the file's program headers give it. Mappings begin at a page
    /// although segments need not: such an offset lies up to a page before its segment.
    pub(super) fn svma(&self, offset: u64) -> Option<u64> {
        let page = |x: u64| x & !0xfff;
        let load = self
            .loads
            .iter()
            .filter(|l| page(l.file.start) <= offset && offset < l.file.end)
            .max_by_key(|l| (l.executable, l.file.start))?;
        (load.svma.checked_add(offset)?).checked_sub(load.file.start)
    }

    /// Address to file offset, and how many bytes of the file follow in the same segment.
    pub(super) fn offset(&self, svma: u64) -> Option<(u64, u64)> {
        self.loads.iter().find_map(|load| {
            let into = svma.checked_sub(load.svma)?;
            let size = load.file.end - load.file.start;
            (into < size).then(|| (load.file.start + into, size - into))
        })
    }
}

/// The GNU build id among notes (`.note.gnu.build-id`), as lower-case hex.
pub(super) fn build_id(notes: &[u8]) -> Option<String> {
    let mut rest = notes;
    // Name size, description size, type; name and description padded to 4 bytes.
    while let Some((header, after)) = rest.split_at_checked(12) {
        let field = |i: usize| {
            let bytes = header.get(i * 4..i * 4 + 4)?;
            usize::try_from(u32::from_le_bytes(bytes.try_into().ok()?)).ok()
        };
        let (name_size, size, kind) = (field(0)?, field(1)?, field(2)?);
        let (name, after) = after.split_at_checked(name_size.checked_next_multiple_of(4)?)?;
        let padded = size.checked_next_multiple_of(4)?.min(after.len());
        let (description, after) = after.split_at_checked(padded)?;
        if kind == elf::NT_GNU_BUILD_ID as usize && name.starts_with(b"GNU\0") {
            let id = description.get(..size)?;
            return (!id.is_empty() && id.len() <= MAX_BUILD_ID)
                .then(|| id.iter().map(|b| format!("{b:02x}")).collect());
        }
        rest = after;
    }
    None
}

/// `count` headers of one kind.
fn table<T: object::Pod>(image: &Image, offset: u64, count: usize) -> Option<Vec<T>> {
    let size = count.checked_mul(size_of::<T>())?;
    let bytes = image.bytes(offset, size as u64, u64::MAX)?;
    let (headers, _) = pod::slice_from_bytes::<T>(&bytes, count).ok()?;
    Some(headers.to_vec())
}
