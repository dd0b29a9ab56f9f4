//! Function symbols of a file, with their names as they stand in it (mangled).

use object::{
    LittleEndian as LE,
    elf::{self, Sym64},
    pod,
};

use super::elf::{Elf, Image, Section};

/// Largest symbol or string table that is read, bytes.
const MAX_TABLE: u64 = 64 << 20;
/// Longest name, bytes; longer ones are cut.
const MAX_NAME: usize = 4096;

/// Function symbols, read anew at each call: they are large and rarely needed.
#[derive(Debug, Default)]
pub struct Symbols {
    tables: Vec<Table>,
}

#[derive(Debug)]
struct Table {
    /// An array of `Elf64_Sym`.
    symbols: Vec<u8>,
    strings: Vec<u8>,
}

impl Symbols {
    /// Adds those of `.symtab` and `.dynsym`.
    pub(super) fn add(&mut self, image: &Image, elf: &Elf) {
        for kind in [elf::SHT_SYMTAB, elf::SHT_DYNSYM] {
            let section = elf.sections.iter().find(|s| s.kind == kind && s.size > 0);
            self.tables.extend(section.and_then(|section| table(image, elf, section)));
        }
    }

    /// Name, address (svma) and size in bytes of each defined function. One function may come more
    /// than once, by several names or from two tables.
    pub fn iter(&self) -> impl Iterator<Item = (&str, u64, u64)> {
        self.tables.iter().flat_map(Table::functions)
    }

    /// Whether there is no table.
    pub fn is_empty(&self) -> bool {
        self.tables.is_empty()
    }
}

impl Table {
    fn functions(&self) -> impl Iterator<Item = (&str, u64, u64)> {
        let count = self.symbols.len() / size_of::<Sym64<LE>>();
        let symbols = pod::slice_from_bytes::<Sym64<LE>>(&self.symbols, count)
            .map_or(&[][..], |(symbols, _)| symbols);
        symbols.iter().filter_map(|symbol| {
            let function = matches!(
                symbol.st_info & 0xf,
                elf::STT_FUNC | elf::STT_GNU_IFUNC | elf::STT_NOTYPE
            );
            if !function || symbol.st_shndx.get(LE) == elf::SHN_UNDEF {
                return None;
            }
            // Labels of assembly have no type; of those only the ones in code by a size are kept.
            if symbol.st_info & 0xf == elf::STT_NOTYPE && symbol.st_size.get(LE) == 0 {
                return None;
            }
            let name = self.strings.get(symbol.st_name.get(LE) as usize..)?;
            let name = name.split(|b| *b == 0).next()?;
            let name = std::str::from_utf8(name.get(..name.len().min(MAX_NAME))?).ok()?;
            (!name.is_empty()).then(|| (name, symbol.st_value.get(LE), symbol.st_size.get(LE)))
        })
    }
}

fn table(image: &Image, elf: &Elf, section: &Section) -> Option<Table> {
    let strings = elf.sections.get(section.link as usize)?;
    if strings.kind != elf::SHT_STRTAB || section.compressed || strings.compressed {
        return None;
    }
    Some(Table {
        symbols: image.bytes(section.offset, section.size, MAX_TABLE)?,
        strings: image.bytes(strings.offset, strings.size, MAX_TABLE)?,
    })
}
