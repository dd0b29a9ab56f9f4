//! Names from ELF symbol tables.
//!
//! blazesym would look them up too, but takes any of a function's aliases (`__GI___read` for `read`),
//! reports a label without size for whatever follows it, and misses a function that a label lies in.
//! Here a symbol is reported only for addresses that its size covers, and the best of its names.

use object::LittleEndian as Le;
use object::elf::{self, Sym64};

use super::elf_sections::{ReadAt, Section, Sections, read_name};
use super::function_name::{MAX_RAW_NAME, preference};

/// Most symbols of one table that are looked at. Chromium's largest table holds about 2 million.
const MAX_SYMBOLS: u64 = 8_000_000;

/// Most bytes after a symbol without size that it is believed to name: hand-written assembly (musl's
/// `__clone`, `_start`) carries no size and is short.
const SIZELESS_REACH: u64 = 1024;

/// Most names of one function that are compared.
const MAX_ALIASES: usize = 16;

/// Most pairs of symbol and wanted address in one pass, against tables whose symbols all cover
/// everything. An honest table has a few for each wanted address.
const MAX_MATCHES: usize = 4_000_000;

/// Symbols read at a time.
const CHUNK: usize = 4096;

/// What a symbol table says of an address.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Symbol {
    /// As in the string table.
    pub name: Vec<u8>,
    /// The symbol has a size and it covers the address; else the name is only the nearest label.
    pub covers: bool,
}

/// One wanted address and the symbols found for it so far.
struct Wanted {
    address: u64,
    /// Start of the innermost symbol that covers it.
    start: u64,
    names: Vec<Alias>,
    /// Nearest symbol start at or below it, of any kind.
    nearest: u64,
    label: Option<(u64, Alias)>,
}

#[derive(Clone, Copy)]
struct Alias {
    /// File offset of the string table and index into it.
    strings: u64,
    name: u32,
    local: bool,
    weak: bool,
    /// Which of the files.
    file: usize,
}

/// Names for `addresses` (sorted ascending, svma) from the symbol tables of several files that
/// describe the same addresses: a program or library and its separate debug file. One answer for each
/// address.
///
/// Time goes by the size of the tables, hardly by the number of addresses, and no table is held in
/// memory: ask for many at once.
pub(super) fn find<F: ReadAt>(files: &[(&F, &Sections)], addresses: &[u64]) -> Vec<Option<Symbol>> {
    let mut wanted: Vec<Wanted> = (addresses.iter())
        .map(|&address| Wanted { address, start: 0, names: Vec::new(), nearest: 0, label: None })
        .collect();
    let mut matches_left = MAX_MATCHES;
    for (file, &(bytes, sections)) in files.iter().enumerate() {
        for table in &sections.0 {
            if table.kind == elf::SHT_SYMTAB || table.kind == elf::SHT_DYNSYM {
                scan(bytes, file, sections, table, &mut wanted, &mut matches_left);
            }
        }
    }
    (wanted.iter()).map(|wanted| best(files, wanted)).collect()
}

fn scan(
    bytes: &impl ReadAt,
    file: usize,
    sections: &Sections,
    table: &Section,
    wanted: &mut [Wanted],
    matches_left: &mut usize,
) {
    let strings = sections.0.get(table.link).map_or(0, |s| s.offset);
    let entry = size_of::<Sym64<Le>>();
    let count = (table.size / entry as u64).min(MAX_SYMBOLS);
    let mut buffer = vec![0; CHUNK * entry];
    let mut at = table.offset;
    let mut left = count;
    while left > 0 {
        let n = left.min(CHUNK as u64) as usize;
        let Some(chunk) = buffer.get_mut(..n * entry) else {
            return;
        };
        if bytes.fill(chunk, at).is_err() {
            return;
        }
        let Ok((symbols, _)) = object::pod::slice_from_bytes::<Sym64<Le>>(chunk, n) else {
            return;
        };
        for symbol in symbols {
            let Some(found) = Function::of(symbol, sections, table.kind) else {
                continue;
            };
            let alias = Alias {
                strings,
                name: symbol.st_name.get(Le),
                local: symbol.st_bind() == elf::STB_LOCAL,
                weak: symbol.st_bind() == elf::STB_WEAK,
                file,
            };
            found.offer(alias, wanted, matches_left);
        }
        left -= n as u64;
        at = at.saturating_add((n * entry) as u64);
    }
}

/// A symbol that can name code.
struct Function {
    start: u64,
    end: u64,
    /// Without a size of its own: `end` is only how far it is believed.
    sizeless: bool,
    /// Believed beyond its first byte although it is without size.
    label: bool,
}

impl Function {
    fn of(symbol: &Sym64<Le>, sections: &Sections, table: u32) -> Option<Self> {
        let kind = symbol.st_type();
        let code = [elf::STT_FUNC, elf::STT_GNU_IFUNC, elf::STT_NOTYPE];
        if !code.contains(&kind) || symbol.st_name.get(Le) == 0 {
            return None;
        }
        // Undefined and reserved indices lead to no section that holds code.
        let section = sections.0.get(usize::from(symbol.st_shndx.get(Le)))?;
        if !section.is_code() {
            return None;
        }
        let start = symbol.st_value.get(Le);
        let size = symbol.st_size.get(Le);
        let sizeless = size == 0;
        // A label within a function (musl's `__cp_end` in `__syscall_cp_asm`).
        if sizeless && kind == elf::STT_NOTYPE && symbol.st_bind() == elf::STB_LOCAL {
            return None;
        }
        // .dynsym names so little of the code that the nearest name says nothing.
        let label = sizeless && table == elf::SHT_SYMTAB;
        let end = match sizeless {
            false => start.checked_add(size)?,
            true if label => start
                .saturating_add(SIZELESS_REACH)
                .min(section.address.saturating_add(section.size)),
            true => start.saturating_add(1),
        };
        Some(Self { start, end, sizeless, label })
    }

    /// Offers it to each wanted address that it may name.
    fn offer(&self, alias: Alias, wanted: &mut [Wanted], matches_left: &mut usize) {
        let from = wanted.partition_point(|w| w.address < self.start);
        let reach = self.end.max(self.start.saturating_add(SIZELESS_REACH));
        for wanted in wanted.iter_mut().skip(from) {
            if wanted.address >= reach || *matches_left == 0 {
                return;
            }
            *matches_left -= 1;
            wanted.nearest = wanted.nearest.max(self.start);
            if wanted.address >= self.end {
                continue;
            }
            if self.sizeless {
                let nearer = wanted.label.is_none_or(|(start, _)| start < self.start);
                if nearer && (self.label || wanted.address == self.start) {
                    wanted.label = Some((self.start, alias));
                }
                continue;
            }
            if wanted.names.is_empty() || self.start > wanted.start {
                wanted.start = self.start;
                wanted.names.clear();
            }
            if self.start == wanted.start && wanted.names.len() < MAX_ALIASES {
                wanted.names.push(alias);
            }
        }
    }
}

fn best<F: ReadAt>(files: &[(&F, &Sections)], wanted: &Wanted) -> Option<Symbol> {
    let name = |alias: &Alias| {
        let (file, _) = files.get(alias.file)?;
        let name = read_name(*file, alias.strings, alias.name, MAX_RAW_NAME);
        (!name.is_empty()).then_some(name)
    };
    let mut names: Vec<(&Alias, Vec<u8>)> =
        (wanted.names.iter()).filter_map(|alias| Some((alias, name(alias)?))).collect();
    names.sort_by_cached_key(|(alias, name)| {
        preference(&String::from_utf8_lossy(name), alias.local, alias.weak)
    });
    if let Some((_, name)) = names.into_iter().next() {
        return Some(Symbol { name, covers: true });
    }
    let (start, alias) = wanted.label.as_ref()?;
    // Another symbol begins in between: the label's code is over.
    if *start != wanted.nearest {
        return None;
    }
    let name = name(alias)?;
    Some(Symbol { name, covers: false })
}
